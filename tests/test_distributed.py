"""Shares of a batch add up to the batch; two processes train as one; each job has a GPU of its own."""

import dataclasses
import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import ROOT, one_line
from hypothesis import given
from hypothesis import strategies as st

from lsegrepro import LsegreproError, locks
from lsegrepro.config import Training
from lsegrepro.network.weights import load_tensors, load_weights
from lsegrepro.runs.folder import open_run
from lsegrepro.training import batches, distributed, loop
from lsegrepro.training.distributed import RowsOf, Share

HARD = """
rng = np.random.default_rng(5)
hard = sampling.HardNegatives(rng.integers(0, 256, (2, 300, 300, 3)).astype(np.uint8), rng.integers(0, 2, 9),
                              rng.integers(0, 300, (9, 2)), "hard")
"""


# Shares


@given(st.integers(1, 8), st.integers(1, 40))
def test_every_row_has_one_owner(size, total):
    rows = [Share(rank, size).rows(total) for rank in range(size)]
    assert sorted(np.concatenate(rows)) == list(range(total))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


@given(st.integers(0, 2**32), st.integers(1, 12), st.data())
def test_rows_of_a_draw(seed, total, data):
    """The rows of the whole draw, and the generator left where the whole draw leaves it."""
    rows = np.flatnonzero(data.draw(st.lists(st.booleans(), min_size=total, max_size=total)))
    whole, below = np.random.default_rng(seed), np.random.default_rng(seed)
    part, room = RowsOf(below, total, rows), np.arange(5, 9)
    for drawn, kept in (
        (whole.random(total), part.random(len(rows))),
        (whole.uniform(-1, 2, total), part.uniform(-1, 2, len(rows))),
        (whole.integers(0, 7, total), part.integers(0, 7, len(rows))),
        (whole.integers(0, room, (total, 4)), part.integers(0, room, (len(rows), 4))),
    ):
        assert np.array_equal(drawn[rows], kept)
    assert whole.random() == below.random()


def test_another_number_of_rows_is_no_share():
    with pytest.raises(ValueError, match="3 rows asked for, 2 kept"):
        RowsOf(np.random.default_rng(0), 4, np.array([0, 1])).random(3)


@pytest.mark.parametrize("size", [2, 3, 6])
@pytest.mark.parametrize("round", [1, 2])
@pytest.mark.parametrize("resident", [True, False])
def test_shares_are_the_rows_of_the_joint_batch(decoded, weak_set, tiny, monkeypatch, size, round, resident):
    """Bit for bit: images, jitter, corners, and hard negatives in round 2."""
    names = {"np": np, "sampling": batches}
    exec(HARD, names)
    hard = names["hard"] if round == 2 else None
    if not resident:
        monkeypatch.setattr(batches, "RESIDENT_BYTES", 0)
        decoded = batches.Decoded(weak_set, progress=False)
    args = Training(architecture="tiny", samples=12, batch=6, round=round, hard=0.7)
    shares = [Share(rank, size) for rank in range(size)]
    for found in zip(*(batches.batches(args, decoded, hard, share=s) for s in shares),
                     batches.batches(args, decoded, hard), strict=True):
        *parts, (x, target) = found
        x = x.view(6, 9, *x.shape[1:])
        for share, (y, of) in zip(shares, parts, strict=True):
            rows = share.rows(6)
            assert torch.equal(y.view(len(rows), 9, *y.shape[1:]), x[rows]) and torch.equal(of, target[rows])


# Two processes

