"""ImageNet in every layout people have, with what is wrong with real copies planted in it."""

import gzip
import io
import json
import tarfile

import numpy as np
import pytest
from conftest import one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imagenets import BANANA, CARNIVORE, CAT, LAYOUTS, RETRIEVER, SIAMESE, WOLF, defects, picture, sound, tar_of
from PIL import Image, ImageOps

from lsegrepro import cli
from lsegrepro.data import defects as checking
from lsegrepro.data import imagenet, images
from lsegrepro.data.index import LABELS, read_index
from lsegrepro.data.joined import open_weak
from lsegrepro.data.tars import members
from lsegrepro.files import LsegreproError
from lsegrepro.runs.folder import open_run


def scan(root):
    return imagenet.scan(root, progress=False)


def said(report, kind="ignored"):
    return {remark.name: remark.reason for remark in report.remarks if remark.kind == kind}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_holds_the_same_photographs(tmp_path, layout):
    photographs = sound()
    index, report = scan(LAYOUTS[layout](tmp_path / "in", photographs))
    assert list(index.names) == sorted(photographs)
    assert [index.read(i) for i in range(len(index))] == [photographs[name] for name in index.names]
    assert index.digest == scan(LAYOUTS["folders"](tmp_path / "again", photographs))[0].digest
    assert [LABELS[code] for code in index.labels] == [
        {SIAMESE: "cat", CAT: "cat", RETRIEVER: "dog"}.get(name[:9], "background") for name in index.names]
    assert report.counts == {"cat": 6, "dog": 3, "background": 6}
    assert report.synsets == {"cat": 2, "dog": 1, "background": 2}
    assert not report.left_out and not report.remarks
    assert not list(tmp_path.glob("**/*.npz"))  # it only looks
    index.write(tmp_path / "list.npz")
    again = read_index(tmp_path / "list.npz")
    assert again.digest == index.digest and again.read(7) == index.read(7)


