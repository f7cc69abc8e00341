"""The second look at a photo: what the weights say, corrected by what similar vehicles show."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sav.errors import SAVError
from sav.gallery.exemplars import GalleryViews, Neighbours, Queries
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.modeling.context.corrector import REDUCTION, ContextCorrector
from sav.modeling.context.evidence import ContextEncoder
from sav.modeling.context.frame import crop, vehicle_boxes
from sav.modeling.context.pooling import LAYOUT_SIDE, describe, pool_batch
from sav.modeling.criterion import PartCriterion, Supervision, Targets
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.postprocess import part_probabilities
from sav.modeling.sam.decoder import DecoderOutput


class SecondLook(nn.Module):
    """Looks for vehicles on which the decoder says the like, and corrects it by their annotations.

    Args:
        query_classes: (N,) sorted class of each query.
        mirror_ids: the class that each class is in the mirror.
        neighbours: k.
        passes: how often prediction looks for neighbours, each time by the parts found so far.
        random_neighbours: look at any vehicles instead of similar ones, to measure what it costs.
        share: of the training photos that look for neighbours, and that lend what they show.
        thinning: training photos look into galleries that are up to so many times thinner.
    """

    def __init__(
        self,
        *,
        query_classes: torch.Tensor,
        mirror_ids: list[int],
        neighbours: int,
        passes: int,
        random_neighbours: bool,
        share: float,
        thinning: int,
    ) -> None:
        super().__init__()
        if not 0 < share <= 1:
            raise SAVError(f"MODEL.SAV.CONTEXT.SHARE: {share} is not above 0 and at most 1")
        if thinning < 1:
            raise SAVError(f"MODEL.SAV.CONTEXT.THINNING: {thinning} is not 1 or more")
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.register_buffer("mirror_ids", torch.tensor(mirror_ids), persistent=False)
        self.neighbours = neighbours
        self.passes = passes
        self.random_neighbours = random_neighbours
        self.share = share
        self.thinning = thinning
        self.context = ContextEncoder(dim=EMBEDDING_DIM)
        self.corrector = ContextCorrector(query_classes=query_classes)

    def forward(
        self,
        gallery: Gallery,
        embedding: torch.Tensor,
        output: DecoderOutput,
        photos: list[Photo | None],
        thinning: torch.Tensor | None = None,
    ) -> DecoderOutput:
        """Correct what the decoder says of B photos.

        Args:
            gallery: where neighbours are looked for; never the photo itself, its vehicle's others
                or its copies.
            embedding: (B, 256, h, w).
            output: the decoder's.
            photos: who asks, or None for who may see everybody.
            thinning: see :meth:`Gallery.neighbours`.
        """
        parts = self._see_parts(output)
        coarse = F.avg_pool2d(parts, 2)
        corrected = output
        for _ in range(1 if self.training else self.passes):
            by = parts if corrected is output else self._see_parts(corrected)
            boxes = vehicle_boxes(by)
            neighbours = self._look_up(gallery, self._ask(by, boxes), photos, thinning)
            evidence = self.context(neighbours, embedding.detach(), boxes, coarse.shape[-1])
            corrected = self.corrector(output, coarse, evidence)
        return corrected

    def learn(
        self,
        gallery: Gallery,
        embedding: torch.Tensor,
        output: DecoderOutput,
        photos: list[Photo | None],
        *,
        supervision: Supervision,
        criterion: PartCriterion,
    ) -> tuple[torch.Tensor, GalleryViews]:
        """Some of B training photos look into the gallery, and lend what they show.

        Args:
            gallery: see :meth:`forward`.
            embedding: (B, 256, h, w).
            output: the decoder's.
            photos: who asks and lends; None lends nothing, and may see everybody.
            supervision: of the same photos.
            criterion: its losses after the second look are learned from.

        Returns:
            the loss, a scalar, and what the gallery gets.
        """
        draws = [torch.rand(1, generator=g, device=g.device) for g in supervision.generators]
        looking = (torch.cat(draws) < self.share).nonzero()[:, 0].tolist()
        # With nobody looking, somebody does for nothing: every parameter stays in use, as
        # distributed training demands.
        rows = looking or [0]
        index = torch.tensor(rows, device=embedding.device)
        askers, truth = [photos[row] for row in rows], supervision.select(rows)
        thinning = None
        if self.thinning > 1:
            count = self.thinning.bit_length()  # of 1, 2, 4 ... up to the most
            draws = [
                torch.randint(count, (1,), generator=g, device=g.device) for g in truth.generators
            ]
            thinning = 2 ** torch.cat(draws).cpu()
        corrected = self(gallery, embedding[index], output.select(index), askers, thinning)
        lending = [photo if row in looking else None for row, photo in enumerate(photos)]
        views = self.lend(lending, embedding, output, supervision.targets)
        weight = len(looking) / (len(photos) * self.share)
        return weight * sum(criterion.supervise(corrected, truth).values()), views

    @torch.no_grad()
    def queries(self, output: DecoderOutput) -> Queries:
        """With what the neighbours of photos are looked up, by the decoder's output of them."""
        parts = self._see_parts(output)
        return self._ask(parts, vehicle_boxes(parts))

    @torch.no_grad()
    def lend(
        self,
        photos: list[Photo | None],
        embedding: torch.Tensor,
        output: DecoderOutput,
        targets: list[Targets],
    ) -> GalleryViews:
        """What annotated photos lend to others.

        Args:
            photos: None takes the place of one that is not to lend anything.
            embedding: (B, 256, h, w).
            output: the decoder's.
            targets: the annotations.
        """
        lending = [
            photo if len(target.classes) else None
            for photo, target in zip(photos, targets, strict=True)
        ]
        rows = [row for row, photo in enumerate(lending) if photo is not None]
        if not rows:
            return GalleryViews(lending, None)
        index = torch.tensor(rows, device=embedding.device)
        annotated = torch.stack([targets[row].parts(len(self.mirror_ids)) for row in rows])
        predicted = self._see_parts(output.select(index))
        boxes = vehicle_boxes(predicted)
        return GalleryViews(lending, pool_batch(embedding[index], annotated, predicted, boxes))

    @torch.no_grad()
    def _see_parts(self, output: DecoderOutput) -> torch.Tensor:
        """(B, C, n, n) probability of each class at each place."""
        logits = F.avg_pool2d(output.masks.float(), REDUCTION // 2)
        presence = output.presence.sigmoid()
        return part_probabilities(logits, presence, self.query_classes, len(self.mirror_ids))

    @torch.no_grad()
    def _ask(self, parts: torch.Tensor, boxes: torch.Tensor) -> Queries:
        """For the vehicles in boxes (B, 4) of parts (B, C, n, n)."""
        seen = crop(parts, boxes, LAYOUT_SIDE)
        mirrored = seen[:, self.mirror_ids].flip(-1)
        return Queries(describe(seen), describe(mirrored), self.mirror_ids)

    @torch.no_grad()
    def _look_up(
        self,
        gallery: Gallery,
        queries: Queries,
        photos: list[Photo | None],
        thinning: torch.Tensor | None,
    ) -> Neighbours:
        if min(self.neighbours, len(gallery)) == 0:
            # Every parameter stays in use, as distributed training demands.
            return Neighbours.nobody(
                len(photos), len(self.mirror_ids), EMBEDDING_DIM, LAYOUT_SIDE, queries.device
            )
        if self.random_neighbours:
            return gallery.random_neighbours(queries, self.neighbours, photos)
        return gallery.neighbours(queries, self.neighbours, photos, thinning)
