"""Photographs of every kind: the right pixels, or one line that says what is wrong."""

import numpy as np
import pytest
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from lsegrepro.data import images
from lsegrepro.data.images import load_image, prepare, resize, short_side


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (6, 9, 3)).astype(np.uint8)


# Where the stored row 0 and column 0 lie in the upright picture, as the Exif standard puts it.
ORIENTATIONS = {1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
                5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom")}


def as_stored(upright, orientation):
    row, column = ORIENTATIONS[orientation]
    if "bottom" in (row, column):
        upright = upright[::-1]
    if "right" in (row, column):
        upright = upright[:, ::-1]
    return upright.swapaxes(0, 1) if row in ("left", "right") else upright


@pytest.mark.parametrize("orientation", [*ORIENTATIONS, 0, 77])
@pytest.mark.parametrize("extension", [".png", ".jpg"])
def test_photographs_are_turned_upright(tmp_path, orientation, extension):
    """An orientation that is none is left alone."""
    upright = np.full((16, 48, 3), 128, np.uint8)
    upright[:, :16], upright[:8, 32:], upright[8:, 32:] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{extension}"
    stored = as_stored(upright, orientation if orientation in ORIENTATIONS else 1)
    Image.fromarray(np.ascontiguousarray(stored)).save(path, exif=exif, quality=95)
    image = load_image(path)
    assert image.shape == upright.shape and image.dtype == np.uint8
    inside = np.ones((16, 48), bool)  # JPEG bleeds over edges of colour
    if extension == ".jpg":
        inside[:, 14:18] = inside[:, 30:34] = inside[6:10] = False
    assert abs(image.astype(int) - upright)[inside].max() <= (12 if extension == ".jpg" else 0)


# Kinds of pixels


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".webp"])
def test_colours_and_grey(tmp_path, pixels, extension):
    path, options = tmp_path / f"a{extension}", {"lossless": True} if extension == ".webp" else {}
    for values in (pixels, pixels[..., 0]):
        Image.fromarray(values).save(path, **options)
        image = load_image(str(path))
        assert np.array_equal(image, np.broadcast_to(values.reshape(6, 9, -1), (6, 9, 3))) and image.dtype == np.uint8
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    assert abs(load_image(tmp_path / "a.jpg").astype(int) - (255, 0, 0)).max() <= 3
    Image.fromarray(pixels).save(tmp_path / "a.jpg", format="PNG")  # the content counts
    assert np.array_equal(load_image(tmp_path / "a.jpg"), pixels)


def laid_on_white(path, picture, colour, alpha, **options):
    """Whether a picture with transparency is read as alpha c + (1 - alpha) 255."""
    picture.save(path, **options)
    return abs(load_image(path) - (alpha / 255 * colour + (1 - alpha / 255) * 255)).max() <= 1


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(tmp_path, rng, mode):
    values = rng.integers(0, 256, (6, 9, len(mode))).astype(np.uint8)
    values[0, :, -1], values[1, :, -1] = 0, 255
    assert laid_on_white(tmp_path / "a.png", Image.fromarray(values, mode), values[..., :-1], values[..., -1:])


def test_a_palette_may_be_transparent(tmp_path, rng):
    index, colours = rng.integers(0, 4, (6, 9)), rng.integers(0, 256, (4, 3)).astype(np.uint8)
    picture, alpha = Image.fromarray(index.astype(np.uint8), "P"), np.array([255, 128, 0, 255])
    picture.putpalette(colours.tobytes())
    assert laid_on_white(tmp_path / "a.png", picture, colours[index], alpha[index][..., None],
                         transparency=bytes(alpha.tolist()))


def test_sixteen_bits_of_grey_are_scaled_not_clipped(tmp_path, rng):
    values = rng.integers(0, 65536, (6, 9)).astype(np.uint16)
    values[0, :3] = 0, 65535, 256
    for name in ("a.png", "a.tif"):
        Image.fromarray(values).save(tmp_path / name)
    Image.frombytes("I;16B", (9, 6), values.astype(">u2").tobytes()).save(tmp_path / "b.tif")
    for name in ("a.png", "a.tif", "b.tif"):
        image = load_image(tmp_path / name)
        assert abs(image - values[..., None] / 257).max() <= 1 and image[0, :2, 0].tolist() == [0, 255]


