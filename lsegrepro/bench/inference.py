"""Dense inference timed each way, and ours stage by stage."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.flop_counter import FlopCounterMode

from .. import paper
from ..data.images import resize
from ..network.dense import score_map
from ..network.devices import has_bfloat16
from ..network.model import PatchNet
from . import references
from .clock import in_turns, matrix_product, summary
from .work import layer_flops, reference_flops

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # torch's profiler would announce itself on stderr

GAIN = 2.0
"""Initial weights times this have rounding errors as large as a trained network's; by themselves, far smaller ones."""

PATCHES = 64
"""Patches timed in place of one for every pixel."""

PASSES = 4
"""Shifted passes timed in place of all."""

STAGES = {
    "conv1": ("conv1",), "pool1": (), "conv2": ("conv2",), "pool2": (), "conv3": ("conv3",),
    "full": ("full4", "full5"), "layout": (),
}
"""Labels that `lsegrepro.network.dense` gives its parts for a profiler, and the layers whose operations each holds."""


@dataclass(frozen=True)
class Way:
    """One way to a score for every pixel.

    Attributes
    ----------
    call : callable
        Gives (2, H, W) scores; nan where the part that is timed gives none.
    factor : float
        The whole in units of that part.
    estimated_from : str or None
        What was timed, if it was a part.
    """

    call: Callable[[], Tensor]
    factor: float = 1.0
    estimated_from: str | None = None


def network(model: str, device: torch.device) -> PatchNet:
    """A network with seeded weights; speed does not depend on what they are."""
    net = PatchNet(paper.ARCHITECTURES[model], generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(GAIN)
    return net.to(device, memory_format=torch.channels_last)


def picture(size: tuple[int, int]) -> np.ndarray:
    """scikit-image's free photograph of a cat, brought to (H, W): (H, W, 3) uint8."""
    from skimage.data import chelsea

    return resize(chelsea(), *size)


def ways(net: PatchNet, image: np.ndarray) -> dict[str, Way]:
    """Every way by name: patches, dilation, shifts, ours, and ours-bfloat16 where the device has it."""
    height, width = image.shape[:2]
    pixels = height * width
    spread = np.unique(np.linspace(0, pixels - 1, PATCHES).astype(np.int64))
    places = np.stack(np.divmod(spread, width), axis=1)  # (n, 2)
    passes = references.passes(net, image)
    some = min(PASSES, passes)

    def patches() -> Tensor:
        scores = torch.full((2, height, width), torch.nan)
        scores[:, places[:, 0], places[:, 1]] = references.patch_by_patch(net, image, places)
        return scores

    found = {
        "patches": Way(patches, pixels / len(places), f"{len(places)} patches"),
        "dilation": Way(lambda: references.dilation(net, image)),
        "shifts": Way(lambda: references.shift_and_stitch(net, image, some), passes / some,
                      f"{some} of {passes} passes" if some < passes else None),
        "ours": Way(lambda: score_map(net, image)),
    }
    if has_bfloat16(next(net.parameters()).device):
        found["ours-bfloat16"] = Way(lambda: score_map(net, image, precision="bfloat16"))
    return found


def time_ways(
    model: str, size: tuple[int, int], device: torch.device, *, rounds: int, budget: float
) -> tuple[dict[str, dict], list[float]]:
    """Time each way, in turns with a matrix product.

    Returns
    -------
    ways : dict
        Name to ``seconds``, ``median_seconds``, ``repetitions``, ``estimated_from``, ``flops`` (of its
        convolutions and matrix products) and ``largest_difference`` (of the scores from ours in
        float32, where both are known).
    product : list of float
        Seconds of the matrix product.
    """
    net, image = network(model, device), picture(size)
    found = ways(net, image)
    scores: dict[str, Tensor] = {}

    def keeping(name: str, way: Way) -> Callable[[], None]:
        return lambda: scores.update({name: way.call()})

    calls = {name: keeping(name, way) for name, way in found.items()}
    times = in_turns(calls | {"product": matrix_product(device)}, device, rounds=rounds, budget=budget)
    flops = reference_flops(net.architecture, *size)
    flops |= {name: counted_flops(found[name].call) for name in ("ours", "ours-bfloat16") if name in found}
    return {
        name: summary(times[name], way.factor) | {
            "estimated_from": way.estimated_from,
            "flops": flops[name],
            "largest_difference": float((scores[name] - scores["ours"]).abs().nan_to_num_(0).max()),
        }
        for name, way in found.items()
    }, times["product"]


def counted_flops(call: Callable[[], object]) -> int:
    """Operations of the matrix products and convolutions of a call, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def time_stages(
    model: str, size: tuple[int, int], device: torch.device, *, rounds: int, budget: float
) -> tuple[dict[str, dict], list[float]]:
    """Time ours stage by stage with torch's profiler, in turns with a matrix product.

    Returns
    -------
    stages : dict
        Each label of `STAGES` that was met, and "other" for what lies under none, to
        ``seconds`` (of the fastest round), ``share`` of their sum, and ``flops``: the
        operations that its layers have by definition, None for a stage without layers. What the
        profiler itself takes is in "other".
    product : list of float
        Seconds of the matrix product.
    """
    net, image = network(model, device), picture(size)
    seen: list[dict[str, float]] = []
    calls = {
        "stages": lambda: seen.append(profiled(lambda: score_map(net, image), device)),
        "product": matrix_product(device),
    }
    product = in_turns(calls, device, rounds=rounds, budget=budget)["product"]
    least = min(seen[1:], key=lambda times: sum(times.values()))  # the first was a warm-up
    total, pixels = sum(least.values()), size[0] * size[1]
    flops = layer_flops(net.architecture)
    return {
        name: {
            "seconds": value,
            "share": value / total,
            "flops": pixels * sum(flops[layer] for layer in STAGES.get(name, ())) or None,
        }
        for name, value in least.items()
    }, product


def profiled(call: Callable[[], object], device: torch.device) -> dict[str, float]:
    """Seconds under each label of `STAGES` during a call, and under "other" the rest of it.

    What lies under a label within a label counts for the inner one.
    """
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device.type == "cuda")
    with profile(activities=activities) as recorded, record_function("other"):
        call()
    found: dict[str, float] = {}
    for event in recorded.events():
        if event.name in (*STAGES, "other") and event.device_type == DeviceType.CPU:
            time = (event.device_time_total if device.type == "cuda" else event.cpu_time_total) / 1e6
            found[event.name] = found.get(event.name, 0.0) + time
            outer = _label_around(event)
            if outer is not None:
                found[outer] = found.get(outer, 0.0) - time
    return {name: found[name] for name in (*STAGES, "other") if name in found}


def _label_around(event) -> str | None:
    """The label that an event of the profiler lies directly under."""
    while (event := event.cpu_parent) is not None:
        if event.name in (*STAGES, "other"):
            return event.name
    return None
