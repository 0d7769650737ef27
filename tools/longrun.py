"""Train every network for as long as there is time: start or resume what is unfinished, and say how far each is.

    LSEGREPRO_DATA=... python tools/longrun.py FOLDER            # start or resume; any number of times
    LSEGREPRO_DATA=... python tools/longrun.py FOLDER --results  # the finished ones, scored, as JSON

Two workers, one thread each and at the lowest priority, train a *trunk* of each network, whose rate never falls to 0.
At each milestone a finished network branches off it: its rate falls to 0 over the last fifth of its images. All
networks reach a milestone before any goes on to the next, so that whatever stops the run leaves networks that can be
compared. Everything lies in FOLDER, a run folder a job; run this from a clone of its own, whose code nobody edits.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WORKERS = 2

COMMON = {"rate": 0.006, "average": 0.1, "negatives": "paper"}
"""What is the same for all that is trained here, unless a job says otherwise."""

COOLDOWN = 0.2
"""Share of a finished network's images over which its rate falls."""

RECIPE: dict | None = None
"""What the comparison chose for the trunk, beyond `COMMON`."""

MILESTONES = {"LSE1": [50_000 * 2**i for i in range(8)], "LSE2": [50_000, 100_000, 200_000]}
"""Images after which networks of an architecture are finished."""

SCORED = [("LSE1", "cat"), ("max1", "cat")]
"""Networks whose every milestone is scored on VOC, for the curve of AP against images seen."""

NETWORKS = [(model, cls) for model in ("LSE1", "max1", "LSE2", "max2") for cls in ("cat", "dog")]


@dataclass(frozen=True)
class Job:
    """One training of round 1, and what of VOC it is scored on.

    Attributes
    ----------
    folder : str
        Its run folder.
    changes : dict
        Arguments of `Training` that differ from `COMMON`.
    trunk : str
        Folder of the training whose checkpoint it goes on from.
    start : str
        Folder of the training whose weights it starts from.
    splits : tuple of str
    """

    folder: str
    model: str
    cls: str
    changes: dict = field(default_factory=dict)
    trunk: str = ""
    start: str = ""
    splits: tuple[str, ...] = ()

    def training(self) -> dict:
        """Its arguments, as a profile has them."""
        return {**COMMON, **self.changes}


def jobs() -> Iterator[Job]:
    """Every job, in its order."""
    recipes = {"constant": {}, "sqrt": {"decay_after": 10_000}}
    for cls in ("cat", "dog"):
        for name, change in recipes.items():
            trunk = f"recipe-{name}-40000"
            yield Job(trunk, "LSE1", cls, {**change, "samples": 40_000})
            yield Job(f"recipe-{name}-cooldown", "LSE1", cls, {**change, "samples": 50_000, "cooldown": 10_000}, trunk,
                      splits=("train",))
            yield Job(f"recipe-{name}", "LSE1", cls, {**change, "samples": 50_000}, trunk, splits=("train",))
        yield Job("recipe-linear", "LSE1", cls, {"samples": 50_000, "cooldown": 50_000}, splits=("train",))
    variants = {"paper": {}, "others": {"negatives": "others"}, "background": {"negatives": "background"},
                "balanced": {"sources": "balanced"}}
    for name, change in variants.items():  # from a common start
        for cls in ("cat", "dog"):
            yield Job(f"variant-{name}", "LSE1", cls, {**change, "samples": 10_000, "cooldown": 10_000},
                      start="recipe-constant-40000", splits=("train",))


    for milestone in () if RECIPE is None else MILESTONES["LSE1"]:
        for model, cls in NETWORKS:
            reached = MILESTONES["LSE1" if model.endswith("1") else "LSE2"]
            if milestone in reached:
                constant = round((1 - COOLDOWN) * milestone)
                before = f"trunk-{round((1 - COOLDOWN) * milestone / 2)}" if milestone > reached[0] else ""
                yield Job(f"trunk-{constant}", model, cls, {**RECIPE, "samples": constant}, before)
                yield Job(f"finished-{milestone}", model, cls,
                          {**RECIPE, "samples": milestone, "cooldown": milestone - constant}, f"trunk-{constant}",
                          splits=("train", "val") if (model, cls) in SCORED else ())


def run_of(folder: Path, job: Job):
    """The job as a run: its profile is `local` with its arguments, its regions are the published ones."""
    from lsegrepro.config import load_profile, vary
    from lsegrepro.runs.folder import RunFolder

    profile = vary(load_profile("local"), job.folder, {"training": {"precision": "bfloat16", **job.training()}},
                   (job.model,), (1,), ())
    profile = dataclasses.replace(profile, classes=(job.cls,), network={})
    return RunFolder(profile, folder / job.folder, device="cpu", progress=False, parent=Path("published"),
               shared=("regions",))


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether this process has the lock of that name, while it is open."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False


