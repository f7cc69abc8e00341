"""Galleries of random vehicles, and keys to search them with."""

import torch
from torch.nn import functional as F

from sav.gallery.exemplars import Exemplars, RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.gallery.vehicles import Vehicle

C, E, D, M = 3, 4, 5, 18
MIRROR = torch.tensor([0, 2, 1])


def exemplars(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Exemplars(
        keys=F.normalize(torch.randn(count, D, generator=generator), dim=1),
        prototypes=torch.randn(count, C + 1, E, generator=generator),
        layouts=torch.randint(256, (count, C, M, M), generator=generator, dtype=torch.uint8),
        predicted_layouts=torch.randint(
            256, (count, C, M, M), generator=generator, dtype=torch.uint8
        ),
        present=torch.rand(count, C, generator=generator) > 0.3,
        known=torch.ones(count, C, dtype=torch.bool),
    )


def keys_of(descriptors):
    """RetrievalKeys of photos whose mirror images look like nothing in the gallery."""
    return RetrievalKeys(descriptors, torch.zeros_like(descriptors), MIRROR)


def filled(count=20):
    gallery = Gallery({"ontology": "test", "weights": "abc"})
    gallery.update([Vehicle(Photo(f"car/{i}")) for i in range(count)], exemplars(count))
    return gallery


def grouped():
    """Three groups of five, and five photos of which each has a copy."""
    gallery = Gallery({})
    photos = [Photo(f"car/{i}", group=f"claim {i % 3}") for i in range(15)]
    photos += [Photo(f"copy/{i}", hash=7919 * 2 ** (4 * (i % 5))) for i in range(10)]
    gallery.update([*map(Vehicle, photos)], exemplars(25))
    return gallery
