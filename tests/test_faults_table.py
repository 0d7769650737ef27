"""The table of faults: made from the marked tests, in step with them, the same in any order."""

import re
import subprocess
import sys

import faults
import pytest
from conftest import ROOT

TABLE = ROOT / "book/_data/faults.md"

COLLECT = """
import faults, pytest, sys
class Print:
    def pytest_collection_finish(self, session):
        for row in faults.rows(session.items).values():
            print("| " + " | ".join(row.cells()), file=sys.stderr)
sys.exit(pytest.main(["--collect-only", "-q", "-m", "fault", "tests"], plugins=[Print()]))
"""


def collected(request) -> list[str]:
    """Every marked test, as the table names it: of this session if it runs the whole suite, or else of another."""
    option = request.config.option
    here = {item.path for item in request.session.items}
    if here >= set((ROOT / "tests").glob("test_*.py")) and not (option.keyword or option.markexpr):
        return [f"| {' | '.join(row.cells())}" for row in faults.rows(request.session.items).values()]
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}){COLLECT}"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert said.returncode == 0, said.stdout[-2000:]
    return [line for line in said.stderr.splitlines() if line.startswith("| ")]


def test_the_committed_table_names_exactly_the_marked_tests(request):
    marked = sorted(collected(request))
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    committed = sorted(line.rpartition(" | ")[0] for line in lines if line.startswith("| ") and "`" in line)
    assert marked and committed == marked, "run: python -m pytest -q -m fault --faults book/_data/faults.md tests"
    assert not any(line.endswith(("| failed |", "| not run |")) for line in lines)


def test_the_order_of_the_tests_does_not_matter():
    found = [faults.Row(area, f"tried {i}", "survived", f"tests/test_{i}.py::test_a", outcomes={"passed"})
             for i, area in enumerate(faults.AREAS)]
    found[1].outcomes = {"skipped"}
    found[1].reason = "no photographs"
    found[2].outcomes = {"passed", "skipped", "failed"}
    text = faults.table(found)
    assert faults.table(found[::-1]) == text
    assert text.count("\n## ") == len(faults.AREAS)
    assert "skipped: no photographs |" in text and f"{len(found)} faults tried, {len(found) - 2} survived" in text
    assert len(re.findall(r"\| failed \|", text)) == 1


def test_an_option_is_shown_as_code():
    assert faults.Row("disk", "--out is a file", "refused -- at once", "t.py::test_a").cells()[:2] == [
        "`--out` is a file", "refused -- at once"]


@pytest.mark.parametrize("words", [("kills", "", "b"), ("kills", "a|b", "c"), ("kills", "a\nb", "c"),
                                   ("none", "a", "b"), ("kills", "a")])
def test_a_mark_that_says_too_little_is_refused(words, request, monkeypatch):
    monkeypatch.setattr(request.node, "own_markers", [pytest.mark.fault(*words).mark])
    with pytest.raises(pytest.UsageError, match=r"test_faults_table\.py::test_a_mark"):
        faults.rows([request.node])
