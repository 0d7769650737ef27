"""Experiments: a run's profile with a few values changed, trained and scored beside it.

They are listed in ``profiles/experiments.toml``. An experiment trains in a run folder of its own,
``experiments/{name}`` below that of the run it varies; its result is one JSON file, ``experiments/{name}.json``,
that a page reads.
"""

import dataclasses
import itertools
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import evaluation, paper
from ..config import LATER, Profile, parse_aggregation
from ..data import LABELS, label_codes
from ..evaluation.counts import class_totals, counts_from_positives
from ..files import LsegreproError, locked, read_json, write_json
from .folder import SPLITS, Network, RunFolder, require_choice, require_file, require_same
from .published import PUBLISHED, copy_file
from .results import choose_theta
from .statistics import read_statistics

PATH = Path(__file__).parents[1] / "profiles" / "experiments.toml"


@dataclass(frozen=True)
class Experiment:
    """A named variation of a profile; experiments of one question are shown together."""

    name: str
    question: str  # none of what is unchanged
    models: tuple[str, ...]
    round: int  # that is trained, or whose networks are scored otherwise
    changes: dict[str, Any]  # tables data, training, round2, scoring of the values that differ from the run's profile
    seeds: tuple[int, ...] = ()  # of its own; empty where they are those of the run

    @property
    def trains(self) -> bool:
        """Whether it trains networks of its own; otherwise it scores those of the run in another way."""
        return set(self.changes) != {"scoring"}

    @property
    def unchanged(self) -> bool:
        """Whether it differs from the run in the number of images alone, as a baseline for the others."""
        return not self.changes and not self.seeds

    def varied(self, run: RunFolder) -> RunFolder:
        """The run that it trains: the profile with its changes, in a folder of its own."""
        profile, changes = run.profile, self.changes
        training = (profile.experiments if self.trains and self.round == 1 else {}) | changes.get("training", {})
        network = {key: {field: value for field, value in table.items() if field not in training}
                   for key, table in profile.network.items() if key.split("-")[0] in (*self.models, *profile.classes)}
        varied = dataclasses.replace(
            profile, name=f"{profile.name}, {self.name}", models=self.models, rounds=(self.round,),
            seeds=self.seeds or profile.seeds, network=network, training=profile.training | training,
            round2=profile.round2 | changes.get("round2", {}),
            **{key: dataclasses.replace(getattr(profile, key), **changes.get(key, {})) for key in ("data", "scoring")})
        return dataclasses.replace(run, profile=varied, folder=run.folder / "experiments" / self.name)


def load_experiments(profile: Profile) -> dict[str, Experiment]:
    """The experiments of a profile by their names, in the order of ``profiles/experiments.toml``."""
    return {name: e for name, e in _read_toml().items() if profile.experiments or not e.unchanged}


@cache
def _read_toml() -> dict[str, Experiment]:
    tables = tomllib.loads(PATH.read_text(encoding="utf-8"))
    return {name: Experiment(name, table.pop("question", ""), tuple(table.pop("models")), table.pop("round", 1),
                             seeds=tuple(table.pop("seeds", ())), changes=table) for name, table in tables.items()}


def find_experiment(run: RunFolder, name: str) -> Experiment:
    """One of `load_experiments`; raises `LsegreproError` with the choices if there is none of that name."""
    experiments = load_experiments(run.profile)
    require_choice("experiment", name, experiments)
    return experiments[name]


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """What one network, of an experiment or of the run itself, gave."""

    samples: int  # images seen, in all rounds up to its own
    photographs: int  # training photographs that hold the class; 0 if unknown
    theta: float  # chosen on train
    counts: np.ndarray  # (n, 4) int64, pixels of each val image at that theta


# Run an experiment


