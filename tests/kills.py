"""Kill a command at random moments, many times; then it must end as if it had never been killed.

By hand, thirty kills of each in a folder that does not exist::

    python tests/kills.py /tmp/kills 30 train mine score regions prepare

Prints one JSON line a command: how many of the kills met it at work, in which way they came, and what was found
under a wrong name, half-written or left over (nothing). Each command runs in a fork of this process, which has
imported what it needs: a kill costs no start of Python.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

PROFILE = """
models = ["LSE1"]
classes = ["cat"]

[data]
weak_train = 12
weak_heldout = 12
segmentation_train = 4
segmentation_val = 6

[training]
samples = 48
batch = 4
rate = 0.006

[round2]
samples = 8

[mining]
theta = 0.4
images = 4
per_image = 12

[scoring]
scale_to = 48
"""

NETWORK = ["--model", "LSE1", "--class", "cat"]
COMMANDS = {
    "train": ["train", *NETWORK],
    "mine": ["mine", *NETWORK],
    "score": ["score", *NETWORK],
    "regions": ["regions"],
    "prepare": ["data", "prepare", "photographs", "--out", "run", "--workers", "2", "--shard-size", "200kB"],
}
NEEDS = {"mine": ["train"], "score": ["train", "regions"]}
"""Commands whose results are there before."""

WAYS = ("moment", "write", "pause", "SIGTERM", "SIGINT")
"""SIGKILL at a moment drawn from the whole time, in the middle of a write, after a pause; and gentler signals."""

UNFINISHED = (".checkpoint", ".parts", ".jsonl")
"""What grows while a command works, under names of its own."""


def words(name: str) -> list[str]:
    """The command line, in the folder of the profile."""
    run = [] if name == "prepare" else ["--profile", "tiny.toml", "--run", "run", "--device", "cpu"]
    return [*COMMANDS[name], *run]


def begin(name: str, folder: Path) -> int:
    """Start a command in `folder`, in a process group of its own."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has background jobs ignore it
        os.chdir(folder)
        said = os.open("said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(said, 1)
        os.dup2(said, 2)
        from lsegrepro import cli
        from lsegrepro.training import loop, mining

        loop.LOG_EVERY, loop.CHECKPOINT_SECONDS, mining.BLOCK = 8, -1, 1  # as often as can be
        code = cli.main(words(name))
    except KeyboardInterrupt:  # before the command began, or after it: Python itself would end by the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os._exit(code)


def end(child: int) -> int:
    """Wait for a command: its exit code, negative if a signal ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def processes_of(mark: str) -> list[int]:
    """Processes whose environment holds `mark`; on Linux alone."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):  # it ended meanwhile, or is not ours
            if mark.encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, without what a clock put into it."""
    found = {}
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file():
            data = path.read_bytes()
            if path.suffix in (".json", ".jsonl") and path.parent.name == "weights":
                rows = [json.loads(row) for row in ([data] if path.suffix == ".json" else data.splitlines())]
                for row in rows:
                    for part in (row, row.get("final", {})):
                        part.pop("hours", None), part.pop("images_per_second", None)
                data = json.dumps(rows).encode()
            found[path.relative_to(folder).as_posix()] = data
    return found


def strike(child: int, way: str, run: Path, seconds: float, rng: random.Random) -> int | None:
    """End a command in one of `WAYS`; its exit code if it had ended before, or was told and not forced."""
    moment = time.monotonic() + rng.uniform(0, seconds)
    while time.monotonic() < moment:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return end(child)
        time.sleep(0.002)
    if way == "write":
        patience = time.monotonic() + seconds
        before = set(run.rglob(".*.????????*"))
        while time.monotonic() < patience and not set(run.rglob(".*.????????*")) - before:
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return end(child)
    if way == "pause":
        os.killpg(child, signal.SIGSTOP)
        time.sleep(0.05)
        os.killpg(child, signal.SIGCONT)
        time.sleep(rng.uniform(0, 0.1))
    if way.startswith("SIG"):
        os.killpg(child, getattr(signal, way))
        return end(child)
    os.killpg(child, signal.SIGKILL)
    code = end(child)
    return None if code == -signal.SIGKILL else code


def campaign(name: str, folder: Path, kills: int, rng: random.Random) -> dict:
    """Run a command undisturbed; then kill it again and again, and let it finish; report what is wrong."""
    whole, killed = folder / "whole", folder / "killed"
    for place in (whole, killed):
        place.mkdir(parents=True)
        (place / "tiny.toml").write_text(PROFILE, encoding="utf-8")
        if name == "prepare":
            photographs(place / "photographs")
        for need in NEEDS.get(name, ()):
            assert end(begin(need, place)) == 0, (place / "said.txt").read_text()
    given = tree(killed / "run")
    started = time.monotonic()
    assert end(begin(name, whole)) == 0, (whole / "said.txt").read_text()
    seconds, wanted = time.monotonic() - started, tree(whole / "run")
    wrong, met = [], Counter()
    for _ in range(kills):
        way = rng.choice(WAYS)
        code = strike(begin(name, killed), way, killed / "run", seconds, rng)
        said = (killed / "said.txt").read_text() if (killed / "said.txt").exists() else ""
        if code == 0:  # it was faster: begin again, from nothing or from what was given
            wrong += differences(tree(killed / "run"), wanted)
            met["finished"] += 1
            restore(killed / "run", given)
            continue
        met[way] += 1
        told = {"SIGTERM": (143, -signal.SIGTERM), "SIGINT": (130, -signal.SIGINT)}
        silent = code is not None and code > 0 and "the same command goes on" not in said
        if code is not None and (code not in told.get(way, ()) or silent):
            wrong.append(f"{way}: exit code {code}: {said[-300:]}")
        if "Traceback" in said:
            wrong.append(f"{way}: {said[-1500:]}")
        wrong += half_written(tree(killed / "run"), wanted)
    code = end(begin(name, killed))
    if code:
        wrong.append(f"in the end: exit code {code}: {(killed / 'said.txt').read_text()[-500:]}")
    wrong += differences(tree(killed / "run"), wanted)
    return {"command": name, "kills": kills, "met": dict(sorted(met.items())), "seconds": round(seconds, 2),
            "wrong": wrong}


def half_written(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """Files under a final name that are not as they will be."""
    wrong = []
    for name, data in found.items():
        path = Path(name)
        hidden = path.name.startswith(".")
        growing = path.suffix in UNFINISHED or path.parent.suffix in UNFINISHED or path.name == "shards.json"
        if name in wanted and data != wanted[name] and not growing:
            wrong.append(f"half-written: {name}")
        if name not in wanted and not hidden and not growing:
            wrong.append(f"under a name of its own: {name}")
    return wrong


def differences(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """What is absent, left over or other than in an undisturbed run."""
    names = found.keys() ^ wanted.keys()
    return [f"{'absent' if name in wanted else 'left over'}: {name}" for name in sorted(names)
            ] + [f"other: {name}" for name in sorted(found.keys() & wanted.keys()) if found[name] != wanted[name]]


def restore(run: Path, given: dict[str, bytes]) -> None:
    """Remove what a command made, but for what it was given."""
    for path in sorted(run.rglob("*"), reverse=True):
        if path.is_dir():
            if not any(path.iterdir()):
                path.rmdir()
        elif path.relative_to(run).as_posix() not in given:
            path.unlink()


def photographs(folder: Path) -> None:
    """Drawn pictures as files, twelve of each label."""
    from PIL import Image

    from lsegrepro.data.drawn import DrawnWeak

    weak = DrawnWeak("train", 12, 0)
    for label in set(weak.labels):
        (folder / label).mkdir(parents=True)
    for i, label in enumerate(weak.labels):
        Image.fromarray(weak.image(i)).save(folder / label / f"{i}.png")


def warm() -> None:
    """Import, once for all the forks, what the commands do, and draw the pictures."""
    from functools import cache

    import skimage.segmentation  # noqa: F401
    import torch._dynamo  # noqa: F401  (an optimiser's)

    import lsegrepro.evidence.scoring  # noqa: F401
    from lsegrepro.data import drawn, sources  # noqa: F401

    for kind, sets in ((drawn.DrawnWeak, (("train", 12), ("heldout", 12))),
                       (drawn.DrawnSegmentation, (("train", 4), ("val", 6)))):
        once = cache(lambda split, index, draw=kind.image, kind=kind, counts=dict(sets):
                     draw(kind(split, counts[split], 0), index))
        kind.image = lambda self, index, once=once: once(self.split, index)
        for split, count in sets:
            for index in range(count):
                once(split, index)


def main() -> None:
    folder, kills, *names = sys.argv[1:]
    seed = int(os.environ.get("LSEGREPRO_KILLS_SEED", time.time_ns() % 2**32))
    warm()
    for name in names:
        rng = random.Random(f"{seed} {name}")
        print(json.dumps(campaign(name, Path(folder).resolve() / name, int(kills), rng) | {"seed": seed}), flush=True)


if __name__ == "__main__":
    main()
