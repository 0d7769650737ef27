"""Experiments: a run's profile with a few values changed, trained and scored beside it.

They are listed in ``profiles/experiments.toml``. An experiment trains in a run folder of its own,
``experiments/{name}`` below that of the run it varies; its result is one JSON file, ``experiments/{name}.json``,
that a page reads without torch, photographs or weights.
"""

from __future__ import annotations

import dataclasses
import math
import shutil
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import evaluation, paper
from ..config import Profile, parse_aggregation, vary
from ..data import LABELS, label_codes
from ..evaluation.counts import class_totals, counts_from_positives
from ..files import LsegreproError, atomic, locked, read_json, write_json
from .folder import SPLITS, RunFolder, in_repository
from .publish import PUBLISHED
from .results import choose_theta
from .statistics import read_statistics

PATH = Path(__file__).parents[1] / "profiles" / "experiments.toml"

LENGTH = "length"
"""The question that the run itself answers beside its experiments, where they see fewer images."""

CURVE_ROWS = 60
"""Most rows of a training curve that a result keeps, evenly spaced."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes the same result."""


@dataclass(frozen=True)
class Experiment:
    """A named variation of a profile.

    Attributes
    ----------
    name, question : str
        Experiments of one question are shown together.
    models : tuple of str
    round : int
        The round that is trained, or whose networks are scored otherwise.
    seeds : tuple of int
        Of its own; empty where they are those of the run.
    changes : dict
        Tables ``data``, ``training``, ``round2``, ``scoring`` of the values that differ from the run's profile.
    """

    name: str
    question: str
    models: tuple[str, ...]
    round: int
    changes: dict[str, Any]
    seeds: tuple[int, ...] = ()

    @property
    def trains(self) -> bool:
        """Whether it trains networks of its own; otherwise it scores those of the run in another way."""
        return set(self.changes) != {"scoring"}

    @property
    def unchanged(self) -> bool:
        """Whether it differs from the run in the number of images alone, as a baseline for the others."""
        return not self.changes and not self.seeds

    def profile(self, base: Profile) -> Profile:
        """The profile that it trains: `base` with its changes."""
        changes = self.changes
        if self.trains and self.round == 1:
            changes = changes | {"training": base.experiments | changes.get("training", {})}
        return vary(base, self.name, changes, self.models, (self.round,), self.seeds)


def load_experiments(profile: Profile) -> dict[str, Experiment]:
    """Every experiment of a profile by its name, in the order of ``profiles/experiments.toml``.

    >>> from lsegrepro.config import load_profile
    >>> experiments = load_experiments(load_profile("full"))
    >>> experiments["no-jitter"].models, experiments["native-scale"].trains, "unchanged" in experiments
    (('LSE1',), False, False)
    """
    return {name: e for name, e in _read_toml().items() if profile.experiments or not e.unchanged}


@cache
def _read_toml() -> dict[str, Experiment]:
    experiments = {}
    for name, table in tomllib.loads(PATH.read_text(encoding="utf-8")).items():
        changes = {key: table[key] for key in ("data", "training", "round2", "scoring") if key in table}
        experiments[name] = Experiment(name, table["question"], tuple(table["models"]), table.get("round", 1), changes,
                                       tuple(table.get("seeds", ())))
    return experiments


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """What one network, of an experiment or of the run itself, gave.

    Attributes
    ----------
    samples : int
        Images seen, in all rounds up to its own.
    hours, device
        Of its training in the round named, from its card.
    photographs : int
        Training photographs that hold the class; 0 if unknown.
    final : dict
        Last row of its training curve: ``loss``, ``heldout_loss``, ``heldout_accuracy``.
    curve : list of dict
        Rows with held-out numbers, at most `CURVE_ROWS`.
    theta, ap_train : float or None
        Chosen on train, and the AP there; None where VOC was not scored.
    counts : ndarray or None
        (n, 4) int64, pixels of each val image at that theta.
    """

    samples: int
    hours: float
    device: str
    photographs: int
    final: dict[str, float]
    curve: list[dict[str, float]]
    theta: float | None = None
    ap_train: float | None = None
    counts: np.ndarray | None = None

    @property
    def ap(self) -> float | None:
        """AP on val, a fraction; None where VOC was not scored."""
        return None if self.counts is None else float(evaluation.ap(self.counts.sum(axis=0)))


