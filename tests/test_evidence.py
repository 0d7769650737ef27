"""Evidence files: what goes in comes out, in the same bytes, and anything else is refused."""

import hashlib
import json
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsegrepro import LsegreproError, evidence
from lsegrepro.evidence import (
    GRID,
    Regions,
    RegionsBuilder,
    Scores,
    ScoresBuilder,
    read_regions,
    read_scores,
    write_regions,
    write_scores,
)
from lsegrepro.superpixels import Superpixels, order_statistic

META = {
    "model": "LSE1", "class": "cat", "round": 1, "seed": 0, "split": "val", "weights_sha256": "0" * 64,
    "arguments": {"short_side": 300, "sizes": (1, 2)}, "device": "cpu",
}


def images(seed=0, count=3):
    """Label maps, masks with void, codes, and image scores."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        shape = tuple(rng.integers(3, 9, 2))
        labels = np.unique(rng.integers(0, 6, shape), return_inverse=True)[1].reshape(shape).astype(np.int32)
        mask = rng.choice(np.array([0, 3, 8, 12, 20, 255], np.uint8), shape)
        codes = rng.integers(0, 65536, shape).astype(np.uint16)
        yield labels, mask, codes, rng.uniform(-1, 1, 2)


def make(seed=0, count=3, cls="cat", **meta):
    regions = RegionsBuilder("val", "data-1", Superpixels(), absent=["z1", "z2"], listed=count + 2)
    for i, (labels, mask, _, _) in enumerate(images(seed, count)):
        regions.add(f"i{i}", labels, mask)
    regions = regions.build()
    scores = ScoresBuilder(regions, {**META, "class": cls, **meta})
    for labels, mask, codes, image_scores in images(seed, count):
        scores.add(codes, labels, mask, image_scores)
    return regions, scores.build()


@pytest.fixture
def stored(tmp_path):
    regions, scores = make()
    write_regions(tmp_path / "regions.npz", regions)
    write_scores(tmp_path / "scores.npz", scores)
    return tmp_path


def reseal(path: Path, change) -> None:
    """Rewrite a file with its parts changed and the seal made good: what a forger would do."""
    with np.load(path) as archive:
        arrays = {name: archive[name].copy() for name in archive.files}
    head = json.loads(arrays.pop("header").tobytes())
    change(head, arrays)
    text = np.frombuffer(json.dumps(head, sort_keys=True).encode(), np.uint8)
    with open(path, "wb") as file:
        np.savez(file, header=text, **arrays)
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b"0" * 64
    body = path.read_bytes()[:-64]
    path.write_bytes(body + hashlib.sha256(body).hexdigest().encode())


def test_counts_are_those_of_the_pixels():
    regions, _ = make(seed=5)
    for i, (labels, mask, _, _) in enumerate(images(5)):
        rows = regions.counts[regions.offsets[i] : regions.offsets[i + 1]]
        assert len(rows) == labels.max() + 1
        for label, row in enumerate(rows.tolist()):
            inside = mask[labels == label].tolist()
            others = sum(value not in (8, 12, 255) for value in inside)
            assert row == [inside.count(8), inside.count(12), others]
        assert regions.totals[i].tolist() == [(mask == 8).sum(), (mask == 12).sum(),
                                              (~np.isin(mask, [8, 12, 255])).sum()]
        assert regions.sizes[i].tolist() == list(mask.shape)


@pytest.mark.parametrize("cls, index", [("cat", 8), ("dog", 12)])
def test_scores_are_those_of_the_pixels(cls, index):
    regions, scores = make(seed=6, cls=cls)
    for i, (labels, mask, codes, image_scores) in enumerate(images(6)):
        mine = scores.statistics[regions.offsets[i] : regions.offsets[i + 1]]
        assert (mine == order_statistic(codes, labels)).all()
        assert (scores.image_scores[i] == image_scores.astype(np.float32)).all()
        inside, outside = codes[mask == index], codes[(mask != index) & (mask != 255)]
        for b in range(GRID):
            theta = b / GRID
            assert scores.foreground[i, b + 1 :].sum() == (inside > theta * 65535).sum()
            assert scores.background[i, b + 1 :].sum() == (outside > theta * 65535).sum()


def test_every_code_falls_into_its_bin():
    codes = np.arange(65536)
    expected = sum((codes > b / GRID * 65535).astype(int) for b in range(GRID))
    assert (evidence._BIN == expected).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_round_trip(tmp_path_factory, seed, count):
    folder = tmp_path_factory.mktemp("evidence")
    regions, scores = make(seed, count)
    write_regions(folder / "r.npz", regions)
    write_scores(folder / "s.npz", scores)
    regions_again = read_regions(folder / "r.npz")
    scores_again = read_scores(folder / "s.npz", regions_again)
    assert regions_again.digest == regions.digest and scores_again.digest == scores.digest
    assert regions_again.ids == regions.ids and regions_again.superpixels == regions.superpixels
    assert scores_again.meta == scores.meta
    for a, b in ((regions, regions_again), (scores, scores_again)):
        arrays, arrays_again = a._parts()[1], b._parts()[1]
        for name in arrays:
            assert arrays[name].dtype == arrays_again[name].dtype
            assert (arrays[name] == arrays_again[name]).all()


def test_same_content_same_bytes(tmp_path):
    for name in ("a", "b"):
        regions, scores = make()
        write_regions(tmp_path / f"{name}-r.npz", regions)
        write_scores(tmp_path / f"{name}-s.npz", scores)
    assert (tmp_path / "a-r.npz").read_bytes() == (tmp_path / "b-r.npz").read_bytes()
    assert (tmp_path / "a-s.npz").read_bytes() == (tmp_path / "b-s.npz").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4  # nothing temporary stays


def test_plain_numpy_reads_it(stored):
    with np.load(stored / "scores.npz", allow_pickle=False) as archive:
        assert set(archive.files) == {"header", "statistics", "foreground", "background", "image_scores"}
        header = json.loads(archive["header"].tobytes())
    assert header["format"] == "lsegrepro scores" and header["content"]["class"] == "cat"


@pytest.mark.parametrize("name, read", [("regions.npz", read_regions), ("scores.npz", read_scores)])
def test_any_flipped_byte_is_refused(stored, name, read):
    path = stored / name
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(0, len(whole) - 100, 5), *range(len(whole) - 100, len(whole))]:
        flipped = whole[place] ^ int(rng.integers(1, 256))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
        with pytest.raises(LsegreproError, match=name):
            read(path)


@pytest.mark.parametrize("name, read", [("regions.npz", read_regions), ("scores.npz", read_scores)])
def test_any_truncation_is_refused(stored, name, read):
    path = stored / name
    whole = path.read_bytes()
    for length in [*range(0, len(whole) - 100, 31), *range(len(whole) - 100, len(whole))]:
        path.write_bytes(whole[:length])
        with pytest.raises(LsegreproError, match=f"{name}.*truncated"):
            read(path)


def test_the_damaged_part_is_named(stored):
    path = stored / "scores.npz"
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("statistics.npy")
    place = info.header_offset + 30 + len(info.filename) + info.compress_size // 2
    path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(LsegreproError, match="scores.npz is refused.*altered.*statistics"):
        read_scores(path)


def _newer(head, arrays):
    head["version"] = 2


def _altered(head, arrays):
    arrays["statistics"][0] ^= 1


def _altered_header(head, arrays):
    head["content"]["model"] = "LSE2"


def _redigested(change):
    def forge(head, arrays):
        change(head, arrays)
        head["digest"] = evidence._content_digest(head["content"], arrays)

    return forge


@_redigested
def _not_a_number(head, arrays):
    arrays["image_scores"][0, 0] = np.nan


@_redigested
def _too_large(head, arrays):
    arrays["image_scores"][0, 0] = 1.5


@_redigested
def _wrong_type(head, arrays):
    arrays["statistics"] = arrays["statistics"].astype(np.int64)


@_redigested
def _wrong_shape(head, arrays):
    arrays["foreground"] = arrays["foreground"][:, 1:]


@_redigested
def _one_array_more(head, arrays):
    arrays["photograph"] = np.zeros((3, 3, 3), np.uint8)


@_redigested
def _no_class(head, arrays):
    head["content"]["class"] = "cow"


@_redigested
def _no_model(head, arrays):
    del head["content"]["model"]


@pytest.mark.parametrize(
    "change, says",
    [(_newer, "version 2"), (_altered, "digest"), (_altered_header, "digest"),
     (_not_a_number, "image_scores.*finite"), (_too_large, r"image_scores.*\[-1, 1\]"),
     (_wrong_type, "statistics.*uint16"), (_wrong_shape, "foreground"), (_one_array_more, "photograph"),
     (_no_class, "cow"), (_no_model, "model")],
)
def test_forged_scores_are_refused(stored, change, says):
    path = stored / "scores.npz"
    reseal(path, change)
    with pytest.raises(LsegreproError, match=f"scores.npz is refused.*{says}"):
        read_scores(path)


def test_honest_reseal_is_read(stored):
    reseal(stored / "scores.npz", lambda head, arrays: None)
    read_scores(stored / "scores.npz", read_regions(stored / "regions.npz"))


def test_forged_histogram_does_not_add_up(stored):
    @_redigested
    def move(head, arrays):
        arrays["foreground"][1, 3] += 1

    reseal(stored / "scores.npz", move)
    with pytest.raises(LsegreproError, match="scores.npz.*histograms.*i1"):
        read_scores(stored / "scores.npz", read_regions(stored / "regions.npz"))


def test_one_kind_for_the_other(stored):
    with pytest.raises(LsegreproError, match="'lsegrepro scores' version 1, wanted 'lsegrepro regions'"):
        read_regions(stored / "scores.npz")


def test_absent_and_foreign_files(tmp_path):
    with pytest.raises(LsegreproError, match="cannot read"):
        read_scores(tmp_path / "none.npz")
    np.savez(tmp_path / "foreign.npz", a=np.zeros(3))
    with pytest.raises(LsegreproError, match="foreign.npz is refused"):
        read_scores(tmp_path / "foreign.npz")


@pytest.mark.parametrize("change, says", [
    (dict(superpixels=Superpixels(scale=50)), "scale"),
    (dict(split="train"), "split 'val' against 'train'"),
    (dict(data_digest="data-2"), "data_digest"),
    (dict(absent=(), listed=3), "digest"),
])
def test_scores_of_other_regions(stored, change, says):
    other = replace(read_regions(stored / "regions.npz"), **change)
    with pytest.raises(LsegreproError, match=f"scores.npz is refused.*other regions.*{says}"):
        read_scores(stored / "scores.npz", other)


def test_builder_refuses_other_superpixels_and_images():
    regions, _ = make()
    (labels, mask, codes, image_scores), *rest = images()
    builder = ScoresBuilder(regions, META)
    with pytest.raises(LsegreproError, match="superpixels of i0"):
        builder.add(codes, labels[::-1].copy(), mask, image_scores)
    with pytest.raises(LsegreproError, match="0 of 3"):
        builder.build()
    builder.add(codes, labels, mask, image_scores)
    for labels, mask, codes, image_scores in rest:
        builder.add(codes, labels, np.where(mask == 8, 0, mask).astype(np.uint8), image_scores)
    with pytest.raises(LsegreproError, match="histograms"):
        builder.build()
    with pytest.raises(LsegreproError, match="more than the 3"):
        builder.add(codes, labels, mask, image_scores)
    with pytest.raises(LsegreproError, match="colour"):
        ScoresBuilder(regions, {**META, "colour": 1})


@pytest.mark.parametrize("change, says", [
    (dict(ids=("a", "a", "b")), "distinct"),
    (dict(listed=4), "listed"),
    (dict(sizes=np.ones((3, 2), np.int32)), "more pixels"),
    (dict(counts=np.zeros((2, 3), np.uint32)), "counts"),
    (dict(offsets=np.array([0, 3, 3, 9])), "offsets"),
    (dict(sizes=np.ones((3, 2))), "sizes.*int32.*float64"),
])
def test_regions_that_contradict_themselves(change, says):
    with pytest.raises(LsegreproError, match=says):
        replace(make()[0], **change)


def test_arrays_cannot_be_changed():
    regions, scores = make()
    for array in (regions.counts, scores.statistics):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_size_of_a_real_val_split(tmp_path):
    """886 images of 120 superpixels stay a few hundred kilobytes a model."""
    rng = np.random.default_rng(0)
    n, per = 886, 120
    offsets = np.arange(n + 1) * per
    counts = np.zeros((n * per, 3), np.uint32)
    counts[:, 2] = rng.integers(100, 3000, n * per)
    regions = Regions("val", "d", Superpixels(), tuple(f"2010_{i:06}" for i in range(n)), (), n,
                      np.full((n, 2), (800, 500), np.int32), offsets, counts, np.zeros(n, np.uint32))
    histogram = rng.multinomial(1, np.ones(GRID + 1) / (GRID + 1), n).astype(np.uint32)
    histogram[:, 25:176] = rng.poisson(1000, (n, 151))
    meta = {**META, "regions": regions.summary(), "package_version": "0"}
    statistics = rng.integers(8000, 57000, n * per).astype(np.uint16)
    scores = Scores(meta, statistics, np.zeros_like(histogram), histogram, np.zeros((n, 2), np.float32))
    write_regions(tmp_path / "r.npz", regions)
    write_scores(tmp_path / "s.npz", scores)
    assert (tmp_path / "r.npz").stat().st_size < 400_000
    assert (tmp_path / "s.npz").stat().st_size < 600_000
