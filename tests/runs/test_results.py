"""Results: theta from train alone, cells as counted by hand, AP as an independent library has it."""

import dataclasses
import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from literal import META
from torchmetrics.functional.classification import binary_jaccard_index

from lsegrepro import LsegreproError, evaluation, paper
from lsegrepro.config import Superpixels
from lsegrepro.data.drawn import DrawnSegmentation
from lsegrepro.evidence import Regions, RegionsBuilder, Scores, ScoresBuilder
from lsegrepro.evidence.scoring import score_image
from lsegrepro.evidence.superpixels import oversegment
from lsegrepro.runs import results
from lsegrepro.runs.make import load_network

NETWORK = ("LSE1", "cat", 2, 0)


def regions_of(totals, absent: int = 0) -> Regions:
    """Regions with one superpixel an image, of these counts of cat, dog and other."""
    builder = RegionsBuilder("val", "digest", Superpixels(), [f"b{i}" for i in range(absent)], len(totals) + absent)
    for i, pixels in enumerate(totals):
        mask = np.repeat(np.array([8, 12, 0], np.uint8), pixels)[None]
        builder.add(f"a{i}", np.zeros(mask.shape, np.int32), mask)
    return builder.build()


@pytest.fixture
def drawn_evidence(rng):
    """Regions and scores of three small images, with their codes, labels and masks; one more is absent."""
    builder = RegionsBuilder("val", "d", Superpixels(), absent=["x", "y"], listed=5)
    pictures = []
    for i in range(3):
        labels = np.repeat(np.arange(12), 25).reshape(15, 20).astype(np.int32)
        mask = np.where(rng.random((15, 20)) < 0.3, (8, 12, 0)[i], 0).astype(np.uint8)
        mask[0, :4] = 255
        codes = rng.integers(8000, 57000, (15, 20)).astype(np.uint16)
        pictures.append((codes, labels, mask))
        builder.add(f"image{i}", labels, mask)
    regions = builder.build()
    scores = ScoresBuilder(regions, META)
    for codes, labels, mask in pictures:
        scores.add(codes, labels, mask, (0.5, -0.5))
    return regions, scores.build(), pictures


# The weights of images


def test_every_image_counts_once_when_none_is_absent():
    regions = regions_of([(5, 0, 9), (0, 5, 9), (0, 0, 9)])
    assert results.present_weights(regions).tolist() == [1, 1, 1]


@pytest.mark.parametrize("totals, absent, weights", [
    ([(1, 0, 9), (0, 1, 9), (0, 0, 9), (0, 0, 9)], 3, [1, 1, 2.5, 2.5]),
    ([(1, 1, 9), (0, 0, 9)], 7, [1, 8]),
    ([(1, 0, 9), (0, 2, 9)], 7, [1, 1]),  # no image could stand for the absent ones
    ([(0, 0, 9), (0, 0, 9), (0, 0, 9)], 3, [2, 2, 2]),
])
def test_images_without_the_classes_stand_for_the_absent(totals, absent, weights):
    regions = regions_of(totals, absent)
    assert results.present_weights(regions).tolist() == weights
    if weights != [1, 1]:
        assert sum(weights) == regions.listed


def test_the_curve_on_train_is_that_of_the_weighted_pixels(drawn_evidence):
    regions, scores, pictures = drawn_evidence  # weights 1, 1 and 3
    curve = results.train_curve(regions, scores)
    for theta in (0.2, 0.4, 0.5, 0.6051, 0.8):
        expected = sum(np.multiply(by_hand(*picture, theta), weight)
                       for picture, weight in zip(pictures, (1, 1, 3), strict=True))
        assert curve.at_many(theta).tolist() == expected.tolist()


class Given(NamedTuple):
    """A run that holds one piece of evidence."""

    the_regions: Regions
    the_scores: Scores

    def regions(self, split):
        return self.the_regions

    def scores(self, *network):
        return self.the_scores


def test_theta_of_the_weighted_pixels(drawn_evidence):
    """Raw or smoothed: the first of the 200 thetas with the largest AP of pixels, each image with its weight."""
    regions, scores, pictures = drawn_evidence

    for smoothed in (True, False):
        aps = []
        for b in range(200):
            tp, fp, fn, _ = sum(np.multiply(by_hand(*picture, b / 200, smoothed), weight)
                                for picture, weight in zip(pictures, (1, 1, 3), strict=True))
            aps.append(tp / (tp + fp + fn))
        theta = results.choose_theta(Given(regions, scores), "LSE1", "cat", smoothed=smoothed)
        assert theta == aps.index(max(aps)) / 200


def test_no_theta_without_the_class():
    """Train images without a dog cannot choose a theta for dogs."""
    builder = RegionsBuilder("train", "d", Superpixels(), absent=[], listed=1)
    builder.add("a", np.zeros((2, 3), np.int32), np.full((2, 3), 8, np.uint8))
    regions = builder.build()
    builder = ScoresBuilder(regions, {**META, "class": "dog", "split": "train"})
    builder.add(np.zeros((2, 3), np.uint16), np.zeros((2, 3), np.int32), np.full((2, 3), 8, np.uint8), (0, 0))
    scores = builder.build()

    for smoothed in (True, False):
        with pytest.raises(LsegreproError, match="0/0"):
            results.choose_theta(Given(regions, scores), "LSE1", "dog", smoothed=smoothed)


