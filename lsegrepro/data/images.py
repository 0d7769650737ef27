"""Read any photograph right, and prepare it as Section 3.1 does."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from .. import paper
from ..errors import LsegreproError

MAX_PIXELS = 100_000_000
"""Larger photographs are refused: a small file can hold an image that fills the memory."""

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
    return _load(Path(path), str(path))


def decode_image(data: bytes, name: str) -> np.ndarray:
    """As `load_image`, of a photograph's encoded bytes; `name` is what errors call it."""
    return _load(io.BytesIO(data), name)


def _load(source: Path | io.BytesIO, name: str) -> np.ndarray:
    try:
        with Image.open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                raise LsegreproError(
                    f"{name}: {image.width}x{image.height} pixels are more than {MAX_PIXELS:,}; scale it down first"
                )
            return np.asarray(_to_rgb(_upright(image)))
    except LsegreproError:
        raise
    except FileNotFoundError as error:
        raise LsegreproError(f"no such photograph: {name}") from error
    except UnidentifiedImageError as error:
        raise LsegreproError(f"{name} is not a photograph that can be read (JPEG, PNG, WebP, TIFF, ...)") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise LsegreproError(f"cannot read the photograph {name}: {error}") from error


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
    factor = side / min(height, width)
    height, width = max(1, round(height * factor)), max(1, round(width * factor))
    if height * width > MAX_PIXELS:
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