def result_path(run: RunFolder, name: str) -> Path:
    """Where the result of an experiment is kept."""
    return run.folder / "experiments" / f"{name}.json"


def run_experiment(
    run: RunFolder, name: str, *, classes: tuple[str, ...] = (), score: bool = True
) -> dict[str, ExperimentResult]:
    """Train and score the networks of an experiment that are missing, and write its result.

    Parameters
    ----------
    run : RunFolder
        The run it varies, whose own networks are trained if the experiment begins with them and they are missing.
    classes : tuple of str
        Only these, now; a later call adds the others. Default all of the run.
    score : bool
        Also score VOC, for AP. A result without it is completed by a later call with it.

    Returns
    -------
    dict
        Results by `RunPaths.name`, of this call and those before.

    Raises
    ------
    LsegreproError
        If there is no such experiment or class, or the photographs are not at hand.
    """
    from . import make  # torch

    experiment = _experiment(run, name)
    for cls in classes:
        if cls not in run.profile.classes:
            raise LsegreproError(f"unknown class {cls!r}: choose one of {', '.join(run.profile.classes)}")
    varied = dataclasses.replace(run, profile=experiment.profile(run.profile), folder=run.folder / "experiments" / name)
    score = score or not experiment.trains
    for network in varied.networks():
        result = read_experiment(run, name).get(varied.name(*network))
        if network[1] not in (classes or run.profile.classes) or (result and (result.counts is not None or not score)):
            continue
        _copy_shared(run, varied, experiment, network)
        make.train_network(varied, *network)
        for split in SPLITS if score else ():
            make.score_network(varied, *network, split)
        record = _record(varied, network, _photographs(varied, network[1]), score)
        with locked(result_path(run, name), timeout=PATIENCE):  # another process may add another class meanwhile
            content = _read_json(run, name) or {
                "command": command(run, name), "val": run.regions("val").data_digest, "networks": {}}
            content["networks"][varied.name(*network)] = record
            write_json(result_path(run, name), content)
    return read_experiment(run, name)


def _copy_shared(run: RunFolder, varied: RunFolder, experiment: Experiment, network: tuple[str, str, int, int]) -> None:
    """Copy what is the same for the run and its experiment into the folder of the latter."""
    from . import make  # torch

    model, cls, round, seed = network
    pairs = []
    if experiment.round == 2 or not experiment.trains:  # from the run's own networks
        start = (model, cls, 1 if experiment.trains else round, seed)
        make.train_network(run, *start)
        for end in (".json", ".jsonl", ".safetensors"):  # the card first: weights always have one
            pairs.append((run.weights_path(*start).with_suffix(end), varied.weights_path(*start).with_suffix(end)))
        first = (model, cls, 1, seed)  # its card says how many images round 1 saw
        if run.card_path(*first).is_file():
            pairs.append((run.card_path(*first), varied.card_path(*first)))
        if experiment.trains:
            pairs.append((make.mine_negatives(run, model, cls, seed), varied.negatives_path(model, cls, seed)))
    for split in SPLITS:
        pairs.append((make.count_regions(run, split), varied.regions_path(split)))
    for source, target in pairs:
        if not target.is_file():
            with atomic(target) as temporary:
                shutil.copyfile(source, temporary)