def by_hand(codes, labels, mask, theta, smoothed=True) -> np.ndarray:
    """TP, FP, FN, TN of one picture for cat, pixel by pixel."""
    above = codes > theta * 65535
    if smoothed:
        above = np.array([2 * above[labels == s].sum() > (labels == s).sum() for s in range(labels.max() + 1)])[labels]
    truth, known = mask == 8, mask != 255
    return np.array([(a & b & known).sum() for a, b in (
        (above, truth), (above, ~truth), (~above, truth), (~above, ~truth))])


# A cell


def test_a_cell_is_what_the_pixels_give(drawn_evidence):
    regions, scores, pictures = drawn_evidence
    for smoothed in (True, False):
        for theta in (0.3, 0.5, 0.7):
            tp, fp, fn, tn = sum(by_hand(*picture, theta, smoothed) for picture in pictures)
            cell = results.cell(regions, scores, theta, smoothed=smoothed)
            assert cell.theta == theta
            assert cell.ap.value == pytest.approx(tp / (tp + fp + fn))
            assert cell.foreground.value == pytest.approx(tp / (tp + fn))
            assert cell.background.value == pytest.approx(tn / (tn + fp))
            for interval in (cell.ap, cell.foreground, cell.background):
                assert interval.low <= interval.value <= interval.high


@pytest.mark.parametrize("totals, absent, said", [
    ([(1, 0, 9)] * 6, 0, "all 6 val images"), ([(1, 0, 9)] * 6, 3, "6 of 9 val images"),
    ([(1, 0, 9)] * 886, 563, "886 of 1,449 val images"),
])
def test_coverage_in_words(totals, absent, said):
    assert results.coverage(regions_of(totals, absent)) == said


# The choice of theta


def test_theta_is_chosen_on_train_alone(own_run):
    before = [results.choose_theta(own_run, *NETWORK, smoothed=smoothed) for smoothed in (True, False)]
    for path in (own_run.folder / "evidence").glob("*-val.npz"):
        path.unlink()
    shutil.rmtree(own_run.folder / "weights")
    run = dataclasses.replace(own_run)
    assert [results.choose_theta(run, *NETWORK, smoothed=smoothed) for smoothed in (True, False)] == before


def test_theta_is_the_grids_best(tiny_run):
    regions, scores = tiny_run.regions("train"), tiny_run.scores(*NETWORK, "train")
    assert results.GRID_STEP == 0.005
    for smoothed in (True, False):
        aps = [float(evaluation.ap(evaluation.per_image_counts(regions, scores, theta=b / 200, smoothed=smoothed)
                                   .sum(axis=0))) for b in range(200)]
        assert results.choose_theta(tiny_run, *NETWORK, smoothed=smoothed) == int(np.nanargmax(aps)) / 200


# A result


def test_a_result_is_read_from_the_evidence(tiny_run):
    regions, scores = tiny_run.regions("val"), tiny_run.scores(*NETWORK, "val")
    result = results.result(tiny_run, *NETWORK)
    assert (result.model, result.cls, result.round, result.seed) == NETWORK
    assert result.chosen == results.cell(regions, scores, results.choose_theta(tiny_run, *NETWORK))
    assert result.papers == results.cell(regions, scores, paper.THETA["cat"])
    assert result.raw == results.cell(regions, scores, results.choose_theta(tiny_run, *NETWORK, smoothed=False),
                                      smoothed=False)
    every = [float(evaluation.ap(evaluation.per_image_counts(regions, scores, theta=b / 200).sum(axis=0)))
             for b in range(200)]
    assert result.oracle.ap.value == max(every) and result.oracle.theta == int(np.argmax(every)) / 200
    assert result.oracle.ap.value >= result.chosen.ap.value


def test_results_come_in_the_order_of_table_2(tiny_run):
    assert [(r.model, r.round, r.samples) for r in results.results(tiny_run)] == [
        ("max1", 1, 16), ("max1", 2, 24), ("LSE1", 1, 16), ("LSE1", 2, 24)]
    assert [(r.model, r.round) for r in results.results(tiny_run, rounds=(2,))] == [("max1", 2), ("LSE1", 2)]


@pytest.mark.parametrize("network", [("LSE1", "cat", 2, 0), ("max1", "cat", 1, 0)])
def test_ap_is_the_jaccard_index_of_the_masks(tiny_run, network):
    """Pictures scored and smoothed afresh, thresholded pixel by pixel, pooled, by torchmetrics."""
    data, weights = DrawnSegmentation("val", 6), load_network(tiny_run, *network)
    answers, truths, spread = [], [], []
    for i in range(6):
        image = data.image(i)
        codes, _ = score_image(weights, image, tiny_run.profile.scoring)
        labels = oversegment(image, tiny_run.profile.superpixels)
        answers.append((codes.ravel(), labels.ravel()))
        mask = data.mask(i).ravel()
        truths.append(torch.from_numpy(np.where(mask == 255, 255, mask == 8).astype(np.int64)))
        spread.append(codes.ravel())
    regions, scores = tiny_run.regions("val"), tiny_run.scores(*network, "val")
    middle = np.quantile(np.concatenate(spread), (0.1, 0.5, 0.9)) / 65535
    for theta in (results.choose_theta(tiny_run, *network), *middle):
        masks = []
        for codes, labels in answers:
            votes = np.bincount(labels, codes > theta * 65535)
            masks.append(torch.from_numpy((2 * votes > np.bincount(labels))[labels].astype(np.int64)))
        expected = binary_jaccard_index(torch.cat(masks), torch.cat(truths), ignore_index=255).item()
        assert results.cell(regions, scores, float(theta)).ap.value == pytest.approx(expected, abs=1e-6)
        assert tiny_run.smoothed(*network).at(float(theta)).ap == pytest.approx(expected, abs=1e-6)
