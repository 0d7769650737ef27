"""Peak memory of one way of dense inference, in a process of its own."""

from __future__ import annotations

import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import torch

from . import clock, inference


def peak_memory(way: str, model: str, size: tuple[int, int], device: torch.device) -> int | None:
    """Bytes that one call takes at its peak beyond what the loaded program, network and image take.

    Parameters
    ----------
    way : str
        A name of `inference.ways`.

    Returns
    -------
    int or None
        None if the process died, as it does when memory runs out.
    """
    # A server that has imported torch, and has run nothing of it, is forked for each measurement.
    methods = multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if "forkserver" in methods else "spawn")
    if context.get_start_method() == "forkserver":
        context.set_forkserver_preload([inference.__name__])
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        try:
            return pool.submit(measure, way, model, size, str(device), torch.get_num_threads()).result()
        except (BrokenProcessPool, MemoryError, torch.OutOfMemoryError):
            return None


def measure(way: str, model: str, size: tuple[int, int], device: str, threads: int) -> int:
    """`peak_memory` in this process, which should have done nothing before."""
    where = torch.device(device)
    with clock.threads(threads):
        net, image = inference.network(model, where), inference.picture(size)
        call = inference.ways(net, image)[way].call
        small = torch.rand(256, 256, device=where)
        small @ small  # what the libraries set up for themselves on first use is not the method's
        before = _peak(where)
        call()
        return _peak(where) - before


def _peak(device: torch.device) -> int:
    """Most memory held at once so far: of the GPU's tensors, or resident in this process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if status.is_file():
        # Linux hands ru_maxrss on from the parent, which may have been larger; this is our own.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
