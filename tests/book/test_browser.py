"""The page "Try a photograph": what runs in the browser against the library, in a browser with no network."""

import base64
import hashlib
import io
import json
import re
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import served, visits
from conftest import ROOT, refused
from PIL import Image
from safetensors.numpy import load

from lsegrepro import paper
from lsegrepro.book import browser
from lsegrepro.config import Superpixels
from lsegrepro.data import images
from lsegrepro.evaluation import threshold
from lsegrepro.evidence import superpixels
from lsegrepro.network import dense
from lsegrepro.network.model import PatchNet
from lsegrepro.network.weights import save_weights
from lsegrepro.runs import segment
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.published import PROFILE, PUBLISHED

SCRIPTS, RUNTIME = ROOT / "book" / "_scripts" / "try", ROOT / "book" / "_vendor" / "tfjs"
CLOSE, HALF = 1e-3, 5e-3  # what the page promises of scores, with the same weights and with those it was made from
HELPERS = """() => {
    window.bytes = text => Uint8Array.from(atob(text), c => c.charCodeAt(0));
    window.text = array => {
        const all = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
        let out = "";
        for (let i = 0; i < all.length; i += 8192) out += String.fromCharCode(...all.subarray(i, i + 8192));
        return btoa(out);
    };
    const status = document.querySelector("[role=status]");
    window.progress = [];
    new MutationObserver(() => progress.push(status.textContent)).observe(status, {childList: true, subtree: true});
}"""


