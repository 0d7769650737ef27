"""Silhouettes of a drawn run, read as they were made; and the published ones: small, a dozen, of the published run."""

import numpy as np
import pytest
from conftest import ROOT, refused

from lsegrepro import evaluation
from lsegrepro.data.drawn import DrawnSegmentation
from lsegrepro.figures.pictures import Silhouette, figure_6_silhouettes
from lsegrepro.runs import silhouettes as module
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.silhouettes import headline_network, make_silhouettes, picked_images, silhouettes, write_silhouettes


def test_they_are_read_as_they_were_made(own_run):
    network = headline_network(own_run, "cat")
    assert network == ("LSE1", "cat", 2, 0)
    made = silhouettes(own_run, network)  # there is no record yet
    path = write_silhouettes(own_run)
    for first, second in zip(made, silhouettes(own_run, network), strict=True):
        assert (first.name, first.title, first.iou) == (second.name, second.title, second.iou)
        for field in ("truth", "pixels", "region", "probability"):
            assert (getattr(first, field) == getattr(second, field)).all()
    path.unlink()
    own_run.weights_path(*network).unlink()
    refused(lambda: silhouettes(own_run, network), "is not there")


def test_they_are_the_true_outline_and_the_networks_region(tiny_run):
    network = headline_network(tiny_run, "cat")
    data = DrawnSegmentation("val", 6)
    for shape, exemplar in zip(make_silhouettes(tiny_run, network), picked_images(tiny_run, network), strict=True):
        truth = data.mask(exemplar.index) == 8
        assert max(shape.truth.shape) <= module.SIDE and shape.name == data.ids[exemplar.index]
        assert shape.truth.mean() == pytest.approx(truth.mean(), abs=0.02)
        union = (shape.truth | shape.region).sum()
        assert not union or shape.iou == pytest.approx((shape.truth & shape.region).sum() / union, abs=0.05)
        assert shape.probability.max() <= 255 * 0.8809


def test_a_record_of_other_networks_is_refused(own_run, monkeypatch):
    network = headline_network(own_run, "cat")
    write_silhouettes(own_run)
    monkeypatch.setattr(module, "choose_theta", lambda *given: 0.123)
    refused(lambda: silhouettes(own_run, network), "silhouettes.npz", "make it again with python tools/silhouettes.py")


def test_the_published_ones_are_few_small_and_of_the_published_run():
    run = open_run("local", ROOT / "published", depth="evidence")
    shapes = {cls: silhouettes(run, headline_network(run, cls)) for cls in run.profile.classes}
    assert sum(map(len, shapes.values())) <= 12
    assert (ROOT / "published" / module.RECORD).stat().st_size < 200_000
    for cls, those in shapes.items():
        assert all(max(shape.truth.shape) <= 300 for shape in those)
        ious = [shape.iou for shape in those if shape.truth.any()]
        assert ious == sorted(ious, reverse=True) and len(ious) == 5
        holds = evaluation.present(run.regions("val"), cls)
        assert [bool(holds[run.regions("val").ids.index(s.name)]) for s in those] == [s.truth.any() for s in those]


def test_the_figure_says_what_it_shows():
    square, grey = np.indices((30, 40)).max(axis=0) < 15, np.full((30, 40), 128, np.uint8)
    shapes = [Silhouette("2011_000001", "best", 0.5, square, square, square, grey),
              Silhouette("2011_000002", "most false alarms", 0.0, ~square & square, square, square, grey)]
    alt = figure_6_silhouettes(shapes, "dog").alt
    assert "best, 2011_000001: IoU 50 %, 19 % called dog" in alt and "2011_000002: no dog, 19 % called dog" in alt