def read_experiment(run: RunFolder, name: str) -> dict[str, ExperimentResult]:
    """What an experiment gave so far, by `RunPaths.name`; empty if it was not begun.

    Raises
    ------
    LsegreproError
        If there is no such experiment, or its file is damaged or was measured on other images than the run.
    """
    experiment, path = _experiment(run, name), result_path(run, name)
    content = _read_json(run, name)
    if not content:
        return {}
    if content.get("val") != run.regions("val").data_digest:
        raise LsegreproError(f"{path} was measured on other images than {run.regions_path('val')}: delete it and run "
                             "the experiment again")
    try:
        results = {key: _result(run, key.split("-")[1], record) for key, record in content["networks"].items()}
        digests = {key: record["sha256"] for key, record in content["networks"].items()}
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise LsegreproError(f"{path} is no result of an experiment: delete it and run the experiment again") from error
    if experiment.trains:
        return results
    cards = {run.name(*n): run.card(*n) for n in run.networks() if run.card_path(*n).is_file()}  # the run's own
    return {key: result for key, result in results.items()
            if cards.get(key, {}).get("sha256", digests[key]) == digests[key]}


def missing(run: RunFolder, name: str) -> list[str]:
    """Classes of the run that an experiment was not scored for, for every model and seed."""
    results, profile = read_experiment(run, name), _experiment(run, name).profile(run.profile)
    return [cls for cls in run.profile.classes if not all(
        (result := results.get(run.name(model, cls, round, seed))) and result.counts is not None
        for model in profile.models for round in profile.rounds for seed in profile.seeds)]


def baseline(run: RunFolder, model: str, cls: str, round: int, seed: int) -> ExperimentResult | None:
    """What a network of the run itself gave, for the same table; None if it is not there."""
    network = (model, cls, round, seed)
    if model not in run.profile.models or cls not in run.profile.classes or not run.card_path(*network).is_file():
        return None
    scored = all(run.has_scores(*network, split) for split in SPLITS)
    try:
        photographs = read_statistics(run, "weak-labels")["train"]["labels"][cls]
    except LsegreproError:
        photographs = 0
    return _result(run, cls, _record(run, network, photographs, scored))


@dataclass(frozen=True, eq=False)
class ExperimentRow:
    """A row of a table of experiments: one network over its seeds, varied or as the run has it.

    Attributes
    ----------
    name : str
        Of the experiment; empty for the baseline.
    model, cls : str
    results : tuple of ExperimentResult
        One a seed.
    """

    name: str
    model: str
    cls: str
    results: tuple[ExperimentResult, ...]

    @property
    def counts(self) -> np.ndarray | None:
        """(s, n, 4) int64; None unless all seeds were scored."""
        counts = [result.counts for result in self.results]
        return None if any(c is None for c in counts) else np.stack(counts)

    def mean(self, key: str) -> float:
        """Mean over the seeds of a number of the last row of the curve; nan if there is none."""
        return float(np.mean([result.final.get(key, np.nan) for result in self.results]))

    @property
    def temperature(self) -> float:
        """The r of the aggregation: 0 for the mean, 1 for the paper's log-sum-exp, infinity for the maximum.

        >>> [ExperimentRow(name, "LSE1", "cat", ()).temperature for name in ("mean", "tempered-4", "")]
        [0.0, 4.0, 1.0]
        """
        changes = _read_toml()[self.name].changes.get("training", {}) if self.name else {}
        kind, r = parse_aggregation(changes.get("aggregation", paper.MODELS[self.model][1]))
        return {"mean": 0.0, "lse": 1.0, "max": math.inf}.get(kind, r)