def drawn(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A picture of blobs and fine noise, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 40 + 2, width // 40 + 2, 3)).astype(np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + rng.integers(-12, 13, smooth.shape)).clip(0, 255).astype(np.uint8)


def text(array) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def array(said: str, dtype, shape) -> np.ndarray:
    return np.frombuffer(base64.b64decode(said), dtype).reshape(shape)


def png(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "png")
    return file.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The page with its scripts, laid out as in a built book, without the theme around it."""
    root = tmp_path_factory.mktemp("site with ünusual name")
    shutil.copytree(SCRIPTS, root / "_static" / "try")
    browser.write(root / "_static" / "try", RUNTIME)
    source = (ROOT / "book" / "try.md").read_text(encoding="utf-8")
    html = re.search(r"```\{raw\} html\n(.*?)```", source, re.S)[1]
    (root / "book").mkdir()
    (root / "book" / "try.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Try</title><body>{html}', encoding="utf-8")
    return root


@pytest.fixture(scope="module")
def address(folder):
    """The address of the folder on this machine."""
    with served(folder) as address:
        yield address


@pytest.fixture
def visit(chromium, folder, address):
    """Open the page on disk or served; at the end, nothing was asked of another place, and nothing complained."""
    with visits(chromium, f"{folder.as_uri()}/") as on_disk, visits(chromium, address) as from_server:

        def start(how: str = "disk"):
            page = (on_disk if how == "disk" else from_server)("book/try.html", accept_downloads=True)
            page.evaluate(HELPERS)
            return page

        yield start


@pytest.fixture(scope="module")
def rooms(chromium, folder):
    """The page on disk, for calling its functions, with the runtime loaded."""
    page = chromium.new_page()
    page.goto((folder / "book" / "try.html").as_uri())
    page.evaluate(HELPERS)
    page.add_script_tag(url=(folder / "_static" / "try" / "runtime.js").as_uri())
    yield page
    page.close()


# What the build writes


def test_the_runtime_is_the_one_that_is_named():
    named = dict(re.findall(r"^([0-9a-f]{64})  tfjs/(\S+)$", (RUNTIME.parent / "README.md").read_text(), re.M)[::-1])
    assert {name: digest for digest, name in named.items()} == {
        name: hashlib.sha256((RUNTIME / name).read_bytes()).hexdigest() for name in browser.RUNTIME}
    for licence in ("LICENSE", "LICENSE-XNNPACK"):
        assert (RUNTIME / licence).is_file()


def content(script: Path):
    """What a script of the build hands to the page."""
    return json.loads(script.read_text().partition(" = ")[2].rstrip(";\n"))


def test_the_networks_are_those_of_the_command(folder):
    published = content(folder / "_static/try/networks.js")
    assert {network["key"] for network in published["networks"]} >= {"LSE1-cat", "max1-cat"}
    assert Superpixels(**published["superpixels"]) == segment.published_run("cpu").profile.superpixels
    for network in published["networks"]:
        weights, theta = segment.published_network(network["model"], network["cls"], "cpu")
        assert (network["theta"], network["sha256"]) == (theta, weights.sha256)
        script = folder / f"_static/try/network-{network['key']}.js"
        assert script.is_file() == network["shipped"] == (network["model"] == "LSE1")
        if network["shipped"]:
            tensors, expected = load(base64.b64decode(content(script))), weights.net.state_dict()
            assert tensors.keys() == expected.keys() and all(
                np.array_equal(tensors[name], expected[name].half().numpy()) for name in expected)


def test_what_does_not_fit_is_refused(tmp_path):
    run = open_run(PROFILE, tmp_path / "run")
    assert browser.networks(run) == []
    shutil.copytree(PUBLISHED / "weights", run.folder / "weights")
    assert browser.networks(run)[0]["theta"] == paper.THETA["cat"]  # no evidence of train is beside them
    with open(run.weights_path("LSE1", "cat", 2), "ab") as file:
        file.write(b"more")
    refused(lambda: browser.networks(run), "LSE1-cat-round2-seed0.safetensors and its card do not belong together")


# Each function against the library's


@pytest.mark.parametrize("size, to", [
    ((300, 451), (300, 300)), ((40, 55), (300, 412)), ((800, 301), (297, 112)), ((1, 9), (3, 27)), ((64, 90), (64, 31)),
])
def test_bytes_are_resized_as_pillow_does(rooms, size, to):
    image = np.random.default_rng(1).integers(0, 256, (*size, 3)).astype(np.uint8)
    got = rooms.evaluate("""({image, size, to}) => {
        const resize = lsegrepro.use("resample").byRows(...size, ...to), data = bytes(image), line = size[1] * 3;
        for (let y = 0; y < size[0]; y += 7) {
            const rows = Math.min(7, size[0] - y);
            resize.rows(data.subarray(y * line, (y + rows) * line), rows, 3);
        }
        return text(resize.done());
    }""", dict(image=text(image), size=size, to=to))
    assert np.array_equal(array(got, np.uint8, (*to, 3)), images.resize(image, *to))


@pytest.mark.parametrize("height, width", [(375, 500), (7, 5), (1200, 1701)])
def test_the_sizes_are_the_library_s(rooms, monkeypatch, height, width):
    """Of the copy that is scored, and of the copy that a large picture is cut into superpixels on."""
    sizes = []
    monkeypatch.setattr(segment, "oversegment", lambda image, params: sizes.append(image.shape[:2])
                        or np.zeros(image.shape[:2], np.int32))
    picture = np.zeros((height, width, 3), np.uint8)
    segment.superpixel_labels(picture, Superpixels())
    got = rooms.evaluate("""size => [lsegrepro.use("resample").shortSide(...size, 300),
        lsegrepro.use("resample").atMost(...size, 1_000_000)]""", [height, width])
    assert list(map(tuple, got)) == [images.short_side(picture, 300).shape[:2], *sizes]


@pytest.mark.parametrize("image, params", [
    (drawn(90, 133), Superpixels(100, 0.8, 20)),
    (drawn(50, 70, 2), Superpixels(200, 0.8, 400)),
    (np.random.default_rng(3).integers(0, 256, (40, 55, 3)).astype(np.uint8), Superpixels(300, 0.5, 7)),
    (drawn(1, 50, 5), Superpixels(200, 0.8, 3)),
    (np.zeros((12, 17, 3), np.uint8), Superpixels()),
], ids=["usual", "published", "noise", "line", "flat"])
def test_superpixels_are_those_of_scikit_image(rooms, image, params):
    height, width = image.shape[:2]
    got = rooms.evaluate("""({image, height, width, params}) => {
        const {labels, count} = lsegrepro.use("superpixels").cut(bytes(image), height, width, params);
        return [text(labels), count];
    }""", dict(image=text(image), height=height, width=width, params=asdict(params)))
    expected = superpixels.oversegment(image, params)
    assert np.array_equal(array(got[0], np.int32, (height, width)), expected) and got[1] == expected.max() + 1


SCORE = """async ({weights, architecture, image, height, width, bands, plain}) => {
    const engines = lsegrepro.use("engine"), network = lsegrepro.use("network");
    const engine = plain ? engines.plain : await (window.opened ??= engines.open(lsegrepro.runtime));
    const net = network.load(bytes(weights).buffer, architecture, engine);
    const plan = network.plan(architecture, height, width, bands), padded = network.pad(bytes(image), plan);
    const parts = plan.bands.map(({from, to}) =>
        network.first(net, padded.slice(from * plan.columns * 3, to * plan.columns * 3), plan.columns));
    const scores = new Float32Array(2 * height * width);
    for (let f = 0; f < plan.fragments; f++) {
        const whole = Float32Array.from(parts.flatMap(pieces => [...pieces[f]]));
        const part = network.rest(net, whole, plan.inside);
        for (let y = Math.floor(f / plan.p1), row = 0; y < height; y += plan.p1, row++)
            for (let x = f % plan.p1, at = row * plan.outside.width * 2; x < width; x += plan.p1, at += 2)
                for (const c of [0, 1]) scores[(c * height + y) * width + x] = part[at + c];
    }
    return [engine.name, text(scores)];
}"""


@pytest.mark.parametrize("plain", [True, False], ids=["javascript", "webassembly"])
@pytest.mark.parametrize("geometry, size, bands", [
    ("LSE1", (37, 50), 1), ("LSE1", (64, 16), 3), ("LSE2", (21, 35), 2),
])
def test_scores_are_those_of_dense(rooms, tmp_path, geometry, size, bands, plain):
    """On networks of few units and large weights, whose scores fill the range."""
    known = paper.ARCHITECTURES[geometry]
    small = paper.Architecture("small", (4, 6, 9, 10), known.filters, known.pools, known.patch, known.patches, 0)
    net = PatchNet(small, generator=torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        for weight in net.parameters():
            weight.mul_(3)
    save_weights(tmp_path / "w.safetensors", net, {})
    image = drawn(*size, seed=7)
    name, got = rooms.evaluate(SCORE, dict(
        weights=text(np.frombuffer((tmp_path / "w.safetensors").read_bytes(), np.uint8)), architecture=asdict(small),
        image=text(image), height=size[0], width=size[1], bands=bands, plain=plain))
    assert name == ("JavaScript" if plain else "WebAssembly")
    expected = dense.score_map(net, image).numpy()
    assert expected.std() > 0.1
    assert np.abs(array(got, np.float32, (2, *size)) - expected).max() < 5e-5


@pytest.mark.parametrize("runtime", [
    "null", '{...lsegrepro.runtime, binary: "data:application/wasm;base64,AGFzbQ=="}'], ids=["absent", "cut off"])
def test_without_webassembly_javascript_does_it(visit, folder, runtime):
    page = visit()
    page.add_script_tag(url=(folder / "_static/try/runtime.js").as_uri())
    assert page.evaluate(f'async () => (await lsegrepro.use("engine").open({runtime})).name') == "JavaScript"


def read(page, path: Path) -> np.ndarray:
    """The pixels of a file as the page reads them."""
    height, width, pixels = page.evaluate("""async file => {
        const {height, width, copies} = await lsegrepro.use("photograph").read(new Blob([bytes(file)]),
            (high, wide) => [[high, wide]]);
        return [height, width, text(copies[0])];
    }""", base64.b64encode(path.read_bytes()).decode())
    return array(pixels, np.uint8, (height, width, 3))


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "turned"])
def test_a_file_is_read_as_the_library_does(rooms, mode, tmp_path):
    """PNGs to the bit; a photograph that its Exif turns upright within what two decoders of JPEG differ by."""
    path, exif = tmp_path / ("a.jpg" if mode == "turned" else "a.png"), Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(drawn(64, 96, 9))
    if mode == "RGBA":
        image.putalpha(Image.fromarray((np.arange(64 * 96) % 2 * 255).reshape(64, 96).astype(np.uint8)))
    if mode == "turned":
        image.save(path, quality=95, subsampling=0, exif=exif)
    else:
        image.convert(mode).save(path)
    pixels, expected = read(rooms, path), images.load_image(path)
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).max() <= (4 if mode == "turned" else 0)


# The page as a reader meets it


def settled(page, *states: str) -> str:
    page.wait_for_function("states => states.includes(document.querySelector('.lse-try').dataset.state)",
                           arg=states, timeout=300_000)
    return page.inner_text("[role=status]")


def drop(page, name: str, content: bytes, kind: str) -> None:
    given = page.evaluate_handle("""({name, content, kind}) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes(content)], name, {type: kind}));
        return transfer;
    }""", dict(name=name, content=base64.b64encode(content).decode(), kind=kind))
    page.dispatch_event("main, body", "drop", {"dataTransfer": given})


def saved(page, kind: str) -> tuple[str, np.ndarray]:
    with page.expect_download() as waiting:
        page.click(f".lse-save-{kind}")
    return waiting.value.suggested_filename, np.asarray(Image.open(waiting.value.path()))


@pytest.mark.parametrize("how", ["disk", "served"])
def test_a_picture_is_segmented_as_the_command_does(visit, how):
    """The cat on disk, a larger drawn picture dropped on the served page: scores, masks, numbers and files."""
    page = visit(how)
    if how == "disk":
        from skimage.data import chelsea

        image, name = chelsea(), "chelsea"
        page.click(".lse-cat")
    else:
        image, name = drawn(330, 352, 10), "a drawing"
        drop(page, "a drawing.png", png(image), "image/png")
    status = settled(page, "done", "failed")
    assert re.fullmatch(r"LSE1 calls [\d.]+ % of .+ cat, at theta 0\.\d+\. It took .+ with WebAssembly in \d workers\.",
                        status), status
    shares = [text.rsplit(": ", 1)[1] for text in page.evaluate("progress") if text.startswith("Scoring")]
    assert shares and all(re.fullmatch(r"(0|[1-9]0|100) %", share) for share in shares)
    weights, theta = segment.published_network("LSE1", "cat", "cpu")
    exact = dense.score_map(weights.net, images.short_side(image, 300)).numpy()
    weights.net.half().float()  # the page has them in half precision
    expected = segment.segment(weights, image, theta)
    scores = array(page.evaluate("() => text(document.querySelector('.lse-try').segmentation.scores)"),
                   np.float32, exact.shape)
    assert np.abs(scores - exact).max() < HALF

    file, codes = saved(page, "probability")
    assert file == f"{name}-cat-probability.png" and codes.dtype == np.uint16
    assert np.abs(codes.astype(int) - expected.codes).max() < CLOSE * 65535
    file, mask = saved(page, "mask")
    assert file == f"{name}-cat-mask.png" and np.array_equal(np.unique(mask), [0, 255])
    assert (mask.astype(bool) != expected.mask).mean() < 0.001

    labels = segment.superpixel_labels(image, segment.published_run("cpu").profile.superpixels)
    own = superpixels.smooth(codes.astype(np.uint16), labels)
    page.focus(".lse-try [type=range]")
    for key in ("End", "Home", "PageUp", "ArrowRight"):
        page.keyboard.press(key)
        shown = page.evaluate("() => ({...document.querySelector('.lse-try').dataset})")
        level = threshold(float(shown["theta"]))
        assert (int(shown["raw"]), int(shown["voted"])) == ((codes > level).sum(), (own > level).sum())
        assert f"theta {shown['theta']}" in page.get_attribute(".lse-try [type=range]", "aria-valuetext")
    page.click(".lse-chosen")
    assert page.inner_text(".lse-try output") == f"{theta:.3f}"
    canvases = page.eval_on_selector_all(".lse-try canvas", "all => all.map(c => [c.width, c.ariaLabel.length > 0])")
    assert canvases == [[image.shape[1], True]] * 4


@pytest.mark.parametrize("name, content, part", [
    ("cat.jpg", b"not a picture at all", "not a picture that the browser can read"),
    ("cat.png", png(drawn(40, 50))[:90], "this picture is damaged"),
    ("thread.png", png(drawn(2, 50)), "50x2 pixels are too narrow; crop it first"),
], ids=["text", "cut off", "narrow"])
def test_what_is_no_photograph_is_refused_in_one_line(visit, tmp_path, name, content, part):
    (tmp_path / name).write_bytes(content)
    page = visit()
    page.set_input_files(".lse-try [type=file]", tmp_path / name)
    said = settled(page, "failed", "done")
    assert said.startswith(f"{name}: ") and part in said and "\n" not in said
    assert page.is_hidden(".lse-result") and page.is_hidden(".lse-work")


def test_the_work_can_be_cancelled_and_begun_again(visit):
    page = visit("served")
    for _ in range(2):
        page.click(".lse-cat")
        settled(page, "working")
        page.click(".lse-cancel")
        assert settled(page, "idle") == "Cancelled."
        assert page.is_hidden(".lse-work") and page.is_hidden(".lse-result")
    deadline = time.monotonic() + 30
    while page.workers and time.monotonic() < deadline:  # a busy machine ends them a moment later
        page.wait_for_timeout(100)
    assert page.get_attribute(".lse-try", "data-state") == "idle" and len(page.workers) == 0


def test_another_network_is_taken_from_its_file(visit, tmp_path):
    from skimage.data import chelsea

    page = visit()
    page.select_option(".lse-try select", "max1-cat")
    assert "max1-cat-round2-seed0.safetensors in published/weights" in page.inner_text(".lse-card")
    page.click(".lse-cat")
    assert "does not hold this network" in settled(page, "failed")
    (tmp_path / "other.safetensors").write_bytes(b"something else")
    page.set_input_files(".lse-try [type=file]", tmp_path / "other.safetensors")
    page.wait_for_selector("text=no network of the published run")
    page.set_input_files(".lse-try [type=file]", PUBLISHED / "weights" / "max1-cat-round2-seed0.safetensors")
    page.wait_for_selector("text=max1 for cats")
    page.click(".lse-cat")
    assert settled(page, "done").startswith("max1 calls ")
    weights, _ = segment.published_network("max1", "cat", "cpu")
    scores = page.evaluate("() => text(document.querySelector('.lse-try').segmentation.scores)")
    expected = dense.score_map(weights.net, chelsea()).numpy()
    assert np.abs(array(scores, np.float32, expected.shape) - expected).max() < CLOSE


def test_a_browser_that_alters_pixels_gives_no_answer(visit):
    """As browsers do that protect against fingerprinting."""
    page = visit()
    file = base64.b64encode(png(drawn(20, 30))).decode()
    said = page.evaluate("""async file => {
        const prototype = OffscreenCanvasRenderingContext2D.prototype, {getImageData} = prototype;
        prototype.getImageData = function (...given) {
            const image = getImageData.apply(this, given);
            image.data[4 * 11] ^= 1;
            return image;
        };
        return lsegrepro.use("photograph").read(new Blob([bytes(file)]), (...size) => [size]).catch(e => e.message);
    }""", file)
    assert "alters the pixels" in said