WORK = """
import json, sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import numpy as np, torch
from conftest import SyntheticWeak
from lsegrepro import LsegreproError, distributed, model, paper, sampling, training
from lsegrepro.config import Training
from lsegrepro.weights import load_weights
paper.ARCHITECTURES["tiny"] = paper.Architecture("tiny", (4, 6, 8, 10), (8, 3, 5), (4, 4), 95, 9, 0)
training.LOG_EVERY, training.EVALUATE_EVERY, training.CHECKPOINT_SECONDS = 8, 16, -1
folder, cpu = Path(sys.argv[1]), torch.device("cpu")
data = sampling.Decoded(SyntheticWeak(), progress=False)
args = Training(architecture="tiny", samples=48, batch=4, rate=0.02, momentum=0.5)
""" + HARD + """
def train(args, name, **more):
    return training.train(args, data, folder / f"{name}.safetensors", heldout=data, progress=False, **more)

team = distributed.join(cpu, args.batch)
rank, size = team.share.rank, team.share.size
net = model.PatchNet(args.net, generator=torch.Generator().manual_seed(0))
x, target = sampling.batch_patches(args, 3, data, share=team.share)
training.update(team.share_out(net), torch.optim.SGD(net.parameters(), lr=0.0), x, target, args)
torch.save({name: p.grad for name, p in net.named_parameters()}, folder / f"gradient{rank}.pt")
for step, message in ((7, None), (7 + rank, "steps 7 to 8")):
    try:
        team.agree(step, cpu)
    except LsegreproError as error:
        assert message in str(error)
    else:
        assert message is None
out = train(args, "whole")
(folder / f"seen{rank}").write_bytes(out.read_bytes())  # it is there when train returns, on every process
parts = [train(args, "parts", stop_after=stop) for stop in (3, 5, None)]
second = dict(start=load_weights(out), hard=hard)
train(Training(architecture="tiny", samples=16, batch=4, rate=0.02, round=2), "second", **second)
train(args, "handed", stop_after=5)  # and one process goes on from there
said = []
for change, name in ((dict(batch=3), "odd"), (dict(rate=1e-3), "whole")):
    try:
        train(Training(**({"architecture": "tiny", "samples": 48, "batch": 4, "momentum": 0.5} | change)), name)
    except LsegreproError as error:
        said.append(str(error))
try:
    distributed.alone("mining x")
except LsegreproError as error:
    said.append(str(error))
(folder / f"said{rank}.json").write_text(json.dumps([size, *said]))
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The folder that two processes of torchrun leave."""
    folder = tmp_path_factory.mktemp("pair")
    (folder / "work.py").write_text(WORK)
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", folder / "work.py",
         folder, ROOT, ROOT / "tests"],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def one(tiny, decoded, monkeypatch):
    """The same trainings in this process, alone."""
    for name, value in (("LOG_EVERY", 8), ("EVALUATE_EVERY", 16)):
        monkeypatch.setattr(loop, name, value)

    def train(args, out, **more):
        return loop.train(args, decoded, out, heldout=decoded, progress=False, **more)

    return train


ARGS = {"architecture": "tiny", "samples": 48, "batch": 4, "rate": 0.02, "momentum": 0.5}


def close(a, b, tolerance=1e-6):
    (x, _), (y, _) = load_tensors(a), load_tensors(b)
    assert x.keys() == y.keys()
    assert all(torch.allclose(x[key], y[key], rtol=0, atol=tolerance) for key in x)
    rows = [[json.loads(line) for line in path.with_suffix(".jsonl").read_text().splitlines()] for path in (a, b)]
    for p, q in zip(*rows, strict=True):
        assert p.keys() == q.keys() and p["step"] == q["step"]
        assert p["loss"] == pytest.approx(q["loss"], abs=1e-6)


def test_the_gradient_is_that_of_the_joint_batch(pair, tiny, decoded):
    """Against autograd on the whole batch; the same on both processes, and not that of a share."""
    from lsegrepro.network import model

    args = Training(**ARGS)
    net = model.PatchNet(args.net, generator=torch.Generator().manual_seed(0))

    def gradient(share):
        x, target = batches.batch_patches(args, 3, decoded, share=share)
        loss = model.loss(model.aggregation("lse")(net(x).view(len(target), -1, 2)), target)
        return dict(zip(dict(net.named_parameters()), torch.autograd.grad(loss, list(net.parameters())), strict=True))

    joint, share = gradient(distributed.WHOLE), gradient(Share(0, 2))
    found = [torch.load(pair / f"gradient{rank}.pt", weights_only=True) for rank in range(2)]
    for name, g in joint.items():
        assert torch.equal(found[0][name], found[1][name])
        assert (found[0][name] - g).abs().max() <= 1e-6 < g.abs().max()
    assert any((share[name] - g).abs().max() > 1e-4 for name, g in joint.items())


