"""An executable replication of Pinheiro and Collobert (2014), weakly supervised segmentation of cats and dogs."""

from .files import LsegreproError

__version__ = "0.1.0"
__all__ = ["LsegreproError", "__version__"]
