"""Thumbnails of many samples, many on one sheet, so that a page with thousands of them stays small and quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
from numpy.typing import NDArray

from fiberscope.showing.pictures import PictureFormat, encoded, shades, thinning

COLUMNS = 16
"""Thumbnails in a row of a sheet."""

PER_SHEET = COLUMNS * COLUMNS
"""Thumbnails on a sheet: as many as a browser decodes before anyone notices."""

_LARGEST_SIDE = 64
"""Pixels of a thumbnail's longer side, at most."""

_QUALITY = 75
"""Of WebP: a fifth of the bytes of PNG for photographs, and no difference that is seen at this size."""


@dataclass(frozen=True)
class Sheets:
    """Thumbnails of the first samples of some data.

    Attributes:
        width: pixels of one.
        height: pixels of one.
        shown: how many samples have one.
        images: the sheets, WebP images in base 64, each with ``PER_SHEET`` thumbnails row by row.
    """

    width: int
    height: int
    shown: int
    images: tuple[str, ...]


def picture_sheets(samples: NDArray[Any], layout: PictureFormat, room: int) -> Sheets:
    """Thumbnails of as many of the samples as there is room for.

    Args:
        samples: (N, ...) the samples.
        layout: how one becomes a picture.
        room: how many bytes the sheets may take, in base 64.
    """
    step = thinning(layout.height, layout.width, side=_LARGEST_SIDE)
    images: list[str] = []
    for start in range(0, len(samples), PER_SHEET):
        tiles = shades(samples[start : start + PER_SHEET], layout)[:, ::step, ::step]
        image = encoded(_laid_out(tiles), "WEBP", quality=_QUALITY)
        room -= len(image)
        if room < 0:
            break
        images.append(image)
    return Sheets(
        width=-(-layout.width // step),
        height=-(-layout.height // step),
        shown=min(len(samples), len(images) * PER_SHEET),
        images=tuple(images),
    )


def _laid_out(tiles: UInt8[NDArray[np.uint8], "N h w c"]) -> UInt8[NDArray[np.uint8], "H W c"]:
    """Up to ``PER_SHEET`` tiles side by side; what is left of the last row is black."""
    count, height, width, channels = tiles.shape
    rows = -(-count // COLUMNS)
    sheet = np.zeros((rows * COLUMNS, height, width, channels), dtype=np.uint8)
    sheet[:count] = tiles
    grid = sheet.reshape(rows, COLUMNS, height, width, channels).swapaxes(1, 2)
    return grid.reshape(rows * height, COLUMNS * width, channels)


__all__ = ["COLUMNS", "PER_SHEET", "Sheets", "picture_sheets"]
