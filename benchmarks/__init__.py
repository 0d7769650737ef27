"""What the speed of `lsegrepro` is measured with; the library knows nothing of it.

``python -m benchmarks.measure --out published/bench/NAME.json``, in the repository's root, measures dense inference and
training; the book's chapter on speed shows every file in that folder.
"""
