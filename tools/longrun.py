"""Train every network for as long as there is time: start or resume what is unfinished, and say how far each is.

    LSEGREPRO_DATA=... python tools/longrun.py FOLDER                 # start or resume; any number of times
    LSEGREPRO_DATA=... python tools/longrun.py FOLDER --results       # print longrun.json with the new networks
    LSEGREPRO_DATA=... python tools/longrun.py FOLDER --collect RUN   # the finished networks as round 1 of a run
    python tools/longrun.py FOLDER --save FILE                        # the trunks in half precision, in one file
    python tools/longrun.py FOLDER --load FILE                        # go on from them on another machine

Two workers, one thread each and at the lowest priority, train a *trunk* of each network, whose rate never falls to 0.
A finished network branches off it at each stop, and its rate falls to 0 there. Everything lies in FOLDER, a run
folder a job; run this from a clone of its own, whose code nobody edits.

After --collect, `lsegrepro reproduce --profile local --run RUN` mines, trains round 2 and scores, and `make publish
RUN=RUN` publishes that run.
"""

from __future__ import annotations

import argparse
import dataclasses
import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from lsegrepro import evaluation
from lsegrepro.config import load_profile
from lsegrepro.files import read_json
from lsegrepro.runs.folder import SPLITS, Network, RunFolder
from lsegrepro.runs.make import score_network
from lsegrepro.runs.published import PUBLISHED, copy_file
from lsegrepro.runs.results import GRID_STEP, train_curve
from lsegrepro.training.batches import WeakDataset
from lsegrepro.training.loop import train

WORKERS = 2

PROFILE = load_profile("local")
"""The profile whose round 1 is trained; its images are the last stop of a network."""

ON_THE_WAY = {model: {100_000: 20_000, 180_000: 20_000} for model in ("LSE1", "max1")}
"""Images after which a copy of a network is finished before, and over how many of them its rate falls to 0."""

MORE_SEEDS = (1, 2)
"""Seeds beside 0 with which the `SCORED` networks are trained up to the first stop."""

NETWORKS = [(model, cls) for model in PROFILE.models for cls in PROFILE.classes]

SCORED = [("LSE1", "cat"), ("max1", "cat")]
"""The networks that are finished at each stop and scored on VOC, for the curve of AP against images seen."""


@dataclass(frozen=True)
class Job:
    """One training of round 1, and what of VOC it is scored on.

    Attributes
    ----------
    folder : str
        Its run folder.
    changes : dict
        Arguments of `Training` that differ from those of profile `local`.
    trunk : str
        Folder of the training whose checkpoint it goes on from.
    splits : tuple of str
    """

    folder: str
    model: str
    cls: str
    changes: dict
    trunk: str = ""
    splits: tuple[str, ...] = ()
    seed: int = 0

    @property
    def network(self) -> Network:
        """Model, class, round and seed."""
        return self.model, self.cls, 1, self.seed


def jobs() -> Iterator[Job]:
    """Every job once, in its order: first the trunks, then what branches off them."""
    branches = [job for network in NETWORKS for job in branch(*network)]
    yield from (job for job in branches if job.folder.startswith("trunk"))
    yield from (job for job in branches if job.folder.startswith("finished"))
    for model, cls in SCORED:
        for seed in MORE_SEEDS:
            yield from branch(model, cls, seed)


def branch(model: str, cls: str, seed: int = 0) -> Iterator[Job]:
    """One network: its trunk, and finished networks: on the way where VOC is scored, and at last with seed 0, whose
    scores are those of the published run."""
    trunk, last = "", PROFILE.arguments(model, cls)
    stops = [(images, cooldown, SPLITS) for images, cooldown in ON_THE_WAY.get(model, {}).items()]
    stops = stops[:1] if seed else [*stops, (last.samples, last.cooldown, ())]
    for images, cooldown, splits in stops:
        constant = images - cooldown
        yield Job(f"trunk-{constant}", model, cls, {"samples": constant, "cooldown": 0}, trunk, seed=seed)
        trunk = f"trunk-{constant}"
        if not splits or (model, cls) in SCORED:
            yield Job(f"finished-{images}", model, cls, {"samples": images, "cooldown": cooldown}, trunk,
                      splits=splits, seed=seed)


def run_of(folder: Path, job: Job) -> RunFolder:
    """The job as a run: profile `local` with its arguments."""
    profile = dataclasses.replace(PROFILE, models=(job.model,), classes=(job.cls,), rounds=(1,), seeds=(job.seed,),
                                  network={}, training=PROFILE.training | job.changes)
    return RunFolder(profile, folder / job.folder, device="cpu", progress=False)


def copy_regions(run: RunFolder) -> None:
    """Give a run the published superpixels and the truth in them."""
    for path in map(run.regions_path, SPLITS):
        if not path.is_file():
            copy_file(PUBLISHED / "evidence" / path.name, path)