def test_two_processes_train_as_one(pair, one, tmp_path):
    out = one(Training(**ARGS), tmp_path / "whole.safetensors")
    close(pair / "whole.safetensors", out)
    ours, theirs = (load_weights(path).card for path in (out, pair / "whole.safetensors"))
    assert theirs["device"] == f"2 processes, each on {ours['device']}"
    assert {k: theirs[k] for k in ("arguments", "data_digest", "samples")} == {
        k: ours[k] for k in ("arguments", "data_digest", "samples")}
    assert theirs["final"]["heldout_accuracy"] == pytest.approx(ours["final"]["heldout_accuracy"])
    for rank in range(2):
        assert (pair / f"seen{rank}").read_bytes() == (pair / "whole.safetensors").read_bytes()


@pytest.mark.fault("kills", tried="a training of two processes, stopped",
                   survived="both go on from one checkpoint, as if uninterrupted")
def test_two_processes_resume_as_if_uninterrupted(pair):
    assert (pair / "parts.safetensors").read_bytes() == (pair / "whole.safetensors").read_bytes()


def test_two_processes_train_a_second_round(pair, one, tmp_path):
    names = {"np": np, "sampling": batches}
    exec(HARD, names)
    args = Training(architecture="tiny", samples=16, batch=4, rate=0.02, round=2)
    out = one(args, tmp_path / "second.safetensors", start=load_weights(pair / "whole.safetensors"),
              hard=names["hard"])
    close(pair / "second.safetensors", out)


def test_one_process_goes_on_from_two(pair, one, tmp_path):
    for suffix in (".checkpoint", ".jsonl"):
        (tmp_path / f"handed{suffix}").write_bytes((pair / f"handed{suffix}").read_bytes())
    close(one(Training(**ARGS), tmp_path / "handed.safetensors"), pair / "whole.safetensors")


def test_the_first_process_alone_writes_and_refusals_are_said(pair):
    for rank in range(2):
        size, odd, other, mining = json.loads((pair / f"said{rank}.json").read_text())
        assert size == 2
        assert "a batch of 3 cannot be shared out equally to 2 processes" in odd
        assert "has rate = 0.02, asked for 0.001" in other
        assert mining == "mining x is the work of one process: do it first, without torchrun"
    written = {path.name for path in pair.iterdir() if not path.name.startswith(("gradient", "seen", "said", "work"))}
    assert written == {f"{name}{suffix}" for name in ("whole", "parts", "second")
                       for suffix in (".safetensors", ".json", ".jsonl")} | {"handed.checkpoint", "handed.jsonl"}


def test_the_command_under_torchrun(tmp_path):
    """As a user gives it, on drawn data."""
    (tmp_path / "two.toml").write_text("[data]\nweak_train = 6\nweak_heldout = 6\n"
                                       "[training]\nsamples = 4\nbatch = 2\n[round2]\nsamples = 4\n")
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
             "-m", "--", "lsegrepro.cli", "train", "--profile", tmp_path / "two.toml", "--run", tmp_path / "run",
             "--model", "LSE1", "--class", "cat", "--device", "cpu"]
    done = subprocess.run(words, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)
    out = tmp_path / "run" / "weights" / "LSE1-cat-round1-seed0.safetensors"
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(str(out)) == 2  # two processes may write into one line
    assert load_weights(out, model="LSE1", cls="cat")


# Alone


def test_a_process_that_is_alone_joins_nothing(tiny_net, monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    team, value = distributed.join(torch.device("cpu"), 3), torch.ones(())
    assert team.first and team.share_out(tiny_net) is tiny_net and team.mean(value) is value
    assert not torch.distributed.is_initialized()
    distributed.alone("mining")


# A GPU for each job


@pytest.fixture
def gpus(monkeypatch, tmp_path):
    """A machine with so many GPUs, for own_device; gives the numbers it was told to use."""
    used = []
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(distributed.tempfile, "tempdir", None)
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr(torch.cuda, "set_device", used.append)

    @dataclasses.dataclass
    class Properties:
        uuid: str

    def have(count: int) -> list[int]:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: Properties(f"GPU-{i}"))
        return used

    distributed._lease.cache_clear()
    yield have
    distributed._lease.cache_clear()


