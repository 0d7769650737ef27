"""Nothing is asked of the network: commands run under a hook that notes each attempt, also of what they start."""

import os
import shutil
import subprocess
import sys

import pytest
import skimage.data
from conftest import ROOT, TINY
from PIL import Image
from reproductions import clone

HOOK = '''
import os, sys

def note(event, given):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = given[1]
        if not isinstance(address, tuple) or str(address[0]) in ("127.0.0.1", "::1", "localhost"):
            return
    elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        address = given[0]
        if address in (None, "", "localhost", b"localhost", "127.0.0.1", "::1", "0.0.0.0"):
            return
    elif event == "urllib.Request":
        address = given[0]
        if address.startswith(("file:", "data:", "http://127.0.0.1", "http://localhost")):
            return
    else:
        return
    handle = os.open(os.environ["LSEGREPRO_TEST_NETWORK"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{event} {address!r} by {sys.argv[:4]}\\n".encode())
    os.close(handle)

sys.addaudithook(note)
'''


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Run a command of the library in a folder where each attempt to reach another host is noted; the notes."""
    folder = clone(tmp_path_factory.mktemp("network") / "clone")
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", dirs_exist_ok=True)
    (folder / "lsegrepro" / "site.py").write_text((ROOT / "lsegrepro" / "site.py").read_text())
    made_here = shutil.ignore_patterns("executed", "site*", "cache")
    shutil.copytree(ROOT / "published", folder / "published", ignore=made_here)
    (folder / "hook").mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    (folder / "tiny.toml").write_text(TINY)
    Image.fromarray(skimage.data.chelsea()).save(folder / "cat.png")
    notes = folder / "notes.txt"

    def run(*words: str, program=("-m", "lsegrepro.cli")) -> list[str]:
        notes.unlink(missing_ok=True)
        environment = os.environ | {"PYTHONPATH": f"{folder / 'hook'}{os.pathsep}{folder}", "OMP_NUM_THREADS": "1",
                                    "LSEGREPRO_TEST_NETWORK": str(notes)}
        done = subprocess.run([sys.executable, *program, *words], cwd=folder, env=environment, capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return notes.read_text().splitlines() if notes.exists() else []

    return run


def test_the_hook_sees_an_attempt(watched):
    """In the process itself and in one that it starts."""
    attempt = "import socket\ntry: socket.create_connection(('192.0.2.1', 9), 0.01)\nexcept OSError: pass"
    assert len(watched(attempt, program=("-c",))) >= 1
    inner = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {attempt!r}])"
    assert len(watched(inner, program=("-c",))) >= 1
    assert watched("import socket; socket.socket().bind(('127.0.0.1', 0))", program=("-c",)) == []


RUN = ("--profile", "tiny.toml", "--run", "run", "--device", "cpu")
NETWORK = ("--model", "LSE1", "--class", "cat")


@pytest.mark.parametrize("words", [
    ("train", *RUN, *NETWORK), ("score", *RUN, *NETWORK), ("segment", "cat.png", "--class", "cat", "--device", "cpu"),
    ("notebook", "06-table-2", "--profile", "local", "--run", "published", "--depth", "evidence"), ("site", *RUN),
], ids=lambda words: words[0])
@pytest.mark.fault("network", tried="train, score, segment and a notebook, with every attempt to reach a host noted",
                   survived="there is none: no telemetry, and nothing is downloaded without being asked for")
def test_a_command_asks_nothing_of_the_network(watched, words):
    if words[0] in ("notebook", "site"):
        pytest.importorskip("papermill", reason="the book's packages are not installed")
    assert watched(*words) == []
