"""Fixtures that several test modules share: small, seeded, made in memory or under ``tmp_path``."""

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

# Before torch is imported: one thread is as fast on nets this small, and spares a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from hypothesis import settings  # noqa: E402
from PIL import Image  # noqa: E402

from lsegrepro.files import LsegreproError  # noqa: E402

settings.register_profile("lsegrepro", deadline=None)  # a loaded machine is no failure
settings.load_profile("lsegrepro")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real photographs (``weak``, ``VOCdevkit``), or a skip."""
    given = os.environ.get("LSEGREPRO_DATA")
    root = Path(given) if given else ROOT.parent / "shared" / "data"
    if not root.is_dir():
        pytest.skip(f"no photographs: {root} does not exist (set LSEGREPRO_DATA)")
    return root


class SyntheticWeak:
    """A seeded weak set: cats are striped, dogs dotted, backgrounds plain noise; 300x300."""

    def __init__(self, per_label: int = 4, seed: int = 0) -> None:
        self.labels = [label for label in ("cat", "dog", "background") for _ in range(per_label)]
        self.names = [f"{label}/{i}.png" for i, label in enumerate(self.labels)]
        self.seed = seed
        self.digest = f"synthetic-{per_label}-{seed}"
        self.description = f"{len(self.labels)} synthetic images"

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, index])
        pixels = rng.integers(60, 196, (300, 300, 3)).astype(np.uint8)
        if self.labels[index] == "cat":
            pixels[:, ::8] = 255
        if self.labels[index] == "dog":
            pixels[::10, ::10] = 0
        return pixels


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def weak_set() -> SyntheticWeak:
    """Twelve synthetic images, four of each label."""
    return SyntheticWeak()


@pytest.fixture(scope="session")
def decoded(weak_set):
    """The same set, held as a tensor."""
    from lsegrepro.training.batches import WeakDataset

    return WeakDataset(weak_set, progress=False)


@pytest.fixture
def tiny(monkeypatch):
    """LSE1's geometry with few units, registered as an architecture; trains in milliseconds."""
    from lsegrepro import paper

    architecture = paper.Architecture("tiny", (4, 6, 8, 10), (8, 3, 5), (4, 4), 95, 9, 0)
    monkeypatch.setitem(paper.ARCHITECTURES, "tiny", architecture)
    return architecture


@pytest.fixture
def tiny_net(tiny):
    """A seeded network of the tiny architecture."""
    import torch

    from lsegrepro.network.model import PatchNet

    return PatchNet(tiny, generator=torch.Generator().manual_seed(0)).eval()


@pytest.fixture
def bfloat16(monkeypatch) -> None:
    """A processor that multiplies in bfloat16, as far as the library knows."""
    from lsegrepro.network import devices

    monkeypatch.setattr(devices, "has_bfloat16", lambda device: True)


def write_voc(root: Path, masks: dict[str, np.ndarray | None], split: str = "val") -> Path:
    """Write VOCdevkit/VOC2012 below `root`; an id whose mask is None is listed only."""
    voc = root / "VOCdevkit" / "VOC2012"
    for folder in ("ImageSets/Segmentation", "JPEGImages", "SegmentationClass"):
        (voc / folder).mkdir(parents=True, exist_ok=True)
    (voc / "ImageSets" / "Segmentation" / f"{split}.txt").write_text("".join(f"{name}\n" for name in masks))
    for name, mask in masks.items():
        if mask is None:
            continue
        picture = Image.fromarray(mask)
        palette = bytearray(3 * 256)
        palette[24], palette[36], palette[38] = 64, 64, 128  # VOC's colours of cat and dog
        picture.putpalette(palette)
        picture.save(voc / "SegmentationClass" / f"{name}.png")
        Image.fromarray(np.full((*mask.shape, 3), 90, np.uint8)).save(voc / "JPEGImages" / f"{name}.jpg")
    return voc


@pytest.fixture
def voc_masks() -> dict[str, np.ndarray | None]:
    """Ids and masks of a tiny VOC: a cat, a dog, two that are listed but absent, one with every index."""
    cat, dog = np.zeros((20, 30), np.uint8), np.zeros((30, 20), np.uint8)
    cat[5:15, 5:15], cat[4, 5:15] = 8, 255
    dog[10:20, 2:18] = 12
    every = np.resize(np.array([*range(21), 255], np.uint8), (11, 6))
    absent = None
    return {"2008_000001": cat, "2008_000002": absent, "2008_000003": dog, "2009_000004": absent,
            "2010_000005": every}


@pytest.fixture
def voc_tree(tmp_path, voc_masks) -> Path:
    """The folder VOC2012 of that tiny VOC, official layout, palette masks."""
    return write_voc(tmp_path, voc_masks)


@contextlib.contextmanager
def file_size_limit(size: int):
    """No file may grow beyond `size` bytes: what a program meets on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def refused(call, *parts: object) -> str:
    """The message of an error for users that a call raises, which holds `parts`; such an error is always one line."""
    with pytest.raises(LsegreproError) as error:
        call()
    for part in parts:
        assert str(part) in str(error.value)
    return str(error.value)


def changed(run, **changes):
    """The same run folder opened with some sections of its profile changed."""
    from dataclasses import replace

    return replace(run, profile=replace(run.profile, **changes))


TINY = """
models = ["max1", "LSE1"]
classes = ["cat"]

[data]
weak_train = 12
weak_heldout = 12
segmentation_train = 4
segmentation_val = 6

[training]
samples = 16
batch = 4
rate = 0.006

