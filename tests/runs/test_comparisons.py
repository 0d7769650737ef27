"""Networks beside their controls, on a run that is drawn and scored by formula: no training."""

import numpy as np
import pytest
from conftest import run_page
from literal import box_rows

from lsegrepro import evaluation, paper
from lsegrepro.evaluation.mistakes import without_false_alarms
from lsegrepro.runs import comparisons, verify
from lsegrepro.runs.comparisons import measure
from lsegrepro.runs.results import THETAS, choose_theta, present_weights


def counts_at(scored, model, cls, theta, seed=0, smoothed=True):
    return evaluation.per_image_counts(scored.regions("val"), scored.scores(model, cls, 2, seed), theta=theta,
                                       smoothed=smoothed)


def test_the_value_is_the_mean_over_seeds_at_the_theta_of_train(scored):
    for answer, smoothed in (("network", True), ("pixels", False)):
        thetas = [choose_theta(scored, "LSE1", "cat", 2, s, smoothed=smoothed) for s in (0, 1)]
        aps = [evaluation.ap(counts_at(scored, "LSE1", "cat", theta, s, smoothed).sum(axis=0))
               for s, theta in enumerate(thetas)]
        assert measure(scored, "LSE1", "cat", answer)[0] == pytest.approx(np.mean(aps), abs=1e-6)
    row = comparisons.row(scored, "LSE1", "cat")
    assert row.ap.value == measure(scored, "LSE1", "cat")[0] and row.ap.low <= row.ap.value <= row.ap.high


@pytest.mark.parametrize("model, cls", [("LSE1", "cat"), ("max1", "dog")])
def test_the_three_thetas_are_kept_apart(scored, model, cls):
    for at in THETAS:
        aps = [evaluation.ap(scored.smoothed(model, cls, 2, s).at(choose_theta(scored, model, cls, 2, s, at=at)))
               for s in (0, 1)]
        assert measure(scored, model, cls, at=at)[0] == pytest.approx(np.mean(aps), abs=1e-6)
    assert not (measure(scored, model, cls, at="oracle") < measure(scored, model, cls, at="paper") - 1e-6).any()


def test_theta_is_chosen_again_in_each_resample(one_seed):
    """The first resamples, in a loop: draw train, choose theta, draw val, measure."""
    train, val = (evaluation.smoothed_grid_counts(one_seed.regions(split), one_seed.scores("LSE1", "cat", 2, 0, split))
                  for split in ("train", "val"))
    draws = [np.random.default_rng(seed).integers(0, counts.shape[1], (20, counts.shape[1]))
             for seed, counts in (((0, 2), train), (0, val))]
    expected = [evaluation.ap(val[np.nanargmax(evaluation.ap(train[:, t].sum(axis=1)))][v].sum(axis=0))
                for t, v in zip(*draws, strict=True)]
    assert measure(one_seed, "LSE1", "cat")[1:21] == pytest.approx(expected, abs=1e-6)


def test_told_theta_is_chosen_for_being_told(one_seed):
    """A low theta costs nothing where false alarms in other images are taken away."""
    train, val = (without_false_alarms(
        evaluation.smoothed_grid_counts(one_seed.regions(split), one_seed.scores("max1", "cat", 2, 0, split)),
        evaluation.present(one_seed.regions(split), "cat")).sum(axis=1) for split in ("train", "val"))
    expected = evaluation.ap(val[np.nanargmax(evaluation.ap(train))])
    assert measure(one_seed, "max1", "cat", told=True)[0] == pytest.approx(expected, abs=1e-6)


def painted(scored, cls, split):
    """Twenty boxes painted on every mask: counts (20, n, 4), and which images hold the class."""
    data, index = scored.segmentation(split), paper.VOC_INDEX[cls]
    masks = [data.mask(i) for i in range(len(data))]
    return np.array(box_rows(masks, index)), np.array([(mask == index).any() for mask in masks])


@pytest.mark.parametrize("cls", paper.CLASSES)
def test_the_box_is_that_of_the_masks(scored, cls):
    (train, train_holds), (val, val_holds) = (painted(scored, cls, split) for split in ("train", "val"))
    assert present_weights(scored.regions("train")).tolist() == [1] * 6
    best = int(np.argmax(evaluation.ap(train.sum(axis=1))))
    told = int(np.argmax(evaluation.ap(train[:, train_holds].sum(axis=1))))
    for answer, is_told, counts in (("centred box", False, val[best]), ("centred box", True, val[told][val_holds]),
                                    ("everything foreground", False, val[-1])):
        expected = evaluation.ap(counts.sum(axis=0))
        assert measure(scored, "", cls, answer, told=is_told)[0] == pytest.approx(expected, abs=1e-6)
    assert np.nanmax(measure(scored, "", cls, "nothing foreground")) == 0  # nan where no image of the class is drawn


