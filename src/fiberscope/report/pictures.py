"""Samples as pictures: PNG images in data URIs."""

from __future__ import annotations

import base64
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_LARGEST_SIDE = 96
"""Larger pictures are thinned out: the page shows thumbnails."""

_SQUARE_PIXELS = {784: 28}
"""Flat inputs that are known to be square pictures; others may be anything and are not guessed at."""


@dataclass(frozen=True)
class PictureFormat:
    """How one sample becomes a picture.

    Attributes:
        height: rows.
        width: columns.
        channels: 1 for grey, 3 for colour; channels come first in the sample.
        low: the number shown black.
        high: the number shown white.
    """

    height: int
    width: int
    channels: int
    low: float
    high: float


def picture_format(x: NDArray[Any]) -> PictureFormat | None:
    """How the samples x (N, ...) become pictures; None if they are not pictures."""
    low, high = float(x.min()), float(x.max())
    match x.shape[1:]:
        case (pixels,) if pixels in _SQUARE_PIXELS:
            return PictureFormat(_SQUARE_PIXELS[pixels], _SQUARE_PIXELS[pixels], 1, low, high)
        case (height, width) if min(height, width) > 1:
            return PictureFormat(height, width, 1, low, high)
        case (pixels, 1) | (1, pixels) if pixels in _SQUARE_PIXELS:
            return PictureFormat(_SQUARE_PIXELS[pixels], _SQUARE_PIXELS[pixels], 1, low, high)
        case (1 | 3 as channels, height, width) if min(height, width) > 1:
            return PictureFormat(height, width, channels, low, high)
        case _:
            return None


def picture(sample: NDArray[Any], layout: PictureFormat) -> str:
    """One sample as the data URI of a PNG image."""
    planes = np.asarray(sample, dtype=np.float64).reshape(layout.channels, layout.height, layout.width)
    span = layout.high - layout.low
    shades = np.round(255 * (planes - layout.low) / span if span > 0 else np.zeros_like(planes))
    return _data_uri(np.moveaxis(shades.astype(np.uint8), 0, -1))


def signed_picture(direction: NDArray[Any], layout: PictureFormat) -> str:
    """A difference of samples as the data URI of a PNG image, as ``direction_pixels`` draws it."""
    return _data_uri(direction_pixels(direction, layout))


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    step = -(-max(pixels.shape[:2]) // _LARGEST_SIDE)
    return "data:image/png;base64," + base64.b64encode(png(pixels[::step, ::step])).decode("ascii")


def direction_pixels(direction: NDArray[Any], layout: PictureFormat) -> NDArray[np.uint8]:
    """One direction as pixels, 0 in the middle of a scale whose ends are its largest number and minus that."""
    planes = np.moveaxis(direction.reshape(layout.channels, layout.height, layout.width), 0, -1)
    largest = float(np.abs(planes).max())
    relative = planes / largest if largest > 0 else planes
    colours = _diverging(relative) if layout.channels == 1 else 0.5 + 0.5 * relative
    return np.round(255 * colours).astype(np.uint8)


def _diverging(relative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blue at -1, white at 0, red at 1; told apart by readers with any colour vision, and of equal lightness."""
    blue, red = np.array([5, 80, 160]) / 255, np.array([165, 15, 40]) / 255
    ends = np.where(relative < 0, blue, red)
    return 1.0 - np.abs(relative) * (1.0 - ends)


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode pixels (height, width, 1 or 3) as a PNG image.

    Source: Portable Network Graphics (PNG) Specification, W3C; colour types 0 and 2, eight bits, no interlacing.
    """
    height, width, channels = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_png_part(name, data) for name, data in parts)


def _png_part(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


__all__ = ["PictureFormat", "direction_pixels", "picture", "picture_format", "png", "signed_picture"]
