"""Silhouettes of the val images that a rank picks: outlines of truth and network, never the photograph.

Making them needs the images and a network; the record that is published with a run needs neither.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from .. import evaluation, paper
from ..evaluation.mistakes import Exemplar, exemplars
from ..evidence.archive import read_archive, write_archive
from ..figures.pictures import Silhouette
from ..files import LsegreproError
from .folder import Network, RunFolder
from .results import choose_theta
from .segment import segment_with

RECORD, KIND = "silhouettes.npz", "lsegrepro silhouettes"
SIDE = 180  # width and height of a silhouette, in pixels, at most

STEP = 5
"""Probabilities are kept in multiples of this, in 255ths: no eye sees the difference, and the file is half as large."""

LAYERS = ("truth", "pixels", "region")
"""Fields of `Silhouette` that share a byte, from the lowest bit on."""


def headline_network(run: RunFolder, cls: str) -> Network:
    """The network whose images are shown: round 2 of the paper's best model for the class, or of one the run has."""
    models, last = run.profile.models, run.profile.rounds[-1]
    scored = [model for model in models if run.has_network(model, cls, last)]
    model = max(scored or models, key=lambda m: paper.TABLE_2[m][cls].ap)
    return model, cls, last, run.seeds(model, cls, last)[0]


def picked_images(run: RunFolder, network: Network) -> list[Exemplar]:
    """The val images to show, by rank (`evaluation.mistakes.exemplars`), at the theta chosen on train."""
    val, theta = run.regions("val"), choose_theta(run, *network)
    counts = evaluation.per_image_counts(val, run.scores(*network), theta=theta)
    return exemplars(counts, evaluation.present(val, network[1]))


def silhouettes(run: RunFolder, network: Network) -> list[Silhouette]:
    """Silhouettes of the `picked_images`: read from the run's record, or made where there is none.

    Raises `LsegreproError` if the record is of another network or other images.
    """
    path = run.folder / RECORD
    if not path.is_file():
        return make_silhouettes(run, network)
    (header, arrays), of = read_archive(path, KIND), _description(run, network)
    if header.get(network[1]) != {"of": of}:
        raise LsegreproError(f"{path} is of other networks or images than this run's evidence: delete it, or make it "
                             f"again with python tools/silhouettes.py {run.folder.as_posix()}")
    shapes = []
    for i, (exemplar, name) in enumerate(zip(picked_images(run, network), of["images"], strict=True)):
        masks = ((arrays[f"{network[1]}-{i}-layers"] >> bit & 1).astype(bool) for bit in range(len(LAYERS)))
        probability = arrays[f"{network[1]}-{i}-probability"]
        shapes.append(Silhouette(name, exemplar.title, exemplar.iou, *masks, probability))
    return shapes


def make_silhouettes(run: RunFolder, network: Network) -> list[Silhouette]:
    """Segment the picked images again and keep their outlines, scaled down to `SIDE`."""
    data, val, theta = run.segmentation("val"), run.regions("val"), choose_theta(run, *network)
    shapes = []
    for exemplar in picked_images(run, network):
        name = val.ids[exemplar.index]
        index = data.ids.index(name)
        result = segment_with(run, network, data.image(index), theta, name)
        truth = data.mask(index) == paper.VOC_INDEX[network[1]]
        small = min(1.0, SIDE / max(truth.shape))
        size = tuple(max(1, round(small * side)) for side in truth.shape[::-1])
        layers = (truth, result.codes > evaluation.threshold(theta), result.mask)
        masks = (np.asarray(Image.fromarray(layer).resize(size, Image.Resampling.NEAREST)) for layer in layers)
        grey = Image.fromarray((result.codes >> 8).astype(np.uint8)).resize(size, Image.Resampling.BOX)
        probability = (np.asarray(grey) // STEP * STEP).astype(np.uint8)
        shapes.append(Silhouette(name, exemplar.title, exemplar.iou, *masks, probability))
    return shapes


def write_silhouettes(run: RunFolder) -> Path:
    """Make the silhouettes of the headline network of each class, and write the record that pages read."""
    header, arrays = {}, {}
    for cls in run.profile.classes:
        network = headline_network(run, cls)
        header[cls] = {"of": _description(run, network)}
        for i, shape in enumerate(make_silhouettes(run, network)):
            layers = (getattr(shape, name).astype(np.uint8) << bit for bit, name in enumerate(LAYERS))
            arrays |= {f"{cls}-{i}-layers": sum(layers), f"{cls}-{i}-probability": shape.probability}
    write_archive(run.folder / RECORD, KIND, header, arrays)
    return run.folder / RECORD


def _description(run: RunFolder, network: Network) -> dict:
    """What a record is of: a network, a theta and the images picked, all from the evidence."""
    val = run.regions("val")
    return {"network": list(network), "weights_sha256": run.scores(*network).meta["weights_sha256"],
            "theta": choose_theta(run, *network), "images": [val.ids[e.index] for e in picked_images(run, network)]}