def experiment_rows(run: RunFolder, question: str) -> list[ExperimentRow]:
    """The table of one question: baselines first, then each experiment that was done; temperatures in their order."""
    experiments = [e for e in load_experiments(run.profile).values() if e.question == question]
    networks = {(model, e.round) for e in experiments for model in e.models}
    if question == "temperature":
        networks |= {("max1", 1)}  # r without end
    rows = []
    for model, round in sorted(networks):
        for cls in run.profile.classes:
            results = [_baseline_of(run, question, model, cls, round, seed) for seed in run.profile.seeds]
            if results := tuple(result for result in results if result):
                rows.append(ExperimentRow("", model, cls, results))
    for e in experiments:
        if e.unchanged and question != LENGTH:
            continue  # it is there already, as a baseline
        results, seeds = read_experiment(run, e.name), e.profile(run.profile).seeds
        for model in e.models:
            for cls in run.profile.classes:
                names = [run.name(model, cls, e.round, seed) for seed in seeds]
                if all(name in results for name in names):
                    rows.append(ExperimentRow(e.name, model, cls, tuple(results[name] for name in names)))
    return sorted(rows, key=lambda row: row.temperature) if question == "temperature" else rows


def _baseline_of(run: RunFolder, question: str, model: str, cls: str, round: int, seed: int) -> ExperimentResult | None:
    """The baseline of a question: the run's network, or one trained on as many images as the experiments see."""
    for e in load_experiments(run.profile).values():
        if e.unchanged and model in e.models and round == e.round and question != LENGTH:
            return read_experiment(run, e.name).get(run.name(model, cls, round, seed))
    return baseline(run, model, cls, round, seed)


def command(run: RunFolder, name: str) -> str:
    """The command that does an experiment for a run."""
    # A reader's experiments belong into a run of the reader's own, not beside the published weights.
    default = run.folder.resolve() == in_repository(f"runs/{run.profile.name}").resolve()
    folder = "" if default or run.folder.name == PUBLISHED.name else f" --run {run.folder.as_posix()}"
    return f"lsegrepro experiment {name} --profile {run.profile.spec}{folder}"


def _experiment(run: RunFolder, name: str) -> Experiment:
    experiments = load_experiments(run.profile)
    if name not in experiments:
        raise LsegreproError(f"no experiment {name!r}: choose one of {', '.join(experiments)}")
    return experiments[name]


def _photographs(run: RunFolder, cls: str) -> int:
    return int((label_codes(run.weak("train")) == LABELS.index(cls)).sum())


def _record(run: RunFolder, network: tuple[str, str, int, int], photographs: int, score: bool) -> dict[str, Any]:
    """What `ExperimentResult` holds, as JSON."""
    card = run.card(*network)
    keys = ("samples", "loss", "heldout_loss", "heldout_accuracy")
    rows = [{key: row[key] for key in keys} for row in run.curve(*network) if "heldout_accuracy" in row]
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(CURVE_ROWS, len(rows))).astype(int))]
    record: dict[str, Any] = {
        "arguments": card["arguments"], "scoring": dataclasses.asdict(run.profile.scoring), "sha256": card["sha256"],
        "samples": run.images_seen(*network), "hours": card["hours"], "device": card["device"],
        "photographs": photographs, "final": {key: card["final"][key] for key in keys if key in card["final"]},
        "curve": rows, "theta": None, "ap_train": None, "ap": None, "positives": None,
    }
    if score:
        theta = choose_theta(run, *network)
        train, val = (evaluation.per_image_counts(run.regions(split), run.scores(*network, split), theta=theta)
                      for split in SPLITS)
        record |= {"theta": theta, "ap_train": float(evaluation.ap(train.sum(axis=0))),
                   "ap": float(evaluation.ap(val.sum(axis=0))), "positives": val[:, :2].tolist()}
    return record


def _result(run: RunFolder, cls: str, record: dict[str, Any]) -> ExperimentResult:
    counts = None
    if record["positives"] is not None:
        counts = counts_from_positives(np.array(record["positives"], np.int64), class_totals(run.regions("val"), cls))
    keys = ("samples", "hours", "device", "photographs", "final", "curve", "theta", "ap_train")
    return ExperimentResult(**{key: record[key] for key in keys}, counts=counts)


def _read_json(run: RunFolder, name: str) -> dict[str, Any]:
    path = result_path(run, name)
    return read_json(path) if path.is_file() else {}
