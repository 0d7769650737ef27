"""Configuration of every step: frozen dataclasses that pydantic checks, and profiles that TOML files fill.

A value that is wrong raises `LsegreproError` when the object is made, hours before it would be used.
"""

import contextlib
import dataclasses
import functools
import itertools
import math
import reprlib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from . import paper
from .files import LsegreproError, one_line, read_json

DEPTHS = ("evidence", "weights", "scratch")
"""Where a reproduction begins: at the published evidence, at the published weights, or at the photographs."""

BUILT_IN = ("quick", "local", "full", "paper")
"""Names of the profiles that come with the package, ``profiles/*.toml``."""

AGGREGATION_NAMES = ["lse", "max", "mean"]
"""Names of the aggregations without a parameter; one may add to them, and to the functions `model.AGGREGATIONS`."""

Precision = Literal["float32", "bfloat16"]
ModelName, ClassName = Literal[*paper.MODELS], Literal[*paper.CLASSES]
Count = Annotated[int, Field(ge=1, lt=2**63)]
CountOrZero = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Drawn = Annotated[int, Field(ge=4, le=1_000_000)]  # number of drawn pictures
ZoomFactor = Annotated[float, Field(ge=1, le=10)]


def checked(cls: type) -> type:
    """Class decorator: a frozen dataclass whose fields pydantic checks, and whose errors are `LsegreproError`."""
    cls = dataclass(frozen=True, config=ConfigDict(strict=True, extra="forbid", allow_inf_nan=False))(cls)
    validate = cls.__init__

    @functools.wraps(validate)
    def init(self, /, *args, **values) -> None:
        try:
            validate(self, *args, **values)
        except ValidationError as error:  # the first thing that is wrong
            first = error.errors(include_url=False)[0]
            cause = first.get("ctx", {}).get("error")
            if isinstance(cause, LsegreproError):  # of a table inside this one, which names itself
                raise cause from None
            field = ".".join(map(str, (cls.__name__.lower(), *first["loc"])))
            raise LsegreproError(f"{field}: {cause or first['msg']}, got {reprlib.repr(first['input'])}") from None

    cls.__init__ = init
    return cls


def _table(cls: type) -> object:
    """Type of a field that may be given as a table (a dict) of the fields of `cls`."""
    return Annotated[cls, BeforeValidator(lambda value: cls(**value) if isinstance(value, dict) else value)]


def parse_aggregation(name: str) -> tuple[str, float]:
    """An aggregation's kind and temperature parameter r; r is nan where it has none (`AGGREGATION_NAMES`).

    >>> parse_aggregation("tempered:4")
    ('tempered', 4.0)
    """
    if name in AGGREGATION_NAMES:
        return name, math.nan
    kind, _, value = name.partition(":")
    with contextlib.suppress(ValueError):
        if kind == "tempered" and 0 < float(value) < math.inf:
            return kind, float(value)
    known = ", ".join(AGGREGATION_NAMES)
    raise LsegreproError(f"unknown aggregation {name!r}: choose {known} or tempered:R with R > 0")


@checked
class Jitter:
    """Random changes of a training image: Section 3.1 names the kinds, the ranges are ours."""

    flip: Fraction = 0.5  # chance of a horizontal flip
    rotation: float = Field(10.0, ge=0, le=180)  # degrees; uniform in +-rotation
    scaling: ZoomFactor = 1.25  # zoom, log-uniform in [1/scaling, scaling]
    brightness: float = Field(0.2, ge=0, le=2)  # shift of all values, uniform in +-brightness, in units of [-1, 1]
    contrast: ZoomFactor = 1.25  # factor about the image's mean, log-uniform in [1/contrast, contrast]


NO_JITTER = Jitter(0.0, 0.0, 1.0, 0.0, 1.0)


