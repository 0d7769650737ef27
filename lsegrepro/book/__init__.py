"""What the book says of itself while it is built, as a Sphinx extension (named in ``_config.yml``).

Figures and tables of the chapters get a number, an anchor and a line that says where they come from; a
number that a page quotes leads to the cell that computed it; two directives write the page of the
library and the page of what ran. `captions`, `origin` and `status` hold the work and know nothing of Sphinx.
"""

from __future__ import annotations

from typing import Any


def setup(app: Any) -> dict[str, Any]:
    """Connect the extension; Sphinx calls this."""
    from . import extension

    return extension.setup(app)
