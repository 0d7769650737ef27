"""Experiments: a run's profile with a few values changed, trained and scored beside it.

They are listed in ``profiles/experiments.toml``. An experiment is a run of its own in ``experiments/{name}`` below the
run's folder, so that no network of one is ever taken for one of the other; what is the same for both, such as the
superpixels, is shared. What it found is kept as a fact of the run (``evidence/facts-experiment-{name}.json``): numbers
alone, which a page reads without torch, photographs or the weights.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .. import evaluation, paper
from . import facts
from ..config import parse_aggregation
from ..data.index import LABELS, label_codes
from ..files import LsegreproError
from ..evaluation.counts import class_totals, complete
from ..files import locked
from ..config import Profile, vary
from .results import choose_theta
from .folder import RunFolder

PATH = Path(__file__).parents[1] / "profiles" / "experiments.toml"

LENGTH = "length"
"""The question that the run itself answers beside its experiments, where they see fewer images."""

ROWS = 60
"""Rows of a training curve that a record keeps, at most."""

PATIENCE = 60.0
"""Seconds to wait for another process that writes into the same record."""


@dataclass(frozen=True)
class Experiment:
    """A named variation.

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
        """Whether networks of its own are trained, and not those of the run scored in another way."""
        return set(self.changes) != {"scoring"}

    @property
    def unchanged(self) -> bool:
        """Whether it differs from the run in the number of images alone, as a measure for the others."""
        return not self.changes and not self.seeds

    def run(self, run: RunFolder) -> RunFolder:
        """The experiment as a run, beside the one it varies."""
        changes, shared = self.changes, ("regions", "weights", "negatives")
        if self.trains and self.round == 1:
            changes = changes | {"training": run.profile.experiments | changes.get("training", {})}
            shared = ("regions",)
        elif self.trains:  # from the run's own round 1
            shared = ("regions", "round1", "negatives")
        profile = vary(run.profile, self.name, changes, self.models, (self.round,), self.seeds)
        return dataclasses.replace(run, profile=profile, folder=run.folder / "experiments" / self.name,
                                   parent=run.folder, shared=shared)


def experiments(profile: Profile) -> dict[str, Experiment]:
    """Every experiment of a profile by its name, in the order of the file.

    >>> from .config import load_profile
    >>> found = experiments(load_profile("full"))
    >>> found["no-jitter"].models, found["native-scale"].trains, "unchanged" in found
    (('LSE1',), False, False)
    """
    return {name: each for name, each in _listed().items() if profile.experiments or not each.unchanged}


@cache
def _listed() -> dict[str, Experiment]:
    found = {}
    for name, table in tomllib.loads(PATH.read_text(encoding="utf-8")).items():
        changes = {key: table[key] for key in ("data", "training", "round2", "scoring") if key in table}
        found[name] = Experiment(name, table["question"], tuple(table["models"]), table.get("round", 1), changes,
                                 tuple(table.get("seeds", ())))
    return found


@dataclass(frozen=True, eq=False)
class Found:
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
        Last row of its training curve.
    curve : list of dict
        Rows with held-out numbers, at most `ROWS`.
    theta : float or None
        Chosen on train; None where VOC was not scored.
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
    counts: np.ndarray | None = None

    @property
    def ap(self) -> float | None:
        """AP on val, a fraction; None where VOC was not scored."""
        return None if self.counts is None else float(evaluation.ap(self.counts.sum(axis=0)))


def perform(run: RunFolder, name: str, *, classes: tuple[str, ...] = (), score: bool = True) -> dict[str, Found]:
    """Do an experiment, go on with it, or find it done.

    Parameters
    ----------
    run : RunFolder
        The run it varies. Where its own networks are only scored otherwise, they are trained if they are missing.
    classes : tuple of str
        Only these, now; a later call adds the others. Default all of the run.
    score : bool
        Also score VOC, for AP. A record without it is completed by a later call with it.

    Returns
    -------
    dict
        Found by `RunPaths.name`, of this call and those before.

    Raises
    ------
    LsegreproError
        If there is no such experiment or class, or the photographs are not at hand, or what lies there is of other
        arguments.
    """
    experiment = _find(run, name)
    for cls in classes:
        if cls not in run.profile.classes:
            raise LsegreproError(f"unknown class {cls!r}: choose one of {', '.join(run.profile.classes)}")
    varied, made_of = experiment.run(run), _made_of(run, experiment)
    path, score = facts.fact_path(run, f"experiment-{name}"), score or not experiment.trains
    records = facts.read_fact(path, f"experiment-{name}", made_of) if path.is_file() else {}
    for network in varied.networks():
        known = records.get(varied.name(*network))
        if network[1] in (classes or run.profile.classes) and not (known and (known["positives"] or not score)):
            _make(varied, network, score)
            record = _record(varied, network, score)
            with locked(path, timeout=PATIENCE):  # another process may have done another class meanwhile
                records = facts.read_fact(path, f"experiment-{name}", made_of) if path.is_file() else {}
                records[varied.name(*network)] = record
                facts.keep_fact(run, f"experiment-{name}", made_of, records)
    return _read(run, experiment)


