"""Read any photograph as upright RGB, and prepare it for training as Section 3.1 does."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError, features

from .. import paper
from ..files import LsegreproError, one_line

MAX_ASPECT = 100
"""A photograph is refused where one side is longer than so many times the other: scaled it would fill the memory."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", *(["AVIF"] if features.check("avif") else []))
"""Formats that are read, whatever a file's name says; not PostScript, which is a program that Pillow would run."""

EXTENSIONS = tuple(sorted(extension for extension, format in Image.registered_extensions().items()
                         if format in (*FORMATS, "MPO")))  # MPO is several JPEGs in one file, and is read as one
"""Lower-case extensions by which photographs are told from the other files of a folder."""


def load_image(path: str | Path) -> np.ndarray:
    """Read a photograph as RGB, upright, whatever its kind: (H, W, 3) uint8.

    The Exif orientation is applied; grey, palette and CMYK are converted; 16 bits are scaled to 8; transparency is
    laid on white; of an animation the first frame is taken. Raises `LsegreproError` if the file is absent, is no
    image, is damaged, is so large that it would fill the memory, or its white is not known.
    """
    with open_image(path) as image:
        image.load()
        turn = _TRANSPOSE.get(_orientation(image))
        return np.asarray(_to_rgb(image if turn is None else image.transpose(turn), path))


def image_size(path: str | Path) -> tuple[int, int]:
    """Height and width of a photograph that has a mask, from the file's header alone.

    Raises `LsegreproError` as `load_image`; and if it is stored turned, for its mask may be of before or after.
    """
    with open_image(path) as image:
        require_upright(image, path)
        return image.height, image.width


def require_upright(image: Image.Image, path: str | Path) -> None:
    """Raise `LsegreproError` if a photograph or its mask is stored turned."""
    if (orientation := _orientation(image)) in _TRANSPOSE:
        raise LsegreproError(f"{path} is stored turned (Exif orientation {orientation}), so it may not lie on its "
                             "photograph or mask: save both upright, without an orientation")


def list_photographs(folder: Path) -> tuple[list[str], Counter[str]]:
    """Names of the photographs of a folder, sorted, and a count of what else is in it by extension.

    Photographs have one of `EXTENSIONS`, in any case. Hidden files (a Mac's ``._NAME.jpg`` beside each ``NAME.jpg``)
    are ignored. Raises `LsegreproError` if the folder cannot be read.
    """
    names, others = [], Counter()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                extension = os.path.splitext(entry.name)[1].lower()
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    others["subfolders"] += 1
                elif extension in EXTENSIONS:
                    names.append(entry.name)
                else:
                    others[extension or "files without extension"] += 1
    except OSError as error:
        raise LsegreproError(f"cannot read the folder {folder}: {error.strerror or error}") from error
    return sorted(names), others


def describe_others(others: Counter[str]) -> str:
    """What was left out of a folder, for the end of a description; empty if nothing was."""
    listed = ", ".join(f"{kind} ({count:,})" for kind, count in sorted(others.items()))
    return f"; left out: {listed}" if others else ""


@contextmanager
def open_image(path: str | Path, formats: tuple[str, ...] = FORMATS, what: str = "photograph") -> Iterator[Image.Image]:
    """The image of a file, not decoded yet; whatever reading it raises becomes one line."""
    try:
        with Image.open(path, formats=formats) as image:
            yield image
    except LsegreproError:
        raise
    except FileNotFoundError as error:
        raise LsegreproError(f"no such {what}: {path}") from error
    except Image.DecompressionBombError as error:
        raise LsegreproError(f"{path} has more than {2 * Image.MAX_IMAGE_PIXELS:,} pixels: scale it down") from error
    except UnidentifiedImageError as error:
        raise LsegreproError(f"{path} is not a {what} that can be read ({', '.join(formats)})") from error
    except Exception as error:  # a decoder fed with anything may raise anything
        reason = error.strerror if isinstance(error, OSError) and error.strerror else one_line(error)
        raise LsegreproError(f"cannot read the {what} {path}: {reason}") from error


_TRANSPOSE = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
              5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
              8: Image.Transpose.ROTATE_90}
"""What each Exif orientation asks for; 1 is upright, and any other value says nothing."""


def _orientation(image: Image.Image) -> int | None:
    # Pillow's own exif_transpose also writes Exif anew, and fails where some other field is broken.
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # whatever a parser raises on broken Exif: the picture is whole all the same
        return None


def _to_rgb(image: Image.Image, path: str | Path) -> Image.Image:
    if image.mode[0] in "IF":  # Pillow's own conversion clips at 255 instead of scaling
        values = np.asarray(image)
        if image.mode == "F" or values.min() < 0 or not 255 < values.max() <= 65_535:
            raise LsegreproError(f"{path} holds values from {values.min()} to {values.max()}, not those of 16 bits, so "
                                 "its white is not known: save it as 8 bits")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
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
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise LsegreproError(f"an image of {width}x{height} pixels is too narrow to be scaled: crop it first")
    return resize(image, max(1, round(height * factor)), max(1, round(width * factor)))


def prepare(image: np.ndarray, side: int = paper.IMAGE_SIDE) -> np.ndarray:
    """Scale the short side to 300 and crop the central 300x300 (Section 3.1).

    >>> prepare(np.zeros((375, 500, 3), np.uint8)).shape
    (300, 300, 3)
    """
    image = short_side(image, side)
    top, left = (image.shape[0] - side) // 2, (image.shape[1] - side) // 2
    return image[top : top + side, left : left + side]
