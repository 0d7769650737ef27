"""Unpacking what a stranger packed: all of it or nothing, and never outside the folder."""

import gzip
import io
import os
import stat
import tarfile

import pytest
from conftest import file_size_limit, one_line
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsegrepro import LsegreproError
from lsegrepro.data import archives

LIMIT = 1 << 20
own_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def member(name, content=b"", kind=tarfile.REGTYPE, link="", mode=0o644):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.mode, found.size = kind, link, mode, len(content)
    return found, content


def pack(path, *members, mode="w", format=tarfile.GNU_FORMAT):
    with tarfile.open(path, mode, format=format) as tar:
        for found, content in members:
            tar.addfile(found, io.BytesIO(content))
    return path


def tree(folder) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def room(tmp_path):
    """A folder whose whole content a test can see: the archive lies elsewhere."""
    (tmp_path / "room" / "inner").mkdir(parents=True)
    (tmp_path / "room" / "precious").write_bytes(b"keep me")
    return tmp_path / "room"


def refused(archive, room, *parts, limit=LIMIT, **options):
    """Unpacking fails in one line that holds `parts`, and leaves the room as it was."""
    before = tree(room)
    with pytest.raises(LsegreproError) as error:
        archives.extract(archive, room / "inner" / "new", limit=limit, **options)
    assert tree(room) == before and os.listdir(room / "inner") == []
    return one_line(error, archive, *parts)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_files_come_out_as_they_went_in(tmp_path, mode, format):
    files = {"a.txt": b"", "sub/b.txt": b"b" * 5000, "sub/" + "long" * 24 + ".txt": b"c", "sub/naïve name.txt": b"d"}
    members = [member(f"./set/{name}", content) for name, content in files.items()]
    packed = pack(tmp_path / "x.tar", member("./set", kind=tarfile.DIRTYPE), *members, mode=mode, format=format)
    assert archives.extract(packed, tmp_path / "new", limit=LIMIT, prefix="set") == len(files)
    assert tree(tmp_path / "new") == files
    assert sorted(os.listdir(tmp_path)) == ["new", "x.tar"]


def test_only_what_is_wanted_comes_out(tmp_path):
    packed = pack(tmp_path / "x.tar", *(member(name, b"x") for name in ("set/a.jpg", "set/a.mat", "set/in/b.jpg",
                                                                        "setting/c.jpg", "d.jpg")))
    assert archives.extract(packed, tmp_path / "new", limit=LIMIT, prefix="set", wanted=["*.jpg"]) == 2
    assert sorted(tree(tmp_path / "new")) == ["a.jpg", "in/b.jpg"]


def test_permissions_are_those_of_new_files(tmp_path):
    packed = pack(tmp_path / "x.tar", member("d", kind=tarfile.DIRTYPE, mode=0o000), member("d/a", b"x", mode=0o6777),
                  member("d/b", b"x", mode=0o000))
    archives.extract(packed, tmp_path / "new", limit=LIMIT)
    (tmp_path / "plain").write_bytes(b"")
    usual = stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "new/d").iterdir()} == {usual}
    assert stat.S_IMODE((tmp_path / "new/d").stat().st_mode) & 0o700 == 0o700
    assert (tmp_path / "new/d/a").stat().st_uid == os.getuid()


HOSTILE = {
    "climbs": member("../precious", b"spoilt"),
    "climbs later": member("a/../../../precious", b"spoilt"),
    "climbs and comes back": member("a/../b", b"x"),
    "climbs like Windows": member("..\\precious", b"spoilt"),
    "Windows drive": member("C:precious", b"spoilt"),
    "Windows root": member("\\precious", b"spoilt"),
    "absolute": member("/tmp/lsegrepro-must-not-be-written", b"spoilt"),
    "two slashes": member("//tmp/lsegrepro-must-not-be-written", b"spoilt"),
    "link out": member("a", kind=tarfile.SYMTYPE, link="../../precious"),
    "link in": member("a", kind=tarfile.SYMTYPE, link="b"),
    "hard link out": member("a", kind=tarfile.LNKTYPE, link="../../precious"),
    "hard link in": member("a", kind=tarfile.LNKTYPE, link="b"),
    "device": member("a", kind=tarfile.CHRTYPE),
    "disk": member("a", kind=tarfile.BLKTYPE),
    "pipe": member("a", kind=tarfile.FIFOTYPE),
}


