"""Figures that answer to the hand: the theta explorer, and the aggregation of nine scores.

`ThetaExplorer` moves the threshold over any of several networks and pictures. `bag_explorer` drags the
scores of a bag of patches. Both are drawn by the scripts in ``web/``: in a page without a kernel they
need a browser and nothing else, no network, no server, no file beside the page.
"""

from .bag import bag_explorer
from .control import ThetaExplorer
from .scene import Network, Picture, Scene, image_counts, masks_at

__all__ = ["Network", "Picture", "Scene", "ThetaExplorer", "bag_explorer", "image_counts", "masks_at"]
