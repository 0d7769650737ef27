"""What the verdicts measure, on a run that is scored by formula: LSE1 is right but for noise, max1 sees nothing."""

import json
import shutil

import numpy as np
import pytest
from conftest import run_page

from lsegrepro import evaluation, paper
from lsegrepro.config import load_profile
from lsegrepro.runs import claims, comparisons, verdicts
from lsegrepro.runs.results import choose_theta
from lsegrepro.runs.folder import open_run


@pytest.fixture(scope="module")
def run(formula_folder):
    return open_run(formula_folder / "tiny.toml", formula_folder / "run", progress=False)


@pytest.fixture(scope="module")
def judged(run):
    return {verdict.rule.key: verdict for verdict in claims.judge_all(run)}


def test_every_comparison_of_the_paper_is_there_whether_trained_or_not(judged):
    assert list(judged) == [rule.key for rule in verdicts.RULES]
    sizes = {key: len(verdict.comparisons) for key, verdict in judged.items()}
    assert sizes == {"labels": 8, "aggregation": 4, "patches": 4, "superpixels": 8, "hard": 8, "hard-ap": 8, "theta": 8,
                     "classification": 2, "accuracies": 16, "ap": 8}
    for verdict in judged.values():
        for one, outcome in zip(verdict.comparisons, verdict.outcomes, strict=True):
            trained = not any(model in one.name for model in ("LSE2", "max2"))
            assert (one.effect is not None) == trained and (outcome.says != "not measured") == trained


def test_the_pairs_are_those_of_the_paper(run, judged):
    cat, *_ = judged["aggregation"].comparisons
    assert (cat.name, cat.cls, cat.seeds, cat.sees) == ("LSE1 − max1", "cat", 2, True)
    assert cat.effect == evaluation.bootstrap_difference(
        comparisons.seed_counts(run, "LSE1", "cat"), comparisons.seed_counts(run, "max1", "cat"))
    for pair, other in (("aggregation", "LSE2 − max2"), ("patches", "LSE1 − LSE2")):
        for one in judged[pair].comparisons:
            if one.name == other:
                a, b = (paper.TABLE_2[m][one.cls].ap for m in other.split(" − "))
                assert one.paper == pytest.approx((a - b) / 100) and one.effect is None
    assert judged["patches"].word == verdicts.UNTESTABLE


def test_nothing_is_settled_without_a_curve_and_three_seeds(judged):
    assert not any(verdict.word in (verdicts.REPRODUCED, verdicts.REFUTED) for verdict in judged.values())
    outcome = judged["aggregation"].outcomes[0]
    assert (outcome.says, outcome.verdict) == ("for", verdicts.PARTLY) and "curve is not at hand" in outcome.why


def test_false_positives_are_compared_at_equal_foreground_on_train(run, judged):
    for one in judged["hard"].comparisons:
        if one.effect is None:
            continue
        model = one.name.split(",")[0]
        rates = {1: [], 2: []}
        for seed in (0, 1):
            first = choose_theta(run, model, one.cls, 1, seed)
            second = claims.matched_theta(run, model, one.cls, seed)
            found = [run.smoothed(model, one.cls, r, seed, "train").at(t).tp for r, t in ((1, first), (2, second))]
            assert abs(found[0] - found[1]) <= 64 * 64  # to a few superpixels
            for round, theta in ((1, first), (2, second)):
                counts = run.smoothed(model, one.cls, round, seed).at(theta)
                rates[round].append(counts.fp / (counts.fp + counts.tn))
        if min(rates[1] + rates[2]) > 0:
            wanted = 1 - np.exp(np.mean(np.log(rates[2])) - np.mean(np.log(rates[1])))
            assert one.effect.value == pytest.approx(wanted)
            assert one.effect.low <= one.effect.value <= one.effect.high <= 1


def test_numbers_are_set_beside_the_printed_ones(run, judged):
    found = {(c.name, c.cls): c for key in ("accuracies", "ap") for c in judged[key].comparisons}
    row = comparisons.row(run, "LSE1", "dog")
    for field, here in (("foreground", row.foreground), ("background", row.background), ("AP", row.ap)):
        printed = getattr(paper.TABLE_2["LSE1"]["dog"], field.lower()) / 100
        assert found[f"LSE1, {field}", "dog"].effect.value == pytest.approx(here.value - printed)


def test_classification_is_set_beside_the_answer_no(run, judged):
    cat, dog = judged["classification"].comparisons
    holds = evaluation.present(run.regions("val"), "cat")
    assert cat.effect.value == pytest.approx(1 - np.mean(~holds))  # this LSE1 labels every image rightly
    assert (100 * cat.paper, 100 * dog.paper) == (pytest.approx(0.69, abs=0.005), pytest.approx(-5.47, abs=0.005))