@pytest.mark.parametrize("layout", ["train", "tar of tars", "synset tars"])
def test_synsets_above_the_classes_are_no_background(tmp_path, layout):
    wide = sound() | {f"{CARNIVORE}/{CARNIVORE}_{k}.JPEG": picture(k) for k in range(4)}
    index, report = scan(LAYOUTS[layout](tmp_path / "in", wide))
    assert len(index) == len(sound()) and not any(CARNIVORE in name for name in index.names)
    assert report.left_out == {CARNIVORE: 4}
    report.write(tmp_path / "report.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert rows[0]["left_out"] == 4 and rows[1]["name"] == CARNIVORE and rows[1]["words"] == "carnivore"
    assert "4 photographs of 1 synsets above cat or dog are left out" in report.lines()


def test_plain_files_keep_their_paths_once(tmp_path):
    """The names are the paths, so a million of them take their memory once."""
    assert (index := scan(LAYOUTS["train"](tmp_path, sound()))[0]).files is index.names
    assert index.root == tmp_path / "train"


@pytest.mark.parametrize("layout", ["train", "tar of tars", "synset tars", "mixed"])
def test_defects_are_reported_and_what_can_be_decoded_is_used(tmp_path, layout):
    planted = defects()
    empty = f"{SIAMESE}/{SIAMESE}_empty.JPEG"
    root = LAYOUTS[layout](tmp_path / "in", sound() | {n: d for n, (_, d) in planted.items()} | {empty: b""})
    index, report = scan(root)
    whole, remarks = checking.check(index, tmp_path / "progress", workers=1, progress=False)
    report = report.checked(whole, remarks)
    assert {r.name: r.kind for r in report.remarks} == {n: kind for n, (kind, _) in planted.items()} | {empty: "defect"}
    assert report.kinds == {"defect": 4, "note": 3, "ignored": 0}
    reasons = {r.name.rpartition("_")[2]: r.reason for r in report.remarks}
    assert "CMYK" in reasons["cmyk.JPEG"] and "a PNG file named .jpeg" in reasons["png.JPEG"]
    assert "Exif cannot be parsed" in reasons["exif.JPEG"] and "truncated" in reasons["cut.JPEG"]
    assert "not a photograph" in reasons["text.JPEG"] and "pixels" in reasons["bomb.JPEG"]
    assert "no bytes" in reasons["empty.JPEG"]
    used = sorted([*sound(), *(n for n, (kind, _) in planted.items() if kind == "note")])
    assert list(whole.names) == used
    for i, name in enumerate(whole.names):
        data = (sound() | {n: d for n, (_, d) in planted.items()})[name]
        np.testing.assert_array_equal(whole.image(i), images.prepare(images.decode_image(data, name)))
    assert not (tmp_path / "progress").exists()


def test_cmyk_has_the_colours_of_the_picture_it_was():
    cmyk, rgb = (images.decode_image(picture(101, mode=mode, quality=95), "it").astype(int) for mode in ("CMYK", "RGB"))
    assert np.median(abs(cmyk - rgb)) < 3


def test_broken_exif_leaves_the_orientation():
    data = defects()[f"{WOLF}/{WOLF}_exif.JPEG"][1]
    with pytest.raises(Exception, match="."):  # it is broken indeed
        ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert images.decode_image(data, "it").shape == (40, 32, 3)  # the file has 32 rows


def test_an_unchecked_photograph_that_is_damaged_is_named(tmp_path):
    name = f"{WOLF}/{WOLF}_cut.JPEG"
    root = LAYOUTS["tar of tars"](tmp_path, {name: defects()[name][1]})
    with pytest.raises(LsegreproError) as error:
        scan(root)[0].image(0)
    one_line(error, name, root)


# Tars that nobody vouches for


def odd_tar(format) -> bytes:
    with tarfile.open(fileobj=(buffer := io.BytesIO()), mode="w", format=format) as tar:
        def add(name, data=b"", kind=tarfile.REGTYPE, link=""):
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(data), kind, link
            tar.addfile(member, io.BytesIO(data))

        add("../outside.JPEG", b"1")
        add("/absolute.JPEG", b"2")
        add("deep/../../x.JPEG", b"3")
        add("link.JPEG", kind=tarfile.SYMTYPE, link="/etc/passwd")
        add("hard.JPEG", kind=tarfile.LNKTYPE, link="n1.JPEG")
        add("device.JPEG", kind=tarfile.CHRTYPE)
        add("pipe.JPEG", kind=tarfile.FIFOTYPE)
        add("folder.JPEG", kind=tarfile.DIRTYPE)
        add("sub", kind=tarfile.DIRTYPE)
        add("sub/" + "long" * 60 + ".JPEG", picture(1))
        add("readme.txt", b"4")
        add("._1.JPEG", b"5")
        add("twice.JPEG", b"old")
        add("./twice.JPEG", b"newer")
        add("été\udcff.JPEG", b"6")
    return buffer.getvalue()


@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("nested", [False, True])
def test_odd_members_are_ignored_and_reported(tmp_path, format, nested):
    data = odd_tar(format)
    name = "all.tar" if nested else f"{CAT}.tar"
    (tmp_path / name).write_bytes(tar_of({f"{CAT}.tar": data}) if nested else data)
    index, report = scan(tmp_path)
    held = {n: index.read(i) for i, n in enumerate(index.names)}
    assert held == {f"{CAT}/sub/{'long' * 60}.JPEG": picture(1), f"{CAT}/twice.JPEG": b"newer",
                    f"{CAT}/été\udcff.JPEG": b"6"}
    where = f"all.tar/{CAT}.tar" if nested else f"{CAT}.tar"
    reasons = {n.removeprefix(f"{where}/"): reason for n, reason in said(report).items()}
    assert "1 photographs" in reasons.pop(CAT)
    expected = {"../outside.JPEG": "outside", "/absolute.JPEG": "outside", "deep/../../x.JPEG": "outside",
                "link.JPEG": "symbolic", "hard.JPEG": "hard link", "device.JPEG": "device", "pipe.JPEG": "pipe",
                "readme.txt": "name", "._1.JPEG": "name"}
    assert reasons.keys() == expected.keys()
    assert all(part in reasons[name] for name, part in expected.items())


def test_a_sparse_member_is_not_read_in_place(tmp_path):
    member = tarfile.TarInfo("hole.JPEG")
    member.type, member.size = tarfile.GNUTYPE_SPARSE, 512
    data = member.tobuf(tarfile.GNU_FORMAT) + bytes(512) + bytes(1024)
    found = []
    assert list(members(io.BytesIO(data), lambda *what: found.append(what))) == []
    assert "sparse" in found[0][1]


def test_tars_that_end_early_or_are_compressed(tmp_path):
    """What comes before the damage is used; the damage is reported."""
    whole = tar_of({f"{k}.JPEG": bytes([k]) * 1000 for k in range(1, 5)})
    sick = {
        "n02123045": (whole[: 512 + 700], 0, "cut short"),
        "n02123159": (whole[: 3 * 1536 + 512 + 10], 3, "cut short"),
        "n02123394": (whole[: 2 * 1536], 2, "no end-of-archive mark"),
        "n02123478": (whole[: 2 * 1536] + b"\1" * 2000, 2, "damaged at byte 3,072"),
        "n02123597": (gzip.compress(whole), 0, "gzip"),
        "n02123785": (b"", 0, "empty"),
        "n02123917": (b"no tar at all" * 100, 0, ""),
        "n02124075": (whole, 4, None),
    }
    for synset, (data, _, _) in sick.items():
        (tmp_path / f"{synset}.tar").write_bytes(data)
    index, report = scan(tmp_path)
    ignored = {}
    for remark in report.remarks:
        ignored.setdefault(remark.name[:9], []).append(remark.reason)
    for synset, (_, number, reason) in sick.items():
        assert sum(name.startswith(synset) for name in index.names) == number
        if reason is None:
            assert synset not in ignored
        else:
            assert any(reason in each for each in ignored[synset]), (synset, ignored)
    assert all(index.read(i) == bytes([int(index.names[i][10])]) * 1000 for i in range(len(index)))


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=180)


