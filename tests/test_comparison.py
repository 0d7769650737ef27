"""Comparisons of Table 2, on a run that is drawn and scored by formula: no training."""

from dataclasses import asdict

import numpy as np
import pytest

from lsegrepro import comparison, evaluation, evidence, figures, paper
from lsegrepro.errors import LsegreproError
from lsegrepro.evidence import RegionsBuilder, ScoresBuilder
from lsegrepro.run import open_run

PROFILE = """
models = ["max1", "LSE1"]
classes = ["cat"]
seeds = [0, 1]
[data]
segmentation_train = 4
segmentation_val = 6
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two models and two seeds; LSE1 is right but for noise, max1 sees nothing."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tiny.toml").write_text(PROFILE)
    run = open_run(folder / "tiny.toml", folder / "run", progress=False, compute=False)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        data = run.segmentation(split)
        masks = [data.mask(i) for i in range(len(data))]
        cells = [np.arange(m.size, dtype=np.int32).reshape(m.shape) // 64 for m in masks]
        builder = RegionsBuilder(split, data.digest, run.profile.superpixels, data.absent, data.listed)
        for name, labels, mask in zip(data.ids, cells, masks, strict=True):
            builder.add(name, labels, mask)
        regions = builder.build()
        evidence.write_regions(run.regions_path(split), regions)
        for model, cls, round, seed in run.networks():
            meta = {"model": model, "class": cls, "round": round, "seed": seed, "split": split,
                    "weights_sha256": "0" * 64, "arguments": asdict(run.profile.scoring), "device": "none"}
            scores = ScoresBuilder(regions, meta)
            for labels, mask in zip(cells, masks, strict=True):
                p = 0.3 + 0.2 * rng.random(mask.shape)
                if model == "LSE1":
                    p += 0.3 * (mask == paper.VOC_INDEX[cls])
                scores.add((p * 65535).astype(np.uint16), labels, mask, [0.0, 0.0])
            evidence.write_scores(run.scores_path(model, cls, round, seed, split), scores.build())
    return run


def test_counts_of_every_seed(run):
    counts = comparison.seed_counts(run, "LSE1", "cat")
    assert counts.shape == (2, 6, 4)
    row = comparison.row(run, "LSE1", "cat")
    assert row.ap.value == pytest.approx(np.mean(evaluation.ap(counts.sum(axis=1))))
    assert row.ap.low <= row.ap.value <= row.ap.high


def test_differences_know_which_is_better(run):
    (difference,) = comparison.model_differences(run, comparison.LSE_OR_MAX)
    assert difference.name == "LSE1 − max1" and difference.sign == 1
    assert difference.paper == pytest.approx(0.1145)
    assert comparison.model_differences(run, comparison.SMALL_OR_LARGE) == []
    assert len(comparison.round_differences(run)) == 2
    assert "LSE1 − max1, cat" in comparison.forest([difference]).alt
    with pytest.raises(LsegreproError, match="at least one"):
        comparison.forest([])


def test_a_box_that_is_told_leaves_other_images_alone(run):
    box = comparison.centred_box(run, "cat")
    holds = evaluation.present(run.regions("val"), "cat")
    assert 0 < box.fraction <= 1 and box.counts.shape == box.told.shape == (6, 4)
    assert box.counts[~holds, 1].all() and not box.told[~holds, 1].any()
    rows = [comparison.row(run, "LSE1", "cat"), comparison.constant_row("box", "cat", box.counts)]
    assert "box cat AP" in figures.table_2_html(rows, "Ours.").text