def _make(run: RunFolder, network: tuple[str, str, int, int], score: bool) -> None:
    from . import make  # torch

    make.train_network(run, *network)
    for split in ("train", "val") if score else ():
        make.count_regions(run, split)
        make.score_network(run, *network, split)


def found(run: RunFolder, name: str) -> dict[str, Found]:
    """What an experiment gave so far, read and checked; empty if it was not begun."""
    return _read(run, _find(run, name)) if facts.fact_path(run, f"experiment-{name}").is_file() else {}


def undone(run: RunFolder, name: str) -> list[str]:
    """Classes of the run that an experiment was not scored for, for every model and seed."""
    known, networks = found(run, name), _find(run, name).run(run).networks()
    scored = {n for n in networks if (one := known.get(run.name(*n))) and one.counts is not None}
    return [cls for cls in run.profile.classes if not scored >= {n for n in networks if n[1] == cls}]


def beside(run: RunFolder, model: str, cls: str, round: int, seed: int) -> Found | None:
    """What a network of the run itself gave, for the same table; None if it is not there."""
    network = (model, cls, round, seed)
    if model not in run.profile.models or cls not in run.profile.classes or not run.card_path(*network).is_file():
        return None
    scored = all(run.has_scores(*network, split) for split in ("train", "val"))
    try:
        labels = facts.weak_labels(dataclasses.replace(run, depth="evidence"))["train"]["labels"]
    except LsegreproError:
        labels = {}
    record = _record(run, network, scored, labels.get(cls, 0))
    return _found(run, cls, record)


@dataclass(frozen=True, eq=False)
class Group:
    """One network over its seeds, varied or as the run has it: what a row of a table says.

    Attributes
    ----------
    name : str
        Of the experiment; empty for what it is set beside.
    model, cls : str
    found : tuple of Found
        One a seed.
    """

    name: str
    model: str
    cls: str
    found: tuple[Found, ...]

    @property
    def counts(self) -> np.ndarray | None:
        """(s, n, 4) int64; None unless all seeds were scored."""
        counts = [one.counts for one in self.found]
        return None if any(each is None for each in counts) else np.stack(counts)

    def mean(self, key: str) -> float:
        """Mean over the seeds of a number of the last row of the curve; nan if there is none."""
        return float(np.mean([one.final.get(key, np.nan) for one in self.found]))


def temperature(group: Group) -> float:
    """The r of a network's aggregation: 0 for the mean, 1 for the paper's log-sum-exp, infinity for the maximum.

    >>> [temperature(Group(name, "LSE1", "cat", ())) for name in ("mean", "tempered-4", "")]
    [0.0, 4.0, 1.0]
    """
    changes = _listed()[group.name].changes.get("training", {}) if group.name else {}
    kind, r = parse_aggregation(changes.get("aggregation", paper.MODELS[group.model][1]))
    return {"mean": 0.0, "lse": 1.0, "max": math.inf}.get(kind, r)


