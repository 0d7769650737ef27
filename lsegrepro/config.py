"""The arguments of every heavy step: frozen records, checked on creation, written to every card."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import paper
from .files import LsegreproError, read_json

PRECISIONS = ("float32", "bfloat16")

OUTPUTS = ("tanh", "linear")

DEPTHS = ("evidence", "weights", "scratch")
"""Three depths of reproduction, from the quickest to the whole: each begins further back."""


AGGREGATIONS = ["lse", "max", "mean"]
"""Names of the aggregations without a parameter; `model.AGGREGATIONS` holds the functions. One may add to both."""


def parse_aggregation(name: str) -> tuple[str, float]:
    """An aggregation's kind and temperature parameter r: ``"tempered:4"`` is ``("tempered", 4.0)``.

    `AGGREGATIONS` have none (NaN).

    Raises
    ------
    LsegreproError
        If the name is no aggregation.

    >>> parse_aggregation("tempered:4")
    ('tempered', 4.0)
    """
    kind, _, value = name.partition(":")
    if name in AGGREGATIONS:
        return name, math.nan
    try:
        r = float(value)
    except ValueError:
        r = math.nan
    if kind == "tempered" and 0 < r < math.inf:
        return kind, r
    raise LsegreproError(f"unknown aggregation {name!r}: choose {', '.join(AGGREGATIONS)} or tempered:R with R > 0")


@dataclass(frozen=True)
class Jitter:
    """Ranges of the training jitter (Section 3.1 names the kinds; the ranges are ours).

    Attributes
    ----------
    flip : float
        Chance of a horizontal flip.
    rotation : float
        Largest rotation in degrees; uniform in +-rotation.
    scaling : float
        Largest zoom factor, >= 1; log-uniform in [1/scaling, scaling].
    brightness : float
        Largest shift of all pixel values, in the units of [-1, 1].
    contrast : float
        Largest contrast factor, >= 1, about the image's mean; log-uniform in [1/contrast, contrast].
    """

    flip: float = 0.5
    rotation: float = 10.0
    scaling: float = 1.25
    brightness: float = 0.2
    contrast: float = 1.25

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1:
            raise LsegreproError(f"jitter.flip is a chance in [0, 1], got {self.flip}")
        if not 0 <= self.rotation <= 180:
            raise LsegreproError(f"jitter.rotation is in degrees, in [0, 180], got {self.rotation}")
        if not 0 <= self.brightness <= 2:
            raise LsegreproError(f"jitter.brightness lies in [0, 2], got {self.brightness}")
        for name in ("scaling", "contrast"):
            if not 1 <= getattr(self, name) <= 10:
                raise LsegreproError(f"jitter.{name} is a factor in [1, 10], got {getattr(self, name)}")


NO_JITTER = Jitter(0.0, 0.0, 1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Training:
    """Arguments of one training. Defaults are the paper's where it names them.

    Attributes
    ----------
    model : str
        max1, LSE1, max2 or LSE2 (Table 2).
    cls : str
        The class of interest, cat or dog.
    samples : int
        Images seen, with repetition; the paper is silent.
    batch : int
        Images a step; the paper is silent.
    rate : float
        The paper's lambda, the step taken for one image. A step on the mean loss of a
        batch uses rate * batch (linear scaling rule).
    decay_after : int
        From so many images on the rate falls as 1/sqrt(images seen); 0, as in the paper, never.
    cooldown : int
        Over so many images at the end the rate falls linearly to 0; 0 in the paper. Until it begins, a training
        is the same whatever its length, so that several can branch off one checkpoint.
    average : float
        The network is the mean of the weights over about this share of the images seen so far, in [0, 1): averaging
        with polynomial decay (Shamir and Zhang, 2013), which leaves SGD itself as it is. 0 takes the last weights.
    momentum : float
        0 in the paper; anything else is a departure.
    seed : int
        Of the initial weights and every draw.
    aggregation : str or None
        None takes the model's own; otherwise lse, max, mean or tempered:R.
    architecture : str or None
        None takes the model's own; otherwise a name of `paper.ARCHITECTURES`.
    initialisation : {"torch7", "literal"}
    output : {"tanh", "linear"}
        Whether a tanh bounds the scores of the last layer, as in equation (2).
    negatives : {"paper", "others", "background"}
        Which images hold y = 2. ``"paper"``: the other class as often as in the paper's pool
        (`paper.other_class_share`), else backgrounds. ``"others"``: uniform over every image without
        the class, however many of each kind there are. ``"background"``: those with neither class (Section 3.1).
    sources : {"uniform", "balanced"}
        Inside a label, every photograph has the same chance, or every source (of ``index.csv``) as nearly as no
        photograph comes more than twice as often as with the same chance for all.
    precision : {"float32", "bfloat16"}
        Arithmetic of the forward and backward passes; float32 on a device that has no bfloat16, and the card says
        so. Weights are always float32.
    round : {1, 2}
        2 starts from the weights of round 1 and draws hard negatives.
    hard : float
        In round 2, chance that a negative sample is N hard-negative patches (Section 3.2: 0.5).
    jitter : Jitter
    """

    model: str = "LSE1"
    cls: str = "cat"
    samples: int = 100_000
    batch: int = 16
    rate: float = paper.LEARNING_RATE
    decay_after: int = 0
    cooldown: int = 0
    average: float = 0.0
    momentum: float = 0.0
    seed: int = 0
    aggregation: str | None = None
    architecture: str | None = None
    initialisation: str = "torch7"
    output: str = "tanh"
    negatives: str = "paper"
    sources: str = "uniform"
    precision: str = "float32"
    round: int = 1
    hard: float = 0.5
    jitter: Jitter = Jitter()

    def __post_init__(self) -> None:
        def check(name: str, good: bool, wanted: str) -> None:
            if not good:
                raise LsegreproError(f"training.{name} must be {wanted}, got {getattr(self, name)!r}")

        check("model", self.model in paper.MODELS, f"one of {', '.join(paper.MODELS)}")
        check("cls", self.cls in paper.CLASSES, f"one of {', '.join(paper.CLASSES)}")
        check("samples", self.samples >= 1, "at least 1")
        check("batch", 1 <= self.batch <= 65_536, "in [1, 65536]")
        check("rate", 0 < self.rate < 100, "in (0, 100)")
        check("decay_after", self.decay_after >= 0, "at least 1, or 0 for never")
        check("cooldown", 0 <= self.cooldown <= self.samples, "in [0, samples]")
        check("average", 0 <= self.average < 1, "in [0, 1)")
        check("momentum", 0 <= self.momentum < 1, "in [0, 1)")
        check("seed", 0 <= self.seed < 2**63, "in [0, 2^63)")
        check("architecture", self.architecture in (None, *paper.ARCHITECTURES),
              f"one of {', '.join(paper.ARCHITECTURES)}")
        check("initialisation", self.initialisation in ("torch7", "literal"), "torch7 or literal")
        check("output", self.output in OUTPUTS, " or ".join(OUTPUTS))
        check("negatives", self.negatives in ("paper", "others", "background"), "paper, others or background")
        check("sources", self.sources in ("uniform", "balanced"), "uniform or balanced")
        check("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")
        check("round", self.round in (1, 2), "1 or 2")
        check("hard", 0 <= self.hard <= 1, "in [0, 1]")
        try:
            parse_aggregation(self.aggregation_name)  # refuse an unknown name before any work is done
        except LsegreproError as error:
            raise LsegreproError(f"training.aggregation: {error}") from error

    def record(self) -> dict[str, Any]:
        """As a card holds them: `LATER` arguments only where they differ, so that older cards still say the same.

        >>> "output" in Training().record(), Training(output="linear").record()["output"]
        (False, 'linear')
        """
        return {key: value for key, value in asdict(self).items() if key not in LATER or value != LATER[key]}

    @property
    def net(self) -> paper.Architecture:
        """The architecture that is trained."""
        return paper.architecture(self.architecture or self.model)

    @property
    def aggregation_name(self) -> str:
        """The aggregation that is used."""
        return self.aggregation or paper.MODELS[self.model][1]

    @property
    def steps(self) -> int:
        """SGD steps: samples / batch, rounded up."""
        return -(-self.samples // self.batch)

    @property
    def constant_steps(self) -> int:
        """Steps before the cooldown begins."""
        return self.steps - -(-self.cooldown // self.batch)

    def rate_at(self, step: int) -> float:
        """The rate for one image at a step, counted from 0.

        >>> args = Training(samples=8, batch=1, rate=0.1, cooldown=4)
        >>> [round(args.rate_at(step), 3) for step in range(8)]
        [0.1, 0.1, 0.1, 0.1, 0.1, 0.075, 0.05, 0.025]
        """
        rate, seen = self.rate, step * self.batch
        if self.decay_after and seen > self.decay_after:
            rate *= math.sqrt(self.decay_after / seen)
        if step >= self.constant_steps:
            rate *= (self.steps - step) / (self.steps - self.constant_steps)
        return rate


LATER = {"output": "tanh", "sources": "uniform", "decay_after": 0, "cooldown": 0, "average": 0.0}
"""Arguments that the first cards do not have, and what those trainings used."""


CARD = {"sha256": str, "samples": int, "hours": (int, float), "device": str, "data_digest": str, "final": dict}
"""What a card may say of its network besides the arguments, and the type of each."""


def read_card(path: str | Path) -> dict[str, Any]:
    """The card of a network, which lies beside the weights.

    Raises
    ------
    LsegreproError
        If the file is absent or no card: it lacks model and class, or a value has another type than it should.
    """
    card = read_json(path)
    arguments = card.get("arguments")
    if not isinstance(arguments, dict) or not all(isinstance(arguments.get(key), str) for key in ("model", "cls")):
        raise LsegreproError(f"{path} does not say of which model and class they are: fetch both again")
    for key, kind in CARD.items():
        if key in card and not isinstance(card[key], kind):
            raise LsegreproError(f"{path} is no card of a network, for its {key} is {card[key]!r}: fetch it again")
    return card


@dataclass(frozen=True)
class Mining:
    """Arguments of the mining; the paper is silent on all of them.

    Attributes
    ----------
    theta : float
        A pixel is a false positive where p > theta.
    per_image : int
        At most so many are kept of one image, drawn uniformly; otherwise the few images that
        the model gets wholly wrong would be nearly all of the set.
    images : int
        At most so many background images are looked at.
    keep : int
        At most so many are kept in all, drawn uniformly over what the images gave; 0 keeps them all.
    """

    theta: float = 0.5
    per_image: int = 256
    images: int = 100_000
    keep: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.theta < 1:
            raise LsegreproError(f"mining.theta must lie in [0, 1), got {self.theta}")
        for name in ("per_image", "images"):
            if getattr(self, name) < 1:
                raise LsegreproError(f"mining.{name} must be at least 1, got {getattr(self, name)}")
        if self.keep < 0:
            raise LsegreproError(f"mining.keep must be at least 1, or 0 for all, got {self.keep}")


@dataclass(frozen=True)
class Scoring:
    """Arguments of the scoring; the paper is silent on them.

    Attributes
    ----------
    scale_to : int
        Short side, in pixels, at which the network sees an image; 0 keeps its own size.
        Training saw 300 pixels.
    precision : {"float32", "bfloat16"}
        float32 on a device that has no bfloat16, and the evidence says so.
    """

    scale_to: int = paper.IMAGE_SIDE
    precision: str = "float32"

    def __post_init__(self) -> None:
        if not (self.scale_to == 0 or 16 <= self.scale_to <= 4096):
            raise LsegreproError(f"scoring.scale_to must be 0 or lie in [16, 4096], got {self.scale_to}")
        if self.precision not in PRECISIONS:
            raise LsegreproError(f"scoring.precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
