"""Many subsets of the same rows, packed 64 to a word, so that thousands are compared at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fiberscope.network.arrays import BoolArray, IntArray

if TYPE_CHECKING:
    Words: TypeAlias = NDArray[np.uint64]
else:
    Words = np.ndarray

WORD_BITS = 64

BLOCK = 1_000
"""Subsets that are unpacked at a time."""


@dataclass(frozen=True, eq=False)
class Bitsets:
    """N subsets of ``{0, ..., size - 1}``.

    Attributes:
        words: (N, w) the members, bit i % 64 of word i // 64.
        size: how many things there are to choose from.
    """

    words: Words
    size: int

    @classmethod
    def of(cls, members: BoolArray) -> Bitsets:
        """Pack a matrix (N, size) of truth values."""
        count, size = members.shape
        padded = np.zeros((count, -(-max(size, 1) // WORD_BITS) * WORD_BITS), dtype=np.bool_)
        padded[:, :size] = members
        return cls(np.packbits(padded, axis=1, bitorder="little").view(np.uint64), size)

    @classmethod
    def stacked(cls, parts: Sequence[Bitsets]) -> Bitsets:
        """The subsets of several collections, one after the other."""
        return cls(np.concatenate([part.words for part in parts]), parts[0].size)

    def __len__(self) -> int:
        return len(self.words)

    def chosen(self, index: IntArray) -> Bitsets:
        """Some of the subsets."""
        return Bitsets(self.words[index], self.size)

    def counts(self) -> IntArray:
        """(N,) their sizes."""
        return sizes(self.words)

    def matrix(self) -> BoolArray:
        """The subsets as a matrix (N, size) of truth values."""
        return np.unpackbits(self.words.view(np.uint8), axis=1, bitorder="little")[:, : self.size].astype(np.bool_)

    def columns(self, numbers: IntArray) -> Bitsets:
        """Subsets of the things with these numbers alone, renumbered."""
        if len(numbers) == self.size:
            return self
        parts = [self.chosen(np.arange(i, min(i + BLOCK, len(self)))) for i in range(0, len(self), BLOCK)]
        return Bitsets.stacked([Bitsets.of(part.matrix()[:, numbers]) for part in parts])


def sizes(words: Words) -> IntArray:
    """The number of members of each set: (N, w) -> (N,), or of one set (w,) -> ()."""
    return np.asarray(np.bitwise_count(words).sum(axis=-1, dtype=np.int64))


def mask(words: Words, size: int) -> BoolArray:
    """One set (w,) as truth values (size,)."""
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:size].astype(np.bool_)


def members(words: Words, size: int) -> IntArray:
    """The members of one set (w,), ascending."""
    return np.flatnonzero(mask(words, size))


def union(words: Words) -> Words:
    """What is in any of the sets: (N, w) -> (w,)."""
    return np.bitwise_or.reduce(words, axis=0)


def intersection(words: Words) -> Words:
    """What is in all of the sets, of which there is at least one: (N, w) -> (w,)."""
    return np.bitwise_and.reduce(words, axis=0)


__all__ = ["Bitsets", "Words", "intersection", "mask", "members", "sizes", "union"]