def run_experiment(run: RunFolder, name: str, cls: str | None = None) -> dict[str, ExperimentResult]:
    """Train and score the networks of an experiment that are missing, of a class or all, and write its result."""
    from . import make  # torch

    varied, path = find_experiment(run, name).varied(run), result_path(run, name)
    for network in varied.networks():
        key = varied.name(*network)
        if cls not in (None, network[1]) or key in read_experiment(run, name):
            continue
        _copy_shared(run, varied, network, find_experiment(run, name).trains)
        make.train_network(varied, *network)
        for split in SPLITS:
            make.score_network(varied, *network, split, superpixels=make.superpixel_cache(run))
        record = _record(varied, network, int((label_codes(varied.weak("train")) == LABELS.index(network[1])).sum()))
        with locked(path, timeout=60):  # another process may add another class meanwhile
            content = read_json(path) if path.is_file() else {
                "command": command(run, name), "val": run.regions("val").data_digest, "networks": {}}
            content["networks"][key] = record
            write_json(path, content)
    return read_experiment(run, name)


def _copy_shared(run: RunFolder, varied: RunFolder, network: Network, trains: bool) -> None:
    """Copy what is the same for the run and its experiment into the folder of the latter."""
    from . import make  # torch

    model, cls, round, seed = network
    last = round - trains  # round of the network that it begins with; 0 is none
    paths = [make.make_regions(run, split) for split in SPLITS]
    if last:
        require_file(run, run.weights_path(model, cls, last, seed), "train", (model, cls, last, seed))
    if last and trains:
        negatives = run.negatives_path(model, cls, seed)
        require_file(run, negatives, f"mine --model {model} --class {cls} --seed {seed}")
        paths.append(negatives)
    for before in range(1, last + 1):  # the card of round 1 says how many images it saw
        card = run.card_path(model, cls, before, seed)
        paths += [card, card.with_suffix(".jsonl"), card.with_suffix(".safetensors")]
    for path in paths:
        target = varied.folder / path.relative_to(run.folder)
        if path.is_file() and not target.is_file():
            copy_file(path, target)


def command(run: RunFolder, name: str) -> str:
    """The command that does an experiment for a run."""
    # A reader's experiments belong into a run of the reader's own, not beside the published weights.
    folder = "" if run.folder.name == PUBLISHED.name else f" --run {run.folder.as_posix()}"
    return f"lsegrepro experiment {name} --profile {run.profile.spec}{folder}"


# Results


def result_path(run: RunFolder, name: str) -> Path:
    """Where the result of an experiment is kept."""
    return run.folder / "experiments" / f"{name}.json"


def read_experiment(run: RunFolder, name: str) -> dict[str, ExperimentResult]:
    """What an experiment gave so far, by `RunFolder.name`; empty if it was not begun.

    Raises `LsegreproError` if there is no such experiment, or its file is of another profile than the run's, of other
    networks of round 1, or was measured on other images.
    """
    experiment, path, results = find_experiment(run, name), result_path(run, name), {}
    varied = experiment.varied(run)
    if not path.is_file():
        return {}
    content = read_json(path)
    if content["val"] != run.regions("val").data_digest:
        raise LsegreproError(f"{path} was measured on other images than {run.regions_path('val')}: delete it and run "
                             "the experiment again")
    for key, record in content["networks"].items():
        model, cls, round, seed = key.split("-")
        network = model, cls, int(round[5:]), int(seed[4:])
        require_same(varied, path, dataclasses.asdict(varied.profile.arguments(*network)), LATER | record["arguments"])
        # The network of the run that it scored, or began with.
        of, last = ("start_sha256", network[2] - 1) if experiment.trains else ("sha256", network[2])
        if last and (own := run.card_path(model, cls, last, network[3])).is_file():
            require_same(varied, path, {of: read_json(own)["sha256"]}, record)
        results[key] = _result(run, cls, record)
    return results


def missing(run: RunFolder, name: str) -> list[str]:
    """Classes of the run that an experiment was not done for, with every model and seed."""
    scored, networks = read_experiment(run, name), find_experiment(run, name).varied(run).networks()
    return list(dict.fromkeys(network[1] for network in networks if run.name(*network) not in scored))


