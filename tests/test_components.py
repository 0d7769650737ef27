"""The bill of materials and the table of licences: in step with the lock, and what the packages say of themselves."""

import importlib.util
import json
import re
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from conftest import ROOT

spec = importlib.util.spec_from_file_location("components", ROOT / "tools/components.py")
components = importlib.util.module_from_spec(spec)
spec.loader.exec_module(components)


@pytest.fixture(scope="module")
def bill() -> dict:
    return json.loads((ROOT / "sbom.cdx.json").read_text(encoding="utf-8"))


@pytest.mark.fault("supply", tried="a dependency that joins, leaves or changes its version unseen",
                   survived="the bill of materials and the table of licences name exactly the pins of the lock")
def test_the_bill_names_exactly_the_pins(bill):
    lock = (ROOT / "requirements.lock").read_text()
    pins = [*components.pins((ROOT / "requirements-torch.txt").read_text()), *components.pins(lock)]
    assert len(pins) == len(re.findall(r"^[A-Za-z0-9]\S*==", lock, re.MULTILINE)) + 1
    found = [each for each in bill["components"] if each["purl"].startswith("pkg:pypi/")]
    assert sorted((each["name"], each["version"], components.property(each, "marker"))
                  for each in found) == sorted(pins), "run make components"
    assert (ROOT / "book/_data/licences.md").read_text(encoding="utf-8") == components.table(bill)


@pytest.mark.fault("supply", tried="a package whose licence changes, or that names none",
                   survived="each licence is what the package itself says; none is unnamed")
def test_licences_are_what_the_packages_say(bill):
    for each in bill["components"]:
        assert components.said(each) != "not stated", each["name"]
        try:
            found = distribution(each["name"])
        except PackageNotFoundError:  # of another platform, or no package of Python
            continue
        if found.version.split("+")[0] == each["version"]:
            assert components.said(each) == components.licence(found), each["name"]


@pytest.mark.fault("supply", tried="a file of others in the repository without a licence",
                   survived="every folder of book/_vendor is in the bill and holds its licence")
def test_what_is_vendored_is_named(bill):
    folders = sorted(path.name for path in (ROOT / "book/_vendor").iterdir() if path.is_dir())
    named = components.vendored((ROOT / "book/_vendor/README.md").read_text(encoding="utf-8"))
    assert folders and sorted({folder for folder, *_ in named}) == folders
    found = [each for each in bill["components"] if each["purl"].startswith("pkg:npm/")]
    assert sorted((components.property(each, "folder"), each["name"], each["version"], components.said(each))
                  for each in found) == sorted((f"book/_vendor/{folder}", *rest) for folder, *rest in named)
    for folder in folders:
        assert any(path.name.startswith("LICEN") for path in (ROOT / "book/_vendor" / folder).rglob("*")), folder


def test_the_bill_has_what_cyclonedx_requires(bill):
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6") and bill["version"] >= 1
    every = [bill["metadata"]["component"], *bill["components"]]
    assert len({each["bom-ref"] for each in every}) == len(every)
    for each in every:
        assert each["type"] in ("application", "library") and each["name"]
        assert each["purl"].startswith(("pkg:pypi/", "pkg:npm/"))
        (choice,) = each["licenses"]
        assert choice.keys() == {"expression"} or choice["license"].keys() == {"name"}
    assert not {"timestamp", "serialNumber"} & (bill.keys() | bill["metadata"].keys())  # the same bytes every time
