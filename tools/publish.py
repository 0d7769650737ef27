"""Make a finished run of profile local the published one, and execute its pages into the book (``make publish``).

    python tools/publish.py runs/local
"""

import sys

from lsegrepro.book.site import publish_pages
from lsegrepro.files import LsegreproError
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.published import PROFILE

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(*publish_pages(open_run(PROFILE, sys.argv[1])), sep="\n")
    except LsegreproError as error:
        print(f"publish: {error}", file=sys.stderr)
        sys.exit(2)
