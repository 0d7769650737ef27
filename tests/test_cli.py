"""The command line: what it says when all is well, and one line when it is not."""

import os
import re
import signal
import subprocess
import sys
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch
from conftest import ROOT
from PIL import Image

from lsegrepro import __version__, cli
from lsegrepro.data import drawn
from lsegrepro.runs import make
from lsegrepro.runs.folder import DATA_VARIABLE
from lsegrepro.runs.verify import results_table

NETWORK = ["--model", "LSE1", "--class", "cat"]


@pytest.fixture(autouse=True)
def no_photographs(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)


@pytest.fixture
def command(capsys):
    """Run a command in this process: its exit code and what it says."""

    def run(*words) -> tuple[int, str, str]:
        return cli.main([str(word) for word in words]), *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """Run a command that must fail: exit code 2 and one line beside the progress, which is returned."""

    def run(*words) -> str:
        code, printed, said = command(*words)
        assert (code, printed) == (2, "") and said.endswith("\n")
        lines = [line for line in said.split("\n")[:-1] if not re.search(r"image(/s)?\]$|^\d.*split|^\d.*VOC", line)]
        assert len(lines) == 1 and lines[0].startswith("lsegrepro: ")
        return lines[0]

    return run


@pytest.fixture
def tiny(tiny_folder) -> list[str]:
    """Options that name the finished tiny run."""
    return ["--profile", str(tiny_folder / "tiny.toml"), "--run", str(tiny_folder / "run"), "--device", "cpu"]


# What it says


def test_evaluate_prints_table_2_without_torch_too(command, tiny, tiny_run):
    code, printed, said = command("evaluate", *tiny)
    table = results_table(tiny_run)
    assert (code, said) == (0, "") and printed.startswith("AP in percent on all 6 val images")
    assert [line.split()[:3] for line in printed.splitlines()[2:]] == [
        [name, f"{table[f'{name}, train']['theta'][0]:.3f}", f"{100 * table[f'{name}, train']['AP'][0]:.2f}"]
        for name in (tiny_run.name(*network) for network in tiny_run.networks())]
    hidden = "import sys; sys.modules['torch'] = None; from lsegrepro.cli import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", hidden, "evaluate", *tiny], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, printed), done.stderr


def test_steps_that_are_done_are_found_done(command, tiny, tiny_folder, monkeypatch):
    monkeypatch.setattr(make, "train", None)
    run = tiny_folder / "run"
    for words, path in (
        (["train", *NETWORK], "weights/LSE1-cat-round1-seed0.safetensors"),
        (["train", *NETWORK, "--round", 2], "weights/LSE1-cat-round2-seed0.safetensors"),
        (["mine", *NETWORK], "negatives/LSE1-cat-seed0.npz"),
        (["score", "--split", "train"], "evidence/regions-train.npz"),
        (["score", *NETWORK, "--round", 2], "evidence/LSE1-cat-round2-seed0-val.npz"),
    ):
        assert command(*words, *tiny) == (0, f"{run / path}\n", "")


