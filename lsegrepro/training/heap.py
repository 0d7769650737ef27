"""Memory that is freed and asked for again a moment later, kept by the process."""

from __future__ import annotations

import ctypes
import sys

_SETTINGS = {
    -8: 1,  # M_ARENA_MAX: autograd's thread shares the heap of the first
    -4: 0,  # M_MMAP_MAX: large blocks come from the heap too, which keeps them
    -2: 2**28,  # M_TOP_PAD: the heap grows by steps of this
    -1: 2**31 - 1,  # M_TRIM_THRESHOLD: below this much free memory nothing is given back
}


def keep_freed_memory() -> bool:
    """Tell the C library to keep freed memory, where it is one that can be told (glibc, on Linux).

    Training on a CPU makes and frees the same maps of a hundred megabytes at every step. By default
    each goes back to the system and comes again as pages of zeros: a third of a step's time.

    Returns
    -------
    bool
        Whether it was told.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False  # another C library
    return all([mallopt(option, value) for option, value in _SETTINGS.items()])
