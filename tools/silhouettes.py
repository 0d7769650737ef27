"""Make the silhouettes that the chapter of qualitative results shows (needs the images of VOC 2012 and the networks).

    LSEGREPRO_DATA=data python tools/silhouettes.py published
"""

import sys

from lsegrepro.files import LsegreproError
from lsegrepro.runs.folder import open_run
from lsegrepro.runs.published import PROFILE
from lsegrepro.runs.silhouettes import write_silhouettes

if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        print(write_silhouettes(open_run(PROFILE, sys.argv[1])))
    except LsegreproError as error:
        sys.exit(f"silhouettes: {error}")
