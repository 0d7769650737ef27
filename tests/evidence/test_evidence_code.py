"""The digest of the code changes with the code that decides scores, and with nothing else."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lsegrepro
from lsegrepro.evidence.code import SCORING_MODULES, code_digest, source_digest

PACKAGE = Path(lsegrepro.__file__).parent


@pytest.fixture
def copy(tmp_path) -> Path:
    shutil.copytree(PACKAGE, tmp_path / "lsegrepro", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "lsegrepro"


def sources(root: Path, name: str) -> list[Path]:
    return sorted((root / name).rglob("*.py")) or [root / f"{name}.py"]


@pytest.mark.parametrize("name", SCORING_MODULES)
def test_every_module_that_decides_scores_takes_part(copy, name):
    for path in sources(copy, name):
        source = path.read_text()
        path.write_text(source + "\n")
        assert source_digest(copy, SCORING_MODULES) != code_digest()
        path.write_text(source)
    assert source_digest(copy, SCORING_MODULES) == code_digest()


def test_other_modules_and_line_ends_do_not(copy):
    (copy / "pages.py").write_text("")
    for name in SCORING_MODULES:
        for path in sources(copy, name):
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert source_digest(copy, SCORING_MODULES) == code_digest()


def test_it_is_had_without_torch():
    code = "import sys; sys.modules['torch'] = None; from lsegrepro.evidence import code_digest; print(code_digest())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == code_digest() and len(code_digest()) == 16
