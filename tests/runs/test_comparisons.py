"""Comparisons of Table 2, on a run that is drawn and scored by formula: no training."""


import numpy as np
import pytest
from conftest import run_page
from literal import counted

from lsegrepro import evaluation, evidence, figures, paper
from lsegrepro.figures import forest
from lsegrepro.files import LsegreproError
from lsegrepro.runs import comparisons
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.results import choose_theta, present_weights


@pytest.fixture
def folder(formula_folder):
    return formula_folder


@pytest.fixture
def run(folder):
    return open_run(folder / "tiny.toml", folder / "run", progress=False)


def test_counts_of_every_seed(run):
    counts = comparisons.seed_counts(run, "LSE1", "cat")
    assert counts.shape == (2, 8, 4)
    for seed in (0, 1):
        theta = choose_theta(run, "LSE1", "cat", 2, seed)
        expected = evaluation.per_image_counts(run.regions("val"), run.scores("LSE1", "cat", 2, seed), theta=theta)
        assert (counts[seed] == expected).all()
    row = comparisons.row(run, "LSE1", "cat")
    assert row.ap == evaluation.bootstrap(counts)  # over the seeds as well as the images
    assert row.ap.value == pytest.approx(np.mean(evaluation.ap(counts.sum(axis=1))))
    assert row.ap.low <= row.ap.value <= row.ap.high


def test_the_three_thetas_are_kept_apart(run):
    for model, cls in (("LSE1", "cat"), ("max1", "dog")):
        assert comparisons.seed_thetas(run, model, cls, at="paper") == [paper.THETA[cls]] * 2
        aps = {}
        for at in comparisons.THETAS:
            counts = comparisons.seed_counts(run, model, cls, at=at)
            aps[at] = evaluation.ap(counts.sum(axis=1))
            for seed, theta in enumerate(comparisons.seed_thetas(run, model, cls, at=at)):
                assert aps[at][seed] == run.smoothed(model, cls, 2, seed).at(theta).ap
        assert (aps["oracle"] >= aps["train"]).all() and (aps["oracle"] >= aps["paper"]).all()
    with pytest.raises(LsegreproError, match="train, paper, oracle, not from 'val'"):
        comparisons.seed_counts(run, "LSE1", "cat", at="val")


def test_differences_know_which_is_better(run):
    cat, dog = comparisons.model_differences(run, comparisons.LSE_OR_MAX)
    assert (cat.name, cat.cls, cat.sign, dog.sign) == ("LSE1 − max1", "cat", 1, 1)
    assert cat.paper == pytest.approx(0.1145)
    assert cat.interval == evaluation.bootstrap_difference(
        comparisons.seed_counts(run, "LSE1", "cat"), comparisons.seed_counts(run, "max1", "cat"))
    assert comparisons.model_differences(run, comparisons.SMALL_OR_LARGE) == []
    assert len(comparisons.round_differences(run)) == 4
    assert "LSE1 − max1, cat" in forest([cat]).alt
    with pytest.raises(LsegreproError, match="at least one"):
        forest([])


@pytest.mark.parametrize("cls, index", paper.VOC_INDEX.items())
def test_the_box_is_that_of_the_masks(run, cls, index):
    """Twenty boxes painted on every mask, the best of train taken; also when told which images hold the class."""
    counts, holds = {}, {}
    for split in ("train", "val"):
        data = run.segmentation(split)
        masks = [data.mask(i) for i in range(len(data))]
        holds[split] = np.array([(mask == index).any() for mask in masks])
        painted = []
        for k in range(1, 21):
            boxes = [np.zeros(mask.shape, bool) for mask in masks]
            for box in boxes:
                h, w = (round(side * k / 20) for side in box.shape)
                top, left = (box.shape[0] - h) // 2, (box.shape[1] - w) // 2
                box[top : top + h, left : left + w] = True
            painted.append([counted([box], [mask], index) for box, mask in zip(boxes, masks, strict=True)])
        counts[split] = np.array(painted)
    assert present_weights(run.regions("train")).tolist() == [1] * 6
    best = int(np.argmax(evaluation.ap(counts["train"].sum(axis=1))))
    told = int(np.argmax(evaluation.ap(counts["train"][:, holds["train"]].sum(axis=1))))
    box = comparisons.centred_box(run, cls)
    assert (box.fraction, box.told_fraction) == ((best + 1) / 20, (told + 1) / 20)
    assert (box.counts == counts["val"][best]).all()
    assert (box.told[holds["val"]] == counts["val"][told][holds["val"]]).all()
    assert not box.told[~holds["val"], 1].any() and box.counts[~holds["val"], 1].all()


