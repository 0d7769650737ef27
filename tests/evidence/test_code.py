"""The digest of the code changes with the code that decides scores, and with nothing else."""

import shutil
from pathlib import Path

import lsegrepro
from lsegrepro.evidence import code_digest


def test_it_changes_with_the_code_that_decides_scores_alone(tmp_path):
    package = Path(lsegrepro.__file__).parent
    copy = shutil.copytree(package, tmp_path / "lsegrepro", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "figures" / "style.py").write_text("")
    for path in copy.rglob("*.py"):  # a checkout with other line ends is the same code
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert code_digest.__wrapped__(copy) == code_digest()
    for name in ("network/dense", "network/model", "evidence/superpixels", "evidence/scoring", "data/images"):
        path = copy / f"{name}.py"
        source = path.read_text()
        path.write_text(source + "\n")
        assert code_digest.__wrapped__(copy) != code_digest()
        path.write_text(source)
