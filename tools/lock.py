"""Write requirements.lock and environment.yml from pyproject.toml (``make lock``).

uv resolves for every platform and both Python versions, by the settings under
``[tool.uv]`` of pyproject.toml. The conda environment repeats the pins without
their hashes: pip refuses to mix hashed packages with torch, which has no one hash.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENT = """\
# For conda users: conda env create -f environment.yml
# Written by `make lock`: the same versions as requirements-torch.txt and requirements.lock.
name: lsegrepro
channels:
  - conda-forge
dependencies:
  - python=3.11
  - pip
  - pip:
{pins}
      - -e .
"""


def pins(lock: str) -> list[str]:
    """The pins of a lock, without hashes: ``name==version`` and, where there is one, ``; marker``."""
    return [line.rstrip("\\ ") for line in lock.splitlines() if re.match(r"[A-Za-z0-9]", line)]


def main() -> None:
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "pyproject.toml", "--upgrade",
               "--constraint", "requirements-torch.txt", "--output-file", "requirements.lock", *sys.argv[1:]]
    subprocess.run(command, cwd=ROOT, check=True)
    torch = (ROOT / "requirements-torch.txt").read_text().split()
    lines = [*torch, *pins((ROOT / "requirements.lock").read_text())]
    text = "\n".join(f'      - "{line}"' if ";" in line else f"      - {line}" for line in lines)
    (ROOT / "environment.yml").write_text(ENVIRONMENT.format(pins=text))


if __name__ == "__main__":
    main()
