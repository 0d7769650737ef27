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


def test_every_locked_package_is_pinned_and_hashed():
    entries = lock_entries()
    assert len(entries) > 100
    for name, (requirement, hashes) in entries.items():
        assert re.fullmatch(r"==[\w.!+]+", str(requirement.specifier)), name
        assert hashes and all(re.fullmatch(r"--hash=sha256:[0-9a-f]{64}", item) for item in hashes), name


def test_the_lock_names_no_place():
    assert "://" not in LOCK and "#" not in LOCK
    options = {word.split("=")[0] for word in re.findall(r"(?:^|\s)(--?[a-z][\w-]*\S*)", LOCK)}
    assert options == {"--hash"}


def test_the_lock_leaves_torch_to_its_own_file():
    assert not [n for n in lock_entries() if n in ("torch", "triton") or n.startswith(("nvidia-", "cuda-"))]
    core = {r.name: r for r in map(Requirement, PROJECT["project"]["dependencies"])}
    pin = Requirement(TORCH)
    assert re.fullmatch(r"torch==\d+\.\d+\.\d+", TORCH)
    assert core["torch"].specifier.contains(TORCH.split("==")[1]) and pin.name == "torch"


@pytest.mark.parametrize("requirement", [r for r in direct() if r.name != "torch"], ids=lambda r: r.name)
def test_the_lock_satisfies_pyproject(requirement):
    pin, _ = lock_entries()[canonicalize_name(requirement.name)]
    assert requirement.specifier.contains(str(pin.specifier).removeprefix("=="))


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


def test_one_version_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert lsegrepro.__version__ == PROJECT["project"]["version"] == str(citation["version"])


def test_the_package_holds_what_it_names():
    package = ROOT / "lsegrepro"
    for pattern in PROJECT["tool"]["setuptools"]["package-data"]["lsegrepro"]:
        assert list(package.glob(pattern)), f"no {pattern} in the package"
    module = PROJECT["project"]["scripts"]["lsegrepro"].split(":")[0]
    assert find_spec(module), f"the command's module {module} is missing"


def test_the_book_finds_its_files():
    config = yaml.safe_load((ROOT / "_config.yml").read_text())
    sphinx = config["sphinx"]["config"]
    named = [config["logo"], config["html"]["favicon"]]
    named += config["bibtex_bibfiles"] + sphinx["html_static_path"]
    assert not [name for name in named if Path(name).is_absolute() or not (ROOT / name).exists()]
    assert config["execute"]["execute_notebooks"] == "off"  # the word, not YAML's false

    loaded = sphinx["mathjax3_config"]["loader"]["load"]
    parts = [name.replace("[tex]", "input/tex/extensions") for name in loaded]
    mathjax = ROOT / "book/_vendor" / Path(sphinx["mathjax_path"]).parent
    needed = [Path(sphinx["mathjax_path"]).stem, "core", "output/svg/fonts/tex", *parts]
    assert not [part for part in needed if not (mathjax / f"{part}.js").is_file()]
    assert (mathjax / "LICENSE").is_file()


def test_every_page_of_the_contents_exists():
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text())
    pages = [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]
    assert not [page for page in pages if not list(ROOT.glob(f"{page}.*"))]


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