@pytest.mark.fault("archives", "names with .., absolute, of Windows; links, devices, pipes",
                   "refused with one line; nothing outside the target")
@pytest.mark.parametrize("hostile", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("wanted", ["*", "good"])
def test_a_hostile_member_is_named_and_nothing_comes_out(tmp_path, room, hostile, wanted):
    packed = pack(tmp_path / "x.tar", member("good", b"good"), hostile)
    refused(packed, room, repr(hostile[0].name), wanted=[wanted])
    assert not os.path.exists("/tmp/lsegrepro-must-not-be-written")


@pytest.mark.fault("archives", "a file below a link that leads out",
                   "refused with one line; nothing outside the target")
def test_no_writing_through_a_link_of_the_same_archive(tmp_path, room):
    packed = pack(tmp_path / "x.tar", member("way", kind=tarfile.SYMTYPE, link="../.."), member("way/precious", b"!"))
    refused(packed, room, "'way'", "symbolic link")


@pytest.mark.parametrize("second", ["a", "./a", "a/b"])
def test_one_name_for_two_things(tmp_path, room, second):
    refused(pack(tmp_path / "x.tar", member("a", b"1"), member(second, b"2")), room, repr(second))


names = st.lists(st.sampled_from(["..", ".", "", "a", "b", "c:", "~", " ", "\n", "ü", "a" * 90, "\\..", "precious"]),
                 min_size=1, max_size=5).map("/".join)
kinds = st.sampled_from([tarfile.REGTYPE] * 4 + [tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE,
                                                 tarfile.CONTTYPE, b"Z"])


@pytest.mark.fault("archives", "any members under any names (hypothesis)", "inside the target, or refused")
@own_folder
@given(st.lists(st.tuples(names, kinds, names, st.binary(max_size=20)), min_size=1, max_size=5),
       st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]), st.booleans())
def test_any_members_stay_inside_or_are_refused(tmp_path_factory, described, format, zipped):
    folder = tmp_path_factory.mktemp("any")
    (folder / "inner").mkdir()
    (folder / "precious").write_bytes(b"keep me")
    members = [member(name, b"" if kind in (tarfile.DIRTYPE, tarfile.SYMTYPE) else content, kind, link)
               for name, kind, link, content in described]
    packed = pack(folder / "x.tar", *members, mode="w:gz" if zipped else "w", format=format)
    new, outside = folder / "inner" / "new", tree(folder)
    try:
        count = archives.extract(packed, new, limit=LIMIT)
    except LsegreproError as error:
        assert "\n" not in str(error) and not os.listdir(folder / "inner")
    else:
        assert count == len(tree(new)) > 0
        assert not any(path.is_symlink() for path in new.rglob("*"))
        assert not any(kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE) for _, kind, _, _ in described)
        assert not any(name.startswith("/") or ".." in name for name, *_ in described)
    assert {name: content for name, content in tree(folder).items() if not name.startswith("inner")} == outside


@pytest.mark.fault("archives", "bytes changed and cut (hypothesis)", "refused with one line, or harmless")
@own_folder
@given(st.data())
def test_any_damage_is_an_error_or_harmless(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    content = bytes(range(256)) * 3
    packed = pack(folder / "x.tar", member("a" * 120, content), member("b/ü", content), format=data.draw(
        st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])))
    whole = bytearray(packed.read_bytes()[:6144])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        whole = gzip.compress(bytes(whole), 1)
    packed.write_bytes(whole)
    try:
        archives.extract(packed, folder / "new", limit=LIMIT)
    except LsegreproError as error:
        assert "\n" not in str(error) and os.listdir(folder) == ["x.tar"]
    else:
        assert sum(len(each) for each in tree(folder / "new").values()) <= LIMIT


