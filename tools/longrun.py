"""Train all networks for as long as there is time: start what is not running, and say how far each is.

    python tools/longrun.py FOLDER            # start or resume, and say how far it is; any number of times
    python tools/longrun.py FOLDER --status   # only say

Two workers, one thread each and at the lowest priority, train a *trunk* of each network, whose rate never falls to 0.
At each milestone a finished network branches off it, by a cooldown over the last fifth of its images. All networks
reach a milestone before any goes on to the next, so that whatever stops the run leaves networks that can be compared.
Everything lies in FOLDER and goes on where it was; run it from a clone of its own, whose code nobody edits.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

WORKERS = 2
NETWORKS = [(model, cls) for model in ("LSE1", "max1", "LSE2", "max2") for cls in ("cat", "dog")]
COOLDOWN = 0.2
"""Share of a finished network's images over which its rate falls."""


def milestones(model: str) -> list[int]:
    """Images after which a network is finished."""
    return [50_000 * 2**i for i in range(8 if model in ("LSE1", "max1") else 3)]


def jobs(folder: Path) -> list[tuple[Path, Path | None, dict]]:
    """Every training in its order: its weights file, the training that it goes on from, and its arguments."""
    listed = []
    for cls in ("cat", "dog"):  # the recipe, chosen on these
        net = {"model": "LSE1", "cls": cls}
        for name, change in {"constant": {}, "sqrt": {"decay_after": 10_000}}.items():
            trunk = [folder / "recipe" / f"{name}-{images}" / f"LSE1-{cls}.safetensors" for images in (40_000, 50_000)]
            end = folder / "recipe" / f"{name}-cooldown" / f"LSE1-{cls}.safetensors"
            listed.append((trunk[0], None, {**net, **change, "samples": 40_000}))
            listed.append((end, trunk[0], {**net, **change, "samples": 50_000, "cooldown": 10_000}))
            listed.append((trunk[1], trunk[0], {**net, **change, "samples": 50_000}))
        listed.append((folder / "recipe" / "linear" / f"LSE1-{cls}.safetensors", None,
                       {**net, "samples": 50_000, "cooldown": 50_000}))
    return listed


def work(folder: Path, slot: int) -> None:
    """Do every job that is not done and that no other worker has."""
    import torch

    torch.set_num_threads(1)
    from lsegrepro.arguments import Training
    from lsegrepro.run import open_run
    from lsegrepro.sampling import Decoded
    from lsegrepro.training import train

    run = open_run("local")
    data = {split: Decoded(run.weak(split), progress=False) for split in ("train", "heldout")}
    for out, parent, changes in jobs(folder):
        out.parent.mkdir(parents=True, exist_ok=True)
        with (folder / f"{out.stem}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # the other worker has this network
            if out.is_file():
                continue
            print(time.strftime("%F %T"), out, flush=True)
            if parent and not out.with_suffix(".checkpoint").is_file():
                for suffix in (".jsonl", ".checkpoint"):
                    shutil.copy(parent.with_suffix(suffix), out.with_suffix(suffix))
            args = Training(**{"rate": 0.006, "average": 0.1, "precision": "bfloat16", **changes})
            train(args, data["train"], out, heldout=data["heldout"], progress=False, keep_checkpoint=True)


def start(folder: Path) -> None:
    """Start each worker that is not running."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for slot in range(WORKERS):
        lock = (folder / f"worker-{slot}.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        with (folder / f"worker-{slot}.log").open("a") as log:
            # The worker inherits the lock, and so holds it until it ends.
            subprocess.Popen(["nice", "-n", "19", sys.executable, __file__, str(folder), "--work", str(slot)],
                             stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
                             pass_fds=[lock.fileno()])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--work", type=int)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.work is not None:
        work(given.folder, given.work)
    else:
        start(given.folder)