def baseline(run: RunFolder, model: str, cls: str, round: int, seed: int) -> ExperimentResult | None:
    """What a network of the run itself gave, for the same table; None if it is not there."""
    network = (model, cls, round, seed)
    if not run.card_path(*network).is_file() or not all(run.has_scores(*network, split) for split in SPLITS):
        return None
    try:
        photographs = read_statistics(run, "weak-labels")["train"]["labels"][cls]
    except LsegreproError:
        photographs = 0
    return _result(run, cls, _record(run, network, photographs))


@dataclass(frozen=True, eq=False)
class ExperimentRow:
    """A row of a table of experiments: one network over its seeds, varied or as the run has it."""

    name: str  # of the experiment; empty for the baseline
    model: str
    cls: str
    results: tuple[ExperimentResult, ...]  # one a seed

    @property
    def counts(self) -> np.ndarray:
        """Pixels of each val image, of each seed: (s, n, 4) int64."""
        return np.stack([result.counts for result in self.results])

    @property
    def temperature(self) -> float:
        """The r of the aggregation: 0 for the mean, 1 for the paper's log-sum-exp, infinity for the maximum."""
        changes = _read_toml()[self.name].changes.get("training", {}) if self.name else {}
        kind, r = parse_aggregation(changes.get("aggregation", paper.MODELS[self.model][1]))
        return {"mean": 0.0, "lse": 1.0, "max": math.inf}.get(kind, r)


def experiment_rows(run: RunFolder, question: str) -> list[ExperimentRow]:
    """The table of one question: baselines first, then each experiment that was done; temperatures in their order."""
    listed, seeds = load_experiments(run.profile).values(), run.profile.seeds
    asked = [e for e in listed if e.question == question and not e.unchanged]
    # The baseline is a network trained on as many images as the experiments see, or else the run's own.
    of_as_many = {(model, e.round): e.name for e in listed if e.unchanged for model in e.models}
    twins = {(model, e.round) for e in asked for model in e.models}
    if question == "temperature":
        twins.add(("max1", 1))  # r without end
    kinds = [("", of_as_many.get(twin), *twin, seeds) for twin in sorted(twins)]
    kinds += [(e.name, e.name, model, e.round, e.seeds or seeds) for e in asked for model in e.models]
    rows = []
    for (name, source, model, round, of_seeds), cls in itertools.product(kinds, run.profile.classes):
        results = [read_experiment(run, source).get(run.name(model, cls, round, seed)) if source
                   else baseline(run, model, cls, round, seed) for seed in of_seeds]
        rows.append(ExperimentRow(name, model, cls, tuple(filter(None, results))))
    rows = [row for row in rows if row.results]
    return sorted(rows, key=lambda row: row.temperature) if question == "temperature" else rows


def _record(run: RunFolder, network: Network, photographs: int) -> dict[str, Any]:
    """What a network of a run gave, as JSON: what `ExperimentResult` holds, and how it was made."""
    card, theta = run.card(*network), choose_theta(run, *network)
    counts = evaluation.per_image_counts(run.regions("val"), run.scores(*network), theta=theta)
    return {"arguments": card["arguments"], "scoring": dataclasses.asdict(run.profile.scoring),
            "sha256": card["sha256"], "start_sha256": card.get("start_sha256"),
            "samples": run.images_seen(*network), "hours": card["hours"], "device": card["device"],
            "photographs": photographs, "final": card["final"], "theta": theta,
            "ap": float(evaluation.ap(counts.sum(axis=0))), "positives": counts[:, :2].tolist()}


def _result(run: RunFolder, cls: str, record: dict[str, Any]) -> ExperimentResult:
    positives = np.array(record["positives"], np.int64)
    return ExperimentResult(record["samples"], record["photographs"], record["theta"],
                            counts_from_positives(positives, class_totals(run.regions("val"), cls)))
