"""The pins agree with each other, and the tree holds nothing that belongs to one machine."""

import re
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lsegrepro

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK = (ROOT / "requirements.lock").read_text()
TORCH = (ROOT / "requirements-torch.txt").read_text().strip()
# Written in pieces, so that this file does not hold what it looks for.
HOSTS = ["py" + "pi.org", "python" + "hosted.org", "registry." + "npmjs", "deb." + "debian.org"]


def lock_entries() -> dict[str, tuple[Requirement, list[str]]]:
    """Each pin of the lock and its hashes, by canonical name."""
    entries = {}
    for block in re.split(r"\n(?=\S)", LOCK.strip()):
        pin, *hashes = (part.strip() for part in block.split("\\\n"))
        requirement = Requirement(pin)
        assert canonicalize_name(requirement.name) not in entries, f"{requirement.name} is locked twice"
        entries[canonicalize_name(requirement.name)] = (requirement, hashes)
    return entries


def direct() -> list[Requirement]:
    """Every requirement of pyproject.toml, core and extras."""
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [Requirement(text) for text in sum(extras, PROJECT["project"]["dependencies"])]


def tree() -> list[Path]:
    """Files that are, or would be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def test_the_lock_satisfies_pyproject_and_pins_and_hashes_every_package_but_torch():
    entries = lock_entries()
    assert len(entries) > 100 and "://" not in LOCK and "#" not in LOCK
    for name, (requirement, hashes) in entries.items():
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), name
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes), name
    assert not [n for n in entries if n in ("torch", "triton") or n.startswith(("nvidia-", "cuda-"))]
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", TORCH)
    (torch,) = (r for r in direct() if r.name == "torch")
    assert torch.specifier.contains(TORCH.split("==")[1])
    for requirement in direct():
        if requirement.name != "torch":
            pin, _ = entries[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(str(pin.specifier).removeprefix("==")), requirement.name


def test_the_conda_environment_has_the_same_pins():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    *conda, last = environment["dependencies"]
    python = next(item for item in conda if item.startswith("python="))
    requires = Requirement("python" + PROJECT["project"]["requires-python"])
    assert requires.specifier.contains(python.removeprefix("python=") + ".0")
    *pins, editable = last["pip"]
    assert editable == "-e ."
    assert "://" not in str(pins) and "--" not in str(pins)
    locked = [str(requirement) for requirement, _ in lock_entries().values()]
    assert sorted(str(Requirement(pin)) for pin in pins) == sorted([TORCH, *locked])


def test_the_package_holds_what_it_names_and_has_one_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert lsegrepro.__version__ == PROJECT["project"]["version"] == str(citation["version"])
    for pattern in PROJECT["tool"]["setuptools"]["package-data"]["lsegrepro"]:
        assert list((ROOT / "lsegrepro").glob(pattern)), f"no {pattern} in the package"
    assert find_spec(PROJECT["project"]["scripts"]["lsegrepro"].split(":")[0])


def test_the_tree_names_no_registry_and_no_machine():
    places = {ROOT, ROOT.parent, Path.home()} - {Path("/"), Path("/tmp")}
    words = [*HOSTS, *(f"{place}/" for place in places), "/tmp/" + "ipykernel"]
    pattern = re.compile("|".join(map(re.escape, words)).encode())
    found = {path.name: set(pattern.findall(path.read_bytes())) for path in tree()}
    assert not {name: words for name, words in found.items() if words}


def test_the_tree_holds_no_photograph_and_nothing_huge():
    files, photographs = tree(), (".jpg", ".jpeg", ".tif", ".tiff", ".webp")
    assert not [path.name for path in files if path.suffix.lower() in photographs]
    assert not [path.name for path in files if path.stat().st_size > 6 * 2**20]