def groups(run: RunFolder, question: str) -> tuple[list[Group], list[str]]:
    """Everything that is known of one question.

    Returns
    -------
    list of Group
        First the networks that nothing was changed in, then those of each experiment that was done; of the
        question of temperature, in the order of r.
    list of str
        Experiments of the question that were not done, or not for every class.
    """
    mine = [each for each in experiments(run.profile).values() if each.question == question]
    rows, missing = [], []
    own = {(model, each.round) for each in mine for model in each.models}
    if question == "temperature":
        own |= {("max1", 1)}  # r without end
    for model, round in sorted(own):
        for cls in run.profile.classes:
            known = [_beside(run, question, model, cls, round, seed) for seed in run.profile.seeds]
            if kept := tuple(one for one in known if one):
                rows.append(Group("", model, cls, kept))
    for each in mine:
        done, varied = found(run, each.name), each.run(run).profile
        if undone(run, each.name):
            missing.append(each.name)
        if each.unchanged and question != LENGTH:
            continue  # it is there already
        for model in each.models:
            for cls in run.profile.classes:
                names = [run.name(model, cls, each.round, seed) for seed in varied.seeds]
                if all(name in done for name in names):
                    rows.append(Group(each.name, model, cls, tuple(done[name] for name in names)))
    if question == "temperature":
        rows.sort(key=temperature)
    return rows, missing


def _beside(run: RunFolder, question: str, model: str, cls: str, round: int, seed: int) -> Found | None:
    """What the experiments of a question are set beside: of the run, or trained for as long as they were."""
    for each in experiments(run.profile).values():
        if each.unchanged and model in each.models and round == each.round and question != LENGTH:
            return found(run, each.name).get(run.name(model, cls, round, seed))
    return beside(run, model, cls, round, seed)


def command(run: RunFolder, name: str) -> str:
    """The command that does an experiment for a run."""
    # A reader's experiments belong into a run of the reader's own, not beside the published weights.
    usual = run.folder in (Path("runs") / run.profile.name, Path("published"))
    return f"lsegrepro experiment {name} --profile {run.profile.spec}" + f" --run {run.folder.as_posix()}" * (not usual)


def _find(run: RunFolder, name: str) -> Experiment:
    known = experiments(run.profile)
    if name not in known:
        raise LsegreproError(f"no experiment {name!r}: choose one of {', '.join(known)}")
    return known[name]


def _made_of(run: RunFolder, experiment: Experiment) -> dict[str, Any]:
    """What identifies an experiment: its networks' arguments and scoring in full, and the images it is measured on."""
    varied = experiment.run(run)
    first = range(1, experiment.round + 1) if experiment.trains else [experiment.round]
    arguments = [varied.profile.arguments(model, cls, round, seed).record()
                 for model, cls, _, seed in varied.networks() for round in first]
    return {"arguments": arguments, "fraction": varied.profile.data.fraction,
            "scoring": dataclasses.asdict(varied.profile.scoring), "val": run.regions("val").data_digest}


def _record(
    run: RunFolder, network: tuple[str, str, int, int], score: bool, photographs: int | None = None
) -> dict[str, Any]:
    card, cls = run.card(*network), network[1]
    if photographs is None:
        photographs = int((label_codes(run.weak("train")) == LABELS.index(cls)).sum())
    keys = ("samples", "loss", "heldout_loss", "heldout_accuracy")
    rows = [{key: row[key] for key in keys} for row in run.curve(*network) if "heldout_accuracy" in row]
    rows = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(ROWS, len(rows))).astype(int))]
    record: dict[str, Any] = {
        "sha256": card["sha256"], "samples": run.images_seen(*network), "hours": card["hours"],
        "device": card["device"], "photographs": photographs,
        "final": {key: card["final"][key] for key in keys if key in card["final"]},
        "curve": rows, "theta": None, "positives": None,
    }
    if score:
        theta = choose_theta(run, *network)
        counts = evaluation.per_image_counts(run.regions("val"), run.scores(*network, "val"), theta=theta)
        record |= {"theta": theta, "positives": counts[:, :2].tolist()}
    return record


def _read(run: RunFolder, experiment: Experiment) -> dict[str, Found]:
    name = f"experiment-{experiment.name}"
    content = facts.read_fact(facts.fact_path(run, name), name, _made_of(run, experiment))
    return {key: _found(run, key.split("-")[1], record) for key, record in content.items()}


def _found(run: RunFolder, cls: str, record: dict[str, Any]) -> Found:
    counts = None
    if record["positives"] is not None:
        counts = complete(np.array(record["positives"], np.int64), class_totals(run.regions("val"), cls))
    return Found(record["samples"], record["hours"], record["device"], record["photographs"], record["final"],
                 record["curve"], record["theta"], counts)