@settings(max_examples=60, deadline=None)
@given(names=st.lists(NAMES, max_size=6), format=st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
       before=st.integers(0, 3), data=st.data())
def test_members_are_those_of_tarfile(names, format, before, data):
    contents = [data.draw(st.binary(max_size=40)) for _ in names]
    with tarfile.open(fileobj=(inner := io.BytesIO()), mode="w", format=format) as tar:
        for name, content in zip(names, contents, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    file = io.BytesIO(b"x" * 512 * before + inner.getvalue() + b"y" * 700)
    ignored = []
    found = list(members(file, lambda *what: ignored.append(what), 512 * before, len(inner.getvalue())))
    with tarfile.open(fileobj=io.BytesIO(inner.getvalue())) as tar:
        expected = [(m.name, tar.extractfile(m).read()) for m in tar.getmembers()
                    if m.isreg() and not m.name.startswith("/") and ".." not in m.name.split("/")]
    assert [(m.name, file.getvalue()[m.offset : m.offset + m.size]) for m in found] == expected
    assert len(found) + len(ignored) >= len([name for name in names if not name.endswith("/")])


FUZZED = {format: tar_of({f"{'n' * 60}/{'n' * k}.JPEG": b"abc" * k for k in (1, 60)}, format)
          for format in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)}


@pytest.mark.fault("archives", "a damaged tar read in place (hypothesis)", "it ends, and no photograph lies outside")
@settings(max_examples=200, deadline=None)
@given(format=st.sampled_from(sorted(FUZZED)), data=st.data())
def test_a_damaged_tar_never_leads_outside_and_always_ends(format, data):
    content = bytearray(FUZZED[format])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1) | st.integers(100, 160))
        content[place] = data.draw(st.integers(0, 255))
        block = place - place % 512
        if data.draw(st.booleans()):  # with its checksum put right, so that the change is believed
            header = content[block : block + 512]
            header[148:156] = b" " * 8
            content[block + 148 : block + 156] = b"%06o\0 " % sum(header)
    start = 512 * data.draw(st.integers(0, 2))
    size = data.draw(st.integers(0, len(content)))
    for member in members(io.BytesIO(b"\xff" * start + bytes(content)), lambda *_: None, start, size):
        assert start <= member.offset and member.size >= 0 and member.offset + member.size <= start + size
        assert not member.name.startswith("/") and ".." not in member.name.split("/")


def test_a_member_whose_length_leads_back_does_not_go_round_for_ever():
    member = tarfile.TarInfo("a.JPEG")
    member.size = -1024
    header = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    found = []
    list(members(io.BytesIO(bytes(header) * 3 + bytes(1024)), lambda *what: found.append(what)))
    assert found


# Folders


