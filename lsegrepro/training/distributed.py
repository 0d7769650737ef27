"""Many GPUs: a GPU of its own for each job, and one training shared out to several processes.

Independent jobs on one machine each lease a GPU. A large training can be started by
``torchrun``: then each process computes the gradient of its share of every batch, and
torch's DistributedDataParallel takes the mean. Everything here does nothing, and costs
nothing, in a process that is alone.
"""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist

from .. import oldlocks as locks
from ..files import LsegreproError

PATIENCE = timedelta(hours=1)
"""How long processes wait for the first, which alone evaluates and writes."""


@dataclass(frozen=True)
class Share:
    """What one of several processes takes of each batch: rows rank, rank + size, rank + 2 size, ...

    The rows are those of the batch that one process would draw, so what a step sees does not
    depend on the number of processes. Images are never split: an aggregation needs all N patches.
    """

    rank: int = 0
    size: int = 1

    def rows(self, total: int) -> np.ndarray:
        """Numbers of the rows, out of `total`.

        >>> Share(1, 3).rows(9).tolist()
        [1, 4, 7]
        """
        return np.arange(self.rank, total, self.size)


WHOLE = Share()
"""The share of a process that is alone."""


class RowsOf:
    """A generator that draws for a whole batch and keeps some of its rows.

    It has the methods of numpy's Generator that `patches` calls, and leaves the generator below
    it where drawing the whole batch would.

    Parameters
    ----------
    rng : Generator
    total : int
        Rows of the whole batch.
    rows : ndarray
        (n,) int: which of them to keep. A size asked for is (n, ...).

    >>> whole = np.random.default_rng(0).random(4)
    >>> np.array_equal(RowsOf(np.random.default_rng(0), 4, np.array([1, 3])).random(2), whole[[1, 3]])
    True
    """

    def __init__(self, rng: np.random.Generator, total: int, rows: np.ndarray) -> None:
        self._rng, self._total, self._rows = rng, total, rows

    def random(self, size: int) -> np.ndarray:
        """As Generator.random."""
        return self._rng.random(self._whole(size))[self._rows]

    def uniform(self, low: float, high: float, size: int) -> np.ndarray:
        """As Generator.uniform."""
        return self._rng.uniform(low, high, self._whole(size))[self._rows]

    def integers(self, low: int, high: int | np.ndarray, size: int | tuple[int, ...]) -> np.ndarray:
        """As Generator.integers."""
        return self._rng.integers(low, high, self._whole(size))[self._rows]

    def _whole(self, size: int | tuple[int, ...]) -> tuple[int, ...]:
        rows, *rest = size if isinstance(size, tuple) else (size,)
        if rows != len(self._rows):
            raise ValueError(f"{rows} rows asked for, {len(self._rows)} kept")
        return (self._total, *rest)


@dataclass(frozen=True)
class Team:
    """The processes of one training, seen from one of them."""

    share: Share = WHOLE

    @property
    def first(self) -> bool:
        """Whether this is the process that writes, evaluates and shows progress."""
        return self.share.rank == 0

    def share_out(self, net: nn.Module) -> nn.Module:
        """The network whose backward pass leaves the gradient of the whole batch on every process."""
        if self.share == WHOLE:
            return net
        gpu = next(net.parameters()).device
        return nn.parallel.DistributedDataParallel(net, device_ids=[gpu] if gpu.type == "cuda" else None)

    def mean(self, value: Tensor) -> Tensor:
        """The mean of a tensor over the processes, on each of them."""
        if self.share == WHOLE:
            return value
        total = value.clone()
        dist.all_reduce(total)
        return total / self.share.size

    def agree(self, step: int, device: torch.device) -> None:
        """Refuse to go on from different steps, which is what processes do that see different folders."""
        if self.share == WHOLE:
            return
        least, most = torch.tensor(step, device=device), torch.tensor(step, device=device)
        dist.all_reduce(least, dist.ReduceOp.MIN)
        dist.all_reduce(most, dist.ReduceOp.MAX)
        if least != most:
            raise LsegreproError(f"the processes found checkpoints of steps {least.item()} to {most.item()}: "
                                 "the run folder must be one that all of them see")

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.share != WHOLE:
            dist.barrier()


def processes() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def join(device: torch.device, batch: int) -> Team:
    """Meet the processes that torchrun has started: over gloo on CPUs, NCCL on GPUs.

    Parameters
    ----------
    device : torch.device
        Where this process computes.
    batch : int
        Images a step, of all processes together.

    Raises
    ------
    LsegreproError
        If the processes cannot have equal shares of a batch.
    """
    size = processes()
    if size == 1:
        return Team()
    if batch % size:
        raise LsegreproError(f"a batch of {batch} cannot be shared out equally to {size} processes: "
                             f"choose training.batch a multiple of {size}, or another number of processes")
    if not dist.is_initialized():  # once: what a second meeting finds in torchrun's store is of the first
        gpu = device if device.type == "cuda" else None
        dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE, device_id=gpu)
        atexit.register(dist.destroy_process_group)
    return Team(Share(dist.get_rank(), size))


def alone(what: str) -> None:
    """Raise `LsegreproError` where torchrun has started several processes: `what` is the work of one."""
    if processes() > 1:
        raise LsegreproError(f"{what} is the work of one process: do it first, without torchrun")


def parse_device(name: str) -> torch.device:
    """A device by name: auto (a GPU where there is one), cpu, cuda or cuda:N.

    Raises
    ------
    LsegreproError
        If there is no such device.

    >>> parse_device("cpu")
    device(type='cpu')
    """
    try:
        device = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
    except RuntimeError as error:
        raise LsegreproError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise LsegreproError(f"unknown device {name!r}: choose auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise LsegreproError(f"no GPU {name!r} here ({torch.cuda.device_count()} found): use --device cpu")
    return device


def own_device(name: str) -> torch.device:
    """The device this process is to work on.

    As `parse_device`; but where ``auto`` or ``cuda`` leaves a choice of GPUs, a process of torchrun takes
    the one of its local rank, and any other process one that no other process of this user has leased.
    A lease is a locked file and ends with its process. When all are leased, one is shared, and a line says so.

    Raises
    ------
    LsegreproError
        If there is no such device, or fewer GPUs than processes that torchrun has started here.
    """
    device = parse_device(name)
    if device.type == "cpu" or (processes() == 1 and torch.cuda.device_count() == 1):
        return device
    if processes() > 1:
        index, here = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if device.index is not None or index >= here:
            raise LsegreproError(f"each process of torchrun needs a GPU of its own, and {here} are here: "
                                 f"use --device cuda and --nproc-per-node of at most {here}")
    else:
        index = _lease() if device.index is None else device.index
    torch.cuda.set_device(index)  # or pinned memory and NCCL would take room on the first GPU
    return torch.device("cuda", index)


@cache
def _lease() -> int:
    """The number of a GPU that this process has to itself until it ends."""
    folder = Path(tempfile.gettempdir()) / f"lsegrepro-gpus-{os.getuid()}"
    count = torch.cuda.device_count()
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        for index in range(count):
            # By its own name: jobs may see the same GPUs under different numbers.
            if locks.hold(folder / str(torch.cuda.get_device_properties(index).uuid)) is not None:
                return index
    except OSError as error:
        raise LsegreproError(f"cannot lease a GPU in {folder} ({error.strerror}): name one with --device cuda:N, "
                             "or another folder with TMPDIR") from error
    index = os.getpid() % count
    print(f"lsegrepro: each of the {count} GPUs is leased by another process; sharing cuda:{index}", file=sys.stderr)
    return index
