"""Interactive figures: the theta explorer, and the bag-of-scores explorer.

`ThetaExplorer` moves the threshold over any of several networks and pictures. `bag_explorer` moves the
scores of a bag of patches under each aggregation. Both are drawn by the scripts in ``web/``: a page without
a kernel needs a browser and nothing else, no network, no server, no file beside the page.
"""

from .bag import bag_explorer
from .control import ThetaExplorer
from .scene import Network, Picture, Scene

__all__ = ["Network", "Picture", "Scene", "ThetaExplorer", "bag_explorer"]
