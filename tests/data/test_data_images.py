"""Photographs of every kind: the right pixels, or one line that says what is wrong."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
from conftest import one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from lsegrepro import LsegreproError
from lsegrepro.data import images
from lsegrepro.data.images import load_image, prepare, resize, short_side


@pytest.fixture
def pixels(rng):
    return rng.integers(0, 256, (6, 9, 3)).astype(np.uint8)


def png(path, rows, depth, colour, *chunks):
    """Write a PNG of any bit depth and colour type, which Pillow cannot; `rows` are packed bytes."""
    height = len(rows)
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    width = len(rows[0]) * 8 // (depth * channels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + bytes(row) for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", data), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, parts)))
    return path


def chunk(part):
    kind, data = part
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(path, values, colour, *chunks):
    """Write 16-bit values (H, W, C)."""
    return png(path, [row.astype(">u2").tobytes() for row in values], 16, colour, *chunks)


# Orientation

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


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("extension", [".png", ".jpg", ".tif", ".webp"])
def test_photographs_are_turned_upright(tmp_path, orientation, extension):
    upright = np.full((16, 48, 3), 128, np.uint8)
    upright[:, :16], upright[:8, 32:], upright[8:, 32:] = (250, 10, 10), (10, 250, 10), (10, 10, 250)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned{extension}"
    options = {"lossless": True} if extension == ".webp" else {"quality": 95} if extension == ".jpg" else {}
    Image.fromarray(np.ascontiguousarray(as_stored(upright, orientation))).save(path, exif=exif, **options)
    image = load_image(path)
    assert image.shape == upright.shape and image.dtype == np.uint8
    assert images.image_size(path) == upright.shape[:2]
    inside = np.ones((16, 48), bool)  # JPEG bleeds over edges of colour
    if extension == ".jpg":
        inside[:, 14:18] = inside[:, 30:34] = inside[6:10] = False
    assert abs(image.astype(int) - upright)[inside].max() <= (12 if extension == ".jpg" else 0)


def test_an_orientation_that_is_none_is_left_alone(tmp_path, pixels):
    for value in (0, 9, 77):
        exif = Image.Exif()
        exif[0x0112] = value
        Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
        assert np.array_equal(load_image(tmp_path / "a.png"), pixels)


# Kinds of pixels


@pytest.mark.parametrize("extension", [".png", ".bmp", ".tif", ".webp"])
def test_rgb(tmp_path, pixels, extension):
    path = tmp_path / f"a{extension}"
    Image.fromarray(pixels).save(path, **({"lossless": True} if extension == ".webp" else {}))
    image = load_image(path)
    assert np.array_equal(image, pixels) and image.dtype == np.uint8 and image.shape == (6, 9, 3)


def test_grey(tmp_path, pixels):
    Image.fromarray(pixels[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png"), pixels[..., :1].repeat(3, 2))


def on_white(colour, alpha):
    """Laid on white: alpha c + (1 - alpha) 255."""
    a = alpha[..., None] / 255
    return a * colour + (1 - a) * 255


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_transparency_is_laid_on_white(tmp_path, rng, mode):
    values = rng.integers(0, 256, (6, 9, len(mode))).astype(np.uint8)
    values[0, :, -1], values[1, :, -1] = 0, 255
    Image.fromarray(values, mode).save(tmp_path / "a.png")
    image = load_image(tmp_path / "a.png")
    colour = values[..., :3] if mode == "RGBA" else values[..., :1].repeat(3, 2)
    assert abs(image - on_white(colour, values[..., -1])).max() <= 1
    assert (image[0] == 255).all() and np.array_equal(image[1], colour[1])


def palette_picture(rng):
    picture = Image.fromarray(rng.integers(0, 4, (6, 9)).astype(np.uint8), "P")
    colours = rng.integers(0, 256, (4, 3)).astype(np.uint8)
    picture.putpalette(colours.tobytes())
    return picture, colours


def test_palette(tmp_path, rng):
    picture, colours = palette_picture(rng)
    for name in ("a.png", "a.gif", "a.bmp"):
        picture.save(tmp_path / name)
        assert np.array_equal(load_image(tmp_path / name), colours[np.asarray(picture)])


@pytest.mark.parametrize("transparency", [2, b"\xff\x80\x00\xff"])
def test_palette_with_transparency(tmp_path, rng, transparency):
    picture, colours = palette_picture(rng)
    picture.save(tmp_path / "a.png", transparency=transparency)
    alpha = np.array([255, 255, 0, 255] if transparency == 2 else list(transparency))
    index = np.asarray(picture)
    assert abs(load_image(tmp_path / "a.png") - on_white(colours[index], alpha[index])).max() <= 1


@pytest.mark.parametrize("mode, key", [("L", 0), ("RGB", (0, 0, 0))])
def test_one_colour_that_is_transparent(tmp_path, pixels, mode, key):
    pixels[pixels == 0] = 1
    pixels[2, 3] = 0
    picture = Image.fromarray(pixels) if mode == "RGB" else Image.fromarray(pixels[..., 0])
    picture.save(tmp_path / "a.png", transparency=key)
    image = load_image(tmp_path / "a.png")
    expected = pixels.copy() if mode == "RGB" else pixels[..., :1].repeat(3, 2)
    expected[2, 3] = 255
    assert np.array_equal(image, expected)


@pytest.mark.parametrize("extension", [".jpg", ".tif"])
def test_cmyk(tmp_path, extension):
    inks = {(0, 0, 0, 0): (255, 255, 255), (255, 0, 0, 0): (0, 255, 255), (0, 255, 0, 0): (255, 0, 255),
            (0, 0, 255, 0): (255, 255, 0), (0, 255, 255, 0): (255, 0, 0), (0, 0, 0, 255): (0, 0, 0)}
    for ink, colour in inks.items():
        Image.new("CMYK", (16, 16), ink).save(tmp_path / f"a{extension}")
        assert abs(load_image(tmp_path / f"a{extension}").astype(int) - colour).max() <= 3


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_sixteen_bits_of_grey_are_scaled_not_clipped(tmp_path, rng, name):
    values = rng.integers(0, 65536, (6, 9)).astype(np.uint16)
    values[0, :3] = 0, 65535, 256
    Image.fromarray(values).save(tmp_path / name)
    image = load_image(tmp_path / name)
    assert abs(image - values[..., None] / 257).max() <= 1
    assert image[0, 0, 0] == 0 and image[0, 1, 0] == 255


@pytest.mark.parametrize("colour, channels", [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_of_every_colour_type(tmp_path, rng, colour, channels):
    values = rng.integers(0, 65536, (6, 9, channels)).astype(np.uint16)
    image = load_image(png16(tmp_path / "a.png", values, colour))
    shade = values[..., :3] if channels > 2 else values[..., :1].repeat(3, 2)
    expected = on_white(shade / 257, values[..., -1] / 257) if channels in (2, 4) else shade / 257
    assert image.shape == (6, 9, 3) and abs(image - expected).max() <= 2


def test_sixteen_bits_in_the_other_byte_order(tmp_path, rng):
    values = rng.integers(0, 65536, (6, 9)).astype(np.uint16)
    Image.frombytes("I;16B", (9, 6), values.astype(">u2").tobytes()).save(tmp_path / "a.tif")
    assert abs(load_image(tmp_path / "a.tif") - values[..., None] / 257).max() <= 1


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_few_bits(tmp_path, depth):
    """One row, every value: 0 is black and the largest white."""
    count = 2**depth
    bits = "".join(f"{v:0{depth}b}" for v in range(count)) * (8 // depth)
    row = bytes(int(bits[k : k + 8], 2) for k in range(0, len(bits), 8))
    image = load_image(png(tmp_path / "a.png", [row], depth, 0))
    assert np.array_equal(image[0, :count, 1], np.round(np.arange(count) * 255 / (count - 1)))


def test_one_bit(tmp_path, pixels):
    Image.fromarray(pixels[..., 0]).convert("1", dither=Image.Dither.NONE).save(tmp_path / "a.png")
    expected = np.where(pixels[..., :1] > 127, 255, 0).repeat(3, 2)
    assert np.array_equal(load_image(tmp_path / "a.png"), expected)


@pytest.mark.parametrize("extension", [".gif", ".webp", ".png", ".tif"])
def test_an_animation_gives_its_first_frame(tmp_path, extension):
    frames = [Image.new("RGB", (9, 6), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if extension == ".webp" else {}
    frames[0].save(tmp_path / f"a{extension}", save_all=True, append_images=frames[1:], **options)
    image = load_image(tmp_path / f"a{extension}")
    assert image.shape == (6, 9, 3) and (image == (255, 0, 0)).all()


def test_floating_point_is_refused(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    refused(tmp_path / "a.tif", "8 or 16 bits")


def test_the_extension_does_not_matter(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "a.jpg", format="PNG")
    assert np.array_equal(load_image(tmp_path / "a.jpg"), pixels)
    assert np.array_equal(load_image(str(tmp_path / "a.jpg")), pixels)


# What is no photograph


def refused(path, *parts):
    with pytest.raises(LsegreproError) as error:
        load_image(path)
    return one_line(error, *parts)


def test_files_that_are_none(tmp_path):
    refused(tmp_path / "none.jpg", "no such photograph", tmp_path / "none.jpg")
    refused(tmp_path, tmp_path, "it is a folder")
    os.mkfifo(tmp_path / "pipe.jpg")
    refused(tmp_path / "pipe.jpg", "a pipe")  # at once: nothing waits
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    refused(tmp_path / "loop.jpg", tmp_path / "loop.jpg")
    (tmp_path / "zero.jpg").write_bytes(b"")
    refused(tmp_path / "zero.jpg", tmp_path / "zero.jpg", "not a photograph")
    (tmp_path / "text.jpg").write_text("This is not a photograph.\n" * 50)
    refused(tmp_path / "text.jpg", tmp_path / "text.jpg", "not a photograph")
    refused(tmp_path / "text.jpg" / "a.jpg", tmp_path / "text.jpg" / "a.jpg")


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of Exif that makes no sense
def test_programs_and_broken_exif(tmp_path, monkeypatch):
    """PostScript is a program, which Pillow would give to Ghostscript; broken Exif leaves the picture as it is."""
    file = io.BytesIO()
    Image.new("RGB", (60, 40)).save(file, "EPS")
    (tmp_path / "a.jpg").write_bytes(file.getvalue())
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *args, **options: pytest.fail("it was run"))
    refused(tmp_path / "a.jpg", "not a photograph")
    Image.new("RGB", (60, 40)).save(tmp_path / "b.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 6_000)
    assert load_image(tmp_path / "b.jpg").shape == (40, 60, 3)


@pytest.mark.parametrize("extension", [".jpg", ".png", ".webp", ".tif", ".bmp", ".gif"])
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_truncated_files_are_refused(tmp_path, rng, extension, share):
    path = tmp_path / f"a{extension}"
    Image.fromarray(rng.integers(0, 256, (120, 160, 3)).astype(np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    refused(path, path)


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """The same picture in many files."""
    folder = tmp_path_factory.mktemp("encoded")
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 31, 3)).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "maker"
    for name, mode in (("a.jpg", "RGB"), ("b.jpg", "CMYK"), ("c.png", "RGB"), ("d.png", "P"), ("e.gif", "P"),
                       ("f.webp", "RGB"), ("g.bmp", "RGB")):
        picture.convert(mode).save(folder / name, **({} if name[2:] in ("gif", "bmp") else {"exif": exif}))
    return [(path.suffix, path.read_bytes()) for path in sorted(folder.iterdir())]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # of Exif that makes no sense
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_gives_a_picture_or_one_line(tmp_path, encoded, data):
    suffix, content = data.draw(st.sampled_from(encoded))
    content = bytearray(content)
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 150))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))])
    try:
        image = load_image(path)
    except LsegreproError as error:
        assert "\n" not in str(error) and str(path) in str(error)
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


def test_a_photograph_that_would_fill_the_memory_is_refused(tmp_path):
    """A hundred bytes that claim 100,000 x 100,000 pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0")), (b"IEND", b"")]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(map(chunk, parts)))
    refused(tmp_path / "bomb.png", tmp_path / "bomb.png", "pixels")


