"""Figures 2 to 6 of the paper, and the charts of the chapters, in one style (NumPy and matplotlib, never torch).

`style.show` puts a figure on a page. Nothing is imported here: `overlays`, which segmenting needs, does without
matplotlib.
"""