def test_the_way_is_that_of_the_last_tenth_of_the_curve(run, formula_folder, tmp_path):
    assert np.isnan(claims.way(run, "LSE1", "cat"))
    shutil.copytree(formula_folder, tmp_path / "copy")
    own = open_run(tmp_path / "copy/tiny.toml", tmp_path / "copy/run", progress=False)
    path = own.weights_path("LSE1", "cat").with_suffix(".jsonl")
    path.parent.mkdir()
    floor = float(np.log(1 + np.exp(-2)))
    losses = [np.log(2)] * 90 + [floor] * 10
    path.write_text("".join(json.dumps({"step": i, "samples": 10 * i, "loss": x}) + "\n"
                            for i, x in enumerate(losses, 1)))
    assert claims.way(own, "LSE1", "cat") == pytest.approx(1)


def test_a_run_that_lacks_a_seed_or_a_network_is_judged_by_what_it_has(formula_folder, tmp_path):
    shutil.copytree(formula_folder, tmp_path / "copy")
    own = open_run(tmp_path / "copy/tiny.toml", tmp_path / "copy/run", progress=False)
    own.scores_path("LSE1", "cat", 2, 1).unlink()
    for seed in (0, 1):
        own.scores_path("max1", "dog", 2, seed, "train").unlink()
    assert own.seeds("LSE1", "cat", 2) == (0,) and not own.holds("max1", "dog", 2) and own.holds("max1", "dog", 1)
    judged = {verdict.rule.key: verdict for verdict in claims.judge_all(own)}
    cat, dog = (next(c for c in judged["aggregation"].comparisons if (c.name, c.cls) == ("LSE1 − max1", cls))
                for cls in paper.CLASSES)
    assert cat.seeds == 1 and cat.effect is not None and dog.effect is None
    assert comparisons.three_way_counts(own, "LSE1")["cat"].shape == (1, 8, 4)


def test_a_choice_made_again_moves_no_value_and_an_oracle_is_never_worse(run, judged):
    again = {verdict.rule.key: verdict for verdict in claims.judge_all(run, again=True)}
    moved = 0
    for key, verdict in judged.items():
        for one, other in zip(verdict.comparisons, again[key].comparisons, strict=True):
            assert (one.name, one.cls, one.paper, one.seeds) == (other.name, other.cls, other.paper, other.seeds)
            if one.effect is None:
                assert other.effect is None
                continue
            assert other.effect.value == pytest.approx(one.effect.value, nan_ok=True)
            moved += (one.effect.low, one.effect.high) != (other.effect.low, other.effect.high)
            if key == "theta":
                assert other.effect.low >= 0
            if key in ("hard", "classification"):
                assert one.effect == other.effect
    assert moved > 10


KEPT = '{key: value for key, value in spaces.items() if key in ("settle", "part", "state", "text", "said")}'


def test_the_page_needs_neither_torch_nor_photographs(formula_folder):
    found = run_page(formula_folder, "09-verdicts", KEPT)
    assert found["settle"].startswith("No network of this run") and "drawn pictures" in found["part"]


def test_the_page_of_experiments_names_what_was_not_done(formula_folder):
    from lsegrepro.runs.experiments import experiments

    found = run_page(formula_folder, "10-experiments", KEPT)
    missing = [name for names in found["state"].values() for name in names]
    assert sorted(missing) == sorted(experiments(load_profile("quick")))
    assert all(f"  {name} \\\n" in found["text"] for name in missing)


def test_a_long_training_in_enough_seeds_settles_a_claim(formula_folder, tmp_path, monkeypatch):
    """The same evidence, with curves that reach the floor and with as many seeds as are asked for."""
    shutil.copytree(formula_folder, tmp_path / "copy")
    own = open_run(tmp_path / "copy/tiny.toml", tmp_path / "copy/run", progress=False)
    for network in own.networks():
        path = own.weights_path(*network).with_suffix(".jsonl")
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({"step": 1, "samples": 10, "loss": 0.2}) + "\n")
    monkeypatch.setattr(verdicts, "SEEDS", 2)
    judged = {verdict.rule.key: verdict for verdict in claims.judge_all(own)}
    found = {(c.name, c.cls): o.verdict for v in judged.values()
             for c, o in zip(v.comparisons, v.outcomes, strict=True)}
    for cls in paper.CLASSES:
        assert found["LSE1 − max1", cls] == found["LSE1 − centred box", cls] == verdicts.REPRODUCED
        assert found["max1 − centred box", cls] in (verdicts.REFUTED, verdicts.UNTESTABLE)
        assert found["LSE1, AP", cls] == verdicts.REFUTED  # far above the number printed
        assert found["LSE2 − max2", cls] == verdicts.UNTESTABLE
    assert judged["aggregation"].word == judged["labels"].word == verdicts.PARTLY
    assert judged["ap"].word == verdicts.REFUTED
