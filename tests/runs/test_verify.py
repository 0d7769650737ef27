"""Verification: what comes out again is the same, what does not is named, and what is damaged is refused."""

import numpy as np
import pytest
from conftest import ROOT, refused

from lsegrepro import cli, evaluation
from lsegrepro.evidence import superpixels
from lsegrepro.files import write_json
from lsegrepro.runs import verify
from lsegrepro.runs.folder import RunFolder, open_run
from lsegrepro.runs.make import load_network
from lsegrepro.runs.results import choose_theta

NETWORK = ("LSE1", "cat", 2, 0)


@pytest.fixture
def published(own_run) -> RunFolder:
    """The finished tiny run with the table of its results."""
    verify.write_results(own_run, verify.results_table(own_run))
    return own_run


def test_every_result_comes_out_again_and_is_that_of_the_pages(published):
    lines = verify.verify(published)
    assert all(line.same == line.of and line.difference == 0 for line in lines)
    assert {"theta", "AP", "foreground", "background", "difference of AP", "accuracy"} <= {line.what for line in lines}
    table = verify.read_results(published)
    val = published.regions("val")
    for network in published.networks():
        scores, name = published.scores(*network), published.name(*network)
        assert table[f"{name}, train"]["theta"] == [choose_theta(published, *network)]
        for at in ("train", "paper", "oracle", "raw"):
            row = table[f"{name}, {at}"]
            counts = evaluation.per_image_counts(val, scores, theta=row["theta"][0], smoothed=at != "raw")
            for column, statistic in verify.SEGMENTATION.items():
                wanted = evaluation.bootstrap(counts, statistic)
                assert np.allclose(np.array(row[column], float), wanted, rtol=0, atol=1e-12, equal_nan=True)
        answers = evaluation.classification_counts(scores.image_scores, evaluation.present(val, network[1]))
        assert table[f"{name}, classification"]["accuracy"][0] == evaluation.accuracy(answers.sum(axis=0))
    everything = evaluation.everything_foreground(val, "cat").sum(axis=0)
    assert table["everything foreground, cat"]["AP"][0] == evaluation.ap(everything)
    assert {"LSE1 − max1, cat, seed 0", "LSE1 − round 1, cat, seed 0", "max1 − centred box, cat, seed 0"} < set(table)


def test_a_result_that_was_changed_is_named(published, capsys):
    words = ["verify", "--profile", published.profile.spec, "--run", str(published.folder)]
    assert cli.main(words) == 0
    assert "results are the published ones" in capsys.readouterr().out
    table = verify.read_results(published)
    table["LSE1-cat-round2-seed0, train"]["theta"][0] += 1e-4
    del table["centred box, cat"]["AP"]
    table["LSE3"] = {"foreground": [0.5]}
    verify.write_results(published, table)
    differing = {line.what: line for line in verify.verify(published) if line.differing}
    assert {what: line.differing for what, line in differing.items()} == {
        "theta": "LSE1-cat-round2-seed0, train", "AP": "centred box, cat", "foreground": "LSE3"}
    assert differing["theta"].difference == pytest.approx(1e-4)
    assert cli.main(words) == 2
    assert "theta of LSE1-cat-round2-seed0, train" in capsys.readouterr().err


def test_rounding_is_no_difference():
    for gap, same in ((5e-10, 1), (2e-9, 0)):
        (line,) = verify.compare_tables({"a": {"AP": [0.5 + gap, None]}}, {"a": {"AP": [0.5, None]}})
        assert (line.same, line.of) == (same, 1) and line.difference == pytest.approx(gap)


def test_another_file_is_refused(published):
    path = published.folder / "results.json"
    write_json(path, {"profile": "full", "results": {}})
    refused(lambda: verify.verify(published), path, "is no table of results of profile tiny")


def test_published_weights_score_the_images_again(published, tmp_path, monkeypatch):
    from lsegrepro.runs import make

    lines = verify.compare_scores(published, 3, tmp_path)
    assert [line.what for line in lines] == [f"{published.name(*network)}, {kind}" for network in
                                             published.last_networks() for kind in ("superpixels", "image scores")]
    assert all((line.same, line.of) == (3, 3) and line.difference < 1e-6 for line in lines)

    def other(run, *network):
        weights = load_network(run, *network)
        weights.net.full5.bias.data += 1
        return weights

    monkeypatch.setattr(make, "load_network", other)
    lines = verify.compare_scores(published, 2, tmp_path / "other")
    assert all(line.same == 0 and line.differing for line in lines if "superpixels" in line.what)


def test_an_image_that_is_cut_into_other_superpixels_is_not_compared(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(superpixels, "oversegment_cached", lambda image, *_: np.zeros(image.shape[:2], np.int32))
    assert {line.of for line in verify.compare_scores(published, 1, tmp_path)} == {0}
    assert "is cut into other superpixels here, and not compared" in capsys.readouterr().err


def test_the_committed_results_come_out_again():
    lines = verify.verify(open_run("local", ROOT / "published", depth="evidence", progress=False))
    assert not [str(line) for line in lines if line.differing] and sum(line.of for line in lines) > 400
