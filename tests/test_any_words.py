"""The command line fed with anything: exit code 0 or 2, one line that says why, never a traceback."""

import os

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lsegrepro import cli
from lsegrepro.files import LsegreproError
from lsegrepro.runs.run import DATA_VARIABLE

NAMES = st.sampled_from([
    "", ".", "..", "-", "--", "-h", "nowhere", "folder", "text.jpg", "pipe", "link", "text.jpg/below", 5000 * "a",
    "/dev/zero", "/dev/null", "/proc/self/mem", "new\nline", "\x1b[2J", "näme", "gr\udcfcn", "%s%n", "{0}", "$(id)",
])
NUMBERS = st.sampled_from([
    "0", "1", "-1", "2", "0.5", "0.8808", "1.0", "nan", "inf", "-inf", "1e400", "1e-400", "9" * 30, "9" * 5000, "0x10",
    "٣", "1_0", " 1", "1,5", "",
])
TEXT = st.text(max_size=6).filter(lambda text: not text.startswith(("/", "-")) and ".." not in text)
ANY = NAMES | NUMBERS | TEXT
NETWORK = {"--model": st.sampled_from(["max1", "LSE1", "LSE3", ""]) | ANY,
           "--class": st.sampled_from(["cat", "dog"]) | ANY}
RUN = {"--profile": NAMES | TEXT | st.just("quick"), "--run": st.just("run"), "--data": NAMES, "--device": ANY,
       "--depth": st.sampled_from(["evidence", "scratch", "weights"]) | ANY}
ONE = ["--model", "LSE1", "--class", "cat"]
COMMANDS = {  # each with words that it can do with, so that the odd ones reach what is behind the parser
    "info": ([], {"--json": None}),
    "train": (ONE, {**RUN, **NETWORK, "--seed": NUMBERS, "--round": NUMBERS, "--stop-after": NUMBERS}),
    "mine": (ONE, {**RUN, **NETWORK, "--seed": NUMBERS}),
    "regions": ([], {**RUN, "--split": ANY}),
    "superpixels": ([], RUN),
    "score": (ONE, {**RUN, **NETWORK, "--seed": NUMBERS, "--round": NUMBERS, "--split": ANY}),
    "evaluate": ([], {**RUN, "--json": None}),
    "segment": (["text.jpg", "--class", "cat"], {
        "": NAMES, "--theta": NUMBERS, "--model": ANY, "--weights": NAMES, "--device": ANY,
        "--out": st.sampled_from(["out", "text.jpg", "folder", "pipe", "text.jpg/below", 5000 * "a"])}),
    "reproduce": (["--dry-run"], {**RUN, "--cores": NUMBERS, "--snakemake-profile": NAMES}),
    "verify": ([], {"--depth": ANY, "--profile": NAMES, "--run": NAMES, "--data": NAMES, "--device": ANY,
                    "--images": NUMBERS, "--work": NAMES, "--json": None}),
    "notebook": (["01-data"], {"": ANY, **RUN}),
    "data index": (["folder"], {"": NAMES, "--workers": NUMBERS, "--out": NAMES | st.just("out.npz")}),
    "data prepare": (["folder", "--out", "out"], {
        "": NAMES, "--workers": NUMBERS, "--shard-size": NUMBERS | st.sampled_from(["256MB", 400 * "9" + "TB"]),
        "--out": st.sampled_from(["out", "text.jpg", "folder", "pipe", 5000 * "a"])}),
    "data fetch": (["voc2012", "--data", "out"], {"": ANY, "--timeout": NUMBERS, "--mirror": ANY}),
    "bogus": ([], {}),
}


@st.composite
def words(draw) -> list[str]:
    command = draw(st.sampled_from(sorted(COMMANDS)))
    base, known = COMMANDS[command]
    found = [*command.split(), *base]
    for option in draw(st.lists(st.sampled_from(sorted(known)), max_size=4)) if known else []:
        value = None if known[option] is None else draw(known[option])
        if value is None or option == "":
            found.append(option or value)
        else:
            found.append(f"{option}={value}")
    return found


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of odd things to be in, where no call may begin work that takes time."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.jpg").write_text("no photograph")
    os.mkfifo(tmp_path / "pipe")
    os.symlink("link", tmp_path / "link")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)

    def work(*args, **options):
        raise LsegreproError("the work would begin here")

    for name in ("training.loop.train", "training.mining.mine", "evidence.scoring.count_regions", "evidence.scoring.score_set",
                 "book.site.execute", "book.site.reproduce", "data.fetch.fetch", "runs.verify.verify"):
        monkeypatch.setattr(f"lsegrepro.{name}", work)
    return tmp_path


@pytest.mark.fault("configuration", "any words on the command line (hypothesis)", "exit code 0 or 2, and one line")
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["segment", "a\0b", "--class", "cat"])
@example(["segment", "new\nline", "--class", "cat", "--bogus\nword"])
@example(["segment", "text.jpg", "--class", "cat", "--weights", 5000 * "a"])
@example(["train", "--model", "LSE1", "--class", "cat", "--profile", "/dev/zero"])
@example(["data", "prepare", "folder", "--out", "out", "--shard-size", 400 * "9" + "TB"])
@given(words())
def test_any_words_end_with_0_or_2_and_one_line(place, capsys, given_words):
    try:
        code = cli.main(given_words)
    except SystemExit as stop:  # argparse
        code = stop.code
    said = capsys.readouterr().err
    assert code in (0, 2), said
    if code == 2:
        lines = [line for line in said.split("\n") if not line.startswith("\r")]  # but for progress bars
        assert lines.pop() == "" and all(line.startswith("lsegrepro: ") and line.isprintable() for line in lines)
        assert len(lines) == 1 or given_words[0] == "segment"  # of several photographs each is named