@checked
class Training:
    """One training. Defaults are the paper's where it names them; it is silent on the samples and the batch."""

    model: ModelName = "LSE1"  # row of Table 2
    cls: ClassName = "cat"  # the class of interest
    samples: Count = 100_000  # images seen, with repetition
    batch: int = Field(16, ge=1, le=65_536)  # images a step
    rate: float = Field(paper.LEARNING_RATE, gt=0, lt=100)  # lambda, for one image; a step uses rate * batch
    cooldown: CountOrZero = 0  # over so many images at the end the rate falls linearly to 0; none in the paper
    # The network is the mean of the weights over about this share of the images seen (polynomial-decay averaging,
    # Shamir and Zhang, 2013). 0: the last weights (the paper).
    average: float = Field(0.0, ge=0, lt=1)
    momentum: float = Field(0.0, ge=0, lt=1)  # 0 in the paper; anything else is a departure
    seed: CountOrZero = 0  # of the initial weights and every draw
    # lse, max, mean or tempered:R; None: the model's own
    aggregation: str | None = None
    architecture: str | None = None  # a name of `paper.ARCHITECTURES`; None: the model's own
    initialisation: Literal["torch7", "literal"] = "torch7"
    output: Literal["tanh", "linear"] = "tanh"  # whether a tanh bounds the scores of the last layer, as in equation (2)
    # Which images have the label y = 2. paper: the other class as often as in the paper's pool, else backgrounds.
    # others: uniform over every image without the class. background: images with neither class (Section 3.1).
    negatives: Literal["paper", "others", "background"] = "paper"
    # In an image without the class, what has a loss: its aggregated score, as in one with it, or each patch by itself.
    negative_patches: Literal["aggregated", "each"] = "aggregated"
    precision: Precision = "float32"  # of both passes; float32 too on a device without bfloat16. Weights are float32
    round: Literal[1, 2] = 1  # 2 starts from the weights of round 1 and draws hard negatives
    hard: Fraction = 0.5  # in round 2, chance that a negative sample is N hard-negative patches (Section 3.2: 0.5)
    jitter: _table(Jitter) = Jitter()

    def __post_init__(self) -> None:
        parse_aggregation(self.aggregation_name)
        if self.architecture not in (None, *paper.ARCHITECTURES):
            raise LsegreproError(f"training.architecture: choose one of {', '.join(paper.ARCHITECTURES)}, got "
                                 f"{self.architecture!r}")
        if self.cooldown > self.samples:
            raise LsegreproError(f"training.cooldown must be in [0, samples], got {self.cooldown}")

    def record(self) -> dict[str, Any]:
        """As a card holds them: `LATER` fields only where they differ, so that older cards still say the same."""
        return {key: value for key, value in dataclasses.asdict(self).items()
                if key not in LATER or value != LATER[key]}

    @property
    def net(self) -> paper.Architecture:
        return paper.ARCHITECTURES[self.architecture or paper.MODELS[self.model][0]]

    @property
    def aggregation_name(self) -> str:
        return self.aggregation or paper.MODELS[self.model][1]

    @property
    def steps(self) -> int:
        """SGD steps: samples / batch, rounded up."""
        return -(-self.samples // self.batch)

    def rate_at(self, step: int) -> float:
        """The rate for one image at a step, counted from 0.

        >>> config = Training(samples=8, batch=1, rate=0.1, cooldown=4)
        >>> [round(config.rate_at(step), 3) for step in range(8)]
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.075, 0.05, 0.025]
        """
        left, falling = self.steps - step, -(-self.cooldown // self.batch)
        return self.rate * min(1.0, left / falling) if falling else self.rate


LATER = {"output": "tanh", "cooldown": 0, "average": 0.0, "negative_patches": "aggregated"}
"""Fields that the first cards do not have, and what those trainings used."""


@checked
class Mining:
    """Mining of hard negatives; the paper is silent on all of it."""

    theta: float = Field(0.5, ge=0, lt=1)  # a pixel is a false positive where p > theta
    per_image: Count = 256  # at most so many of one image, or a few images that are all wrong would be most of the set
    images: Count = 100_000  # at most so many background images are looked at
    keep: CountOrZero = 0  # at most so many in all, drawn uniformly over what the images gave; 0: all


@checked
class Scoring:
    """Dense scoring of an image; the paper is silent on it."""

    scale_to: int = Field(paper.IMAGE_SIDE, ge=0, le=4096)  # short side in pixels, 300 in training; 0: the image's own
    precision: Precision = "float32"  # float32 on a device that has no bfloat16, and the evidence says so


@checked
class Superpixels:
    """Felzenszwalb's over-segmentation; the paper names its reference [23] and no value. Chosen on VOC train."""

    scale: float = Field(100.0, ge=1e-6, le=1e9)  # Felzenszwalb's k, in 8-bit grey levels: larger, larger superpixels
    # Standard deviation in pixels of the blur before it. Keep it above 0: unblurred images have many edges of equal
    # weight, whose order, and so the superpixels, depends on the processor.
    sigma: float = Field(0.8, ge=0, le=100)
    min_size: int = Field(100, ge=1, le=10**9)  # in pixels; smaller superpixels are merged into a neighbour


@checked
class Data:
    """The images of a run: photographs below the data root, or pictures drawn by a seeded program."""

    kind: Literal["drawn", "photographs"] = "drawn"
    weak: str = "weak"  # folder of photographs with labels, or several, joined by +
    segmentation: str = "VOCdevkit/VOC2012"  # folder of photographs with masks
    heldout: float = Field(0.15, gt=0, lt=1)  # share of the weak photographs held out
    fraction: float = Field(1.0, gt=0, le=1)  # part of the weak training photographs that is used
    weak_train: Drawn = 3000
    weak_heldout: Drawn = 400
    segmentation_train: Drawn = 40
    segmentation_val: Drawn = 80
    seed: CountOrZero = 0  # of the drawn pictures


def _tuple_of(item: object) -> object:
    """Type of a list of TOML: a tuple with one value at least, and none twice."""
    return Annotated[tuple[item, ...], Field(strict=False, min_length=1),
                     AfterValidator(lambda values: tuple(dict.fromkeys(values)))]


Models, Classes, Seeds = _tuple_of(ModelName), _tuple_of(ClassName), _tuple_of(CountOrZero)


@checked
class Profile:
    """Everything a run does, as data: what a TOML file of ``profiles/`` holds."""

    name: str
    description: str = ""
    models: Models = tuple(paper.MODELS)
    classes: Classes = paper.CLASSES
    seeds: Seeds = (0,)
    data: _table(Data) = Data()
    training: dict[str, Any] = Field(default_factory=dict)  # fields of `Training` common to all networks
    # Those of some networks: dog, LSE1 or LSE1-dog to a table, or dog-round2 and so on for their second round.
    network: dict[str, dict[str, Any]] = Field(default_factory=dict)
    round2: dict[str, Any] = Field(default_factory=dict)  # those that differ in round 2
    experiments: dict[Literal["samples", "cooldown"], Count] = Field(default_factory=dict)  # if they see fewer images
    mining: _table(Mining) = Mining()
    scoring: _table(Scoring) = Scoring()
    superpixels: _table(Superpixels) = Superpixels()
    # Not in a file:
    path: Path | None = None  # of the file, unless it is a built-in profile
    rounds: tuple[int, ...] = (1, 2)  # an experiment may have one alone

    def __post_init__(self) -> None:
        named = {*self.models, *self.classes, *(f"{model}-{cls}" for model in self.models for cls in self.classes)}
        named |= {f"{name}-round2" for name in named}
        if unknown := self.network.keys() - named:
            raise LsegreproError(f"network: unknown key {min(unknown)!r}, known are {', '.join(sorted(named))}")
        if fixed := set().union(self.training, self.round2, *self.network.values()) & {"model", "cls", "round", "seed"}:
            raise LsegreproError(f"training: {min(fixed)!r} is not set here, it is the network's own")
        for model, cls, round in itertools.product(self.models, self.classes, self.rounds):
            self.arguments(model, cls, round)  # refuses a wrong value

    @property
    def spec(self) -> str:
        """What `load_profile` takes to read this profile again."""
        return self.name if self.path is None else str(self.path)

    def arguments(self, model: str, cls: str, round: int = 1, seed: int = 0) -> Training:
        """The configuration of one training of this profile."""
        keys = (cls, model, f"{model}-{cls}")
        tables = [self.training, *(self.network.get(key, {}) for key in keys)]
        if round == 2:
            tables += [self.round2, *(self.network.get(f"{key}-round2", {}) for key in keys)]
        values = dict(item for table in tables for item in table.items())
        return Training(**{**values, "model": model, "cls": cls, "round": round, "seed": seed})


def load_profile(name: str | Path) -> Profile:
    """Read a profile: a name of `BUILT_IN` or the path of a TOML file.

    Raises `LsegreproError` if there is none of that name, or a key or value in it is wrong: the message names it.
    """
    path = Path(__file__).parent / "profiles" / f"{name}.toml" if name in BUILT_IN else Path(name)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        if given := values.keys() & {"name", "path", "rounds"}:
            raise LsegreproError(f"profile.{min(given)} cannot be set in a file")
        return Profile(**values, name=path.stem, path=None if name in BUILT_IN else path)
    except LsegreproError as error:
        raise LsegreproError(f"{path.name}: {error}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise LsegreproError(f"{path} is not valid TOML: {one_line(error)}") from error
    except OSError as error:
        raise LsegreproError(f"no profile {name}: choose {', '.join(BUILT_IN)} or the path of a .toml file") from error


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a network, a JSON file beside the weights. Raises `LsegreproError` if it is absent or no card."""
    card = read_json(path)
    arguments = card.get("arguments")
    if not isinstance(arguments, dict) or not {"model", "cls"} <= arguments.keys():
        raise LsegreproError(f"{path} does not say of which model and class the network is: get it again")
    return card
