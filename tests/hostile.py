"""Photographs that somebody made to break a program, built in code: name to bytes, links, pipes."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def blobs(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A small picture of coloured squares."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (-(-height // 10), -(-width // 10), 3))
    return coarse.repeat(10, axis=0).repeat(10, axis=1)[:height, :width].astype(np.uint8)


def encoded(kind: str, pixels: np.ndarray | None = None, mode: str = "RGB", **options) -> bytes:
    """A picture as a file of any kind that Pillow writes."""
    file = io.BytesIO()
    Image.fromarray(blobs(40, 60) if pixels is None else pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, data: bytes, *extra: tuple[bytes, bytes], depth: int = 1, colour: int = 0) -> bytes:
    """A PNG that says it has this size, whatever its data."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        chunk(*part) for part in ((b"IHDR", head), *extra, (b"IDAT", data), (b"IEND", b"")))


def zeros(count: int) -> bytes:
    """So many zero bytes, deflated a thousand times smaller."""
    deflate, block = zlib.compressobj(9), bytes(1 << 20)
    parts = [deflate.compress(block[: min(len(block), count - done)]) for done in range(0, count, len(block))]
    return b"".join([*parts, deflate.flush()])


def tiff(width: int, height: int, *extra: tuple[int, int, int, int]) -> bytes:
    """A TIFF that says it has this size; tags are (tag, type, count, value)."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8),
            (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 8), *extra]
    return (b"II*\0" + struct.pack("<I", 16) + bytes(8) + struct.pack("<H", len(tags))
            + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4))


def bad_files() -> dict[str, bytes]:
    """Files named as photographs that are none, or that nobody should decode; each is refused."""
    jpeg, whole = encoded("JPEG"), encoded("PNG", np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))
    bomb = zeros(1 << 25)
    return {
        "zero bytes.jpg": b"", "text.jpg": b"This is not a photograph.\n" * 50, "page.jpg": b"<!DOCTYPE html><html>",
        "truncated.jpg": jpeg[: len(jpeg) // 2], "truncated.png": whole[: len(whole) // 2],
        "svg.png": b'<svg xmlns="http://www.w3.org/2000/svg"/>', "pdf.jpg": b"%PDF-1.4\n%%EOF\n",
        "postscript.jpg": encoded("EPS"), "avif.jpg": b"\0\0\0\x1cftypavif" + bytes(100),
        "heic.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200), "jpeg2000.jpg": encoded("JPEG2000"),
        "20000x20000.png": png(20_000, 20_000, b"\0"), "100000x100000.png": png(100_000, 100_000, b"\0"),
        "10001x10000.png": png(10_001, 10_000, b"\0"), "1x5000.png": encoded("PNG", np.zeros((5000, 1, 3), np.uint8)),
        "5000x1.png": encoded("PNG", np.zeros((1, 5000, 3), np.uint8)),
        "colour profile bomb.png": png(8, 8, zlib.compress(bytes(16)), (b"iCCP", b"x\0\0" + bomb)),
        "text bomb.png": png(8, 8, zlib.compress(bytes(16)), (b"zTXt", b"x\0\0" + bomb)),
        "canvas.gif": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0\0\0\0\xff\xff\xff,"
                      + bytes(4) + b"\xff\xff\xff\xff\0\x02\x02L\x01\0;",
        "sizes.tif": tiff(2**31 - 1, 2**31 - 1), "wide.tif": tiff(2**32 - 1, 5),
        "ring.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "b\udcfcd.png": b"", "float.tif": encoded("TIFF", np.zeros((4, 4), np.float32), "F"),
    }


def good_files() -> dict[str, bytes]:
    """Photographs of every kind that is read."""
    pixels = blobs(40, 60)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [Image.new("P", (10, 10), k % 256) for k in range(500)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    return {
        "1x1.png": encoded("PNG", pixels[:1, :1]), "1x20.png": encoded("PNG", blobs(20, 1)),
        "animated.gif": animated.getvalue(), "palette.png": encoded("PNG", mode="P"),
        "grey.jpg": encoded("JPEG", mode="L"),
        "16-bit.png": encoded("PNG", (blobs(40, 60)[..., 0].astype(np.uint16) * 257), "I;16"),
        "cmyk.jpg": encoded("JPEG", mode="CMYK"), "alpha.png": encoded("PNG", mode="RGBA"),
        "turned.jpg": encoded("JPEG", exif=exif), "a PNG named.jpg": encoded("PNG"), "webp.webp": encoded("WEBP"),
        "broken exif.jpg": encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + b"\xff" * 65_000),
        "huge tag.tif": tiff(5, 5, (700, 7, 2**31, 16)),
        "new\nline.png": encoded("PNG"), "\x1b[2Jclear.png": encoded("PNG"), "it's \"quoted\".png": encoded("PNG"),
        "猫 Kätzchen.png": encoded("PNG"), "gr\udcfcn.png": encoded("PNG"), "-out.png": encoded("PNG"),
        "%41%00 {0} $HOME *.png": encoded("PNG"),
    }


def make_links(folder: Path) -> list[str]:
    """Links, a pipe, a device and a folder, named as photographs."""
    os.symlink("nowhere.jpg", folder / "dangling.jpg")
    os.symlink("loop.jpg", folder / "loop.jpg")
    os.symlink("/dev/zero", folder / "device.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "folder.jpg").mkdir()
    with open(folder / "terabyte.jpg", "wb") as file:
        file.write(encoded("JPEG")[:300])
        file.truncate(1 << 40)
    return ["dangling.jpg", "loop.jpg", "device.jpg", "pipe.jpg", "folder.jpg", "terabyte.jpg"]


def write_all(folder: Path, files: dict[str, bytes]) -> None:
    """Write files by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