[round2]
samples = 8

[mining]
theta = 0.4       # the networks of this run say about one half everywhere
images = 3
per_image = 12

[scoring]
scale_to = 48
"""
"""A profile whose whole run takes seconds: real architectures, drawn pictures, hardly any training."""


def make_run(run) -> None:
    """Make every result of a run, one after the other: what the workflow does, in one process."""
    from lsegrepro.runs import make

    for split in ("train", "val"):
        make.make_regions(run, split)
    for model, cls, round, seed in run.networks():
        make.train_network(run, model, cls, round, seed)
        if round == 1 and 2 in run.profile.rounds:
            make.mine_negatives(run, model, cls, seed)
        for split in ("train", "val"):
            make.score_network(run, model, cls, round, seed, split)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory) -> Path:
    """A folder with ``tiny.toml`` and its finished run ``run``; treat it as read-only, or copy it.

    The processes of pytest-xdist share it: the first that needs it makes it.
    """
    from lsegrepro.runs.folder import open_run

    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "tiny"
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / "finished").is_file():
            folder.mkdir(exist_ok=True)
            (folder / "tiny.toml").write_text(TINY, encoding="utf-8")
            make_run(open_run(folder / "tiny.toml", folder / "run", device="cpu", progress=False))
            (folder / "finished").touch()
    return folder


FORMULA = """
models = ["max1", "LSE1"]
classes = ["cat", "dog"]
seeds = [0, 1]
[data]
segmentation_train = 6
segmentation_val = 8
"""


@pytest.fixture(scope="session")
def formula_folder(tmp_path_factory):
    """A run of two models, two classes and two seeds; LSE1 is right but for noise, max1 sees nothing."""
    from dataclasses import asdict

    from literal import META

    from lsegrepro import evidence, paper
    from lsegrepro.evidence import RegionsBuilder, ScoresBuilder
    from lsegrepro.runs.folder import open_run

    folder = tmp_path_factory.mktemp("formula")
    (folder / "tiny.toml").write_text(FORMULA)
    run = open_run(folder / "tiny.toml", folder / "run", progress=False)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        data = run.segmentation(split)
        masks = [data.mask(i) for i in range(len(data))]
        cells = [np.arange(m.size, dtype=np.int32).reshape(m.shape) // 64 for m in masks]
        builder = RegionsBuilder(split, data.digest, run.profile.superpixels, data.absent, data.listed)
        for name, labels, mask in zip(data.ids, cells, masks, strict=True):
            builder.add(name, labels, mask)
        regions = builder.build()
        evidence.write_regions(run.regions_path(split), regions)
        for model, cls, round, seed in run.networks():
            meta = {**META, "model": model, "class": cls, "round": round, "seed": seed, "split": split,
                    "arguments": asdict(run.profile.scoring)}
            scores = ScoresBuilder(regions, meta)
            for labels, mask in zip(cells, masks, strict=True):
                p, truth = 0.3 + 0.2 * rng.random(mask.shape), mask == paper.VOC_INDEX[cls]
                if model == "LSE1":
                    p += 0.3 * truth
                image_scores = [0.5 * (model == "LSE1" and truth.any()), 0.2]
                scores.add((p * 65535).astype(np.uint16), labels, mask, image_scores)
            evidence.write_scores(run.scores_path(model, cls, round, seed, split), scores.build())
    return folder


@pytest.fixture(scope="module")
def scored(formula_folder):
    """The run in `formula_folder`."""
    from lsegrepro.runs.folder import open_run

    return open_run(formula_folder / "tiny.toml", formula_folder / "run", progress=False)


@pytest.fixture(scope="module")
def one_seed(scored):
    """The same run of its first seed alone."""
    return changed(scored, seeds=(0,))


@pytest.fixture(scope="session")
def tiny_run(tiny_folder):
    """The finished run; treat it as read-only."""
    from lsegrepro.runs.folder import open_run

    return open_run(tiny_folder / "tiny.toml", tiny_folder / "run", device="cpu", progress=False)


@pytest.fixture
def own_run(tiny_folder, tmp_path):
    """A copy of the finished run that a test may spoil."""
    from lsegrepro.runs.folder import open_run

    shutil.copytree(tiny_folder, tmp_path / "tiny")
    return open_run(tmp_path / "tiny" / "tiny.toml", tmp_path / "tiny" / "run", device="cpu", progress=False)


@pytest.fixture(scope="session")
def chromium():
    """One browser for all tests that open pages: Playwright takes no second one in a process."""
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("no Chromium is installed")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield running
        running.close()


PAGE = """
import json, sys
sys.modules["torch"] = None
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(open(sys.argv[1], encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        shell.run_cell("".join(cell["source"])).raise_error()
        if "parameters" in cell["metadata"].get("tags", []):
            shell.user_ns.update(profile="tiny.toml", run_folder="run")
spaces = shell.user_ns
print(json.dumps(eval(sys.argv[2])))
"""


def run_page(folder: Path, name: str, said: str) -> dict:
    """Run every code cell of a chapter where torch cannot be imported and no photograph is known.

    `said` is an expression of the chapter's names, ``spaces``, and what comes back.
    """
    pytest.importorskip("IPython")
    hidden = {key: value for key, value in os.environ.items() if key != "LSEGREPRO_DATA"}
    done = subprocess.run([sys.executable, "-c", PAGE, ROOT / "notebooks" / f"{name}.ipynb", said], cwd=folder,
                          capture_output=True, text=True, env=hidden)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])
