"""Write what the page "Try a photograph" loads: published networks in half precision, and their runtime, as scripts.

A page that is opened from disk may read no file beside it but a script, so each file is wrapped into one, which
hands its content to ``book/_scripts/try/rooms.js``. Neither torch nor photographs are needed.
"""

import base64
import itertools
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import skimage.data
from safetensors.numpy import load_file, save

from .. import paper
from ..config import read_card
from ..figures import overlays
from ..files import LsegreproError, atomic, data_uri, sha256
from ..runs.folder import RunFolder, open_run
from ..runs.published import PROFILE, PUBLISHED
from ..runs.results import last_network

RUNTIME = ("tf-core.es2017.min.js", "tf-backend-wasm.es2017.min.js", "tfjs-backend-wasm-simd.wasm")
"""The parts of TensorFlow.js that the page needs, in the order in which they are loaded."""


def networks(run: RunFolder) -> list[dict]:
    """List the networks that a reader can choose: of each model and class the last round, the paper's method first.

    ``shipped`` says whether the site has its weights, true of the first of each class; ``note`` is its card in a line.
    Raises `LsegreproError` if weights and card do not belong together, or evidence is damaged.
    """
    choice = []
    for cls, model in itertools.product(paper.CLASSES, ("LSE1", "LSE2", "max1", "max2")):
        if (last := last_network(run, model, cls)) is None:
            continue
        round, theta = last
        path = run.weights_path(model, cls, round)
        card, digest = read_card(path.with_suffix(".json")), sha256(path)
        if card.get("sha256") != digest or card.get("architecture") not in paper.ARCHITECTURES:
            raise LsegreproError(f"{path} and its card do not belong together: one of them was changed")
        note = (f"{model} for {cls}s, after {run.images_seen(model, cls, round):,} images in {round} rounds, "
                f"drawn from {card['data'].split(' photographs')[0]} photographs. SHA-256 {digest[:12]}.")
        choice.append({
            "key": f"{model}-{cls}", "model": model, "cls": cls, "round": round, "theta": theta, "file": path.name,
            "architecture": asdict(paper.ARCHITECTURES[card["architecture"]]), "sha256": digest, "note": note,
            "shipped": cls not in {network["cls"] for network in choice},
        })
    return choice


def write(folder: Path, runtime: Path) -> None:
    """Write the scripts of the page into `folder`; `runtime` is the folder of TensorFlow.js.

    ``networks.js`` lists what can be chosen; ``network-{model}-{class}.js`` holds the weights of one network a
    class in base64; ``runtime.js`` holds TensorFlow.js, ``cat.js`` the photograph of scikit-image.
    """
    run = open_run(PROFILE, PUBLISHED)
    choice = networks(run)
    _script(folder / "networks.js", "published", {
        "networks": choice, "side": paper.IMAGE_SIDE, "superpixels": asdict(run.profile.superpixels),
        "colours": overlays.heat_table().tolist(), "green": overlays.GREEN, "floor": overlays.FLOOR,
        "ceiling": overlays.CEILING,
    })
    for network in choice:
        if network["shipped"]:
            weights = run.weights_path(network["model"], network["cls"], network["round"])
            _script(folder / f"network-{network['key']}.js", f"networks[{json.dumps(network['key'])}]",
                    _base64(save({name: array.astype(np.float16) for name, array in load_file(weights).items()})))
    *scripts, binary = (runtime / name for name in RUNTIME)
    _script(folder / "runtime.js", "runtime", {
        # Without the last line, which sends a debugger to a file that is not there.
        "scripts": [path.read_text(encoding="utf-8").partition("\n//# sourceMappingURL=")[0] for path in scripts],
        "binary": data_uri("application/wasm", binary.read_bytes()),
    })
    _script(folder / "cat.js", "cat", _base64(Path(skimage.data.__file__).with_name("chelsea.png").read_bytes()))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _script(path: Path, name: str, value: object) -> None:
    with atomic(path) as temporary:
        temporary.write_text(f"lsegrepro.{name} = {json.dumps(value)};\n", encoding="utf-8")