@pytest.mark.parametrize("zipped", [False, True])
def test_an_archive_cut_short_is_refused_wherever_it_ends(tmp_path, room, zipped):
    packed = pack(tmp_path / "x.tar", member("a", b"1" * 600), member("b", b"2" * 600), mode="w:gz" if zipped else "w")
    whole = packed.read_bytes()
    last = len(whole) - 1 if zipped else 2 * 3 * 512  # two headers with contents; the end mark follows
    for size in {0, 1, 2, 30, *range(0, last, 512), last}:
        packed.write_bytes(whole[:size])
        refused(packed, room, "damaged")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path, room):
    packed = pack(tmp_path / "x.tar", member("a", b"1"), member("b", b"2"))
    whole = bytearray(packed.read_bytes())
    whole[1024] ^= 1  # the name of the second: its checksum is wrong now
    packed.write_bytes(whole)
    refused(packed, room, "damaged")


def test_gzip_checksum_counts(tmp_path, room):
    packed = pack(tmp_path / "x.tar", member("a", b"1" * 600), mode="w:gz")
    whole = bytearray(packed.read_bytes())
    whole[-8] ^= 1
    packed.write_bytes(whole)
    refused(packed, room, "damaged")


@pytest.mark.fault("archives", "a gzip that would fill the disk", "refused at the limit; nothing is left")
def test_a_small_file_that_would_fill_the_disk(tmp_path, room):
    bomb = tmp_path / "x.tar.gz"
    with tarfile.open(bomb, "w:gz") as tar:
        for k in range(4):
            tar.addfile(member(f"zeros{k}", bytes(LIMIT // 3))[0], io.BytesIO(bytes(LIMIT // 3)))
    assert bomb.stat().st_size < LIMIT / 100
    refused(bomb, room, f"{LIMIT:,}")


@pytest.mark.parametrize("size", [LIMIT, 1 << 40, 1 << 62])
def test_a_member_that_says_it_is_huge_is_named_before_it_is_read(tmp_path, room, size):
    found, _ = member("huge")
    found.size = size
    (tmp_path / "x.tar").write_bytes(found.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    refused(tmp_path / "x.tar", room, "'huge'", f"{size:,}")


def test_a_long_header_cannot_fill_the_memory(tmp_path, room):
    found, _ = member("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME)
    found.size = 1 << 40
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(found.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(2 * LIMIT))
    refused(tmp_path / "x.tar.gz", room)


def test_headers_in_headers_do_not_end_in_a_traceback(tmp_path, room):
    found, _ = member("././@LongLink", kind=tarfile.GNUTYPE_LONGNAME)
    found.size = 2
    (tmp_path / "x.tar").write_bytes((found.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 1000 + bytes(1024))
    refused(tmp_path / "x.tar", room, "damaged", limit=4 * LIMIT)


def test_a_sparse_file_is_refused(tmp_path, room):
    found, _ = member("holes", kind=tarfile.GNUTYPE_SPARSE)
    (tmp_path / "x.tar").write_bytes(found.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    refused(tmp_path / "x.tar", room)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", bytes(10240)])
def test_what_is_no_archive(tmp_path, room, content):
    (tmp_path / "x.tar").write_bytes(content)
    refused(tmp_path / "x.tar", room)


def test_nothing_is_overwritten(tmp_path, room):
    packed = pack(tmp_path / "x.tar", member("a", b"1"))
    (room / "inner").rmdir()
    (room / "inner").symlink_to("nowhere")  # something is there, even if it leads nowhere
    with pytest.raises(LsegreproError) as error:
        archives.extract(packed, room / "inner", limit=LIMIT)
    one_line(error, room / "inner", "already")


def test_a_killed_unpacking_begins_again(tmp_path):
    packed = pack(tmp_path / "x.tar", member("a", b"whole"))
    (tmp_path / ".new.unpacking" / "sub").mkdir(parents=True)
    (tmp_path / ".new.unpacking" / "a").write_bytes(b"ha")
    (tmp_path / ".new.unpacking" / "sub" / "left").write_bytes(b"over")
    assert archives.extract(packed, tmp_path / "new", limit=LIMIT) == 1
    assert tree(tmp_path / "new") == {"a": b"whole"} and sorted(os.listdir(tmp_path)) == ["new", "x.tar"]


def test_a_full_disk_is_named_with_the_member(tmp_path, room):
    packed = pack(tmp_path / "x.tar", member("small", b"1"), member("big", b"2" * 5000))
    with file_size_limit(4096):
        refused(packed, room, "'big'")


def test_an_archive_that_is_not_there(tmp_path, room):
    refused(tmp_path / "absent.tar", room, "No such file")