def is_passed(folder: Path, job: Job) -> bool:
    """Whether a trunk loaded by --load is further than a job whose own trunk is not here."""
    checkpoints = folder.glob(f"trunk-*/weights/{job.model}-{job.cls}-round1-seed{job.seed}.checkpoint")
    trunks = [path.parts[-3] for path in checkpoints]
    furthest = max((int(name.removeprefix("trunk-")) for name in trunks), default=0)
    return job.trunk not in trunks and job.changes["samples"] < furthest


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
    torch.set_num_threads(1)
    (folder / "locks").mkdir(exist_ok=True)
    data: dict[str, WeakDataset] = {}
    left = True
    while left:
        left = False
        for job in jobs():
            run = run_of(folder, job)
            out = run.weights_path(*job.network)
            before = folder / job.trunk / "weights" / out.name
            if not out.is_file() and not is_passed(folder, job):
                left = True
                with claimed(folder / "locks" / f"{job.folder}-{out.stem}") as mine:
                    loaded = out.with_suffix(".checkpoint").is_file()
                    if not mine or not (loaded or not job.trunk or before.is_file()):
                        continue  # another worker is at it, or at what it waits for
                    print(time.strftime("%F %T"), job.folder, out.stem, flush=True)
                    data = data or {split: WeakDataset(run.weak(split), progress=False)
                                    for split in ("train", "heldout")}
                    if job.trunk and not loaded:
                        copy_file(before.with_suffix(".checkpoint"), out.with_suffix(".checkpoint"))
                    train(run.profile.arguments(*job.network), data["train"], out, heldout=data["heldout"],
                          progress=False, keep_checkpoint=True)
            if out.is_file() and any(not run.has_scores(*job.network, split=split) for split in job.splits):
                left = True
                with claimed(folder / "locks" / f"{job.folder}-{out.stem}-scores") as mine:
                    if mine:
                        print(time.strftime("%F %T"), job.folder, out.stem, "scores", flush=True)
                        copy_regions(run)
                        for split in job.splits:
                            score_network(run, *job.network, split=split)
        if left:
            time.sleep(5)


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
    """Every finished job: arguments, last held-out row, AP on train at its best theta, and AP on val at that."""
    rows = []
    for job in jobs():
        run = run_of(folder, job)
        if job.folder.startswith("trunk") or not run.weights_path(*job.network).is_file():
            continue
        copy_regions(run)
        card = run.card(*job.network)
        row = {"folder": job.folder, "model": job.model, "class": job.cls, "seed": job.seed,
               "arguments": run.profile.training,
               "images": card["samples"], "final": card["final"], "hours": card["hours"], "device": card["device"]}
        if run.has_scores(*job.network, split="train"):
            regions, scores = run.regions("train"), run.scores(*job.network, split="train")
            theta, ap = train_curve(regions, scores).best(step=GRID_STEP)
            told = evaluation.smoothed_grid_counts(regions, scores)[:, evaluation.present(regions, job.cls)]
            row |= {"theta": theta, "ap_train": ap, "told_ap_train": float(np.nanmax(evaluation.ap(told.sum(axis=1))))}
        if run.has_scores(*job.network, split="val"):
            counts = evaluation.per_image_counts(run.regions("val"), run.scores(*job.network, split="val"),
                                                 theta=row["theta"])
            ap = evaluation.bootstrap(counts)
            row["ap_val"] = [ap.value, ap.low, ap.high]
        rows.append(row)
    return rows


def collect(folder: Path, run: Path) -> None:
    """Copy the networks that are finished at their last stop into a run, as its round 1."""
    for model, cls in NETWORKS:
        *_, last = branch(model, cls)
        weights = run_of(folder, last).weights_path(*last.network)
        if not weights.is_file():
            raise SystemExit(f"no finished network {weights}: let the run go on")
        for suffix in (".json", ".jsonl", ".safetensors"):
            copy_file(weights.with_suffix(suffix), run / "weights" / f"{weights.stem}{suffix}")


def save_trunks(folder: Path, path: Path) -> None:
    """Write the furthest checkpoint of each trunk to one file, its weights in half precision."""
    furthest = {}
    for checkpoint in folder.glob("trunk-*/weights/*.checkpoint"):
        state = torch.load(checkpoint, weights_only=True)
        if state["step"] >= furthest.get(checkpoint.stem, ("", {"step": 0}))[1]["step"]:
            state |= {"net": {name: value.half() for name, value in state["net"].items()}, "average": None}
            furthest[checkpoint.stem] = str(checkpoint.relative_to(folder)), state
    torch.save(dict(furthest.values()), path)
    for name, state in furthest.values():
        print(name, state["step"])


def load_trunks(folder: Path, path: Path) -> None:
    """Write the checkpoints that `save_trunks` saved, where there are none; averages begin again from the weights."""
    for name, state in torch.load(path, weights_only=True).items():
        if not (checkpoint := folder / name).is_file():
            net = {key: value.float() for key, value in state["net"].items()}
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
            torch.save(state | {"net": net, "average": net}, checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--results", action="store_true", help="print the finished networks as JSON")
    parser.add_argument("--collect", type=Path, metavar="RUN", help="make the finished networks round 1 of a run")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the trunks to a file, in half precision")
    parser.add_argument("--load", type=Path, metavar="FILE", help="go on from the trunks of a file")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if given.results:
        made = "python tools/longrun.py FOLDER --results"
        known = read_json(PUBLISHED / "longrun.json")["networks"]
        rows = {(row["folder"], row["model"], row["class"], row["seed"]): row for row in known}
        for row in results(given.folder):
            key = row["folder"], row["model"], row["class"], row["seed"]
            if row.keys() >= rows.get(key, {}).keys():  # one that is scored is not replaced by one that is not
                rows[key] = row
        print(json.dumps({"command": made, "networks": list(rows.values())}, indent=1))
    elif given.collect:
        collect(given.folder, given.collect)
    elif given.save:
        save_trunks(given.folder, given.save)
    elif given.load:
        load_trunks(given.folder, given.load)
    elif given.work is not None:
        with claimed(given.folder / f"worker-{given.work}.lock") as mine:
            if mine:
                work(given.folder)
    else:
        start_workers(given.folder)
        status(given.folder)
