"""Killed at random moments, each command ends as if it had not been. ``LSEGREPRO_KILLS=30`` kills each thirty times."""

import json
import os
import subprocess
import sys

import kills
import pytest
from conftest import ROOT

KILLS = int(os.environ.get("LSEGREPRO_KILLS", "2"))


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """The report on each command, by name."""
    folder = tmp_path_factory.mktemp("kills")
    done = subprocess.run([sys.executable, ROOT / "tests/kills.py", folder, str(KILLS), *kills.COMMANDS],
                          capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stderr[-3000:]
    return {report["command"]: report for report in map(json.loads, done.stdout.splitlines())}


def killed(name: str, command: str):
    return pytest.param(name, marks=pytest.mark.fault(
        "kills", tried=f"{command}: SIGKILL at random moments, in the middle of writes, after SIGSTOP; SIGTERM, SIGINT",
        survived="the same command finishes; the same bytes as undisturbed, no lock, nothing left over"))


@pytest.mark.parametrize("name", [
    killed("train", "lsegrepro train"), killed("mine", "lsegrepro mine"), killed("score", "lsegrepro score"),
    killed("regions", "lsegrepro regions"), killed("prepare", "lsegrepro data prepare, two workers")])
def test_a_command_that_was_killed_ends_as_if_it_had_not_been(campaigns, name):
    report = campaigns[name]
    assert report["wrong"] == [], report
    assert sum(report["met"].values()) == KILLS


def test_what_is_half_written_or_left_over_would_be_seen():
    wanted = {"weights/a.safetensors": b"whole", "weights/a.jsonl": b"[1, 2]"}
    found = {"weights/a.safetensors": b"who", "weights/a.jsonl": b"[1]", "weights/.a.safetensors.lock": b"", "b": b""}
    assert kills.half_written(found, wanted) == ["half-written: weights/a.safetensors", "under a name of its own: b"]
    assert kills.differences(found, wanted) == [
        "left over: b", "left over: weights/.a.safetensors.lock", "other: weights/a.jsonl",
        "other: weights/a.safetensors"]