def test_the_program_is_installed_under_its_name(tmp_path):
    program = Path(sys.executable).with_name("lsegrepro")
    if not program.is_file():
        pytest.skip("lsegrepro is not installed as a program here")
    done = subprocess.run([program, "segment", "absent.jpg", "--class", "cat"], cwd=tmp_path, capture_output=True,
                          text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "lsegrepro: no such photograph: absent.jpg\n"
    assert subprocess.run([program, "--version"], capture_output=True, text=True).stdout == (
        f"lsegrepro {__version__}\n")


def test_help_names_every_command(command):
    code, printed, _ = command("--help")
    names = re.findall(r"^  ([a-z]+)  ", printed, re.MULTILINE)
    assert code == 0 and command()[1] == printed and names == sorted(cli.lsegrepro.commands)
    assert not any(command(name, "--help")[0] for name in names)


# What people get wrong


def test_no_photographs(refused, tmp_path):
    run = ["--profile", "local", "--run", tmp_path / "run"]
    for words in (["train", *NETWORK], ["score"], ["reproduce"]):
        assert "profile local needs photographs: set LSEGREPRO_DATA (or --data)" in refused(*words, *run)
    assert not (tmp_path / "run").exists()


def test_a_data_set_needs_a_place_and_imagenet_its_source(refused, command, tmp_path):
    assert "say with --data, or with LSEGREPRO_DATA" in refused("prepare", "pets")
    assert "prepare imagenet SOURCE" in refused("prepare", "imagenet", "--data", tmp_path)
    synset = tmp_path / "source" / "n02123597"
    synset.mkdir(parents=True)
    Image.new("RGB", (400, 600)).save(synset / "n02123597_1.JPEG")
    code, printed, _ = command("prepare", "imagenet", tmp_path / "source", "--data", tmp_path)
    assert code == 0 and "1 photographs scaled" in printed
    assert Image.open(tmp_path / "imagenet" / "n02123597" / "n02123597_1.JPEG").size == (300, 450)


def test_a_gpu_that_is_not_there(refused, tmp_path, tiny_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    photo, weights = tmp_path / "photo.png", tiny_run.weights_path("LSE1", "cat")
    Image.fromarray(drawn.draw(0, ("cat",), (64, 80))[0]).save(photo)
    for words in (["train", *NETWORK, "--run", tmp_path / "run"], ["reproduce", "--run", tmp_path / "run"],
                  ["segment", photo, "--class", "cat", "--weights", weights, "--out", tmp_path / "out"]):
        assert "no GPU 'cuda' here (0 found): use --device cpu" in refused(*words, "--device", "cuda")
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


@pytest.mark.parametrize("words, said", [
    (["train", "--model", "LSE3", "--class", "cat"], "'LSE3' is not one of 'max1', 'LSE1'"),
    (["train", *NETWORK, "--round", "3"], "training.round: Input should be 1 or 2, got 3"),
    (["train", *NETWORK, "--profile", "slow"], "no profile slow: choose quick, local, full, paper or the path"),
    (["score", "--model", "LSE1"], "give --model and --class both, or neither"),
    (["mine", *NETWORK], "weights/LSE1-cat-round1-seed0.safetensors is not there; this makes it: lsegrepro train"),
    (["book", "08-more"], "no notebook '08-more' at depth scratch: choose one of 01-data,"),
    (["evaluate"], "no evidence in"),
    (["train"], "Missing option '--model'. Choose from: max1, LSE1, max2, LSE2 See lsegrepro train --help"),
    (["evaluat"], "No such command 'evaluat'"),
])
def test_wrong_words(refused, tmp_path, words, said):
    run = ["--run", tmp_path / "run"] if words[0] != "evaluat" else []
    assert said in refused(*words, *run)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("number, code, message", [(signal.SIGINT, 130, "interrupted"),
                                                   (signal.SIGTERM, 143, "told to end")])
def test_a_signal_ends_a_command_in_one_line(command, monkeypatch, number, code, message):
    before, interrupt = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(make, "train_network", lambda *_, **__: signal.raise_signal(number))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where tests run in the background, it is ignored
    try:
        assert command("train", *NETWORK) == (code, "", f"lsegrepro: {message}; the same command goes on from there\n")
    finally:
        signal.signal(signal.SIGINT, interrupt)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("error", [MemoryError, BrokenProcessPool, RuntimeError("CPU: can't allocate memory")])
def test_too_little_memory_is_said_in_one_line(command, monkeypatch, error):
    monkeypatch.setattr(make, "train_network", Mock(side_effect=error))
    assert command("train", *NETWORK) == (2, "", "lsegrepro: there is not enough memory for this\n")


EVALUATE = [sys.executable, "-m", "lsegrepro.cli", "evaluate", "--depth", "evidence"]


def test_output_to_nobody_and_to_a_full_disk():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(EVALUATE, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, "")
    with open("/dev/full", "w") as full:
        done = subprocess.run(EVALUATE, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and "No space left" in done.stderr
