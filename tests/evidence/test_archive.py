"""Evidence files: the same content in the same bytes, and anything else is refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from literal import evidence_of, pictures

import lsegrepro
from lsegrepro import LsegreproError
from lsegrepro.evidence import archive, read_regions, read_scores, write_regions, write_scores


@pytest.fixture
def stored(tmp_path):
    regions, scores = evidence_of(pictures())
    write_regions(tmp_path / "regions.npz", regions)
    write_scores(tmp_path / "scores.npz", scores)
    return tmp_path


def rewrite(path: Path, change) -> None:
    """Rewrite a file with its head (which holds the digest) and its arrays changed."""
    with np.load(path) as stored:
        planes = dict(stored)
    head = json.loads(planes.pop("header").tobytes())
    arrays = {name: archive._from_planes(planes[name], text).copy() for name, text in head["types"].items()}
    change(head, arrays)
    head["types"] = {name: array.dtype.str for name, array in arrays.items()}
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    np.savez(path, header=text, **{name: archive._to_planes(array) for name, array in arrays.items()})


def test_same_content_same_bytes(tmp_path):
    for name in ("a", "b"):
        regions, scores = evidence_of(pictures())
        write_regions(tmp_path / f"{name}-r.npz", regions)
        write_scores(tmp_path / f"{name}-s.npz", scores)
    assert (tmp_path / "a-r.npz").read_bytes() == (tmp_path / "b-r.npz").read_bytes()
    assert (tmp_path / "a-s.npz").read_bytes() == (tmp_path / "b-s.npz").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4  # nothing temporary stays


def test_plain_numpy_reads_it(stored):
    with np.load(stored / "scores.npz", allow_pickle=False) as arrays:
        assert set(arrays.files) == {"header", "statistics", "foreground", "background", "foreground_codes",
                                      "background_codes", "image_scores"}
        header = json.loads(arrays["header"].tobytes())
        low, high = arrays["statistics"].astype(np.uint16)
    assert header["format"] == "lsegrepro scores" and header["content"]["class"] == "cat"
    assert header["version"] == archive.VERSION == 3 and header["types"]["statistics"] == "<u2"
    assert np.array_equal(low + 256 * high, read_scores(stored / "scores.npz").statistics)


@pytest.mark.parametrize("array", [
    np.arange(-3, 3, dtype=np.int64).reshape(2, 3), np.float32([1.5, -2, np.inf]), np.array([[7]], np.uint16),
    np.zeros((0, 4), np.uint32), np.array([3, 250], np.uint8), np.array([True, False]), np.array([b"ab", b"c"]),
    np.arange(3, dtype=">i4"), np.arange(12, dtype=np.uint32).reshape(3, 4)[:, ::2],
], ids=lambda array: f"{array.dtype.str}{array.shape}")
def test_every_array_comes_back(tmp_path, array):
    archive.write_archive(tmp_path / "a.npz", "example", {}, {"x": array})
    found = archive.read_archive(tmp_path / "a.npz", "example")[1]["x"]
    assert found.shape == array.shape and found.dtype == array.dtype.newbyteorder("=") and np.array_equal(found, array)


@pytest.mark.parametrize("types", [{}, {"x": "<u4"}, {"x": "|u1"}, {"x": "no type"}, {"x": 3}, None])
def test_types_that_are_not_those_of_the_arrays_are_refused(tmp_path, types):
    path = tmp_path / "a.npz"
    archive.write_archive(path, "example", {}, {"x": np.arange(3, dtype=np.uint16)})
    with np.load(path) as stored:
        planes, head = stored["x"], json.loads(stored["header"].tobytes())
    np.savez(path, header=np.frombuffer(json.dumps(head | {"types": types}).encode(), np.uint8), x=planes)
    with pytest.raises(LsegreproError, match="a.npz is refused"):
        archive.read_archive(path, "example")


@pytest.mark.parametrize("name, read", [("regions.npz", read_regions), ("scores.npz", read_scores)])
def test_a_changed_byte_is_refused_or_means_nothing(stored, name, read):
    """Some bytes of a zip file, its dates for example, are no content; all others are noticed."""
    path = stored / name
    whole, digest = path.read_bytes(), read(path).digest
    refused = 0
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert read(path).digest == digest
        except LsegreproError as error:
            refused += 1
            assert name in str(error) and "\n" not in str(error)
    assert refused > 0.7 * len(range(0, len(whole), 7))


@pytest.mark.parametrize("name, read", [("regions.npz", read_regions), ("scores.npz", read_scores)])
def test_a_file_cut_short_is_refused(stored, name, read):
    path = stored / name
    whole = path.read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(LsegreproError, match=f"{name} is refused: it was cut or altered.*compute it again"):
            read(path)


def test_the_published_evidence_is_read_and_written_again_with_the_same_content(tmp_path):
    """Files of the first edition, which end in a digest of their bytes as well."""
    folder = Path(lsegrepro.__file__).parents[1] / "published" / "evidence"
    if not folder.is_dir():
        pytest.skip("no published evidence beside the package")
    regions = read_regions(folder / "regions-val.npz")
    scores = read_scores(folder / "LSE1-cat-round2-seed0-val.npz", regions)
    write_regions(tmp_path / "r.npz", regions)
    write_scores(tmp_path / "s.npz", scores)
    for mine, published in (("r.npz", "regions-val.npz"), ("s.npz", "LSE1-cat-round2-seed0-val.npz")):
        with np.load(tmp_path / mine) as a, np.load(folder / published) as b:
            assert a.files == b.files and all(np.array_equal(a[name], b[name]) for name in a.files)


def _older(head, arrays):
    head["version"] = 1


def _altered(head, arrays):
    arrays["statistics"][0] ^= 1


def _altered_header(head, arrays):
    head["content"]["model"] = "LSE2"


def _with_its_digest(change):
    """A file of another program: its content is not that of scores, and its digest is right."""
    def rewritten(head, arrays):
        change(head, arrays)
        head["digest"] = archive.content_digest(head["content"], arrays)

    return rewritten


@pytest.mark.parametrize("change, says", [
    (_older, "version 1, wanted 'lsegrepro scores' version 3; use the lsegrepro that wrote it or compute it again"),
    (lambda head, arrays: head.pop("content"), "no file of the format"),
    (_altered, "digest"), (_altered_header, "digest"),
    (_with_its_digest(lambda head, arrays: arrays["image_scores"].fill(np.nan)), "image_scores.*finite"),
    (_with_its_digest(lambda head, arrays: arrays.update(statistics=arrays["statistics"].astype(int))), "uint16"),
    (_with_its_digest(lambda head, arrays: arrays.update(photograph=np.zeros(3))), "photograph"),
    (_with_its_digest(lambda head, arrays: head["content"].update({"class": "cow"})), "cow"),
    (_with_its_digest(lambda head, arrays: head["content"].pop("model")), "model"),
])
def test_altered_scores_are_refused(stored, change, says):
    path = stored / "scores.npz"
    rewrite(path, change)
    with pytest.raises(LsegreproError, match=f"scores.npz is refused.*{says}"):
        read_scores(path)


def test_an_unchanged_rewriting_is_read(stored):
    rewrite(stored / "scores.npz", lambda head, arrays: None)
    read_scores(stored / "scores.npz", read_regions(stored / "regions.npz"))


def test_one_kind_for_the_other(stored):
    with pytest.raises(LsegreproError, match="'lsegrepro scores' version 3, wanted 'lsegrepro regions'"):
        read_regions(stored / "scores.npz")


def test_absent_and_foreign_files(tmp_path):
    with pytest.raises(LsegreproError, match="cannot read"):
        read_scores(tmp_path / "none.npz")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    with pytest.raises(LsegreproError, match="foreign.npz is refused"):
        read_scores(tmp_path / "foreign.npz")