def test_what_else_lies_in_a_folder_is_reported(tmp_path):
    LAYOUTS["train"](tmp_path, sound())
    (tmp_path / "val").mkdir()
    (tmp_path / "LOC_val_solution.csv").write_text("")
    (tmp_path / "train" / CAT / ".DS_Store").write_text("")
    (tmp_path / "train" / CAT / "gone.JPEG").symlink_to("nowhere")
    (tmp_path / "train" / CAT / "deeper.JPEG").mkdir()
    (tmp_path / "train" / CAT / "linked.JPEG").symlink_to(f"{CAT}_1.JPEG")
    (tmp_path / "train" / "n02123045").symlink_to(tmp_path / "train" / SIAMESE)
    index, report = scan(tmp_path)
    assert said(report).keys() == {"val", "LOC_val_solution.csv", f"train/{CAT}/.DS_Store", f"train/{CAT}/gone.JPEG",
                                   f"train/{CAT}/deeper.JPEG"}
    assert set(index.names) - set(sound()) == {f"{CAT}/linked.JPEG", *(f"n02123045/{SIAMESE}_{k}.JPEG" for k in
                                                                       (1, 2, 10))}  # the user's own links are followed


def test_ilsvrc_and_the_wider_archive_side_by_side(tmp_path):
    """The paper's mixture: cats and dogs of the wider archive, the rest of ILSVRC; what is in both is taken once."""
    ilsvrc = {n: d for n, d in sound().items() if CAT not in n}
    wide = {n: d for n, d in sound().items() if n[:9] in (SIAMESE, CAT, RETRIEVER)}
    LAYOUTS["folder with the tar of tars"](tmp_path, ilsvrc)
    LAYOUTS["synset tars"](tmp_path, wide)
    (tmp_path / "ILSVRC2012_img_val.tar").write_bytes(tar_of({"ILSVRC2012_val_1.JPEG": b"1", "b.JPEG": b"2"}))
    index, report = scan(tmp_path)
    assert list(index.names) == sorted(sound())
    assert said(report) == {SIAMESE: "3 photographs whose name occurs before",
                            RETRIEVER: "3 photographs whose name occurs before",
                            "ILSVRC2012_img_val.tar": "2 photographs in no synset"}


def test_roots_that_are_no_imagenet(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "only").mkdir()
    (tmp_path / "only" / "a.tar").write_bytes(tar_of({"a.JPEG": b"1"}))
    for root, part in (("absent", "no ImageNet"), ("empty", "no photograph"), ("only", "no photograph")):
        with pytest.raises(LsegreproError) as error:
            scan(tmp_path / root)
        one_line(error, tmp_path / root, part)
        assert not imagenet.is_imagenet(tmp_path / root)
    assert imagenet.is_imagenet(tmp_path / "only" / "a.tar")


# Checking, in parallel and after a kill


@pytest.fixture
def planted(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "CHUNK", 4)
    photographs = sound() | {n: d for n, (_, d) in defects().items()}
    return scan(LAYOUTS["tar of tars"](tmp_path, photographs))[0]


def check(index, path, workers=1):
    return checking.check(index, path, workers=workers, progress=False)


def test_any_number_of_workers_finds_the_same(tmp_path, planted):
    alone, remarks = check(planted, tmp_path / "a")
    together, again = check(planted, tmp_path / "b", workers=2)
    assert remarks == again and alone.digest == together.digest and len(remarks) == len(defects())


@pytest.mark.parametrize("half", ["", '{"first": 8, "ro'])
def test_a_check_goes_on_where_it_was_killed(tmp_path, planted, monkeypatch, half):
    expected, done = check(planted, tmp_path / "whole"), []

    def dying(chunk, check=checking._check):
        done.append(chunk.start)
        if len(done) == 3:
            raise KeyboardInterrupt
        return check(chunk)

    monkeypatch.setattr(checking, "_check", dying)
    with pytest.raises(KeyboardInterrupt):
        check(planted, tmp_path / "progress")
    with open(tmp_path / "progress", "a") as file:
        file.write(half)
    whole, remarks = check(planted, tmp_path / "progress")
    assert done == [0, 4, 8, 8, 12, 16, 20]  # 21 photographs, four at a time
    assert (whole.digest, remarks) == (expected[0].digest, expected[1])


