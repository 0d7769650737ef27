"""The search of superpixel parameters: on train alone, by its rule, from pictures to a table."""

import numpy as np
import pytest
from conftest import refused

from lsegrepro import evaluation
from lsegrepro.config import Superpixels
from lsegrepro.evidence import RegionsBuilder
from lsegrepro.evidence.superpixels import oversegment
from lsegrepro.files import read_json, write_json
from lsegrepro.runs import superpixel_search
from lsegrepro.runs.results import choose_theta
from lsegrepro.runs.statistics import statistics_path
from lsegrepro.runs.superpixel_search import MIN_ACHIEVABLE, Setting, achievable, choose_setting, read_search


def setting(params=(100, 0.8, 100), ap=0.1, reach=0.9, superpixels=10.0) -> Setting:
    return Setting(Superpixels(*params), superpixels, {"cat": reach}, {"LSE1-cat-round2-seed0": ap})


def test_the_largest_mean_ap_of_enough_achievable_is_chosen_and_of_equal_ones_the_fewest():
    low, high = setting(ap=0.2), setting(ap=0.25)
    assert choose_setting([low, high]) is high
    assert Setting(Superpixels(), 1.0, {"cat": 0.9}, {"a": 0.6, "b": 0.0}).mean_ap == 0.3
    fine = setting(reach=MIN_ACHIEVABLE)
    coarse, coarser = setting(ap=0.5, reach=MIN_ACHIEVABLE - 0.01), setting(ap=0.6, reach=MIN_ACHIEVABLE - 0.02)
    assert choose_setting([fine, coarse]) is fine
    assert choose_setting([coarse, coarser]) is coarse  # nothing reaches the floor: the nearest
    settings = [setting(superpixels=n) for n in (30.0, 10.0, 20.0)]
    assert choose_setting(settings) is settings[1]


def test_achievable_iou_follows_the_majorities(rng):
    """Counted from masks cut along a grid; void pixels are in no count, a tie is background."""
    labels = (np.arange(24)[:, None] // 4 * 6 + np.arange(24) // 4).astype(np.int32)
    masks = [rng.choice([0, 8, 12, 255], (24, 24), p=(0.3, 0.5, 0.1, 0.1)).astype(np.uint8) for _ in range(2)]
    builder = RegionsBuilder("train", "d", Superpixels(), absent=[], listed=2)
    tp = fp = fn = 0
    for name, mask in zip("ab", masks, strict=True):
        builder.add(name, labels, mask)
        for superpixel in range(36):
            inside = mask[labels == superpixel]
            cat, other = (inside == 8).sum(), np.isin(inside, (0, 12)).sum()
            tp, fp, fn = (tp + cat, fp + other, fn) if cat > other else (tp, fp, fn + cat)
    assert fn and achievable(builder.build(), "cat") == tp / (tp + fp + fn)


def test_the_search_takes_the_grid_then_sigma_and_is_read_as_it_was(own_run, monkeypatch):
    monkeypatch.setattr(superpixel_search, "SCALES", (100.0, 400.0))
    monkeypatch.setattr(superpixel_search, "MIN_SIZES", (100,))
    for path in (own_run.folder / "evidence").glob("*-val.npz"):
        path.unlink()  # val takes no part
    refused(lambda: read_search(own_run), "superpixels.json is not there", "lsegrepro experiment superpixels")
    settings = superpixel_search.search_superpixels(own_run)
    best = choose_setting(settings[:2]).params
    assert [s.params for s in settings] == [
        Superpixels(100, 0.8, 100), Superpixels(400, 0.8, 100),
        Superpixels(best.scale, 0.5, best.min_size), Superpixels(best.scale, 1.2, best.min_size)]
    data = own_run.segmentation("train")
    for s in settings:
        numbers = [oversegment(data.image(i), s.params).max() + 1 for i in range(len(data))]
        assert s.superpixels == pytest.approx(np.mean(numbers))
    assert read_search(own_run) == settings
    # With the parameters of the run it is the AP at the theta chosen on train.
    used = next(s for s in settings if s.params == own_run.profile.superpixels)
    theta = choose_theta(own_run, "LSE1", "cat", 2)
    counts = evaluation.per_image_counts(own_run.regions("train"), own_run.scores("LSE1", "cat", 2, split="train"),
                                         theta=theta)
    assert used.ap["LSE1-cat-round2-seed0"] == pytest.approx(evaluation.ap(counts.sum(axis=0)), nan_ok=True)

    path = statistics_path(own_run, "superpixels")
    content = read_json(path)
    write_json(path, content | {"networks": dict.fromkeys(content["networks"], "0" * 64)})
    refused(lambda: read_search(own_run), path, "made with max1-cat-round2-seed0 = '000")
    for path in own_run.folder.glob("weights/*"):
        path.unlink()
    refused(lambda: superpixel_search.search_superpixels(own_run), "no network of the last round", "train one")
