"""The theta explorer of a run: its networks and their exact curves, over pictures scored here."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import numpy as np

from ..evaluation import raw_curve
from ..evidence.superpixels import oversegment
from ..explorer import Picture, ScoredNetwork, ThetaExplorer
from .folder import Network, RunFolder
from .results import GRID_STEP, choose_theta, coverage
from .segment import segment_with


def explore_theta(
    run: RunFolder, pictures: Mapping[str, tuple[np.ndarray, np.ndarray | None]], models: Sequence[str] = ()
) -> ThetaExplorer | None:
    """The explorer of the networks of the last round and the first seed, starting with LSE1 at its theta from train.

    `pictures` are images (H, W, 3) uint8 with their masks (H, W) of VOC indices, or None where these are unknown. Each
    of the networks, those of `models` or all, scores each picture in seconds. None where no picture can be scored:
    PyTorch is not installed, or none of these weights is at hand.
    """
    networks: dict[Network, ScoredNetwork] = {}
    for network in run.last_networks() if find_spec("torch") else ():
        model, cls, round, seed = network
        if seed == run.profile.seeds[0] and model in (models or run.profile.models) \
                and run.weights_path(*network).is_file():
            curve = run.smoothed(*network)
            marks = {"from train": choose_theta(run, *network), "best on val": curve.best(step=GRID_STEP)[0]}
            raw = raw_curve(run.scores(*network))
            networks[network] = ScoredNetwork(model, cls, f"round {round}", curve, raw, marks)
    if not networks:
        return None
    scored_pictures = []
    for name, (image, mask) in pictures.items():
        labels = oversegment(image, run.profile.superpixels)
        scored = {shown.name: segment_with(run, network, image, shown.marks["from train"], labels=labels)
                  for network, shown in networks.items()}
        maps = {network: (result.codes, result.smoothed) for network, result in scored.items()}
        scored_pictures.append(Picture(name, image, maps, mask))
    shown = list(networks.values())
    first = next((network for network in shown if network.model == "LSE1"), shown[0])
    explorer = ThetaExplorer(shown, scored_pictures, f"on {coverage(run.regions('val'))}")
    explorer.network, explorer.theta = first.name, first.marks["from train"]
    return explorer
