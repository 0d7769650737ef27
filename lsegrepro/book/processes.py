"""Start other programs (Snakemake, Jupyter kernels, Sphinx) with this interpreter and an explicit environment.

Nothing of the user's settings reaches them by name or by chance: no PYTHONPATH, no GIT_DIR, no Snakemake profile, no
kernelspec, no startup file. What they would keep in the home folder they keep in the run's cache.
"""

from __future__ import annotations

import contextlib
import os
import signal
import site
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..files import write_json
from ..runs.folder import DATA_VARIABLE

PASSED_ON = {
    "PATH", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME", "TMPDIR", "LD_LIBRARY_PATH", "OMP_NUM_THREADS",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", DATA_VARIABLE,
}
PASSED_ON_PREFIXES = ("LC_", "CUDA_", "NVIDIA_", "MALLOC_")
SCHEDULER_PREFIXES = ("SLURM", "SBATCH_", "PBS_", "SGE_", "LSB_", "LSF_", "FLUX_")
GRACE = 20.0
"""Seconds that a program has to end in order after it was told to."""


def environment(home: Path, data: Path | None = None, *, scheduler: bool = False) -> dict[str, str]:
    """The environment of a child process.

    `home` stands in for the home folder, and is made if it is not there; `data` is the root of the photographs. With
    `scheduler`, the variables of a batch system are passed on too, whose executor needs them.

    >>> import tempfile
    >>> "PYTHONSTARTUP" in environment(Path(tempfile.mkdtemp()))
    False
    """
    home = home.resolve()
    prefixes = PASSED_ON_PREFIXES + SCHEDULER_PREFIXES * scheduler
    variables = {key: value for key, value in os.environ.items() if key in PASSED_ON or key.startswith(prefixes)}
    variables |= {
        "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "XDG_CONFIG_HOME": str(home / "config"),
        "MPLCONFIGDIR": str(home / "matplotlib"), "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_PATH": str(home / "jupyter"),
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),  # this very package
        "PYTHONSAFEPATH": "1",  # and no module of the working folder
    }
    if site.ENABLE_USER_SITE:  # packages of `pip install --user` lie below the real home
        variables["PYTHONUSERBASE"] = site.getuserbase()
    if data:
        variables[DATA_VARIABLE] = str(data.resolve())
    # The kernel that a notebook asks for by the name python3 is this interpreter: JUPYTER_PATH comes first. Not
    # ipykernel_launcher, which takes the first entry of PYTHONPATH away where that is the working folder.
    for name in ("cache", "config", "matplotlib", "ipython"):
        (home / name).mkdir(parents=True, exist_ok=True)
    write_json(home / "jupyter/kernels/python3/kernel.json", {
        "argv": [sys.executable, "-m", "ipykernel", "-f", "{connection_file}"],
        "display_name": "Python 3", "language": "python"})
    return variables


def run_program(command: Sequence[str], variables: Mapping[str, str], log: Path | None = None) -> int:
    """Run a program and return its exit code; where this process is interrupted, all that it started ends too.

    What it prints goes to `log`, if that is given, in a folder that is there.

    >>> run_program([sys.executable, "-c", "raise SystemExit(3)"], os.environ)
    3
    """
    with open(log, "w", encoding="utf-8") if log else contextlib.nullcontext() as file:
        process = subprocess.Popen(command, env=variables, start_new_session=True, stdout=file, stderr=file)
    try:
        return process.wait()
    except BaseException:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        _signal(process, signal.SIGKILL)  # also what has outlived the program
        process.wait()
        raise


def _signal(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
