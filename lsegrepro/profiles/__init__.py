"""Profiles: what a run trains, on what, for how long. One TOML file each, read by `load_profile`."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import paper
from ..arguments import Jitter, Mining, Scoring, Training
from ..evidence.superpixels import Superpixels
from ..files import LsegreproError, one_line

BUILT_IN = ("quick", "local", "full", "paper")


@dataclass(frozen=True)
class Data:
    """Where the pictures of a run come from.

    Attributes
    ----------
    kind : {"drawn", "photographs"}
    weak, segmentation : str
        Folders below the data root, for photographs; of weak ones several, joined by ``+``, each
        of any kind that `data.joined.open_weak` knows.
    heldout : float
        Share of the weak photographs held out.
    fraction : float
        Part of the weak training photographs that is used.
    weak_train, weak_heldout, segmentation_train, segmentation_val : int
        Numbers of drawn pictures.
    seed : int
        Of the drawn pictures.
    """

    kind: str = "drawn"
    weak: str = "weak"
    segmentation: str = "VOCdevkit/VOC2012"
    heldout: float = 0.15
    fraction: float = 1.0
    weak_train: int = 3000
    weak_heldout: int = 400
    segmentation_train: int = 40
    segmentation_val: int = 80
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("drawn", "photographs"):
            raise LsegreproError(f"data.kind must be drawn or photographs, got {self.kind!r}")
        for name in ("weak_train", "weak_heldout", "segmentation_train", "segmentation_val"):
            if not 4 <= getattr(self, name) <= 1_000_000:
                raise LsegreproError(f"data.{name} must lie in [4, 1000000], got {getattr(self, name)}")
        if not 0 < self.heldout < 1:
            raise LsegreproError(f"data.heldout must lie in (0, 1), got {self.heldout}")
        if not 0 < self.fraction <= 1:
            raise LsegreproError(f"data.fraction must lie in (0, 1], got {self.fraction}")
        if self.seed < 0:
            raise LsegreproError(f"data.seed must be at least 0, got {self.seed}")


@dataclass(frozen=True)
class Profile:
    """Everything a run does, as data.

    Attributes
    ----------
    name, description : str
    models, classes : tuple of str
        Rows and columns of Table 2 that are trained.
    seeds : tuple of int
    data : Data
    training : dict
        Arguments of `Training` common to all; `arguments` completes them.
    round2 : dict
        Those that differ in round 2.
    mining, scoring, superpixels
    experiments : dict
        ``samples``, where the networks that experiments train see another number of images than those of the run.
    network : dict
        Those that differ for some networks: a class, a model, or both (``"LSE1-dog"``) to a table like `training`.
    path : Path or None
        The file, unless it is a built-in profile.
    rounds : tuple of int
        Rounds that a run of it has; an experiment may have one alone.
    """

    name: str
    description: str
    models: tuple[str, ...]
    classes: tuple[str, ...]
    seeds: tuple[int, ...]
    data: Data
    training: dict[str, Any]
    round2: dict[str, Any]
    mining: Mining
    scoring: Scoring
    superpixels: Superpixels
    experiments: dict[str, int] = dataclasses.field(default_factory=dict)
    network: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    path: Path | None = None
    rounds: tuple[int, ...] = (1, 2)

    @property
    def spec(self) -> str:
        """What `load_profile` takes to read this profile again."""
        return self.name if self.path is None else str(self.path)

    def arguments(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Training:
        """The arguments of one training of this profile."""
        own = dict(self.training)
        for key in (cls, model, f"{model}-{cls}"):
            own |= self.network.get(key, {})
        own |= self.round2 if round == 2 else {}
        return Training(**{**own, "model": model, "cls": cls, "round": round, "seed": seed})


def load_profile(name: str | Path) -> Profile:
    """Read a profile: a built-in name (quick, local, full, paper) or the path of a TOML file.

    Raises
    ------
    LsegreproError
        If there is none of that name, or a key or value in it is wrong: the message names it.

    >>> load_profile("quick").models
    ('max1', 'LSE1')
    """
    path = Path(__file__).parent / f"{name}.toml" if name in BUILT_IN else Path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise LsegreproError(
            f"no profile {name}: choose {', '.join(BUILT_IN)} or the path of a .toml file"
        ) from error
    except (ValueError, RecursionError) as error:
        raise LsegreproError(f"{path} is not valid TOML: {one_line(error)}") from error
    try:
        profile = _profile(path.stem, values)
    except LsegreproError as error:
        raise LsegreproError(f"{path.name}: {error}") from error
    return profile if name in BUILT_IN else dataclasses.replace(profile, path=path)


def _profile(name: str, values: dict[str, Any]) -> Profile:
    known = {field.name for field in dataclasses.fields(Profile)} - {"name", "path", "rounds"}
    _known(values, known, "the profile")
    training, round2 = (_training(values, title) for title in ("training", "round2"))
    models = _choices(values.get("models", list(paper.MODELS)), "models", tuple(paper.MODELS))
    classes = _choices(values.get("classes", list(paper.CLASSES)), "classes", paper.CLASSES)
    budget = _training(values, "experiments")
    _known(budget, {"samples"}, "experiments")
    network = _table(values, "network")
    _known(network, {*models, *classes, *(f"{model}-{cls}" for model in models for cls in classes)}, "network")
    profile = Profile(
        name=name,
        description=_text(values.get("description", ""), "description"),
        models=models,
        classes=classes,
        seeds=_seeds(values.get("seeds", [0])),
        data=_record(Data, _table(values, "data"), "data"),
        training=training,
        round2=round2,
        mining=_record(Mining, _table(values, "mining"), "mining"),
        scoring=_record(Scoring, _table(values, "scoring"), "scoring"),
        superpixels=_record(Superpixels, _table(values, "superpixels"), "superpixels"),
        experiments=budget,
        network={key: _training(network, key, "network.") for key in network},
    )
    for round in (1, 2):
        for seed in profile.seeds:  # refuse bad values now, not hours later
            for model, cls in ((model, cls) for model in models for cls in classes):
                profile.arguments(model, cls, round, seed)
    Training(**budget)
    return profile


def vary(
    profile: Profile, name: str, changes: dict[str, Any], models: tuple[str, ...], rounds: tuple[int, ...] = (1,),
    seeds: tuple[int, ...] = (),
) -> Profile:
    """The same profile with some values changed: what an experiment trains.

    Parameters
    ----------
    changes : dict
        Tables ``data``, ``training``, ``round2``, ``scoring`` of the values that differ, as in a TOML file.
    models : tuple of str
    rounds, seeds : tuple of int
        Of seeds none: those of the profile.

    Raises
    ------
    LsegreproError
        If a key or value is wrong: the message names it.

    >>> vary(load_profile("quick"), "slow", {"training": {"rate": 0.001}}, ("LSE1",)).arguments("LSE1", "cat").rate
    0.001
    """
    _known(changes, {"data", "training", "round2", "scoring"}, "the changes")
    training, round2 = (_training(changes, title) for title in ("training", "round2"))
    varied = dataclasses.replace(
        profile, name=f"{profile.name}, {name}", models=models, rounds=rounds,
        seeds=seeds or profile.seeds, training=profile.training | training, round2=profile.round2 | round2,
        network={key: {k: v for k, v in own.items() if k not in training} for key, own in profile.network.items()},
        data=_record(Data, dataclasses.asdict(profile.data) | _table(changes, "data"), "data"),
        scoring=_record(Scoring, dataclasses.asdict(profile.scoring) | _table(changes, "scoring"), "scoring"),
    )
    for round in rounds:
        varied.arguments(models[0], varied.classes[0], round)
    return varied


def _training(values: dict[str, Any], key: str, within: str = "") -> dict[str, Any]:
    """The table of that name as arguments of `Training`, with its keys and types checked."""
    table, title = dict(_table(values, key)), within + key
    if "jitter" in table:
        table["jitter"] = _record(Jitter, table["jitter"], f"{title}.jitter")
    _known(table, {f.name for f in dataclasses.fields(Training)} - {"model", "cls", "round", "seed"}, title)
    for name, value in table.items():
        if name != "jitter":
            _typed(Training, name, value, title)
    return table


def _known(values: dict, known: set[str], title: str) -> None:
    for key in values:
        if key not in known:
            raise LsegreproError(f"unknown key {key!r} in {title}; known are {', '.join(sorted(known))}")


def _table(values: dict, key: str) -> dict:
    table = values.get(key, {})
    if not isinstance(table, dict):
        raise LsegreproError(f"{key} must be a table, got {table!r}")
    return table


def _text(value: object, title: str) -> str:
    if not isinstance(value, str):
        raise LsegreproError(f"{title} must be a string, got {value!r}")
    return value


def _choices(values: object, title: str, known: tuple[str, ...]) -> tuple[str, ...]:
    if not isinstance(values, list) or not values or any(v not in known for v in values):
        raise LsegreproError(f"{title} must be a list of {', '.join(known)}, got {values!r}")
    return tuple(dict.fromkeys(values))


def _seeds(values: object) -> tuple[int, ...]:
    if not isinstance(values, list) or not values or any(type(v) is not int or v < 0 for v in values):
        raise LsegreproError(f"seeds must be a list of whole numbers from 0 up, got {values!r}")
    return tuple(dict.fromkeys(values))


def _record(kind: type, values: dict, title: str):
    """Make an argument record of a TOML table, with its keys and types checked."""
    if not isinstance(values, dict):
        raise LsegreproError(f"{title} must be a table, got {values!r}")
    _known(values, {f.name for f in dataclasses.fields(kind)}, title)
    for key, value in values.items():
        _typed(kind, key, value, title)
    return kind(**values)


_KINDS = {"str": (str,), "str | None": (str,), "int": (int,), "float": (int, float)}


def _typed(kind: type, key: str, value: object, title: str) -> None:
    wanted = next(f.type for f in dataclasses.fields(kind) if f.name == key)
    if isinstance(value, bool) or not isinstance(value, _KINDS[wanted]):
        raise LsegreproError(f"{title}.{key} must be of type {wanted.removesuffix(' | None')}, got {value!r}")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise LsegreproError(f"{title}.{key} must fit in 64 bits, got a number of {value.bit_length()} bits")
    if isinstance(value, float) and not float("-inf") < value < float("inf"):
        raise LsegreproError(f"{title}.{key} must be finite, got {value}")