def test_the_box_is_chosen_with_the_weights_of_the_images(scored, monkeypatch):
    """Images that stand for absent ones count for more in the choice of the box, as in that of theta."""
    train, holds = painted(scored, "cat", "train")
    weights = np.where(holds, 1.0, 1e6)
    monkeypatch.setattr(verify, "present_weights", lambda regions: weights)
    best = int(np.argmax(evaluation.ap((train * weights[:, None]).sum(axis=1))))
    assert best != int(np.argmax(evaluation.ap(train.sum(axis=1))))
    expected = evaluation.ap(painted(scored, "cat", "val")[0][best].sum(axis=0))
    assert verify.results_table(scored)["centred box, cat"]["AP"][0] == expected


@pytest.mark.parametrize("cls", paper.CLASSES)
def test_the_gated_box_knows_the_images_and_not_the_place(one_seed, cls):
    """LSE1's image score is always right here, so its gated box is the box that is told; max1's says nothing."""
    passing = evaluation.image_margin(one_seed.scores("LSE1", cls, 2, 0)) > 0
    assert passing.tolist() == painted(one_seed, cls, "val")[1].tolist()
    told = measure(one_seed, "", cls, "centred box", told=True)[0]
    assert measure(one_seed, "LSE1", cls, "gated box")[0] == pytest.approx(told, abs=1e-6)
    assert measure(one_seed, "LSE1", cls)[0] > told > measure(one_seed, "max1", cls, "gated box")[0]


def test_two_networks_label_together(scored):
    counts = comparisons.three_way_counts(scored, "LSE1")
    thetas = [choose_theta(scored, "LSE1", cls, 2, 1) for cls in paper.CLASSES]
    expected = evaluation.three_way(scored.regions("val"), scored.scores("LSE1", "cat", 2, 1),
                                    scored.scores("LSE1", "dog", 2, 1), *thetas)
    assert list(counts) == ["background", "cat", "dog"]
    for name in counts:
        assert counts[name].shape == (2, 8, 4) and (counts[name][1] == expected[name]).all()


def test_images_are_classified_by_every_seed(scored):
    right, never = (comparisons.classified_images(scored, model, "cat") for model in ("LSE1", "max1"))
    assert right.shape == (2, 8, 4) and (evaluation.accuracy(right.sum(axis=1)) == 1).all()
    assert never[0, :, 2].tolist() == evaluation.present(scored.regions("val"), "cat").tolist()
    assert not never[..., :2].any()


def test_the_whole_list_adds_false_positives_only(one_seed, monkeypatch):
    counts = counts_at(one_seed, "LSE1", "cat", choose_theta(one_seed, "LSE1", "cat", 2)).sum(axis=0)
    assert comparisons.whole_list(one_seed, "LSE1", "cat") == pytest.approx(evaluation.ap(counts))  # nothing is absent
    weights = np.where(painted(one_seed, "cat", "val")[1], 1.0, 3.0)
    monkeypatch.setattr(comparisons, "present_weights", lambda regions: weights[: len(regions)])
    assert comparisons.whole_list(one_seed, "max1", "cat") < measure(one_seed, "max1", "cat")[0]


def test_at_the_papers_accuracies(one_seed):
    curve = one_seed.smoothed("LSE1", "cat", 2)  # the paper prints 49.25 and 98.96
    assert comparisons.at_the_papers_accuracies(one_seed, "LSE1", "cat") == (
        curve.false_positive_rate_at(0.4925), curve.recall_at(0.0104))


def test_the_page_needs_neither_torch_nor_photographs(formula_folder, scored):
    """Every cell of the chapter, run where torch cannot be imported and no photograph is known."""
    rows = run_page(formula_folder, "06-table-2", '[[r.model, r.cls, r.ap.value] for r in spaces["rows"]]')
    assert [row[:2] for row in rows] == [[m, c] for c in paper.CLASSES for m in ("max1", "LSE1")]
    assert rows[1][2] == comparisons.row(scored, "LSE1", "cat").ap.value
