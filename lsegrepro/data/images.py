"""Read any photograph right, and prepare it as Section 3.1 does."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .. import paper
from ..files import LsegreproError, one_line
from ..oldfiles import open_plain

MAX_PIXELS = 100_000_000
"""Larger photographs are refused: a small file can hold an image that fills the memory. One of so many pixels takes
3 to 4 GB to segment."""

NARROW = 100
"""A photograph is refused where one side is longer than so many times the other: scaled to a short side of 300
pixels, the scores of a thread of pixels would fill the memory and take minutes."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
"""What is read, whatever a file's name says. Pillow knows thirty more, some of them programs for an interpreter."""

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")


def load_image(path: str | Path) -> np.ndarray:
    """Read a photograph as RGB, upright, whatever its kind.

    The Exif orientation is applied; grey, palette and CMYK are converted; 16 bits are scaled
    to 8; transparency is laid on white; of an animation the first frame is taken.

    Returns
    -------
    ndarray
        (H, W, 3) uint8.

    Raises
    ------
    LsegreproError
        If the file is absent, is no image, is damaged, or has more than `MAX_PIXELS` pixels.
    """
    with _refusals(str(path)), open_plain(path) as file:
        return _load(file, str(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """As `load_image`, of a photograph's encoded bytes; `name` is what errors call it."""
    with _refusals(name):
        return _load(io.BytesIO(data), name)


def load_indices(path: str | Path) -> np.ndarray:
    """Read a PNG whose pixels are indices, of a palette or as grey: (H, W) uint8.

    Raises
    ------
    LsegreproError
        As `load_image`; and if its pixels are colours.
    """
    with _refusals(str(path), "mask"), open_plain(path) as file, _opened(file, str(path), ("PNG",)) as image:
        if image.mode not in ("P", "L"):
            raise LsegreproError(f"{path} has mode {image.mode}: a VOC mask is a palette PNG of class indices; "
                                 "use SegmentationClass as published, not a coloured copy")
        return np.array(image)


def _load(file: BinaryIO, name: str) -> np.ndarray:
    with _opened(file, name, FORMATS) as image:
        return np.asarray(_to_rgb(_upright(image)))


@contextmanager
def _opened(file: BinaryIO, name: str, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    """The image of a file, not decoded yet, if it may be."""
    try:
        image = Image.open(file, formats=formats)
    except Image.DecompressionBombError as error:  # beyond twice the limit of its own
        raise LsegreproError(f"{name}: its pixels are more than {MAX_PIXELS:,}; scale it down first") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            raise LsegreproError(
                f"{name}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}; scale it down first"
            )
        yield image


@contextmanager
def _refusals(name: str, what: str = "photograph") -> Iterator[None]:
    """Whatever reading an image raises, as one line about it."""
    try:
        yield
    except LsegreproError:
        raise
    except FileNotFoundError as error:
        raise LsegreproError(f"no such {what}: {name}") from error
    except UnidentifiedImageError as error:
        raise LsegreproError(f"{name} is not a {what} that can be read (JPEG, PNG, WebP, TIFF, BMP or GIF)"
                             if what == "photograph" else f"cannot read the {what} {name}: it is no PNG") from error
    except Exception as error:  # a decoder fed with anything may raise anything
        why = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise LsegreproError(f"cannot read the {what} {name}: {why}") from error


_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
          5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
"""What the Exif orientation asks for; 1 is upright, and any other value says nothing."""


def _upright(image: Image.Image) -> Image.Image:
    """Turn as Exif says. Pillow's own function also writes Exif anew, and fails where some other field is broken."""
    image.load()
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # whatever a parser raises on broken Exif: the picture is whole all the same
        turn = None
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16") or image.mode == "I":
        # Pillow's own conversion clips at 255 instead of scaling.
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise LsegreproError(f"floating-point images have no known white ({image.format}); save it as 8 or 16 bits")
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize with antialiasing (bilinear), (H, W, 3) uint8 to (height, width, 3) uint8."""
    if image.shape[:2] == (height, width):
        return image
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))


def short_side(image: np.ndarray, side: int) -> np.ndarray:
    """Scale so that the shorter side is `side` pixels, keeping the proportions.

    >>> short_side(np.zeros((600, 900, 3), np.uint8), 300).shape
    (300, 450, 3)
    """
    height, width = image.shape[:2]
    factor, ratio = side / min(height, width), max(height, width) / min(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    if ratio > NARROW or height * width > MAX_PIXELS:
        raise LsegreproError(
            f"an image of {image.shape[1]}x{image.shape[0]} pixels is too narrow to be scaled to "
            f"{width}x{height}: crop it first"
        )
    return resize(image, height, width)


def prepare(image: np.ndarray, side: int = paper.IMAGE_SIDE) -> np.ndarray:
    """Scale the short side to 300 and crop the central 300x300 (Section 3.1).

    >>> prepare(np.zeros((375, 500, 3), np.uint8)).shape
    (300, 300, 3)
    """
    image = short_side(image, side)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]
