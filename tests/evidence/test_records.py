"""Records that contradict themselves or each other are refused; what is written comes back, and is enough."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import evidence_of, pictures, regions_of, scores_of

from lsegrepro.config import Superpixels
from lsegrepro.evaluation import bootstrap, per_image_counts, raw_curve, smoothed_curve
from lsegrepro.evidence import GRID, read_regions, read_scores, write_regions, write_scores
from lsegrepro.evidence.records import GRID_BINS, GRID_LIMITS
from lsegrepro.runs.published import PUBLISHED


@pytest.fixture(scope="module")
def records():
    return evidence_of(pictures())


@pytest.fixture
def stored(tmp_path, records):
    write_regions(tmp_path / "regions.npz", records[0])
    write_scores(tmp_path / "scores.npz", records[1])
    return tmp_path


def test_every_probability_falls_into_its_bin():
    prob_u16 = np.arange(65536)
    expected = sum((prob_u16 > b / GRID * 65535).astype(int) for b in range(GRID))
    assert (GRID_BINS == expected).all()
    assert all(((prob_u16 > GRID_LIMITS[b]) == (prob_u16 > b / GRID * 65535)).all() for b in range(GRID))


@settings(max_examples=10)
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
        for name, array in a._parts()[1].items():
            assert array.dtype == getattr(b, name).dtype and (array == getattr(b, name)).all()


def test_the_published_evidence_is_read_and_written_again_with_the_same_content(tmp_path):
    """Files of the first edition, which end in a digest of their bytes as well."""
    names = ("regions-val.npz", "LSE1-cat-round2-seed0-val.npz")
    regions = read_regions(PUBLISHED / "evidence" / names[0])
    write_regions(tmp_path / names[0], regions)
    write_scores(tmp_path / names[1], read_scores(PUBLISHED / "evidence" / names[1], regions))
    for name in names:
        with np.load(tmp_path / name) as a, np.load(PUBLISHED / "evidence" / name) as b:
            assert a.files == b.files and all(np.array_equal(a[key], b[key]) for key in a.files)


@pytest.mark.parametrize("change, says", [
    (dict(superpixels=Superpixels(scale=50)), "scale"),
    (dict(split="train"), "split 'val' against 'train'"),
    (dict(data_digest="data-2"), "data_digest"),
    (dict(absent=(), listed=3), "digest"),
])
def test_scores_of_other_regions(stored, records, change, says):
    refused(lambda: read_scores(stored / "scores.npz", replace(records[0], **change)), "scores.npz is refused",
            "other regions", says)


def test_of_train_the_grid_is_enough(tmp_path):
    items = pictures()
    regions = regions_of(items, "train")
    scores, val = scores_of(regions, items), scores_of(regions_of(items), items)
    assert not scores.exact and val.exact and (scores.background == val.background).all()
    write_scores(tmp_path / "s.npz", scores)
    assert read_scores(tmp_path / "s.npz", regions).digest == scores.digest != val.digest
    refused(lambda: raw_curve(scores), "the scores of train do not hold what the pixels' exact curve needs")


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


def test_evidence_is_enough(stored, records):
    """A process with numpy alone recomputes the same numbers; the superpixels import without torch."""
    done = subprocess.run([sys.executable, "-c", HIDDEN, stored / "regions.npz", stored / "scores.npz"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    interval = bootstrap(per_image_counts(*records, theta=0.6), resamples=100)
    curves = smoothed_curve(*records), raw_curve(records[1])
    assert done.stdout.splitlines() == [*(str(curve.at(0.6)) for curve in curves), str(interval)]
