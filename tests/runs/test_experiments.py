"""Experiments: each differs from the run in what it names and in nothing else, and is never taken for the run."""

import dataclasses
import json

import numpy as np
import pytest
from conftest import one_line, run_page

from lsegrepro import cli, evaluation
from lsegrepro.config import NO_JITTER
from lsegrepro.files import LsegreproError
from lsegrepro.config import BUILT_IN, load_profile
from lsegrepro.runs import experiments, facts
from lsegrepro.runs.experiments import Experiment
from lsegrepro.runs.results import choose_theta

LISTED = experiments.experiments(load_profile("local"))  # with those that change nothing
NAMES = list(experiments.experiments(load_profile("full")))


def differing(one: dict, other: dict) -> set[str]:
    return {key for key in one if one[key] != other[key]}


@pytest.mark.parametrize("name", LISTED)
def test_an_experiment_changes_what_it_names_and_nothing_else(tiny_run, name):
    experiment = LISTED[name]
    varied, base = experiment.run(tiny_run).profile, tiny_run.profile
    assert varied.rounds == (experiment.round,) and varied.models == experiment.models
    assert (varied.classes, varied.superpixels) == (base.classes, base.superpixels)
    assert varied.seeds == (experiment.seeds or base.seeds)
    model, cls = experiment.models[0], base.classes[0]
    ours, theirs = (dataclasses.asdict(p.arguments(model, cls, experiment.round)) for p in (varied, base))
    assert differing(ours, theirs) <= set().union(*(experiment.changes.get(key, {}) for key in ("training", "round2")))
    for table in ("data", "scoring"):
        ours, theirs = (dataclasses.asdict(getattr(p, table)) for p in (varied, base))
        assert differing(ours, theirs) == set(experiment.changes.get(table, {}))


def test_the_list_holds_what_it_should():
    changes = {name: each.changes for name, each in LISTED.items()}
    fractions = [changes[f"photographs-1-{n}"]["data"]["fraction"] for n in (8, 4, 2)]
    assert fractions == [1 / 8, 1 / 4, 1 / 2]
    assert changes["no-jitter"]["training"]["jitter"] == dataclasses.asdict(NO_JITTER)
    assert changes["literal-settings"]["training"] == {
        "rate": 0.001, "batch": 1, "momentum": 0.0, "precision": "float32"}
    assert not LISTED["native-scale"].trains
    other, built_in = LISTED["another-seed"], [load_profile(name).seeds for name in BUILT_IN]
    assert other.trains and not other.changes and not set(other.seeds) & set(sum(built_in, ()))


@pytest.fixture
def small(own_run, monkeypatch):
    """An experiment that trains the tiny run's LSE1 in another way, and one that only scores it otherwise."""
    found = {
        "linear": Experiment("linear", "output", ("LSE1",), 1, {"training": {"output": "linear"}}),
        "larger": Experiment("larger", "scale", ("LSE1",), 2, {"scoring": {"scale_to": 64}}),
        "fewer": Experiment("fewer", "photographs", ("LSE1",), 1, {"data": {"weak_train": 6}}),
        "again": Experiment("again", "seed", ("LSE1",), 1, {}, (7,)),
        "easy": Experiment("easy", "hard", ("LSE1",), 2, {"round2": {"hard": 0.0}}),
        "unchanged": Experiment("unchanged", "length", ("LSE1",), 1, {}),
    }
    monkeypatch.setattr(experiments, "_listed", lambda: found)
    return own_run


def test_an_experiment_trains_a_network_of_its_own_and_is_kept(small):
    before = {path: path.read_bytes() for path in small.folder.rglob("*.*")}
    name = "LSE1-cat-round1-seed0"
    found = experiments.perform(small, "linear")[name]
    folder = small.folder / "experiments" / "linear"
    card = json.loads((folder / "weights" / f"{name}.json").read_text())
    assert card["arguments"]["output"] == "linear" and found.samples == card["samples"] == 16
    assert {path: path.read_bytes() for path in before} == before  # the run itself is as it was
    assert not list(folder.glob("evidence/regions-*"))  # the regions are those of the run
    varied = experiments.experiments(small.profile)["linear"].run(small)
    theta = choose_theta(varied, "LSE1", "cat", 1, 0)
    counts = evaluation.per_image_counts(small.regions("val"), varied.scores("LSE1", "cat"), theta=theta)
    assert found.theta == theta and (found.counts == counts).all()
    assert found.ap is None or np.isnan(found.ap) or found.ap == evaluation.ap(counts.sum(axis=0))
    assert (found.photographs, found.final["loss"]) == (4, card["final"]["loss"])
    # Read again without pictures or weights.
    for path in folder.rglob("*.*"):
        path.unlink()
    reader = dataclasses.replace(small, depth="evidence")
    again = experiments.found(reader, "linear")[name]
    assert (again.counts == counts).all() and again.curve == found.curve
    assert experiments.found(reader, "fewer") == {}


