"""The whole benchmark: what to measure, and everything measured in one record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from tqdm import tqdm

from .. import __version__, paper
from ..files import LsegreproError
from ..network.devices import has_bfloat16
from . import clock, inference, photographs, rates
from .memory import peak_memory
from .report import FORMAT
from .work import dense_flops

STAGES = ("dense", "training", "superpixels")
SIZE, QUICK_SIZE = (375, 500), (125, 167)
MAX_PIXELS = 2_000_000  # dilation and the rest hold all activations of the image at once


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
        At most.
    budget : float
        Seconds after which no round of dense inference begins.
    steps, training : int, float
        Steps and seconds of a training, at least.
    precisions : tuple of str
        That are trained in.
    """

    rounds: int
    budget: float
    steps: int
    training: float
    precisions: tuple[str, ...]


FULL = Effort(rounds=5, budget=15.0, steps=2, training=1.0, precisions=("float32", "bfloat16"))
QUICK = Effort(rounds=2, budget=2.0, steps=1, training=0.2, precisions=("float32",))


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes
    ----------
    models : tuple of str
        Names of `paper.ARCHITECTURES`.
    size : tuple of int
        (H, W) of the image, in pixels.
    stages : tuple of str
        Of `STAGES`.
    quick : bool
        Fewer repetitions, and no bfloat16 in training.
    """

    models: tuple[str, ...] = ("LSE1", "LSE2")
    size: tuple[int, int] = SIZE
    stages: tuple[str, ...] = STAGES
    quick: bool = False

    @property
    def effort(self) -> Effort:
        """How long to measure."""
        return QUICK if self.quick else FULL


def parse_plan(model: str = "both", size: str | None = None, only: str | None = None, quick: bool = False) -> Plan:
    """A plan from the words of a command line.

    Parameters
    ----------
    model : str
        A name of `paper.ARCHITECTURES`, or both for LSE1 and LSE2.
    size : str, optional
        HxW; default 375x500, with `quick` 125x167.
    only : str, optional
        Some of `STAGES`, with commas between.

    Raises
    ------
    LsegreproError
        If a word is none of these.

    >>> parse_plan(size="30x40", only="dense").size
    (30, 40)
    """
    if model not in ("both", *paper.ARCHITECTURES):
        raise LsegreproError(f"unknown model {model!r}: choose both or one of {', '.join(paper.ARCHITECTURES)}")
    stages = STAGES if only is None else tuple(dict.fromkeys(only.split(",")))
    if unknown := [stage for stage in stages if stage not in STAGES]:
        raise LsegreproError(f"unknown stage {unknown[0]!r}: choose some of {','.join(STAGES)}")
    pixels = QUICK_SIZE if quick else SIZE
    if size is not None:
        found = re.fullmatch(r"([0-9]{1,7})x([0-9]{1,7})", size)
        pixels = tuple(map(int, found.groups())) if found else (0, 0)
        if min(pixels) < 1 or pixels[0] * pixels[1] > MAX_PIXELS:
            raise LsegreproError(
                f"the size is HxW, such as 375x500, at least 1x1 and at most {MAX_PIXELS:,} pixels; got {size!r}"
            )
    return Plan(("LSE1", "LSE2") if model == "both" else (model,), pixels, stages, quick)


def bench(plan: Plan, device: torch.device, *, threads: int | None = None, progress: bool = True) -> dict:
    """Measure everything of a plan.

    Parameters
    ----------
    plan : Plan
    device : torch.device
    threads : int, optional
        Of torch; default what it takes by itself, or OMP_NUM_THREADS.
    progress : bool
        A bar on stderr, where that is a terminal.

    Returns
    -------
    dict
        A record for JSON; `report.KEYS` says what each key holds.

    Raises
    ------
    LsegreproError
        If `threads` is below 1.
    """
    if threads is not None and not 1 <= threads <= 1024:
        raise LsegreproError(f"threads must lie in [1, 1024], got {threads}")
    effort, product = plan.effort, []
    found: dict[str, dict] = {}

    def each(stage: str, models: Sequence[str] = plan.models) -> Iterator[str]:
        """The models of a stage that is in the plan; the product is measured before each, as machines change pace."""
        for model in models if stage in plan.stages else ():
            bar.set_description_str(f"measuring {stage} {model}".strip())
            product.extend(_product_times(device))
            yield model

    with clock.threads(threads), tqdm(disable=None if progress else True, leave=False, bar_format="{desc}") as bar:
        facts = clock.machine(device)
        found["dense"] = {model: _dense(model, plan, device, product) for model in each("dense")}
        found["training"] = {
            model: {
                precision: rates.training_rates(model, precision, device, steps=effort.steps, budget=effort.training,
                                                rounds=2)
                for precision in effort.precisions if precision == "float32" or has_bfloat16(device)
            }
            for model in each("training")
        }
        for _ in each("superpixels", [""]):
            found["superpixels"] = rates.superpixel_rates(plan.size, rounds=effort.rounds, budget=5.0)
            found["bootstrap"] = rates.bootstrap_time(rounds=3, budget=3.0)
        product.extend(_product_times(device))
    rate = clock.product_rate(product)
    floors = {model: _floor(model, plan.size, rate["flops_per_second"]) for model in plan.models}
    for model, dense in found["dense"].items():
        _add_ratios(dense, floors[model], rate["flops_per_second"])
    return {
        "format": FORMAT,
        "lsegrepro": __version__,
        "machine": facts,
        "size": list(plan.size),
        "quick": plan.quick,
        "matrix_product": rate,
        "floor": floors,
    } | {stage: values for stage, values in found.items() if values}


def _product_times(device: torch.device) -> list[float]:
    return clock.in_turns({"product": clock.matrix_product(device)}, device, rounds=3, budget=10.0)["product"]


def _dense(model: str, plan: Plan, device: torch.device, product: list[float]) -> dict[str, dict]:
    """Every way and every stage of ours; `product` gets the times of the matrix product between them."""
    effort = plan.effort
    ways, times = inference.time_ways(model, plan.size, device, rounds=effort.rounds, budget=effort.budget)
    stages, more = inference.time_stages(model, plan.size, device, rounds=effort.rounds, budget=effort.budget / 3)
    product += times + more
    for name, way in ways.items():
        way["peak_bytes"] = peak_memory(name, model, plan.size, device)
    return {"ways": ways, "stages": stages}


def _floor(model: str, size: tuple[int, int], rate: float) -> dict[str, float]:
    flops = dense_flops(paper.ARCHITECTURES[model], *size)
    return {"flops": flops, "seconds": flops / rate}


def _add_ratios(dense: dict[str, dict], floor: dict[str, float], rate: float) -> None:
    """Add what needs the rate of the matrix product, which is known when all is measured."""
    for way in dense["ways"].values():
        way["times_floor"] = way["seconds"] / floor["seconds"]
        way["times_flops"] = way["flops"] / floor["flops"]
    for stage in dense["stages"].values():
        stage["share_of_rate"] = stage["flops"] and stage["flops"] / stage["seconds"] / rate
