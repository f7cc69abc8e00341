"""Exemplars as prompts of SAM's decoder: what the neighbours show enters a second decoding."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.gallery.exemplars import Neighbours
from sav.modeling.context.evidence import Evidence, Retrieved
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM
from sav.modeling.encoded_photos import EncodedPhotos
from sav.precision import float32

_HEADS = 8
_CLASS_DIM = 64
_GEOMETRY_SIDE = 6
_TRUST_DIM = 16
_KINDS = 4  # of maps: layout, error, appearance, and what the decoder has said before
_FINER = 2  # the maps' resolution over that of the embedding, along each axis


class ExemplarPrompts(nn.Module):
    """Makes prompts of neighbours, where SAM has those that people draw.

    **Dense**, where SAM adds a drawn mask to the image embedding: the evidence, each class written
    by its class prompt. **Sparse**, where SAM has points: one exemplar token a class, by attention
    from the class prompt over the neighbours' prototypes and layouts. It is added to the class's
    queries: as a token of its own it would take attention from the others before it has learned
    anything. Both start at zero, so that the second decoding begins as the first.

    Args:
        dim: of prompts, prototypes and the image embedding.
    """

    def __init__(self, *, dim: int = EMBEDDING_DIM) -> None:
        super().__init__()
        self.classes = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _CLASS_DIM))
        # How far to follow a vehicle's neighbours for a class, by their similarity and visibility.
        self.trust = nn.Sequential(nn.Linear(2, _TRUST_DIM), nn.GELU(), nn.Linear(_TRUST_DIM, 1))
        self.write = nn.Conv2d(_KINDS * _FINER**2 * _CLASS_DIM, dim, 1, bias=False)
        # Of one class in one exemplar: its prototype, its layout, the error there and similarity.
        self.describe = nn.Linear(dim + 2 * _GEOMETRY_SIDE**2 + 1, dim)
        self.norm = nn.LayerNorm(dim)
        self.attend = nn.MultiheadAttention(dim, _HEADS, batch_first=True)
        self.no_exemplar = nn.Parameter(torch.zeros(dim))
        self.token = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))
        nn.init.zeros_(self.write.weight)
        nn.init.zeros_(self.token[-1].weight)
        nn.init.zeros_(self.token[-1].bias)

    @float32()
    def forward(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        parts: torch.Tensor,
        retrieved: Retrieved,
    ) -> tuple[EncodedPhotos, torch.Tensor]:
        """What is decoded the second time; no gradient flows back into photos and prompts.

        Args:
            photos: B of them.
            prompts: (B, C, dim) class prompts.
            parts: (B, C, n, n) probability of each class at each place, by the first decoding.
            retrieved: for the photos.

        Returns:
            photos with the dense prompt in their embedding, and prompts (B, C, dim) with the
            exemplar tokens.
        """
        prompts = prompts.detach().float()
        maps = {name: value.detach() for name, value in photos.maps.items()}
        size = maps[EMBEDDING].shape[-2:]
        dense = self.dense(prompts, parts, retrieved.evidence, size)
        maps[EMBEDDING] = maps[EMBEDDING].float() + dense
        photo = retrieved.vehicles.photo
        tokens = self.sparse(prompts[photo], retrieved.neighbours)
        # A photo's vehicles share its queries.
        tokens = tokens / torch.bincount(photo)[photo][:, None, None]
        return replace(photos, maps=maps), prompts.index_add(0, photo, tokens)

    def dense(
        self,
        prompts: torch.Tensor,
        parts: torch.Tensor,
        evidence: Evidence,
        size: tuple[int, int],
    ) -> torch.Tensor:
        """The dense prompt.

        Args:
            prompts: (B, C, dim) class prompts.
            parts: see :meth:`forward`.
            evidence: of the same photos.
            size: h and w of the image embedding.

        Returns:
            (B, dim, h, w).
        """
        finer = [_FINER * side for side in size]
        similarity = evidence.similarity[:, None].expand_as(evidence.visibility)
        trust = self.trust(torch.stack([similarity, evidence.visibility], dim=-1)).sigmoid()
        evident = (evidence.layout, evidence.error, evidence.appearance)
        kinds = [*(kind * trust[..., None] for kind in evident), parts]
        maps = [F.interpolate(kind, size=finer, mode="area") for kind in kinds]
        written = torch.einsum("btchw,bcd->btdhw", torch.stack(maps, dim=1), self.classes(prompts))
        return self.write(F.pixel_unshuffle(written.flatten(1, 2), _FINER))

    def sparse(self, prompts: torch.Tensor, neighbours: Neighbours) -> torch.Tensor:
        """The exemplar tokens (V, C, dim) of V vehicles, for class prompts (V, C, dim).

        They are zero for classes that no neighbour knows.
        """
        batch, classes, dim = prompts.shape
        layouts, predicted = neighbours.layouts, neighbours.predicted_layouts
        geometry = torch.stack([layouts, layouts - predicted], dim=3).flatten(0, 2)
        geometry = F.adaptive_avg_pool2d(geometry, _GEOMETRY_SIDE).flatten(1)
        geometry = geometry.unflatten(0, layouts.shape[:3])
        similarity = neighbours.similarity[:, :, None, None].expand(*geometry.shape[:3], 1)
        features = [neighbours.prototypes[:, :, :classes], geometry, similarity]
        described = self.norm(self.describe(torch.cat(features, dim=-1)))
        # Each class attends over the exemplars that know it: that one lacks it says something, too.
        none = self.no_exemplar.expand(batch, 1, classes, dim)
        values = torch.cat([none, described], dim=1).transpose(1, 2).flatten(0, 1)
        hidden = F.pad(~neighbours.known, (0, 0, 1, 0)).transpose(1, 2).flatten(0, 1)
        query = self.norm(prompts).reshape(-1, 1, dim)
        found, _ = self.attend(query, values, values, key_padding_mask=hidden, need_weights=False)
        tokens = self.token(found.reshape(batch, classes, dim))
        return tokens * neighbours.known.any(1)[..., None]