def test_the_progress_of_other_photographs_is_not_taken(tmp_path, planted):
    (tmp_path / "progress").write_text('{"digest": "other", "chunk": 4}\n{"first": 0, "rows": [[0, "defect", "x"]]}\n')
    assert check(planted, tmp_path / "progress")[1] == check(planted, tmp_path / "other")[1]


def test_a_disk_that_goes_away_is_no_defect(tmp_path, planted):
    """Else one missing mount would strike out a million photographs."""
    (tmp_path / "ILSVRC2012_img_train.tar").unlink()
    with pytest.raises(LsegreproError) as error:
        check(planted, tmp_path / "progress")
    one_line(error, "ILSVRC2012_img_train.tar", "cannot read")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_examining_anything_gives_a_reason_or_a_picture(data):
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x0132] = 6, "maker", "2014"
    content = bytearray(picture(3, exif=exif))
    for _ in range(data.draw(st.integers(0, 5))):
        content[data.draw(st.integers(0, len(content) - 1) | st.integers(20, 110))] = data.draw(st.integers(0, 255))
    found = checking.examine(bytes(content[: data.draw(st.integers(0, len(content)))]), "a.JPEG")
    assert all(kind in ("defect", "note") and reason and "\n" not in reason for kind, reason in found)


# From the command line to a run


PROFILE = """
models = ["LSE1"]
classes = ["cat"]
[data]
kind = "photographs"
weak = "imagenet{suffix}"
heldout = 0.3
"""


@pytest.mark.parametrize(("layout", "suffix"), [("train", ""), ("synset tars", ""), ("tar of tars", ".tar")])
def test_a_profile_names_an_imagenet(tmp_path, capsys, layout, suffix):
    """Index it once; then a profile trains on it, and holds out the same photographs in every layout."""
    photographs = sound() | {n: d for n, (_, d) in defects().items()}
    root = LAYOUTS[layout](tmp_path / "in", photographs)
    root = root.rename(tmp_path / f"imagenet{suffix}")
    assert imagenet.is_imagenet(root)
    (tmp_path / "own.toml").write_text(PROFILE.format(suffix=suffix))
    run = open_run(tmp_path / "own.toml", tmp_path / "run", data=tmp_path, progress=False)
    with pytest.raises(LsegreproError) as error:
        run.weak("train")
    one_line(error, "without an index", f"lsegrepro data index {root}")
    assert cli.main(["data", "index", str(root), "--workers", "1"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "7 cat (2 synsets), 4 dog (1 synsets), 7 background (2 synsets)"
    assert said[1].startswith("3 cannot be decoded") and said[2].startswith("3 are decoded right")
    assert said[-1] == str(root.with_name(f"{root.name}.npz"))
    rows = [json.loads(x) for x in root.with_name(f"{root.name}.report.jsonl").read_text().splitlines()]
    assert len(rows) == 7 and rows[0]["photographs"] == {"cat": 7, "dog": 4, "background": 7}
    train, held = run.weak("train"), run.weak("heldout")
    assert not set(train.names) & set(held.names) and len(train) + len(held) == 18
    assert train.image(0).shape == (300, 300, 3) and "weak labels" in train.description
    # As a folder of the same file names would be split.
    for name, data in photographs.items():
        label = {SIAMESE: "cat", CAT: "cat", RETRIEVER: "dog"}.get(name[:9], "background")
        path = tmp_path / "plain" / label / name.partition("/")[2]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    kept = {name.rpartition("/")[2] for name in [*train.names, *held.names]}
    plain = open_weak(tmp_path, "plain", "heldout", heldout=0.3)
    assert {n.rpartition("/")[2] for n in plain.names} & kept == {n.rpartition("/")[2] for n in held.names}


def test_an_index_without_a_check(tmp_path, capsys):
    root = LAYOUTS["train"](tmp_path / "in", {f"{BANANA}/x.JPEG": b"no picture"})
    assert cli.main(["data", "index", str(root), "--no-check", "--out", str(tmp_path / "a.npz")]) == 0
    index = read_index(tmp_path / "a.npz")
    assert len(index) == 1 and "not checked" in index.description and index.root == root / "train"
    assert cli.main(["data", "index", str(root), "--out", str(tmp_path / "a.txt")]) == 2
    assert "must end with .npz" in capsys.readouterr().err