def test_what_is_only_scored_otherwise_takes_the_weights_of_the_run(small):
    found = experiments.perform(small, "larger", score=False)  # there is nothing else to do than to score
    assert list(found) == ["LSE1-cat-round2-seed0"]
    folder = small.folder / "experiments" / "larger"
    assert not (folder / "weights").exists()
    meta = experiments.experiments(small.profile)["larger"].run(small).scores("LSE1", "cat", 2).meta
    assert meta["arguments"]["scale_to"] == 64
    assert meta["weights_sha256"] == small.card("LSE1", "cat", 2)["sha256"]


def test_a_second_round_begins_with_the_first_of_the_run(small):
    before = {path: path.read_bytes() for path in small.folder.rglob("*.*")}
    (found,) = experiments.perform(small, "easy").values()
    folder = small.folder / "experiments" / "easy"
    assert [path.name for path in folder.glob("weights/*.safetensors")] == ["LSE1-cat-round2-seed0.safetensors"]
    assert not (folder / "negatives").exists()
    varied = experiments.experiments(small.profile)["easy"].run(small)
    card, own, first = varied.card("LSE1", "cat", 2), small.card("LSE1", "cat", 2), small.card("LSE1", "cat")
    assert card["start_sha256"] == own["start_sha256"] == first["sha256"]
    assert (card["arguments"]["hard"], own["arguments"]["hard"]) == (0.0, 0.5) and card["sha256"] != own["sha256"]
    assert found.samples == small.images_seen("LSE1", "cat", 2) == card["samples"] + first["samples"]
    assert {path: path.read_bytes() for path in before} == before
    rows, _ = experiments.groups(small, "hard")
    assert [(g.name, g.found[0].samples) for g in rows] == [("", found.samples), ("easy", found.samples)]


def test_training_alone_is_completed_by_scoring_later(small):
    (one,) = experiments.perform(small, "fewer", score=False).values()
    assert one.ap is None and one.theta is None and one.photographs == 2
    (two,) = experiments.perform(small, "fewer").values()
    assert two.counts is not None and two.final == one.final


def test_one_class_is_done_alone_and_the_other_added(small):
    both = dataclasses.replace(small, profile=dataclasses.replace(small.profile, classes=("cat", "dog")))
    assert experiments.undone(both, "fewer") == ["cat", "dog"]
    assert list(experiments.perform(both, "fewer", classes=("dog",))) == ["LSE1-dog-round1-seed0"]
    assert experiments.undone(both, "fewer") == ["cat"]
    rows, missing = experiments.groups(both, "photographs")
    assert [(g.name, g.cls) for g in rows] == [("", "cat"), ("fewer", "dog")] and missing == ["fewer"]
    for path in (small.folder / "experiments").rglob("*.*"):
        path.unlink()  # what is on record is not done again
    first = facts.fact_path(both, "experiment-fewer").read_text()
    found = experiments.perform(both, "fewer", classes=("dog",))
    assert facts.fact_path(both, "experiment-fewer").read_text() == first
    assert not list((small.folder / "experiments").rglob("*.*"))
    again = experiments.perform(both, "fewer")
    assert list(again) == ["LSE1-dog-round1-seed0", "LSE1-cat-round1-seed0"]
    assert experiments.undone(both, "fewer") == []
    assert (again["LSE1-dog-round1-seed0"].counts == found["LSE1-dog-round1-seed0"].counts).all()
    with pytest.raises(LsegreproError) as error:
        experiments.perform(small, "fewer", classes=("dog",))
    one_line(error, "unknown class 'dog'", "choose one of cat")


def test_another_seed_is_a_network_of_its_own(small):
    assert list(experiments.perform(small, "again")) == ["LSE1-cat-round1-seed7"]
    (own, again), missing = experiments.groups(small, "seed")
    assert (again.name, missing, len(again.found)) == ("again", [], 1)
    assert again.found[0].final["loss"] != own.found[0].final["loss"]


def test_experiments_of_fewer_images_stand_beside_a_network_of_as_many(small):
    assert "unchanged" not in experiments.experiments(small.profile)
    with pytest.raises(LsegreproError) as error:
        experiments.perform(small, "unchanged")
    one_line(error, "no experiment 'unchanged'")
    short = dataclasses.replace(small, profile=dataclasses.replace(small.profile, experiments={"samples": 8}))
    (own,), missing = experiments.groups(short, "length")
    assert (own.name, own.found[0].samples, missing) == ("", 16, ["unchanged"])
    assert experiments.groups(short, "output") == ([], ["linear"])  # there is nothing to set beside yet
    for name in ("unchanged", "linear"):
        (one,) = experiments.perform(short, name).values()
        assert one.samples == 8
    (own, fewer), _ = experiments.groups(short, "length")
    assert (own.found[0].samples, fewer.name, fewer.found[0].samples) == (16, "unchanged", 8)
    (base, linear), _ = experiments.groups(short, "output")
    assert (base.name, linear.name) == ("", "linear") and base.found[0].final == fewer.found[0].final
    experiments.perform(short, "larger")  # trains nothing, and stays beside the run itself
    (same, larger), _ = experiments.groups(short, "scale")
    assert same.found[0].samples == larger.found[0].samples == small.images_seen("LSE1", "cat", 2)
    with pytest.raises(LsegreproError) as error:  # of as many images as the run
        experiments.found(small, "linear")
    one_line(error, "facts-experiment-linear.json", "refused")


