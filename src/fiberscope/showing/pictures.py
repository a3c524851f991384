"""Samples as pictures: images in data URIs."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import UInt8
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
    return _data_uri(shades(np.asarray(sample)[None], layout)[0])


def shades(samples: NDArray[Any], layout: PictureFormat) -> UInt8[NDArray[np.uint8], "N h w c"]:
    """Samples (N, ...) as pixels, from black for the least number of the data to white for the largest."""
    planes = np.asarray(samples, dtype=np.float64).reshape(-1, layout.channels, layout.height, layout.width)
    span = layout.high - layout.low
    scaled = np.round(255 * (planes - layout.low) / span) if span > 0 else np.zeros_like(planes)
    return np.moveaxis(scaled.astype(np.uint8), 1, -1)


def signed_picture(direction: NDArray[Any], layout: PictureFormat) -> str:
    """A difference of samples as the data URI of a PNG image, as ``direction_pixels`` draws it."""
    return _data_uri(direction_pixels(direction, layout))


def _data_uri(pixels: NDArray[np.uint8]) -> str:
    step = thinning(*pixels.shape[:2], side=_LARGEST_SIDE)
    return "data:image/png;base64," + encoded(pixels[::step, ::step], "PNG")


def thinning(height: int, width: int, side: int) -> int:
    """Of how many rows and columns one is kept, so that none of both is more than ``side``."""
    return -(-max(height, width) // side)


def encoded(pixels: NDArray[np.uint8], name: str, **options: Any) -> str:
    """Pixels (height, width, 1 or 3) in an image format of Pillow's, in base 64."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, name, **options)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


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


__all__ = [
    "PictureFormat",
    "direction_pixels",
    "encoded",
    "picture",
    "picture_format",
    "shades",
    "signed_picture",
    "thinning",
]
