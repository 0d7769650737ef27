"""Theta from train alone, as counted by hand, and AP as an independent library has it."""

import shutil
from typing import NamedTuple

import numpy as np
import pytest
import torch
from conftest import refused
from literal import META, counted, voted
from torchmetrics.functional.classification import binary_jaccard_index

from lsegrepro import evaluation, paper
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


class Given(NamedTuple):
    """A run that holds one piece of evidence, and the codes, labels and mask of each image that it was made of."""

    the_regions: Regions
    the_scores: Scores
    pictures: list

    def regions(self, split):
        return self.the_regions

    def scores(self, *network):
        return self.the_scores

    def by_hand(self, theta, smoothed=True) -> np.ndarray:
        """TP, FP, FN, TN for cat, pixel by pixel, with the weights of the images: 1, 1 and 3."""
        total = np.zeros(4, int)
        for (codes, labels, mask), weight in zip(self.pictures, (1, 1, 3), strict=True):
            answer = voted(codes, labels, theta) if smoothed else codes > theta * 65535
            total += weight * np.array(counted([answer], [mask], 8))
        return total


@pytest.fixture
def given(rng) -> Given:
    """Three small images, with a cat, a dog and neither; two more are absent."""
    builder = RegionsBuilder("val", "d", Superpixels(), absent=["x", "y"], listed=5)
    pictures = []
    for i in range(3):
        labels = np.repeat(np.arange(12), 25).reshape(15, 20).astype(np.int32)
        mask = np.where(rng.random((15, 20)) < 0.3, (8, 12, 0)[i], 0).astype(np.uint8)
        mask[0, :4] = 255
        pictures.append((rng.integers(8000, 57000, (15, 20)).astype(np.uint16), labels, mask))
        builder.add(f"image{i}", labels, mask)
    regions = builder.build()
    scores = ScoresBuilder(regions, META)
    for codes, labels, mask in pictures:
        scores.add(codes, labels, mask, (0.5, -0.5))
    return Given(regions, scores.build(), pictures)


@pytest.mark.parametrize("totals, absent, weights", [
    ([(5, 0, 9), (0, 5, 9), (0, 0, 9)], 0, [1, 1, 1]),
    ([(1, 0, 9), (0, 1, 9), (0, 0, 9), (0, 0, 9)], 3, [1, 1, 2.5, 2.5]),
    ([(1, 1, 9), (0, 0, 9)], 7, [1, 8]),
    ([(1, 0, 9), (0, 2, 9)], 7, [1, 1]),  # no image could stand for the absent ones
    ([(0, 0, 9), (0, 0, 9), (0, 0, 9)], 3, [2, 2, 2]),
])
def test_images_without_the_classes_stand_for_the_absent(totals, absent, weights):
    assert results.present_weights(regions_of(totals, absent)).tolist() == weights


@pytest.mark.parametrize("smoothed", [True, False])
def test_theta_of_the_weighted_pixels(given, smoothed):
    """The first of the 200 thetas with the largest AP of pixels, each image with its weight."""
    counts = [given.by_hand(b / 200, smoothed) for b in range(200)]
    if smoothed:
        curve = results.train_curve(given.the_regions, given.the_scores)
        assert (curve.at(np.arange(200) / 200) == counts).all()
    aps = [tp / (tp + fp + fn) for tp, fp, fn, _ in counts]
    assert results.choose_theta(given, "LSE1", "cat", smoothed=smoothed) == aps.index(max(aps)) / 200


@pytest.mark.parametrize("smoothed", [True, False])
def test_no_theta_without_the_class(smoothed):
    """Train images without a dog cannot choose a theta for dogs."""
    regions = regions_of([(6, 0, 0)])
    builder = ScoresBuilder(regions, {**META, "class": "dog"})
    builder.add(np.zeros((1, 6), np.uint16), np.zeros((1, 6), np.int32), np.full((1, 6), 8, np.uint8), (0, 0))
    run = Given(regions, builder.build(), [])
    refused(lambda: results.choose_theta(run, "LSE1", "dog", smoothed=smoothed), "0/0")


def test_coverage_in_words():
    assert results.coverage(regions_of([(1, 0, 9)] * 6)) == "all 6 val images"
    assert results.coverage(regions_of([(1, 0, 9)] * 6, absent=1443)) == "6 of 1,449 val images"


def test_theta_is_the_grids_best_and_chosen_on_train_alone(own_run):
    def best(split, smoothed=True):
        regions, scores = own_run.regions(split), own_run.scores(*NETWORK, split)
        aps = [float(evaluation.ap(evaluation.per_image_counts(regions, scores, theta=b / 200, smoothed=smoothed)
                                   .sum(axis=0))) for b in range(200)]
        return int(np.nanargmax(aps)) / 200

    assert results.choose_theta(own_run, *NETWORK, at="oracle") == best("val")
    assert results.choose_theta(own_run, *NETWORK, at="paper") == paper.THETA["cat"]
    for path in (own_run.folder / "evidence").glob("*-val.npz"):
        path.unlink()
    shutil.rmtree(own_run.folder / "weights")
    assert results.choose_theta(own_run, *NETWORK) == best("train")
    assert results.choose_theta(own_run, *NETWORK, smoothed=False) == best("train", smoothed=False)


@pytest.mark.parametrize("network", [("LSE1", "cat", 2, 0), ("max1", "cat", 1, 0)])
def test_ap_is_the_jaccard_index_of_the_masks(tiny_run, network):
    """Pictures scored and smoothed afresh, thresholded pixel by pixel, pooled, by torchmetrics."""
    data, weights = DrawnSegmentation("val", 6), load_network(tiny_run, *network)
    answers, truths = [], []
    for i in range(6):
        image, mask = data.image(i), data.mask(i).ravel()
        codes, _ = score_image(weights, image, tiny_run.profile.scoring)
        answers.append((codes.ravel(), oversegment(image, tiny_run.profile.superpixels).ravel()))
        truths.append(torch.from_numpy(np.where(mask == 255, 255, mask == 8).astype(np.int64)))
    regions, scores = tiny_run.regions("val"), tiny_run.scores(*network, "val")
    middle = np.quantile(np.concatenate([codes for codes, _ in answers]), (0.1, 0.5, 0.9)) / 65535
    for theta in map(float, (results.choose_theta(tiny_run, *network), *middle)):
        masks = []
        for codes, labels in answers:
            votes = np.bincount(labels, codes > theta * 65535)
            masks.append(torch.from_numpy((2 * votes > np.bincount(labels))[labels].astype(np.int64)))
        expected = binary_jaccard_index(torch.cat(masks), torch.cat(truths), ignore_index=255).item()
        counts = evaluation.per_image_counts(regions, scores, theta=theta).sum(axis=0)
        assert float(evaluation.ap(counts)) == pytest.approx(expected, abs=1e-6)
        assert evaluation.ap(tiny_run.smoothed(*network).at(theta)) == pytest.approx(expected, abs=1e-6)