def test_a_record_of_other_arguments_is_refused(small):
    experiments.perform(small, "fewer", score=False)
    other = dataclasses.replace(small, profile=dataclasses.replace(
        small.profile, training=small.profile.training | {"rate": 0.5}))
    with pytest.raises(LsegreproError) as error:
        experiments.found(other, "fewer")
    one_line(error, "facts-experiment-fewer.json", "refused", "arguments")
    with pytest.raises(LsegreproError) as error:  # and so are its weights
        facts.fact_path(small, "experiment-fewer").unlink()
        experiments.perform(other, "fewer", score=False)
    one_line(error, "rate = 0.006")


def test_the_run_itself_stands_beside(small, tiny_run):
    facts.weak_labels(small)
    one = experiments.beside(small, "LSE1", "cat", 1, 0)
    theta = choose_theta(tiny_run, "LSE1", "cat", 1, 0)
    assert (one.theta, one.photographs, one.samples) == (theta, 4, 16)
    assert experiments.beside(small, "LSE2", "cat", 1, 0) is None


def test_the_command_lists_and_refuses(tiny_folder, capsys):
    options = ["--profile", str(tiny_folder / "tiny.toml"), "--run", str(tiny_folder / "run")]
    assert cli.main(["experiment", *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == NAMES and all("to do" in line for line in lines)
    assert cli.main(["experiment", "nonsense", *options]) == 2
    assert "no experiment 'nonsense': choose one of photographs-1-8" in capsys.readouterr().err


def test_the_command_does_one(small, capsys, monkeypatch):
    folder = small.folder.parent
    code = cli.main(["experiment", "fewer", "--class", "cat", "--no-score", "--profile", str(folder / "tiny.toml"),
                     "--run", str(small.folder), "--device", "cpu"])
    said = capsys.readouterr()
    assert code == 0 and "LSE1-cat-round1-seed0" in said.out and "16 images seen" in said.out
    assert said.out.splitlines()[-1].endswith("facts-experiment-fewer.json")


def test_what_is_known_of_a_question_and_what_is_not(small):
    rows, missing = experiments.groups(small, "output")
    assert [(g.name, g.model) for g in rows] == [("", "LSE1")] and missing == ["linear"]
    assert experiments.command(small, "linear").endswith(f"--run {small.folder.as_posix()}")
    experiments.perform(small, "linear")
    (own, linear), missing = experiments.groups(small, "output")
    assert (linear.name, linear.cls, missing) == ("linear", "cat", [])
    assert linear.counts.shape == own.counts.shape == (1, 6, 4) and (linear.counts[0] == linear.found[0].counts).all()
    assert linear.mean("loss") == linear.found[0].final["loss"] and np.isnan(linear.mean("nothing"))


def test_the_page_sets_what_was_done_beside_what_chance_does(own_run):
    for name in ("another-seed", "no-jitter"):
        experiments.perform(own_run, name)
    found = run_page(own_run.folder.parent, "10-experiments", """{
        "gaps": [(*gap[:2], gap[-1].value) for gap in spaces["gaps"]], "chance": spaces["chance"],
        "names": spaces["told_by"], "done": [name for name, left in spaces["left"].items() if not left],
        "text": spaces["text"]}""")
    assert found["done"] == ["another-seed", "no-jitter"]
    assert found["text"].startswith(f"2 of the {len(NAMES)} experiments were done, for this run. The rest waits")
    base = experiments.beside(dataclasses.replace(own_run), "LSE1", "cat", 1, 0)
    *gaps, (question, change, gap) = found["gaps"]  # the last needs no experiment
    assert (question, change) == ("temperature", "max1, this run, r → ∞")
    assert gap == pytest.approx(
        experiments.beside(dataclasses.replace(own_run), "max1", "cat", 1, 0).ap - base.ap)
    for (question, change, gap), name, seed in zip(gaps, found["done"], (3, 0), strict=True):
        one = experiments.found(own_run, name)[f"LSE1-cat-round1-seed{seed}"]
        assert (question, change) == (LISTED[name].question, f"LSE1, {name.replace('-', ' ')}")
        assert gap == pytest.approx(one.ap - base.ap)
    assert found["chance"] == {"cat": abs(found["gaps"][0][-1])} and set(found["names"]) == {"cat"}
