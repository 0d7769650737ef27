"""Write what the project is made of and under which licences (``make components``, after ``make lock``, ``make env``).

``sbom.cdx.json`` is a software bill of materials (CycloneDX 1.6) of every pin of requirements-torch.txt and
requirements.lock, whatever its platform, and of the files under book/_vendor. ``book/_data/licences.md`` is the
same as a table of the book. Licences are what each package says of itself: its metadata where it is installed, its
wheel (fetched by pip, checked against the lock) where it is of another platform.

The file bears no date and no serial number: the same pins give the same bytes. Hashes are not repeated here;
those of every file that may be installed are in requirements.lock.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, PathDistribution, distribution
from pathlib import Path
from zipfile import Path as ZipPath

ROOT = Path(__file__).resolve().parents[1]
PLATFORMS = {"darwin": "macosx_11_0_arm64", "win32": "win_amd64"}
PHRASES = {
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining a copy",
    "Apache-2.0": "Apache License",
    "BSD-3-Clause": "Neither the name of",
}
"""What a licence file says, for packages whose metadata name none."""


def pins(lock: str) -> list[tuple[str, str, str]]:
    """Name, version and marker of every pin of a lock."""
    found = re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)[ ]*(?:;[ ]*([^\\\n]*?))?[ ]*\\?$", lock, re.MULTILINE)
    return [(name, version, marker) for name, version, marker in found]


def vendored(readme: str) -> list[tuple[str, str, str, str]]:
    """Folder, npm package, version and licence of what lies under book/_vendor, by the table of its README."""
    found = []
    for folder, origin, terms in re.findall(r"^\| `([^`]+?)/` \|.*\|(.*)\|(.*)\|$", readme, re.MULTILINE):
        licence = re.sub(r", in `[^`]*`", "", terms).strip()
        version = re.search(r"version (\d[\w.]*\w)", origin)[1]
        found += [(folder, name, version, licence) for name in re.findall(r"`(@?[\w.-]+(?:/[\w.-]+)?)`", origin)]
    return found


def licence(package: Distribution) -> str:
    """The licence a package names, in the shortest form that it gives.

    Its SPDX expression, or its own short words, or its classifiers, or what its licence file is by its wording.
    """
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return expression
    words = " ".join((metadata.get("License") or "").split())
    if 0 < len(words) <= 40 and words != "UNKNOWN":
        return words
    classes = [name.split(" :: ")[-1] for name in metadata.get_all("Classifier") or [] if name.startswith("License ::")]
    if classes:
        return " or ".join(classes)
    for file in package.files or ():
        if re.search(r"(?i)(^|/)(licen[cs]e|copying)[^/]*$", str(file)):
            text = " ".join(file.read_text().split())
            for name, phrase in PHRASES.items():
                if phrase in text:
                    return name
    return "not stated"


def package(name: str, version: str, marker: str, lock: str) -> Distribution:
    """A package as it is installed, or out of its wheel."""
    try:
        found = distribution(name)
    except PackageNotFoundError:
        return _fetched(name, version, marker, lock)
    if found.version.split("+")[0] != version:
        raise SystemExit(f"{name} {found.version} is installed, the lock says {version}: run make env first")
    return found


def _fetched(name: str, version: str, marker: str, lock: str) -> Distribution:
    entry = re.search(rf"^{re.escape(name)}=={re.escape(version)}.*?(?=^\S|\Z)", lock, re.MULTILINE | re.DOTALL)[0]
    platform = next((tag for key, tag in PLATFORMS.items() if key in marker), None)
    python = "312" if "3.12" in marker else "311"
    folder = Path(tempfile.mkdtemp())
    (folder / "one.txt").write_text(re.sub(r" ;[^\\\n]*", " ", entry))
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps",
               "--require-hashes", "--only-binary", ":all:", "--python-version", python, "-d", str(folder), "-r",
               str(folder / "one.txt"), *(["--platform", platform] if platform else [])]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    wheel = ZipPath(next(folder.glob("*.whl")))
    return PathDistribution(next(path for path in wheel.iterdir() if path.name.endswith(".dist-info")))


def component(kind: str, name: str, version: str, purl: str, licence: str, **properties: str) -> dict:
    """One component of the bill; `properties` are marker, where it is installed, and folder, where it lies."""
    found = {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence != "not stated":
        spdx = re.fullmatch(r"[\w.-]+( (AND|OR|WITH) [\w.-]+)*", licence) and re.search(r"\d|MIT", licence)
        found["licenses"] = [{"expression": licence}] if spdx else [{"license": {"name": licence}}]
    if any(properties.values()):
        found["properties"] = [{"name": f"lsegrepro:{key}", "value": value}
                               for key, value in properties.items() if value]
    return found


def property(component: dict, key: str) -> str:
    """A property of a component, or nothing."""
    return next((each["value"] for each in component.get("properties", ()) if each["name"] == f"lsegrepro:{key}"), "")


def bill() -> dict:
    """The bill of materials."""
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    components = []
    for name, version, marker in [*pins((ROOT / "requirements-torch.txt").read_text()), *pins(lock)]:
        found = licence(package(name, version, marker, lock))
        components.append(component("library", name, version, f"pkg:pypi/{name}@{version}", found, marker=marker))
    for folder, name, version, terms in vendored((ROOT / "book/_vendor/README.md").read_text(encoding="utf-8")):
        purl = f"pkg:npm/{name.replace('@', '%40')}@{version}"
        components.append(component("library", name, version, purl, terms, folder=f"book/_vendor/{folder}"))
    itself = component("application", project["name"], project["version"],
                       f"pkg:pypi/{project['name']}@{project['version']}", project["license"])
    return {"$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json", "bomFormat": "CycloneDX",
            "specVersion": "1.6", "version": 1, "metadata": {"component": itself},
            "components": sorted(components, key=lambda each: each["bom-ref"])}


def said(component: dict) -> str:
    """The licence of a component, in words."""
    if "licenses" not in component:
        return "not stated"
    one = component["licenses"][0]
    return one.get("expression") or one["license"]["name"]


def table(bill: dict) -> str:
    """The bill as a table of the book."""
    lines = ["<!-- Written by `make components`: not by hand. -->",
             "| Package | Version | Licence, as it says | Only on, or in |", "| --- | --- | --- | --- |"]
    for each in bill["components"]:
        where = property(each, "marker") or property(each, "folder")
        lines.append(f"| {each['name']} | {each['version']} | {said(each)} | {f'`{where}`' if where else ''} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    found = bill()
    (ROOT / "sbom.cdx.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (ROOT / "book/_data/licences.md").write_text(table(found), encoding="utf-8")
    print(f"{len(found['components'])} components; licence not stated by "
          f"{[each['name'] for each in found['components'] if said(each) == 'not stated']}")


if __name__ == "__main__":
    main()
