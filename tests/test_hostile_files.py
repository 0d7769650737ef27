"""Weights, evidence, checkpoints, shards, cards: damaged or forged, one line each and nothing run."""

import hashlib
import io
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from conftest import SyntheticWeak, one_line
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from literal import evidence_of, pictures
from safetensors.torch import save_file
from test_hostile_photographs import seconds

from lsegrepro import LsegreproError, evidence, files, npz
from lsegrepro.config import Training
from lsegrepro.data.defects import check
from lsegrepro.data.index import Index, read_index
from lsegrepro.data.names import Names
from lsegrepro.data.preparation import prepare_shards
from lsegrepro.data.shards import open_indexed
from lsegrepro.evidence import sealed
from lsegrepro.evidence.scoring import _kept
from lsegrepro.config import Superpixels
from lsegrepro.evidence.superpixels import _read_cache
from lsegrepro.network import weights
from lsegrepro.config import load_profile
from lsegrepro.runs.facts import read_fact
from lsegrepro.runs.verify.record import read_record, record_path
from lsegrepro.training import checkpoints, loop, mining


class Trap:
    """An object whose unpickling makes a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


class Held:
    """As much of `sampling.Decoded` as reading hard negatives asks for."""

    class weak:
        names = ["a", "b"]

    def batch(self, numbers):
        return torch.zeros(len(numbers), 300, 300, 3, dtype=torch.uint8)


def read_everything(path):
    """Every reader of a file, by what it reads."""
    state = loop.State(torch.nn.Linear(1, 1), None, torch.zeros(()))
    return {
        "weights": lambda: weights.load_weights(path), "tensors": lambda: weights.load_tensors(path),
        "checkpoint": lambda: state.restore(path, {}), "regions": lambda: evidence.read_regions(path),
        "scores": lambda: evidence.read_scores(path), "index": lambda: read_index(path),
        "negatives": lambda: mining.read_negatives(path, Held(), Held.weak.names),
        "meta": lambda: mining.read_meta(path), "json": lambda: files.read_json(path),
        "jsonl": lambda: files.read_jsonl(path), "fact": lambda: read_fact(path, "crop"),
        "profile": lambda: load_profile(path), "record": lambda: read_record(path.parent),
        "superpixels": lambda: _read_cache(path, (3, 3)), "maps": lambda: _kept(path, "", (3, 3)),
    }


KINDS = list(read_everything(files.Path("none")))
LENIENT = ("jsonl", "superpixels", "maps", "profile")  # damage is passed over, or an empty file is a whole one


def refused(call, *parts):
    with seconds(60), pytest.raises(LsegreproError) as error:
        call()
    return one_line(error, *parts)


# Whatever is asked for


@pytest.mark.fault("weights", "a pickle where weights, evidence, hard negatives, an index or a cache is expected",
                   "refused with one line, and never executed")
@pytest.mark.parametrize("disguise", ["plain", "torch", "npz", "npy", "header first"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pickle_is_never_run(tmp_path, kind, disguise):
    path, sprung = tmp_path / "results.json", tmp_path / "sprung"
    trap = pickle.dumps(Trap(sprung))
    if disguise == "torch":
        torch.save(Trap(sprung), path)
    elif disguise in ("npz", "npy"):
        array = np.empty(1, object)
        array[0] = Trap(sprung)
        file = io.BytesIO()
        np.save(file, array)
        if disguise == "npz":
            names = ("meta", "names", "counts", "index", "centres", "codes", "labels", "identity", "image_scores")
            np.savez(file := io.BytesIO(), **{name: array for name in names})
        path.write_bytes(file.getvalue())
    else:
        path.write_bytes((struct.pack("<Q", len(trap)) if disguise == "header first" else b"") + trap)
    call = read_everything(path)[kind]
    if kind in LENIENT and kind != "profile":
        assert not call()
    else:
        refused(call)
    assert not sprung.exists()


@pytest.mark.fault("weights", "a pipe or a device in place of any file of results", "refused at once; nothing waits")
@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_waits_for_a_pipe_or_reads_a_device(tmp_path, kind):
    for name, make in (("pipe", os.mkfifo), ("device", lambda path: os.symlink("/dev/zero", path))):
        path = tmp_path / name / "results.json"
        path.parent.mkdir()
        make(path)
        call = read_everything(path)[kind]
        if kind in ("superpixels", "maps", "checkpoint"):
            with seconds(10):
                assert call() is None
        else:
            refused(call)


@pytest.mark.fault("weights", "a file of results of a terabyte", "refused before it is read")
@pytest.mark.parametrize("kind", KINDS)
def test_no_reader_takes_more_memory_than_there_is(tmp_path, kind):
    path = tmp_path / "results.json"
    with open(path, "wb") as file:
        file.truncate(1 << 40)
    call = read_everything(path)[kind]
    if kind in ("superpixels", "maps"):
        assert call() is None
    else:
        refused(call)


DEEP = b'{"a":' * 200_000


@pytest.mark.fault("weights", "any bytes, in any reader (hypothesis)", "refused with one line")
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(DEEP)
@example(b"[" * 200_000)
@example(b'{"a": ' + b"9" * 10_000 + b"}")
@example(b'{"digest": NaN, "made_of": [], "version": Infinity}')
@example(b"a = \0")
@example(b"PK\5\6" + bytes(18))
@example(b"PK\5\6" + b"\xff" * 18)
@example(b"\x93NUMPY\x01\0\x76\0{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }")
@example(struct.pack("<Q", 2**63) + b"{}")
@example(struct.pack("<Q", 99_000_000) + b"{}")
@example(struct.pack("<Q", len(DEEP)) + DEEP)
@example(struct.pack("<Q", 62) + b'{"a":{"dtype":"F32","shape":[4611686014132420609],"data_offsets":[0,4]}}')
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused_in_one_line(tmp_path, kind, content):
    path = tmp_path / "results.json"
    path.write_bytes(content)
    try:
        with seconds(60):
            read_everything(path)[kind]()
    except LsegreproError as error:
        assert "\n" not in str(error) and len(str(error)) < 2000
    else:
        assert kind in LENIENT or (kind == "json" and isinstance(json.loads(content), dict))


# Zip files


def seal(body: bytes) -> bytes:
    """A zip with a comment of 64 bytes, sealed as evidence is."""
    return body[:-64] + hashlib.sha256(body[:-64]).hexdigest().encode()


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED, comment: bool = True) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        archive.comment = b"0" * 64 if comment else b""
    return file.getvalue()


@pytest.mark.fault("weights", "an npz of a few kilobytes that would unpack to gigabytes, sealed or not",
                   "refused before anything is unpacked")
@pytest.mark.parametrize("sealing", [True, False])
def test_a_zip_bomb_is_not_unpacked(tmp_path, monkeypatch, sealing):
    monkeypatch.setattr(npz, "MAX_BYTES", 1 << 20)
    bomb = zipped({"header.npy": bytes(1 << 19), "names.npy": bytes((1 << 19) + 1)})
    assert len(bomb) < 5_000
    path = tmp_path / "bomb.npz"
    path.write_bytes(seal(bomb) if sealing else bomb[:-64] + b"f" * 64)
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *a, **o: pytest.fail("it was unpacked"))
    for kind in ("scores", "regions", "index", "negatives"):
        said = refused(read_everything(path)[kind], path)
        assert "1,048,577 bytes" in said or not sealing or kind == "negatives"
    assert read_everything(path)["maps"]() is None


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused(compression):
    """Their decompressors know no limit of what they give at once."""
    with pytest.raises(ValueError, match="compressed in a way"):
        npz.read_npz(zipped({"a.npy": bytes(100)}, compression))


def test_arrays_are_those_of_numpy(rng):
    arrays = {"a": rng.random((3, 4)), "b": np.array("text"), "c": np.asfortranarray(rng.integers(0, 9, (2, 3)))}
    for save in (np.savez, np.savez_compressed):
        save(file := io.BytesIO(), **arrays)
        found = npz.read_npz(file.getvalue())
        assert found.keys() == arrays.keys() and all(np.array_equal(found[k], arrays[k]) for k in arrays)
        assert npz.read_npz(file.getvalue(), ["b"]) == {"b": "text"}
    with pytest.raises(KeyError):
        npz.read_npz(file.getvalue(), ["d"])


# Forged evidence: the seal and the digest are right, since both can be computed by anybody

HEADERS = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3), max_leaves=6)
ARRAYS = st.sampled_from([
    np.zeros(0), np.array(3), np.zeros((3, 2), np.int64), np.full(5, -1, np.int64), np.array([0, 2**62, -5]),
    np.array(["x"]), np.array([b"x"]), np.zeros(3, "datetime64[s]"), np.array([np.nan]), np.zeros((2, 2, 2), np.uint32),
    np.zeros(2, [("a", "<i4")]), np.full(4, 255, np.uint8), np.array([0, 1], np.int64), np.ones(1, np.uint32)])


@pytest.mark.fault("weights", "evidence and indices with a right seal and any content (hypothesis)",
                   "refused with one line, or all that is checked of them holds")
@pytest.mark.parametrize("kind", ["regions", "scores", "index"])
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_forged_content_is_refused_in_one_line(tmp_path, kind, data):
    path = tmp_path / "forged.npz"
    if kind == "index":
        one_index(tmp_path).write(path)
    else:
        made = dict(zip(("regions", "scores"), evidence_of(pictures()), strict=True))
        getattr(evidence, f"write_{kind}")(path, made[kind])
    form = {"regions": "lsegrepro regions", "scores": "lsegrepro scores", "index": "photograph index"}[kind]
    header, arrays = sealed.read(path, form)
    for _ in range(data.draw(st.integers(1, 2))):
        table, values = data.draw(st.sampled_from([(header, HEADERS), (arrays, ARRAYS)]))
        key = data.draw(st.sampled_from(sorted(table)))
        if data.draw(st.booleans()):
            table[key] = data.draw(values)
        else:
            table.pop(key)
            break
    if data.draw(st.integers(0, 9)) == 0:
        header = data.draw(HEADERS)
    try:
        sealed.write(path, form, header, arrays)
    except Exception:  # no file can be made of that
        return
    try:
        found = read_everything(path)[kind]()
        if kind == "index":
            found.read(0)
    except LsegreproError as error:
        assert "\n" not in str(error)


def one_index(folder) -> Index:
    """One photograph of five bytes."""
    (folder / "a.jpg").write_bytes(b"12345")
    names, zero = Names.pack(["a.jpg"]), np.zeros(1, np.int64)
    return Index(folder, np.array([1], np.uint8), names, names, np.zeros(1, np.int32), zero, zero + 5)


@pytest.mark.fault("weights", "an index that points outside its folder, beyond a file's end or at a pipe",
                   "refused with one line; no memory is taken for what is not there")
def test_an_index_cannot_reach_elsewhere(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    os.mkfifo(tmp_path / "in" / "pipe.jpg")
    zero = np.zeros(1, np.int64)

    def index(name: str, offset: int = 0, size: int = 5) -> Index:
        names = Names.pack([name])
        return Index(tmp_path / "in", np.zeros(1, np.uint8), names, names, np.zeros(1, np.int32), zero + offset,
                     zero + size)

    for name in ("../secret.jpg", str(tmp_path / "secret.jpg"), "a/../../secret.jpg"):
        refused(lambda name=name: index(name).read(0), "outside of it")
    refused(lambda: index("pipe.jpg").read(0), "pipe")
    (tmp_path / "in" / "a.jpg").write_bytes(b"12345")
    for offset, size in ((0, 2**30), (2**62, 5), (3, 4)):
        refused(lambda o=offset, s=size: index("a.jpg", o, s).read(0), "it changed since it was indexed")
    with pytest.raises(LsegreproError, match="more than 1,073,741,824 bytes"):
        index("a.jpg", 0, 2**62)


def test_a_photograph_without_permission_is_a_defect_of_its_own(tmp_path):
    """A link that loops stands for it here: root reads what it likes."""
    index = one_index(tmp_path)
    (tmp_path / "a.jpg").unlink()
    os.symlink("a.jpg", tmp_path / "a.jpg")
    found, remarks = check(index, tmp_path / "progress", workers=1, progress=False)
    assert len(found) == 0 and [remark.kind for remark in remarks] == ["defect"]
    (tmp_path / "a.jpg").unlink()
    refused(lambda: check(index, tmp_path / "progress", workers=1, progress=False), "No such file")


# Shards


@pytest.mark.fault("weights", "any bit of a photograph in a shard flipped", "refused with one line that names it")
def test_a_flipped_bit_in_a_shard_is_noticed(tmp_path):
    out = prepare_shards(SyntheticWeak(1), tmp_path / "out", workers=1, progress=False).index.root
    index, tar = open_indexed(out, "all"), out / "000000.tar"
    whole = tar.read_bytes()
    for place in np.random.default_rng(0).integers(index.offset[1], index.offset[1] + index.size[1], 20).tolist():
        tar.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        refused(lambda: index.image(1), index.names[1], "was altered or is damaged")
        assert index.image(0).shape == (300, 300, 3)


@pytest.mark.fault("weights", "the record of a shard altered, damaged or forged", "the shard is made again")
@pytest.mark.parametrize("harm", ["offset", "type", "deep", "pickle"])
def test_an_altered_record_of_a_shard_is_not_believed(tmp_path, harm):
    def prepare():
        return prepare_shards(SyntheticWeak(1), tmp_path / "out", workers=1, progress=False)

    prepare()
    path = tmp_path / "out" / "000000.json"
    said = json.loads(path.read_text())
    if harm == "offset":
        said["offset"][0] += 512
    if harm == "type":
        said["row"] = {"0": "x"}
    path.write_bytes(json.dumps(said).encode() if harm in ("offset", "type") else DEEP if harm == "deep" else
                     pickle.dumps(Trap(tmp_path / "sprung")))
    done = prepare()
    assert done.kept == 0 and done.index.image(0).shape == (300, 300, 3) and not (tmp_path / "sprung").exists()
    record = tmp_path / "out" / "shards.json"
    for plan in ("[]", "3", '"x"', "null"):
        record.write_text(f'{{"plan": {plan}}}')
        refused(prepare, tmp_path / "out", "delete it or choose another folder")


# Weights and checkpoints


@pytest.fixture
def stored(tmp_path, tiny_net):
    path = tmp_path / "LSE1-cat.safetensors"
    weights.save_weights(path, tiny_net, {"arguments": {"model": "LSE1", "cls": "cat"}})
    return path


@pytest.mark.fault("weights", "weights of another type of number, and cards of another's making",
                   "refused with one line")
def test_weights_of_other_numbers_and_odd_cards(stored):
    tensors, _ = weights.load_tensors(stored)
    card = json.loads(weights.card_path(stored).read_text())
    for kind in (torch.float64, torch.float16, torch.int32, torch.bool, torch.float8_e4m3fn):
        save_file({key: value.to(kind) for key, value in tensors.items()}, stored, metadata={"architecture": "tiny"})
        files.write_json(weights.card_path(stored), card | {"sha256": files.sha256(stored)})
        refused(lambda: weights.load_weights(stored), stored, "weights are float32")
    weights.save_tensors(stored, tensors, {"architecture": "tiny"})
    for arguments in (None, [], 3, {}, {"model": "LSE1"}):
        files.write_json(weights.card_path(stored), {"sha256": files.sha256(stored), "arguments": arguments})
        refused(lambda: weights.load_weights(stored, cls="cat"), weights.card_path(stored), "model and class")
    for text in (DEEP.decode(), "NaN", '{"sha256": NaN}', '{"sha256": ["x"]}'):
        weights.card_path(stored).write_text(text)
        refused(lambda: weights.load_weights(stored))


@pytest.fixture
def checkpoint(tmp_path, tiny, decoded):
    """A training that was stopped, and a call that goes on with it."""
    args = Training(architecture="tiny", samples=40, batch=4, momentum=0.9, rate=0.001)

    def go(**options):
        return loop.train(args, decoded, tmp_path / "w.safetensors", progress=False, **options)

    return go(stop_after=3), go


@pytest.mark.fault("weights", "any bit of a checkpoint flipped", "refused with one line, never trained on")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_checkpoint_is_noticed(checkpoint, place, bit):
    path, go = checkpoint
    whole = path.read_bytes()
    place %= len(whole)
    changed = bytearray(whole)
    changed[place] ^= 1 << bit
    path.write_bytes(changed)
    try:
        refused(lambda: go(stop_after=1), path)
    finally:
        path.write_bytes(whole)


@pytest.mark.fault("weights", "a checkpoint with NaN in it, without a layer, of another architecture, forged",
                   "refused with one line")
def test_forged_checkpoints_are_refused(checkpoint):
    path, go = checkpoint
    tensors, said = weights.load_tensors(path)
    del said["digest"]

    def forge(tensors=tensors, **more):
        digest = checkpoints._digest(tensors, said | more)  # a forger can count, too
        weights.save_tensors(path, tensors, said | more | {"digest": digest})
        return refused(lambda: go(stop_after=1), path)

    name = next(key for key in tensors if key.endswith("weight") and "momentum" not in key)
    bad = tensors[name].clone()
    bad.view(-1)[0] = float("nan")
    for key in (name, f"momentum.{name}"):
        assert "not finite" in forge({**tensors, key: bad})
        assert "not a checkpoint of this network" in forge({**tensors, key: tensors[name][:1].clone()})
        assert "not a checkpoint of this network" in forge({**tensors, key: tensors[name].double()})
    assert "not finite" in forge({**tensors, "running": torch.tensor(float("inf"))})
    assert "not a checkpoint of this network" in forge({k: v for k, v in tensors.items() if k != name})
    for more in ({"step": "-3"}, {"step": "x"}, {"step": "9" * 5000}, {"since": "99"}, {"seconds": "nan"},
                 {"seconds": "-1"}, {"identity": "[]"}, {"identity": "[" * 100_000}, {"identity": "null"}):
        assert "not a checkpoint of this program" in forge(**more)
    weights.save_tensors(path, tensors, said)
    assert "not a checkpoint of this program" in refused(lambda: go(stop_after=1), path)  # without a digest
    weights.save_tensors(path, tensors, said | {"digest": checkpoints._digest(tensors, said)})
    assert go(stop_after=1) == path  # and an honest one is taken


def test_a_curve_of_anothers_making_is_passed_over(checkpoint):
    path, go = checkpoint
    path.with_suffix(".jsonl").write_text('{"step": "x"}\n{}\n[1]\n')
    go()
    assert all(isinstance(row["step"], int) for row in files.read_jsonl(path.with_suffix(".jsonl")))


# Hard negatives, numbers, profiles


@pytest.mark.fault("weights", "hard negatives that point outside their images or have other shapes",
                   "refused with one line")
@pytest.mark.parametrize("key, value", [
    ("index", np.array([2], np.uint32)), ("index", np.array([0.0])), ("index", np.array([-1])),
    ("index", np.zeros((1, 1), np.uint32)), ("centres", np.array([[300, 0]], np.uint16)),
    ("centres", np.array([[0]], np.uint16)), ("centres", np.array([[0.5, 1.0]])), ("codes", np.zeros(2, np.uint16)),
    ("names", np.array([1, 2])), ("names", np.array("a")), ("names", np.array([b"a", b"b"])),
    ("counts", np.zeros(1, np.uint32)), ("meta", np.array("{")), ("meta", np.array("[" * 100_000)),
    ("meta", np.array("3")), ("meta", np.array('{"mining": 3}')), ("meta", np.array("{}")),
])
def test_forged_hard_negatives_are_refused(tmp_path, key, value):
    whole = {"meta": np.array('{"mining": {"keep": 0}}'), "names": np.array(["a", "b"]),
             "counts": np.ones(2, np.uint32), "index": np.array([1], np.uint32),
             "centres": np.array([[0, 299]], np.uint16), "codes": np.zeros(1, np.uint16)}
    path = tmp_path / "n.npz"
    np.savez(path, **whole)
    readers = read_everything(path)
    assert readers["negatives"]().index.tolist() == [0] and readers["meta"]()["mining"] == {"keep": 0}
    np.savez(path, **{**whole, key: value})
    refused(readers["meta" if key == "meta" else "negatives"], path, "damaged")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.fixed_dictionaries({}, optional={
    key: HEADERS for key in ("made_of", "content", "profile", "files", "lists", "code", "numbers")}))
def test_forged_facts_and_numbers_are_refused_in_one_line(tmp_path, value):
    for read, right in ((lambda path: read_fact(path, "crop", {"val": "x"}), ("lsegrepro facts crop", 1)),
                        (lambda path: read_record(path.parent), ("lsegrepro results", 1))):
        record = {**value, "format": right[0], "version": right[1]}
        path = record_path(tmp_path)
        try:
            files.write_json(path, record | {"digest": files.digest(record)})
        except UnicodeEncodeError:
            return
        try:
            read(path)
        except LsegreproError as error:
            assert "\n" not in str(error) and str(path) in str(error)


@pytest.mark.parametrize("text, said", [
    ("[superpixels]\nsigma = 1e9", "superpixels.sigma must lie in [0, 100], got 1000000000.0"),
    ("[superpixels]\nmin_size = 9223372036854775807", "superpixels.min_size must lie in [1, 1e+09]"),
    ("[superpixels]\nscale = 1e300", "superpixels.scale must lie in [1e-06, 1e+09]"),
    ("[training]\naggregation = 'tempered:nan'", "training.aggregation: unknown aggregation"),
])
def test_values_that_would_take_all_memory_are_out_of_range(tmp_path, text, said):
    (tmp_path / "p.toml").write_text(text)
    refused(lambda: load_profile(tmp_path / "p.toml"), "p.toml", said)
    with pytest.raises(LsegreproError):
        Superpixels(sigma=float("nan"))
