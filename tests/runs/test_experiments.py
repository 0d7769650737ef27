"""Experiments: each differs from the run in what it names and in nothing else, and is never taken for the run."""

import dataclasses

import pytest
from conftest import changed, refused

from lsegrepro import cli, evaluation
from lsegrepro.config import BUILT_IN, NO_JITTER, load_profile
from lsegrepro.files import read_json, write_json
from lsegrepro.runs import experiments
from lsegrepro.runs.experiments import Experiment, experiment_rows, missing, read_experiment, run_experiment
from lsegrepro.runs.results import choose_theta

LISTED = experiments.load_experiments(load_profile("local"))  # with those that change nothing


def differing(one: dict, other: dict) -> set[str]:
    return {key for key in one if one[key] != other[key]}


@pytest.mark.parametrize("name", LISTED)
def test_an_experiment_changes_what_it_names_and_nothing_else(tiny_run, name):
    experiment = LISTED[name]
    varied, base = experiment.varied(tiny_run).profile, tiny_run.profile
    assert varied.rounds == (experiment.round,) and varied.models == experiment.models
    assert (varied.classes, varied.superpixels) == (base.classes, base.superpixels)
    assert varied.seeds == (experiment.seeds or base.seeds)
    model, cls = experiment.models[0], base.classes[0]
    ours, theirs = (dataclasses.asdict(p.arguments(model, cls, experiment.round)) for p in (varied, base))
    assert differing(ours, theirs) <= set().union(*(experiment.changes.get(key, {}) for key in ("training", "round2")))
    for table in ("data", "scoring"):
        ours, theirs = (dataclasses.asdict(getattr(p, table)) for p in (varied, base))
        assert differing(ours, theirs) == set(experiment.changes.get(table, {}))


def test_a_change_goes_before_what_one_network_has_of_its_own(tiny_run):
    run = changed(tiny_run, network={"LSE1-cat": {"rate": 0.5, "samples": 30}, "cat": {"batch": 2}})
    varied = Experiment("slow", "rate", ("LSE1",), 1, {"training": {"rate": 0.25}}).varied(run).profile
    arguments = varied.arguments("LSE1", "cat")
    assert (arguments.rate, arguments.samples, arguments.batch) == (0.25, 30, 2)


def test_the_list_holds_what_it_should():
    changes = {name: experiment.changes for name, experiment in LISTED.items()}
    assert changes["no-jitter"]["training"]["jitter"] == dataclasses.asdict(NO_JITTER)
    other, built_in = LISTED["another-seed"], [load_profile(name).seeds for name in BUILT_IN]
    assert other.trains and not other.changes and not set(other.seeds) & set(sum(built_in, ()))
    rows = [experiments.ExperimentRow(name, "LSE1", "cat", ()) for name in ("mean", "tempered-4", "")]
    assert [row.temperature for row in rows] == [0.0, 4.0, 1.0]


@pytest.fixture
def small(own_run, monkeypatch):
    """The tiny run, with experiments that train or score its networks in another way."""
    listed = {
        "linear": Experiment("linear", "output", ("LSE1",), 1, {"training": {"output": "linear"}}),
        "larger": Experiment("larger", "scale", ("LSE1",), 2, {"scoring": {"scale_to": 64}}),
        "again": Experiment("again", "seed", ("LSE1",), 1, {}, (7,)),
        "easy": Experiment("easy", "hard", ("LSE1",), 2, {"round2": {"hard": 0.0}}),
        "unchanged": Experiment("unchanged", "", ("LSE1",), 1, {}),
    }
    monkeypatch.setattr(experiments, "_read_toml", lambda: listed)
    return own_run


