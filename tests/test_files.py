"""Files are whole or absent; digests and JSON say the same everywhere."""

import pytest
from conftest import file_size_limit, refused
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lsegrepro import files

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def test_atomic_moves_the_whole_file_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "new" / "folder" / "a.txt"
    with files.atomic(target) as temporary:
        assert temporary.parent == target.parent and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]
    for stop in (KeyError, KeyboardInterrupt):  # a block that fails leaves the old content
        with pytest.raises(stop), files.atomic(target) as temporary:
            temporary.write_text("half")
            raise stop
    assert target.read_text() == "new" and list(target.parent.iterdir()) == [target]


def test_atomic_names_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    for context in (files.atomic, files.locked):
        refused(context(tmp_path / "file" / "a.txt").__enter__, tmp_path / "file" / "a.txt", "cannot write",
                "choose a folder")


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with file_size_limit(100_000):
        refused(lambda: files.write_json(target, {"a": 200_000 * "b"}), f"cannot write {target}: File too large")
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


@settings(max_examples=25)  # each waits for the disk
@given(st.dictionaries(st.text(), VALUES, max_size=4))
@example({"rows": [[1, 2], [3, 4]], "none": [], "names": ["a, [", "b\n  ]"], "curve": [{"x": [0.5, None]}]})
def test_json_round_trip(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round.json"
    files.write_json(path, value)
    assert files.read_json(path) == value
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"3", b"\xff\xfe", b"{'a': 1}"])
def test_json_that_is_absent_or_no_object_is_refused(tmp_path, content):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    refused(lambda: files.read_json(path), path, "No such file" if content is None else "delete it and run again")


@settings(max_examples=50)
@given(st.dictionaries(st.text(), VALUES, min_size=2, max_size=4))
def test_digest_depends_on_content_not_on_order(value):
    turned = dict(reversed(value.items()))
    assert files.digest(value) == files.digest(turned)
    assert len(files.digest(value)) == 16 and int(files.digest(value), 16) >= 0
    assert files.digest(value) != files.digest({**value, "\x00more": 1})
