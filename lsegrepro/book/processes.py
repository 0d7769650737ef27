"""Start Snakemake, Sphinx and Jupyter kernels, with this package and without the user's settings."""

import contextlib
import os
import signal
import site
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..runs.folder import DATA_VARIABLE

LEFT_OUT = ("PYTHON", "JUPYTER", "IPYTHON", "MPL", "XDG_", "SNAKEMAKE", "GIT_")
"""Beginnings of the variables that would change what a page shows, or which programs run."""
GRACE = 20.0  # seconds that a program has to end in order after it was told to


def environment(home: Path, data: Path | None = None) -> dict[str, str]:
    """The environment of a child process: this package is imported first, and no setting file of the user is found.

    `home` stands in for the home folder, and is made if it is not there; `data` is the root of the photographs.
    """
    home.mkdir(parents=True, exist_ok=True)
    variables = {key: value for key, value in os.environ.items() if not key.startswith(LEFT_OUT)}
    variables |= {
        "HOME": str(home.resolve()),
        "PYTHONUSERBASE": site.getuserbase(),  # packages of `pip install --user` lie below the real home
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONSAFEPATH": "1",  # no module of the working folder
    }
    data = data or os.environ.get(DATA_VARIABLE)
    return variables | ({DATA_VARIABLE: str(Path(data).resolve())} if data else {})  # jobs run in another folder


def run_program(command: Sequence[str], variables: Mapping[str, str], log: Path | None = None) -> int:
    """Run a program and return its exit code; where this process is interrupted, all that it started ends too.

    What it prints goes to `log`, if that is given, in a folder that is there.

    >>> run_program(["false"], os.environ)
    1
    """
    with open(log, "w", encoding="utf-8") if log else contextlib.nullcontext() as file:
        process = subprocess.Popen(command, env=variables, start_new_session=True, stdout=file, stderr=file)
    try:
        return process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE)
            os.killpg(process.pid, signal.SIGKILL)  # also what has outlived the program
        process.wait()
        raise
