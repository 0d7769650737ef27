"""Image scores from the central patch of each cell."""

import numpy as np
import pytest
import torch

from lsegrepro.network import classify, model, patches


@pytest.mark.parametrize("aggregation", ["lse", "tempered:3"])
def test_weak_scores_are_those_of_a_loop(tiny_net, decoded, aggregation):
    images = decoded.images(np.arange(5))
    result = classify.weak_scores(tiny_net, images, aggregation, batch=2)
    assert result.shape == (5, 2) and not result.requires_grad
    for image, score in zip(images, result, strict=True):
        x = patches.to_float(image)
        cuts = [x[:, top : top + 95, left : left + 95] for top in (2, 102, 202) for left in (2, 102, 202)]
        with torch.no_grad():
            f = torch.stack([tiny_net(cut[None])[0] for cut in cuts])[None]  # (1, 9, 2)
        assert torch.allclose(score, model.aggregation(aggregation)(f)[0], atol=1e-6)