def work(folder: Path) -> None:
    """Do every job that is not done and that no other worker has in hand."""
    import torch

    from lsegrepro.network.weights import load_weights
    from lsegrepro.training.batches import WeakDataset
    from lsegrepro.training.loop import train

    torch.set_num_threads(1)
    (folder / "locks").mkdir(exist_ok=True)
    data: dict[str, WeakDataset] = {}
    left = True
    while left:
        left = False
        for job in jobs():
            run = run_of(folder, job)
            out = run.weights_path(job.model, job.cls)
            before = {name: folder / name / "weights" / out.name for name in (job.trunk, job.start) if name}
            scored = [run.scores_path(job.model, job.cls, split=split) for split in job.splits]
            if out.is_file() and all(path.is_file() for path in scored):
                continue
            with claimed(folder / "locks" / f"{job.folder}-{job.model}-{job.cls}") as mine:
                if not mine or not all(path.is_file() for path in before.values()):
                    left = True  # another worker is at it, or at what it waits for
                    continue
                print(time.strftime("%F %T"), job.folder, job.model, job.cls, flush=True)
                if not out.is_file():
                    data = data or {split: WeakDataset(run.weak(split), progress=False)
                                    for split in ("train", "heldout")}
                    if job.trunk and not out.with_suffix(".checkpoint").is_file():
                        out.parent.mkdir(parents=True, exist_ok=True)
                        shutil.copy(before[job.trunk].with_suffix(".checkpoint"), out.with_suffix(".checkpoint"))
                    train(run.profile.arguments(job.model, job.cls), data["train"], out, heldout=data["heldout"],
                          start=load_weights(before[job.start]) if job.start else None, progress=False,
                          keep_checkpoint=not job.splits)
                for split in job.splits:
                    score_network(run, job.model, job.cls, split=split)
        if left:
            time.sleep(20)


def start_workers(folder: Path) -> None:
    """Start each worker that is not running."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    for slot in range(WORKERS):
        with claimed(folder / f"worker-{slot}.lock") as free:
            if free:
                with (folder / f"worker-{slot}.log").open("a") as log:
                    subprocess.Popen(
                        ["nice", "-n", "19", sys.executable, __file__, str(folder), "--work", str(slot)],
                        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True)


def status(folder: Path) -> None:
    """Print how far each training is."""
    for path in sorted(folder.glob("*/weights/*.jsonl"), key=lambda path: path.stat().st_mtime):
        if not (rows := path.read_text(encoding="utf-8").splitlines()):
            continue
        row = json.loads(rows[-1])
        state = "finished" if path.with_suffix(".safetensors").is_file() else "unfinished"
        numbers = "  ".join(f"{key} {row[key]:.3f}" for key in row if key.startswith(("loss", "heldout")))
        print(f"{path.parent.parent.name:25} {path.stem:24} {state:10} {row['samples']:>9,} images  {numbers}")


def results(folder: Path) -> list[dict]:
    """Every finished job: its arguments, its last held-out row, and AP on train at the best theta of the grid."""
    import numpy as np

    from lsegrepro import evaluation
    from lsegrepro.runs.results import train_curve

    rows = []
    for job in jobs():
        run = run_of(folder, job)
        if not run.weights_path(job.model, job.cls).is_file():
            continue
        card = run.card(job.model, job.cls)
        row = {"folder": job.folder, "model": job.model, "class": job.cls, "arguments": job.changes,
               "final": card["final"], "hours": card["hours"], "device": card["device"]}
        if run.has_scores(job.model, job.cls, split="train"):
            regions, scores = run.regions("train"), run.scores(job.model, job.cls, split="train")
            theta, ap = train_curve(regions, scores).best()
            grid = evaluation.smoothed_grid_counts(regions, scores)
            told = evaluation.ap(grid[:, evaluation.present(regions, job.cls)].sum(axis=1))
            row |= {"theta": float(theta), "ap_train": float(ap), "told_ap_train": float(np.nanmax(told))}
        rows.append(row)
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", action="store_true", help="print the finished networks as JSON")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.results:
        print(json.dumps(results(given.folder), indent=1))
    elif given.work is not None:
        with claimed(given.folder / f"worker-{given.work}.lock") as mine:
            if mine:
                work(given.folder)
    else:
        start_workers(given.folder)
        status(given.folder)
