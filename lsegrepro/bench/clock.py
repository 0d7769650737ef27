"""Measuring: time in turns, the rate of a matrix product, and what the machine is."""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from statistics import median

import torch

PRODUCT = 2048
"""Side of the two float32 matrices whose product sets the rate: 17.2 GFLOP, far beyond any cache."""


def machine(device: torch.device) -> dict[str, object]:
    """Processor, threads, GPU and versions, in words; nothing that names the machine itself."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else None
    return {
        "processor": processor(),
        "logical_cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": gpu,
        "tf32_convolutions": torch.backends.cudnn.allow_tf32 if gpu else None,
        "torch": torch.__version__,
    }


def processor() -> str:
    """The processor's name: of /proc/cpuinfo where there is one, else what Python knows."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


@contextlib.contextmanager
def threads(number: int | None) -> Iterator[None]:
    """Let torch use so many threads inside; None leaves it as it is (OMP_NUM_THREADS)."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def matrix_product(device: torch.device, side: int = PRODUCT) -> Callable[[], torch.Tensor]:
    """A float32 matrix product to be timed, 2 * side^3 operations."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(side, side, generator=generator).to(device) for _ in range(2))
    return lambda: a @ b


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Time of one call, the GPU's work included."""
    _wait(device)
    start = time.perf_counter()
    call()
    _wait(device)
    return time.perf_counter() - start


def in_turns(
    calls: Mapping[str, Callable[[], object]], device: torch.device, *, rounds: int, budget: float
) -> dict[str, list[float]]:
    """Times of several calls, taken in turns, A B C A B C, so that a busy minute strikes all alike.

    Each is called once before, untimed.

    Parameters
    ----------
    rounds : int
        At most so many, at least two.
    budget : float
        Seconds after which no third or later round begins.

    Returns
    -------
    dict
        Name to the seconds of each round.

    >>> found = in_turns({"a": lambda: 1, "b": lambda: 2}, torch.device("cpu"), rounds=3, budget=60.0)
    >>> {name: len(times) for name, times in found.items()}
    {'a': 3, 'b': 3}
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    start = time.perf_counter()
    for done in range(max(2, rounds)):
        if done >= 2 and time.perf_counter() - start > budget:
            break
        for name, call in calls.items():
            times[name].append(seconds(call, device))
    return times


def summary(times: list[float], factor: float = 1.0) -> dict[str, float]:
    """Minimum, median and number of some times; `factor` scales a part up to the whole."""
    return {
        "seconds": min(times) * factor,
        "median_seconds": median(times) * factor,
        "repetitions": len(times),
    }


def product_rate(times: list[float], side: int = PRODUCT) -> dict[str, float]:
    """Rate of a matrix product from its times, in operations a second: best and median."""
    return {
        "side": side,
        "flops_per_second": 2 * side**3 / min(times),
        "median_flops_per_second": 2 * side**3 / median(times),
        "repetitions": len(times),
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