LEASE = """
import fcntl, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_jobs_lease_different_gpus(gpus, tmp_path, capsys):
    """A lease is kept, ends with its process, and when none is left one is shared."""
    used = gpus(3)
    folder = tmp_path / f"lsegrepro-gpus-{os.getuid()}"
    folder.mkdir()
    other = subprocess.Popen([sys.executable, "-c", LEASE, folder / "GPU-0"], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        assert distributed.own_device("auto") == torch.device("cuda", 1) == open_run().torch_device
        distributed._lease.cache_clear()  # as another process would be
        assert distributed.own_device("cuda") == torch.device("cuda", 2)
        distributed._lease.cache_clear()
        shared = distributed.own_device("cuda")
        assert f"each of the 3 GPUs is leased by another process; sharing {shared}" in capsys.readouterr().err
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    distributed._lease.cache_clear()
    assert distributed.own_device("auto") == torch.device("cuda", 0)
    assert used == [1, 1, 2, shared.index, 0]


def test_where_there_is_no_choice_nothing_is_leased(gpus, tmp_path):
    gpus(0)
    assert distributed.own_device("auto") == torch.device("cpu") == distributed.own_device("cpu")
    gpus(1)
    assert distributed.own_device("auto") == torch.device("cuda")
    used = gpus(4)
    assert distributed.own_device("cuda:3") == torch.device("cuda", 3) and used == [3]
    assert distributed.parse_device("auto") == torch.device("cuda")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("disk", tried="a folder for temporary files that cannot be written",
                   survived="one line with two ways out")
def test_a_place_for_leases_that_cannot_be_written(gpus, tmp_path):
    gpus(2)
    (tmp_path / f"lsegrepro-gpus-{os.getuid()}").write_text("")
    with pytest.raises(LsegreproError) as error:
        distributed.own_device("auto")
    one_line(error, "cannot lease a GPU", "--device cuda:N", "TMPDIR")


def test_a_process_of_torchrun_takes_the_gpu_of_its_rank(gpus, monkeypatch):
    used = gpus(2)
    monkeypatch.setenv("WORLD_SIZE", "4")
    for local in ("1", "0"):
        monkeypatch.setenv("LOCAL_RANK", local)
        assert distributed.own_device("auto") == torch.device("cuda", int(local))
    assert used == [1, 0]
    for name, local in (("auto", "2"), ("cuda:1", "0")):
        monkeypatch.setenv("LOCAL_RANK", local)
        with pytest.raises(LsegreproError) as error:
            distributed.own_device(name)
        one_line(error, "a GPU of its own", "2 are here", "--nproc-per-node of at most 2")


# Locks


@pytest.mark.fault("processes", tried="a lock whose holder is killed",
                   survived="it ends with its process; a living holder is named")
def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / "w.safetensors"
    other = subprocess.Popen([sys.executable, "-c", LEASE, tmp_path / ".w.safetensors.lock"], stdout=subprocess.PIPE,
                             text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(LsegreproError) as error, locks.locked(path):
            pytest.fail("held twice")
        one_line(error, path, "is being made by another process")
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    with locks.locked(path):
        said = (tmp_path / ".w.safetensors.lock").read_text()
        assert said.startswith(f"process {os.getpid()} on ")
        with pytest.raises(LsegreproError) as error, locks.locked(path):
            pytest.fail("held twice")
        one_line(error, said)
        with locks.locked(tmp_path / "v.safetensors"):  # another name
            pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("processes", tried="a lock file removed while another process takes it",
                   survived="nobody holds a lock on a file without a name")
def test_a_lock_that_vanishes_while_it_is_taken_is_taken_anew(tmp_path, monkeypatch):
    """Between opening the file and locking it, its holder removes it: the lock must be on the file with the name."""
    lock, flock, removed = tmp_path / "lock", locks.fcntl.flock, []

    def slow(handle, kind):
        if not removed:
            lock.unlink()
            removed.append(True)
        flock(handle, kind)

    monkeypatch.setattr(locks.fcntl, "flock", slow)
    handle = locks.hold(lock)
    assert os.path.samestat(os.fstat(handle), lock.stat()) and locks.hold(lock) is None
    os.close(handle)


@pytest.mark.fault("disk", tried="a file system without locks", survived="work goes on")
def test_a_file_system_without_locks_stops_nobody(tmp_path, monkeypatch):
    def none(*_):
        raise OSError(locks.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks.fcntl, "flock", none)
    with locks.locked(tmp_path / "w"), locks.locked(tmp_path / "w"):
        pass
