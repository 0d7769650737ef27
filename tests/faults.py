"""The table of faults tried and survived: a marker on tests, and the page that the suite writes from it.

``pytest -m fault --faults book/_data/faults.md tests`` runs the marked tests and writes the table that the
book shows; with ``-k`` or ``--deselect`` only some of them, and the others keep the outcome they had. A test is
marked where it stands for a fault::

    @pytest.mark.fault("kills", tried="SIGKILL at a random moment of train", survived="the same bits")
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

AREAS = {
    "photographs": "Photographs",
    "masks": "Masks",
    "weights": "Weights, evidence, checkpoints and shards",
    "archives": "Archives",
    "configuration": "Configuration and the command line",
    "kills": "Kills and signals",
    "disk": "Disks and folders",
    "processes": "Two processes, workers, clocks",
    "notebooks": "Notebooks",
    "surroundings": "Surroundings",
    "numbers": "Numbers",
    "load": "Load",
    "network": "Network",
    "supply": "Supply chain",
}
"""The sections of the table, in its order."""

_OPTION = re.compile(r"(?<![\w`-])(--[a-z][\w-]*)")
"""An option of the command line: as code, or the page would make a dash of its two."""


@dataclass
class Row:
    """A line of the table: one mark of one test, over all the parameters that bear it."""

    area: str
    tried: str
    survived: str
    test: str
    cases: set[str] = field(default_factory=set)
    outcomes: set[str] = field(default_factory=set)
    reason: str = ""
    before: str = "not run"

    @property
    def outcome(self) -> str:
        """The worst of the test's cases in words; why, if all were skipped; that of before, if none was run."""
        for outcome in ("failed", "passed"):
            if outcome in self.outcomes:
                return outcome
        return f"skipped: {self.reason}" if self.outcomes else self.before

    def cells(self) -> list[str]:
        """What the table says of it, but for the outcome."""
        module, _, name = self.test.partition("::")
        said = [_OPTION.sub(r"`\1`", text) for text in (self.tried, self.survived)]
        return [*said, f"`{Path(module).name}` `{name}`"]


def rows(items: list[pytest.Item]) -> dict[tuple, Row]:
    """The rows of marked tests, by (area, test, tried). Raises `pytest.UsageError` for a mark that says too little."""
    found: dict[tuple, Row] = {}
    for item in items:
        test = item.nodeid.partition("[")[0]
        for mark in item.iter_markers("fault"):
            row = _row(mark, test)
            found.setdefault((row.area, row.test, row.tried), row).cases.add(item.nodeid)
    return found


def _row(mark: pytest.Mark, test: str) -> Row:
    try:
        row = Row(*mark.args, **mark.kwargs, test=test)
    except TypeError as error:
        raise pytest.UsageError(f"{test}: fault(area, tried, survived): {error}") from error
    if row.area not in AREAS:
        raise pytest.UsageError(f"{test}: no area of faults {row.area!r}: choose one of {', '.join(AREAS)}")
    if not all(text and text == text.strip() and not set(text) & set("|\n") for text in (row.tried, row.survived)):
        raise pytest.UsageError(f"{test}: `tried` and `survived` are one line each, without |")
    return row


def table(found: list[Row]) -> str:
    """The rows as Markdown, a section an area, in the same order whatever order the tests ran in."""
    passed = sum(row.outcome == "passed" for row in found)
    lines = ["<!-- Written by `pytest -m fault --faults book/_data/faults.md tests`: not by hand. -->",
             f"{len(found)} faults tried, {passed} survived in the run that wrote this table.", ""]
    for area, title in AREAS.items():
        section = sorted((row for row in found if row.area == area), key=lambda row: (row.test, row.tried))
        if section:
            lines += [f"## {title}", "", "| Tried | Survived | Test | Outcome |", "| --- | --- | --- | --- |"]
            lines += [f"| {' | '.join([*row.cells(), row.outcome])} |" for row in section]
            lines.append("")
    return "\n".join(lines)


class Recorder:
    """Notes the outcome of every marked test and writes the table when the suite has ended."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, {}

    @pytest.hookimpl(tryfirst=True)  # before -k and -m leave some out: those keep the outcome they had
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self.rows = rows(items)
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.is_file() else []
        before = {head: outcome for head, _, outcome in (line.rpartition(" | ") for line in lines)}
        for row in self.rows.values():
            row.before = before.get(f"| {' | '.join(row.cells())}", "not run |").removesuffix(" |")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        for row in self.rows.values():
            if report.nodeid in row.cases:
                row.outcomes.add(report.outcome)
                if report.skipped and isinstance(report.longrepr, tuple):
                    row.reason = report.longrepr[2].removeprefix("Skipped: ").replace("|", "/")

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not session.config.option.collectonly:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(table(list(self.rows.values())), encoding="utf-8")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults", metavar="PATH", type=Path, help="write the table of faults tried to this file")


def pytest_configure(config: pytest.Config) -> None:
    if config.option.faults:
        config.pluginmanager.register(Recorder(config.option.faults), "faults")