def test_the_box_is_chosen_with_the_weights_of_the_images(run, monkeypatch):
    """Images that stand for absent ones count for more in the choice of the box, as in that of theta."""
    weights = np.where(evaluation.present(run.regions("train"), "cat"), 1.0, 1e6)
    monkeypatch.setattr(comparisons, "present_weights", lambda regions: weights)
    expected = int(np.argmax(evaluation.ap(
        (evaluation.centred_box_counts(run.regions("train"), "cat") * weights[:, None]).sum(axis=1))))
    assert comparisons.centred_box(run, "cat").fraction == evidence.BOX_FRACTIONS[expected]


def test_networks_against_baselines(run):
    names = ["nothing foreground", "everything foreground", "centred box"]
    assert list(comparisons.baselines(run, "cat")) == names
    found = {(d.name, d.cls): d for d in comparisons.baseline_differences(run)}
    assert len(found) == 2 * 2 * 3
    for cls in paper.CLASSES:
        assert all(found[f"LSE1 − {name}", cls].sign == 1 for name in names)
        box = found["max1 − centred box", cls]
        assert box.sign < 1 and box.interval == evaluation.bootstrap_difference(
            comparisons.seed_counts(run, "max1", cls), comparisons.centred_box(run, cls).counts)
    rows = [comparisons.row(run, "LSE1", "cat"),
            *(comparisons.constant_row(name, "cat", c) for name, c in comparisons.baselines(run, "cat").items())]
    assert rows[1].ap.value == 0 and rows[1].background.value == 1
    assert "centred box cat AP" in figures.table_2_html(rows, "Ours.").text


def test_two_networks_label_together(run):
    counts = comparisons.three_way_counts(run, "LSE1")
    assert list(counts) == ["background", "cat", "dog"]
    thetas = [choose_theta(run, "LSE1", cls, 2, 1) for cls in paper.CLASSES]
    expected = evaluation.three_way(run.regions("val"), run.scores("LSE1", "cat", 2, 1),
                                    run.scores("LSE1", "dog", 2, 1), *thetas)
    for name in counts:
        assert counts[name].shape == (2, 8, 4) and (counts[name][1] == expected.counts(name)).all()


def test_images_are_classified_by_every_seed(run):
    holds = evaluation.present(run.regions("val"), "cat")
    right = comparisons.classification_counts(run, "LSE1", "cat")
    assert right.shape == (2, 8, 4) and (evaluation.accuracy(right.sum(axis=1)) == 1).all()
    never = comparisons.classification_counts(run, "max1", "cat")
    assert never[0, :, 2].tolist() == holds.tolist() and not never[..., :2].any()


SAID = """{"ap": spaces["aps"]["LSE1", "cat"].value, "short": spaces["besides"]["max1", "dog"],
           "beats": spaces["besides"]["LSE1", "cat"], "together": list(spaces["together"])}"""


def test_the_page_needs_neither_torch_nor_photographs(folder, run):
    """Every cell of the chapter, run where torch cannot be imported and no photograph is known."""
    found = run_page(folder, "06-table-2", SAID)
    assert found["ap"] == comparisons.row(run, "LSE1", "cat").ap.value and found["together"] == ["max1", "LSE1"]
    assert list(found["short"]) == ["everything foreground", "centred box"]
    assert not any("beats" in word for word in found["short"].values())
    assert all(word.endswith(": beats it") for word in found["beats"].values())
