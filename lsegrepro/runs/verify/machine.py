"""Which depths of reproduction a machine can do, and what the others lack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

from ...files import LsegreproError
from ..folder import RunFolder
from .record import read_record

IMAGES_ON_CPU = 48
"""Images that depth weights scores with each network where there is no GPU: a few minutes on two cores."""


@dataclass(frozen=True)
class Depth:
    """One depth on this machine: whether it can be done, and a line that says why not, or how long it takes."""

    name: str
    can: bool
    why: str


def depths(run: RunFolder) -> list[Depth]:
    """What this machine can do with the published run `run`; loads no torch.

    >>> from lsegrepro.run import open_run
    >>> [(d.name, d.can) for d in depths(open_run("quick", "no/such/folder"))][0]
    ('evidence', False)
    """
    return [_evidence(run), _weights(run), _scratch(run)]


def _evidence(run: RunFolder) -> Depth:
    try:
        read_record(run.folder)
    except LsegreproError as error:
        return Depth("evidence", False, str(error))
    return Depth("evidence", True, "takes seconds; needs neither torch, nor photographs, nor a GPU")


def _weights(run: RunFolder) -> Depth:
    lacking = [path for path in (run.weights_path(*n) for n in run.last_networks()) if not path.is_file()]
    why = f"{lacking[0]} is not there" if lacking else _no_torch() or _no_images(lambda: run.segmentation("val"))
    return Depth("weights", not why, why or (
        f"takes minutes: every image on a GPU, {IMAGES_ON_CPU} images a network on a processor, or --images N"))


def _scratch(run: RunFolder) -> Depth:
    why = _no_torch() or _no_images(
        lambda: [*map(run.segmentation, ("train", "val")), *map(run.weak, ("train", "heldout"))])
    cards = [run.card(*n) for n in run.networks() if run.card_path(*n).is_file()]
    hours = sum(card.get("hours", 0) for card in cards)
    took = f"; the published trainings took {hours:.1f} hours on {cards[0]['device']}" if cards else ""
    return Depth("scratch", not why, why or f"only when asked for, as it trains everything again{took}")


def _no_torch() -> str:
    return "" if find_spec("torch") else "PyTorch is not installed: pip install torch, or run `make env`"


def _no_images(look: Callable[[], object]) -> str:
    try:
        look()
    except LsegreproError as error:
        return str(error)
    return ""