def test_the_limit_of_pixels(tmp_path, pixels, monkeypatch):
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(images, "MAX_PIXELS", 54)
    assert load_image(tmp_path / "a.png").shape == (6, 9, 3)
    monkeypatch.setattr(images, "MAX_PIXELS", 53)
    refused(tmp_path / "a.png", "9x6", "scale it down")


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
    assert abs((scaled.shape[0] - side - top) - top) <= 1 and abs((scaled.shape[1] - side - left) - left) <= 1


def test_a_prepared_image_is_left_as_it_is(rng):
    image = rng.integers(0, 256, (300, 300, 3)).astype(np.uint8)
    assert np.array_equal(prepare(image), image)
    wide = rng.integers(0, 256, (300, 450, 3)).astype(np.uint8)
    assert np.array_equal(prepare(wide), wide[:, 75:375])


def test_resizing_down_averages(rng):
    """Antialiased: a chequerboard becomes grey, not black or white."""
    board = np.indices((600, 900)).sum(0) % 2 * 255
    image = short_side(board[..., None].repeat(3, 2).astype(np.uint8), 300)
    assert image.shape == (300, 450, 3) and abs(image[2:-2, 2:-2].astype(int) - 127).max() <= 3


def test_resizing_keeps_a_ramp_in_place():
    ramp = np.linspace(0, 255, 200).round()[None, :, None].repeat(100, 0).repeat(3, 2).astype(np.uint8)
    image = resize(ramp, 50, 100)
    expected = np.linspace(0, 255, 200).reshape(100, 2).mean(1)
    assert abs(image[:, 2:-2] - expected[2:-2, None]).max() <= 1.5


@pytest.mark.parametrize("shape", [(1, 400_000), (400_000, 1)])
def test_a_thread_of_pixels_is_refused_before_it_fills_the_memory(shape):
    with pytest.raises(LsegreproError) as error:
        prepare(np.zeros((*shape, 3), np.uint8))
    one_line(error, "narrow", "crop")
