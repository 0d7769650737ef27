"""``lsegrepro bench``: how fast this is, as ratios to what the machine itself can do, measured in one run.

`suite.bench` measures, `report` names the keys of its result and prints it; `work` counts
operations, and `references` holds the other ways of dense inference. `work` and `report` need no torch.
"""