@pytest.mark.parametrize("extension", [".gif", ".mpo"])
def test_an_animation_gives_its_first_frame(tmp_path, extension):
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / f"a{extension}", save_all=True, append_images=frames[1:])
    assert abs(load_image(tmp_path / f"a{extension}").astype(int) - np.full((6, 9, 3), (255, 0, 0))).max() <= 1


# What is no photograph


def unreadable(path, *parts):
    refused(lambda: load_image(path), path, *parts)


@pytest.mark.parametrize("values", [np.full((4, 4), 0.5, np.float32), np.arange(16, dtype=np.uint16)])
def test_values_whose_white_is_not_known_are_refused(tmp_path, values):
    """Eight bits in a file of sixteen would be black, and be segmented as that."""
    Image.fromarray(values.reshape(4, 4)).save(tmp_path / "a.tif")
    unreadable(tmp_path / "a.tif", "white", "8 ")


def test_files_that_are_none(tmp_path):
    unreadable(tmp_path / "none.jpg", "no such photograph")
    (tmp_path / "a.jpg").write_text("<html>404</html>")
    unreadable(tmp_path / "a.jpg", "not a photograph")


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".gif"])
def test_truncated_files_are_refused(tmp_path, rng, extension):
    path = tmp_path / f"a{extension}"
    Image.fromarray(rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    unreadable(path)


def test_a_photograph_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    """One of very many pixels, and a thread of them, which scaling would widen."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    Image.new("RGB", (60, 40)).save(tmp_path / "large.png")
    unreadable(tmp_path / "large.png", "200 pixels", "scale it down")
    refused(lambda: prepare(np.zeros((1, 400_000, 3), np.uint8)), "narrow", "crop")


# Preparation


@settings(max_examples=60)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 40))
def test_preparation_is_its_definition(height, width, side):
    """Short side to `side`, the other in proportion, then the central square."""
    image = np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3)).astype(np.uint8)
    scaled = short_side(image, side)
    assert min(scaled.shape[:2]) == side
    long, expected = max(scaled.shape[:2]), max(height, width) * side / min(height, width)
    assert abs(long - expected) <= 0.5
    assert long == side or (scaled.shape[0] > scaled.shape[1]) == (height > width)
    image = prepare(image, side)
    assert image.shape == (side, side, 3) and image.dtype == np.uint8
    top, left = (scaled.shape[0] - side) // 2, (scaled.shape[1] - side) // 2
    assert np.array_equal(image, scaled[top : top + side, left : left + side])


def test_resizing_averages_and_keeps_places():
    """Antialiased: a chequerboard becomes grey, not black or white; a ramp stays where it is."""
    board = (np.indices((600, 900)).sum(0) % 2 * 255)[..., None].repeat(3, 2).astype(np.uint8)
    assert abs(short_side(board, 300)[2:-2, 2:-2].astype(int) - 127).max() <= 3
    ramp = np.linspace(0, 255, 200).round()[None, :, None].repeat(100, 0).repeat(3, 2).astype(np.uint8)
    expected = np.linspace(0, 255, 200).reshape(100, 2).mean(1)
    assert abs(resize(ramp, 50, 100)[:, 2:-2] - expected[2:-2, None]).max() <= 1.5


def test_what_is_no_photograph_of_a_folder_is_counted(tmp_path):
    """Cameras and browsers write .jfif, .jpe and .mpo; a Mac writes ._NAME.jpg beside each NAME.jpg."""
    photographs = ["a.jfif", "b.JPE", "c.mpo", "d.WebP", "e.tiff", "f.JPG"]
    others = ["h.heic", "i.HEIC", "notes.txt", "README", "Thumbs.db"]
    for name in (*photographs, *others, "._a.jfif", ".DS_Store", ".hidden.jpg"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "more.jpg").mkdir()
    names, left_out = images.list_photographs(tmp_path)
    assert names == photographs and (".avif" in images.EXTENSIONS) == ("AVIF" in images.FORMATS)
    assert images.describe_others(left_out) == (
        "; left out: .db (1), .heic (2), .txt (1), files without extension (1), subfolders (1)")
    refused(lambda: images.list_photographs(tmp_path / "nowhere"), tmp_path / "nowhere", "cannot read the folder")
