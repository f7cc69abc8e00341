from itertools import product

import torch
from torch.nn import functional as F

from sav.bench.unsupervised import class_margins
from sav.modeling.graph.dense_classifier import DenseClassifier

# Kind, place and side of eight parts, such as the right back door.
CUBE = torch.tensor(list(product([1.0, -1.0], repeat=3)))


def share_found(features, unseen=7):
    """Train on the pixels of seven parts; returns the share of the eighth's that are found."""
    torch.manual_seed(0)
    head = DenseClassifier(16, features)
    look = torch.randn(3, 16)
    optimizer = torch.optim.Adam(head.parameters(), 0.05)
    supervised = torch.arange(8) != unseen
    everything = torch.ones(1, 8, dtype=torch.bool)
    for _ in range(100):
        classes = torch.randint(0, 7, (1, 8, 8))
        pixels = (CUBE[classes] @ look).permute(0, 3, 1, 2) + 0.3 * torch.randn(1, 16, 8, 8)
        logits = head(pixels, supervised[None])
        optimizer.zero_grad()
        F.cross_entropy(logits, classes + 1).backward()
        optimizer.step()
    pixels = (CUBE[unseen] @ look)[None, :, None, None] + 0.3 * torch.randn(1, 16, 8, 8)
    return float(
        (class_margins(head(pixels, everything), supervised)[0, unseen] > 0).float().mean()
    )


def test_an_unsupervised_part_is_found_by_what_it_shares_with_others():
    assert share_found(CUBE) > 0.9
    assert share_found(torch.eye(8)) < 0.5
