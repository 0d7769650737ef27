"""Interactive figures: the theta explorer, the smaller theta slider, and the bag-of-scores explorer.

`ThetaExplorer` moves the threshold over any of several networks and pictures, `theta_slider` over one.
`bag_explorer` moves the scores of a bag of patches under each aggregation. All are drawn by the scripts in
``web/``: a page without a kernel needs a browser and nothing else, no network, no server, no file beside the page.
"""

from .control import Picture, ScoredNetwork, ThetaExplorer
from .fragment import bag_explorer, theta_slider

__all__ = ["Picture", "ScoredNetwork", "ThetaExplorer", "bag_explorer", "theta_slider"]
