"""Evidence is what the label maps, masks and probabilities hold, counted pixel by pixel; other pictures are refused."""

import numpy as np
import pytest
from conftest import refused
from literal import META, evidence_of, pictures, regions_of

from lsegrepro import paper
from lsegrepro.evidence import GRID, ScoresBuilder
from lsegrepro.evidence.superpixels import order_statistic


def test_counts_are_those_of_the_pixels():
    items = pictures(5)
    regions = regions_of(items)
    for i, (labels, mask, *_) in enumerate(items):
        rows = regions.counts[regions.offsets[i] : regions.offsets[i + 1]]
        assert len(rows) == labels.max() + 1
        for label, row in enumerate(rows.tolist()):
            inside = mask[labels == label].tolist()
            others = sum(value not in (8, 12, 255) for value in inside)
            assert row == [inside.count(8), inside.count(12), others]
        assert regions.totals[i].tolist() == [(mask == 8).sum(), (mask == 12).sum(),
                                              (~np.isin(mask, [8, 12, 255])).sum()]
        assert regions.sizes[i].tolist() == list(mask.shape)


@pytest.mark.parametrize("cls, index", paper.VOC_INDEX.items())
def test_scores_are_those_of_the_pixels(cls, index):
    items = pictures(6)
    regions, scores = evidence_of(items, cls)
    pooled = {"foreground": [], "background": []}
    for i, (labels, mask, prob_u16, image_scores) in enumerate(items):
        mine = scores.statistics[regions.offsets[i] : regions.offsets[i + 1]]
        assert (mine == order_statistic(prob_u16[cls], labels)).all()
        assert (scores.image_scores[i] == image_scores.astype(np.float32)).all()
        inside, outside = prob_u16[cls][mask == index], prob_u16[cls][(mask != index) & (mask != 255)]
        for b in range(GRID):
            theta = b / GRID
            assert scores.foreground[i, b + 1 :].sum() == (inside > theta * 65535).sum()
            assert scores.background[i, b + 1 :].sum() == (outside > theta * 65535).sum()
        pooled["foreground"] += inside.tolist()
        pooled["background"] += outside.tolist()
    for name, prob_u16 in pooled.items():
        assert np.repeat(np.arange(65536), getattr(scores, f"{name}_codes")).tolist() == sorted(prob_u16)


def test_builder_refuses_other_superpixels_and_images():
    items = pictures()
    regions, first = regions_of(items), items[0]
    builder = ScoresBuilder(regions, META)

    def add(picture, **changes):
        labels, mask, prob_u16, image_scores = picture._replace(**changes)
        builder.add(prob_u16["cat"], labels, mask, image_scores)

    refused(lambda: add(first, labels=first.labels[::-1].copy()), "superpixels of i0")
    refused(lambda: add(first, mask=first.mask[1:]), "mask of i0")
    add(first)
    for picture in items[1:]:
        add(picture, mask=np.where(picture.mask == 8, 0, picture.mask).astype(np.uint8))
    refused(builder.build, "histograms")
    refused(lambda: regions_of([]), "no image")
