"""Interactive figures: the theta explorer, the smaller theta slider, and the bag-of-scores explorer.

The scripts in ``web/`` draw them: a page needs a browser and nothing else, no kernel, no network, no file beside it.
"""

from .control import Picture, ScoredNetwork, ThetaExplorer
from .fragment import bag_explorer, theta_slider

__all__ = ["Picture", "ScoredNetwork", "ThetaExplorer", "bag_explorer", "theta_slider"]
