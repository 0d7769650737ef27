"""Make a finished run the published one."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

from ..config import load_profile
from ..files import LsegreproError, locked
from .folder import SPLITS, RunFolder
from .published import PROFILE, PUBLISHED
from .statistics import STATISTICS, statistics_path
from .verify import results_table, write_results

FOLDERS = ("weights", "negatives", "evidence", "statistics", "experiments")
"""Folders of a run that are published, without folders in them."""

LEFT_OUT = (".*", "*.checkpoint", "*-round1-*.safetensors")
"""Files in them that are not."""


def publish(run: RunFolder) -> None:
    """Make a finished run the published one: copy its numbers, and write the table of its results.

    No picture is copied, and of round 1 no weights. Raises `LsegreproError` if the run is of another profile or lacks a
    file; what was published before is then as it was.
    """
    if run.profile != load_profile(PROFILE):
        raise LsegreproError(f"the published run is of profile {PROFILE} as it is built in, with both rounds; this one "
                             f"is of {run.profile.spec}, with rounds {', '.join(map(str, run.profile.rounds))}")
    files = [statistics_path(run, name) for name in STATISTICS]
    files += [run.weights_path(*network) for network in run.last_networks()]
    for model, cls, round, seed in run.networks():
        card = run.card_path(model, cls, round, seed)
        files += [card, card.with_suffix(".jsonl"), run.negatives_path(model, cls, seed),
                  *(run.scores_path(model, cls, round, seed, split) for split in SPLITS)]
    files += [run.folder / path.relative_to(PUBLISHED) for kind in ("experiments", "statistics")
              for path in (PUBLISHED / kind).glob("*.json")]  # what was published before stays, in some version
    if absent := [path for path in files if not path.is_file()]:
        raise LsegreproError(f"{absent[0]} is not there ({len(absent)} files are missing): finish the run first, "
                             f"lsegrepro reproduce --profile {run.profile.spec} --run {run.folder}; of experiments and "
                             f"statistics copy or delete those in {PUBLISHED}")
    results = results_table(run)  # refuses evidence that is damaged or of something else
    with locked(PUBLISHED / "results.json"):
        if run.folder.resolve() != PUBLISHED.resolve():
            _replace_folders(run.folder)
        write_results(dataclasses.replace(run, folder=PUBLISHED), results)


def _replace_folders(folder: Path) -> None:
    """Put the folders of a run in the place of those published before; a copy that fails leaves them as they were."""
    with tempfile.TemporaryDirectory(dir=PUBLISHED, prefix=".") as copies:
        for kind in FOLDERS:
            copy = Path(copies, kind)
            copy.mkdir()
            for path in (folder / kind).glob("*.*"):
                if path.is_file() and not any(map(path.match, LEFT_OUT)):
                    shutil.copy(path, copy)
        for kind in FOLDERS:
            if (PUBLISHED / kind).exists():
                (PUBLISHED / kind).rename(Path(copies, f"{kind} before"))
            Path(copies, kind).rename(PUBLISHED / kind)