def test_a_network_of_its_own_is_trained_and_its_result_read_without_it(small, capsys):
    options = ["--profile", small.profile.spec, "--run", str(small.folder), "--device", "cpu"]
    assert cli.main(["experiment", *options]) == 0
    assert [line.split()[:4] for line in capsys.readouterr().out.splitlines()][0] == ["linear", "to", "do:", "cat"]
    before = {path: path.read_bytes() for path in small.folder.rglob("*.*") if path.suffix != ".lock"}
    name, folder = "LSE1-cat-round1-seed0", small.folder / "experiments" / "linear"
    assert missing(small, "linear") == ["cat"] and [row.name for row in experiment_rows(small, "output")] == [""]
    assert cli.main(["experiment", "linear", "--class", "cat", *options]) == 0
    out, result = capsys.readouterr().out, read_experiment(small, "linear")[name]
    assert name in out and "16 images seen, AP" in out
    assert out.splitlines()[-1] == str(experiments.result_path(small, "linear"))
    assert missing(small, "linear") == []
    assert {path: path.read_bytes() for path in before} == before  # the run itself is as it was
    varied = experiments.find_experiment(small, "linear").varied(small)
    card = varied.card("LSE1", "cat")
    assert card["arguments"]["output"] == "linear" and result.samples == card["samples"] == 16
    theta = choose_theta(varied, "LSE1", "cat", 1, 0)
    counts = evaluation.per_image_counts(small.regions("val"), varied.scores("LSE1", "cat"), theta=theta)
    assert result.theta == theta and (result.counts == counts).all() and result.photographs == 4
    content = read_json(experiments.result_path(small, "linear"))
    assert content["command"].startswith("lsegrepro experiment linear --profile")
    assert content["networks"][name]["ap"] == evaluation.ap(counts.sum(axis=0))
    for path in folder.rglob("*.*"):
        path.unlink()
    again = read_experiment(dataclasses.replace(small, depth="evidence"), "linear")[name]
    assert (again.counts == counts).all()
    own, linear = experiment_rows(small, "output")
    assert (own.name, linear.name, linear.model, linear.cls) == ("", "linear", "LSE1", "cat")
    assert linear.counts.shape == own.counts.shape == (1, 6, 4)
    path = experiments.result_path(small, "linear")
    write_json(path, content | {"val": "other"})
    refused(lambda: read_experiment(small, "linear"), path, "measured on other images")


def test_what_is_only_scored_otherwise_takes_the_weights_of_the_run(small):
    run_experiment(small, "larger")
    content = read_json(experiments.result_path(small, "larger"))["networks"]["LSE1-cat-round2-seed0"]
    assert content["sha256"] == small.card("LSE1", "cat", 2)["sha256"] and content["scoring"]["scale_to"] == 64
    own, larger = experiment_rows(small, "scale")
    assert own.results[0].samples == larger.results[0].samples == small.images_seen("LSE1", "cat", 2)


@pytest.mark.parametrize("name, change, differs", [
    ("linear", {"training": {"rate": 0.5}}, "rate"), ("larger", {}, "sha256"), ("easy", {}, "start_sha256")])
def test_results_of_another_recipe_or_of_other_networks_are_refused(small, name, change, differs):
    run_experiment(small, name)
    path = experiments.result_path(small, name)
    content = read_json(path)
    (record,) = content["networks"].values()
    record |= {key: "other" for key in ("sha256", "start_sha256")}
    write_json(path, content)
    run = dataclasses.replace(small, profile=dataclasses.replace(
        small.profile, training=small.profile.training | change.get("training", {})))
    refused(lambda: read_experiment(run, name), path, f"was made with {differs} = ")


def test_a_second_round_begins_with_the_first_of_the_run(small):
    (result,) = run_experiment(small, "easy").values()
    path = small.folder / "experiments" / "easy" / "weights" / "LSE1-cat-round2-seed0.json"
    card, own, first = read_json(path), small.card("LSE1", "cat", 2), small.card("LSE1", "cat")
    assert card["start_sha256"] == own["start_sha256"] == first["sha256"]
    assert (card["arguments"]["hard"], own["arguments"]["hard"]) == (0.0, 0.5) and card["sha256"] != own["sha256"]
    assert result.samples == small.images_seen("LSE1", "cat", 2) == card["samples"] + first["samples"]


def test_experiments_of_fewer_images_have_a_baseline_of_as_many(small):
    assert "unchanged" not in experiments.load_experiments(small.profile)
    short = dataclasses.replace(small, profile=dataclasses.replace(small.profile, experiments={"samples": 8}))
    assert experiment_rows(short, "output") == []  # there is no baseline yet
    for name in ("unchanged", "linear"):
        assert [result.samples for result in run_experiment(short, name).values()] == [8]
    base, linear = experiment_rows(short, "output")
    assert (base.name, linear.name) == ("", "linear") and base.results[0].samples == 8


def test_one_class_is_done_alone_and_the_other_added(small):
    both = dataclasses.replace(small, profile=dataclasses.replace(small.profile, classes=("cat", "dog")))
    assert list(run_experiment(both, "again", "dog")) == ["LSE1-dog-round1-seed7"]
    assert missing(both, "again") == ["cat"]
    assert list(run_experiment(both, "again")) == ["LSE1-dog-round1-seed7", "LSE1-cat-round1-seed7"]
    assert missing(both, "again") == []
    refused(lambda: run_experiment(small, "nonsense"), "unknown experiment 'nonsense': choose one of linear")
