"""Records that contradict themselves or each other are refused; what is written comes back, small."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import evidence_of, pictures, regions_of, scores_of

from lsegrepro import LsegreproError
from lsegrepro.config import Superpixels
from lsegrepro.evaluation import bootstrap, per_image_counts, raw_curve, smoothed_curve
from lsegrepro.evidence import (
    GRID,
    read_regions,
    read_scores,
    write_regions,
    write_scores,
)
from lsegrepro.evidence.records import GRID_BINS, GRID_LIMITS


def test_every_probability_falls_into_its_bin():
    prob_u16 = np.arange(65536)
    expected = sum((prob_u16 > b / GRID * 65535).astype(int) for b in range(GRID))
    assert (GRID_BINS == expected).all()
    assert all(((prob_u16 > GRID_LIMITS[b]) == (prob_u16 > b / GRID * 65535)).all() for b in range(GRID))


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 5))
def test_round_trip(tmp_path_factory, seed, count):
    folder = tmp_path_factory.mktemp("evidence")
    regions, scores = evidence_of(pictures(seed, count))
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


@pytest.fixture
def stored(tmp_path):
    regions, scores = evidence_of(pictures())
    write_regions(tmp_path / "regions.npz", regions)
    write_scores(tmp_path / "scores.npz", scores)
    return tmp_path


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


def _with(array, place, value):
    changed = array.copy()
    changed[place] = int(changed[place]) + value
    return changed


@pytest.mark.parametrize("change, says", [
    (lambda r: dict(ids=("a", "a", "b")), "distinct"),
    (lambda r: dict(listed=4), "listed"),
    (lambda r: dict(counts=np.zeros((2, 3), np.uint32)), "counts"),
    (lambda r: dict(offsets=np.array([0, 3, 3, 9])), "offsets"),
    (lambda r: dict(sizes=np.ones((3, 2))), "sizes.*int32.*float64"),
    (lambda r: dict(rings=r.rings[:, 1:]), "rings.*20"),
    (lambda r: dict(rings=_with(r.rings, (1, 4, 2), 1)), "boxes and the superpixels.*same pixels"),
])
def test_regions_that_contradict_themselves(change, says):
    regions, _ = evidence_of(pictures())
    with pytest.raises(LsegreproError, match=says):
        replace(regions, **change(regions))


@pytest.mark.parametrize("name", ["foreground_codes", "background_codes"])
def test_histograms_that_contradict_each_other(name):
    """The same number of pixels, one of them at another code: in another bin of the grid."""
    regions, scores = evidence_of(pictures())
    prob_u16 = getattr(scores, name)
    moved = _with(_with(prob_u16, int(prob_u16.argmax()), -1), 20_000, 1)
    with pytest.raises(LsegreproError, match=f"histograms {name.removesuffix('_codes')} and {name}"):
        replace(scores, **{name: moved}).check(regions)
    scores.check(regions)


def test_histograms_of_an_image_add_up_to_its_pixels():
    regions, scores = evidence_of(pictures())
    with pytest.raises(LsegreproError, match="histograms.*i1"):
        replace(scores, foreground=_with(scores.foreground, (1, 3), 1)).check(regions)


def test_of_train_the_grid_is_enough(tmp_path):
    items = pictures()
    regions = regions_of(items, "train")
    scores, val = scores_of(regions, items), scores_of(regions_of(items), items)
    assert not scores.exact and val.exact and (scores.background == val.background).all()
    write_scores(tmp_path / "s.npz", scores)
    assert read_scores(tmp_path / "s.npz", regions).digest == scores.digest != val.digest
    with pytest.raises(LsegreproError, match="the scores of train do not hold what the pixels' exact curve needs"):
        raw_curve(scores)
    with pytest.raises(LsegreproError, match="background_codes must be"):
        replace(val, background_codes=None)


def test_arrays_cannot_be_changed():
    regions, scores = evidence_of(pictures())
    for array in (regions.counts, regions.rings, scores.statistics, scores.foreground_codes):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


HIDDEN = """
import sys
for name in ("torch", "skimage", "scipy", "PIL", "matplotlib"):
    sys.modules[name] = None
from lsegrepro import evidence, evaluation
from lsegrepro.evidence import superpixels
regions = evidence.read_regions(sys.argv[1])
scores = evidence.read_scores(sys.argv[2], regions)
print(evaluation.smoothed_curve(regions, scores).at(0.6))
print(evaluation.raw_curve(scores).at(0.6))
print(evaluation.bootstrap(evaluation.per_image_counts(regions, scores, theta=0.6), resamples=100))
"""


def test_evidence_is_enough(stored):
    """A process with numpy alone recomputes the same numbers; the superpixels import without torch."""
    done = subprocess.run([sys.executable, "-c", HIDDEN, stored / "regions.npz", stored / "scores.npz"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    regions, scores = evidence_of(pictures())
    interval = bootstrap(per_image_counts(regions, scores, theta=0.6), resamples=100)
    curves = smoothed_curve(regions, scores), raw_curve(scores)
    assert done.stdout.splitlines() == [*(str(curve.at(0.6)) for curve in curves), str(interval)]
