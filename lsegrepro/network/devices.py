"""Devices: choose one by name, set its arithmetic, and name it in cards."""

from __future__ import annotations

import ctypes
import math
import os
import platform
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from functools import cache

import numpy as np
import torch

from .. import __version__
from ..files import LsegreproError

TF32 = True
"""Whether convolutions in float32 may use the tensor cores of a GPU, which round factors to TF32 (10 bits of
mantissa) and add in float32. On a CPU float32 is float32."""


def parse_device(name: str) -> torch.device:
    """A device by name: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Of several GPUs ``auto`` takes one by the number of the process, so that jobs that run at once use all of them.
    Raises `LsegreproError` if there is no such device.

    >>> parse_device("cpu")
    device(type='cpu')
    """
    gpus = torch.cuda.device_count()
    if name == "auto":
        return torch.device("cuda", os.getpid() % gpus) if gpus else torch.device("cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise LsegreproError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise LsegreproError(f"no GPU {name!r} here ({gpus} found): use --device cpu")
    return device


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device multiplies in bfloat16 faster than in float32.

    A processor without bfloat16 units emulates it, nine times slower; a short product, once a process, tells.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    return _cpu_has_bfloat16()


@cache
def _cpu_has_bfloat16() -> bool:
    seconds = dict.fromkeys((torch.float32, torch.bfloat16), math.inf)
    for _ in range(8):  # in turns, and the best of each: other programs use the processor too
        for dtype in seconds:
            a = torch.ones(512, 512, dtype=dtype)
            start = time.perf_counter()
            a @ a
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - start)
    return seconds[torch.bfloat16] < seconds[torch.float32]


def arithmetic(device: torch.device, precision: str) -> str:
    """The precision that is used where another may be asked for: float32, which is more exact, without bfloat16."""
    return precision if precision == "float32" or has_bfloat16(device) else "float32"


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """Mixed precision inside the block, if it is asked for and the device has it; else float32, which is more exact."""
    if arithmetic(device, precision) == "float32":
        return nullcontext()
    return torch.autocast(device.type, dtype=getattr(torch, precision))


def deterministic(device: torch.device) -> AbstractContextManager:
    """Deterministic convolutions inside the block: on a GPU, cuDNN's deterministic algorithms, no benchmark, `TF32`."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=TF32)


def keep_freed_memory() -> None:
    """Tell glibc to keep freed memory instead of returning it to the system; elsewhere nothing happens.

    Training on a CPU allocates and frees the same activations of a hundred megabytes at every step. By default
    they go back to the system and come again as pages of zeros, which takes a third of a step's time.
    """
    if sys.platform.startswith("linux") and platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(-8, 1)  # M_ARENA_MAX: autograd's thread shares the heap of the main thread
        mallopt(-4, 0)  # M_MMAP_MAX: large blocks come from the heap too, which keeps them
        mallopt(-2, 2**28)  # M_TOP_PAD: the heap grows in steps of this
        mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: with less free memory than this, nothing is returned


def device_name(device: torch.device, precision: str = "float32") -> str:
    """A device in words, as cards name it; if it lacks the precision asked for, that it computed in float32."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        threads = torch.get_num_threads()
        name = f"{threads} CPU thread{'s' * (threads > 1)}, {platform.machine()}"
    return name if arithmetic(device, precision) == precision else f"{name}, in float32"


def versions() -> dict[str, str]:
    """Versions of the software that a result depends on."""
    return {"lsegrepro": __version__, "python": platform.python_version(), "torch": torch.__version__,
            "numpy": np.__version__}
