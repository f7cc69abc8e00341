"""The context module: the decoder's output, corrected by similar annotated vehicles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn import functional as F

from sav.d2 import CfgNode, comm
from sav.errors import SAVError
from sav.gallery.exemplars import ExemplarBatch, Neighbours, RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.modeling.context.corrector import REDUCTION, ContextCorrector
from sav.modeling.context.evidence import EvidenceEncoder
from sav.modeling.context.frame import crop, vehicle_boxes
from sav.modeling.context.pooling import LAYOUT_SIDE, pool_exemplars, retrieval_key
from sav.modeling.context.prompts import ExemplarPrompts
from sav.modeling.criterion import PartCriterion
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.postprocess import part_probabilities
from sav.modeling.sam.decoder import DecoderOutput, choose
from sav.modeling.targets import Supervision, Targets
from sav.ontology import Ontology
from sav.precision import float32

FUSIONS = ("prompts", "corrector", "both")
Decode = Callable[[EncodedPhotos, torch.Tensor], DecoderOutput]


class ContextModule(nn.Module):
    """Retrieves exemplars by what the decoder predicts, and corrects it by their annotations.

    The gallery is part of it. In training each forward pass adds its photos' exemplars, the same in
    all processes, so any training loop will do.

    Args:
        query_classes: (N,) sorted class of each query.
        mirror_ids: the class that each class is in the mirror.
        neighbours: k.
        share: of the training photos that retrieve exemplars, and become exemplars.
        thinning: training photos search galleries that are up to so many times thinner.
        capacity: exemplars that training keeps at most.
        fusion: how neighbours change the decoder's output: "prompts", as prompts of a second
            decoding; "corrector", by a small network behind it; or "both".
        loss_weight: of the losses after the correction.
    """

    optional = True  # weights without this module can be the start of a training

    def __init__(
        self,
        *,
        query_classes: torch.Tensor,
        mirror_ids: list[int],
        neighbours: int,
        share: float,
        thinning: int,
        capacity: int,
        fusion: str,
        loss_weight: float,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise SAVError(f"MODEL.SAV.CONTEXT.FUSION: '{fusion}' is none of {', '.join(FUSIONS)}")
        if not 0 < share <= 1:
            raise SAVError(f"MODEL.SAV.CONTEXT.SHARE: {share} is not above 0 and at most 1")
        for key, value, least in (("CAPACITY", capacity, 1), ("NEIGHBOURS", neighbours, 0)):
            if value < least:
                raise SAVError(f"MODEL.SAV.CONTEXT.{key}: {value} is not {least} or more")
        if thinning < 1 or thinning & (thinning - 1):
            raise SAVError(f"MODEL.SAV.CONTEXT.THINNING: {thinning} is not a power of two")
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.register_buffer("mirror_ids", torch.tensor(mirror_ids), persistent=False)
        self.neighbours = neighbours
        self.share = share
        self.thinning = thinning
        self.capacity = capacity
        self.loss_weight = loss_weight
        self.evidence = EvidenceEncoder(dim=EMBEDDING_DIM)
        self.corrector = self.exemplar_prompts = None
        if fusion in ("corrector", "both"):
            self.corrector = ContextCorrector(query_classes=query_classes)
        if fusion in ("prompts", "both"):
            self.exemplar_prompts = ExemplarPrompts()
        self.gallery = Gallery({})
        self._parts: list[tuple[int, ExemplarBatch]] | None = None

    @classmethod
    def from_config(
        cls, cfg: CfgNode, ontology: Ontology, query_classes: torch.Tensor
    ) -> ContextModule | None:
        """As MODEL.SAV.CONTEXT says; None where it is switched off."""
        context = cfg.MODEL.SAV.CONTEXT
        if not context.ENABLED:
            return None
        return cls(
            query_classes=query_classes,
            mirror_ids=ontology.mirror_ids,
            neighbours=context.NEIGHBOURS,
            share=context.SHARE,
            thinning=context.THINNING,
            capacity=context.CAPACITY,
            fusion=context.FUSION,
            loss_weight=cfg.MODEL.SAV.LOSS.CONTEXT,
        )

    @float32()
    def forward(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
        decode: Decode,
        thinning: torch.Tensor | None = None,
    ) -> DecoderOutput:
        """Correct the decoder's output for B photos; an empty gallery leaves it as it is.

        Args:
            photos: never their own neighbours, nor are the others of their vehicles or their
                copies.
            prompts: (B, C, 256) class prompts.
            output: the decoder's, for these prompts alone.
            decode: decodes again, with other prompts.
            thinning: see :meth:`Gallery.neighbours`.
        """
        if not self.training and not len(self.gallery):
            return output
        output = output.float()
        return self._stages(photos, prompts, output, decode=decode, thinning=thinning)[-1]

    def _stages(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
        *,
        decode: Decode,
        thinning: torch.Tensor | None,
    ) -> list[DecoderOutput]:
        """The outputs after each part of the fusion, see :meth:`forward`."""
        parts = self._predicted_parts(output)
        boxes = vehicle_boxes(parts)
        found = self._retrieve(self._keys(parts, boxes), photos.photos, thinning)
        side = parts.shape[-1] // 2
        evidence = self.evidence(found, photos.embedding.detach(), boxes, side)
        stages = []
        if self.exemplar_prompts is not None:
            again = decode(*self.exemplar_prompts(photos, prompts, found, evidence))
            output = choose(evidence.exists, again, output)
            stages.append(output)
            parts = self._predicted_parts(output)
        if self.corrector is not None:
            stages.append(self.corrector(output, F.avg_pool2d(parts, 2), evidence))
        return stages

    @float32()
    def losses(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
        *,
        decode: Decode,
        supervision: Supervision,
        criterion: PartCriterion,
    ) -> dict[str, torch.Tensor]:
        """Learn from a share of B training photos, which then become exemplars.

        Args:
            photos: those without an id do not become exemplars.
            prompts: see :meth:`forward`.
            output: the decoder's.
            decode: see :meth:`forward`.
            supervision: of the same photos.
            criterion: gives the losses of the corrected output.
        """
        draws = [torch.rand(1, generator=g, device=g.device) for g in supervision.generators]
        chosen = (torch.cat(draws) < self.share).nonzero()[:, 0].tolist()
        # Without a chosen photo one takes part with weight 0: every parameter stays in use, as
        # distributed training demands.
        rows = chosen or [0]
        index = torch.tensor(rows, device=prompts.device)
        truth = supervision.select(rows)
        thinning = self._draw_thinning(truth.generators)
        inputs = photos.select(index), prompts[index], output.select(index)
        stages = self._stages(*inputs, decode=decode, thinning=thinning)
        if torch.is_grad_enabled():
            kept = [photo if row in chosen else None for row, photo in enumerate(photos.photos)]
            exemplars = self.exemplars(photos.embedding, output, kept, supervision.targets)
            self._remember(len(kept), exemplars)
        weight = len(chosen) / (len(photos.photos) * self.share)
        # Each part of the fusion learns by itself: the corrector sends no gradient back.
        loss = weight * sum(sum(criterion.supervise(out, truth).values()) for out in stages)
        return {"loss_context": self.loss_weight * loss}

    def _draw_thinning(self, generators: list[torch.Generator]) -> torch.Tensor | None:
        """(B,) int64 powers of two up to the greatest; None where galleries are not thinned."""
        if self.thinning == 1:
            return None
        count = self.thinning.bit_length()
        draws = [torch.randint(count, (1,), generator=g, device=g.device) for g in generators]
        return 2 ** torch.cat(draws).cpu()

    @torch.no_grad()
    @float32()
    def retrieval_keys(self, output: DecoderOutput) -> RetrievalKeys:
        """The keys of photos, from the decoder's output for them."""
        parts = self._predicted_parts(output)
        return self._keys(parts, vehicle_boxes(parts))

    @torch.no_grad()
    @float32()
    def exemplars(
        self,
        embedding: torch.Tensor,
        output: DecoderOutput,
        photos: list[Photo | None],
        targets: list[Targets],
    ) -> ExemplarBatch:
        """Exemplars of annotated photos.

        Args:
            embedding: (B, 256, h, w).
            output: the decoder's.
            photos: None, or a photo without an annotated part, becomes no exemplar.
            targets: the annotations.
        """
        rows = [
            row
            for row, (photo, target) in enumerate(zip(photos, targets, strict=True))
            if photo is not None and len(target.classes)
        ]
        if not rows:
            return ExemplarBatch([], [], None)
        index = torch.tensor(rows, device=embedding.device)
        annotated = torch.stack([targets[row].parts(len(self.mirror_ids)) for row in rows])
        predicted = self._predicted_parts(output.select(index))
        boxes = vehicle_boxes(predicted)
        exemplars = pool_exemplars(embedding[index], annotated, predicted, boxes)
        return ExemplarBatch([photos[row] for row in rows], rows, exemplars)

    @contextmanager
    def one_step(self) -> Iterator[None]:
        """Within it, forward passes are parts of one step: exemplars enter the gallery at its end.

        Steps of one forward pass do not need it.
        """
        self._parts, batches, first = [], [], 0
        try:
            yield
            for size, batch in self._parts:
                places = [first + place for place in batch.places]
                batches.append(ExemplarBatch(batch.photos, places, batch.exemplars))
                first += size
        finally:
            self._parts = None
        self._insert(ExemplarBatch.merge(batches))

    def _remember(self, size: int, batch: ExemplarBatch) -> None:
        """Take the exemplars of one forward pass over ``size`` photos."""
        if self._parts is None:
            self._insert(batch)
        else:
            self._parts.append((size, batch))

    def _insert(self, batch: ExemplarBatch) -> None:
        """Insert the exemplars of all processes; every process must call it."""
        merged = ExemplarBatch.merge(comm.all_gather(batch.to_storage()))
        if merged.exemplars is None:
            return
        new = torch.tensor([photo not in self.gallery.photos for photo in merged.photos])
        room = self.capacity - len(self.gallery)
        rows = (~new | (new.cumsum(0) <= room)).nonzero()[:, 0]
        if len(rows):
            photos = [merged.photos[row] for row in rows.tolist()]
            self.gallery.update(photos, merged.exemplars.select(rows))

    @torch.no_grad()
    def _predicted_parts(self, output: DecoderOutput) -> torch.Tensor:
        """(B, C, n, n) probability of each class at each place."""
        output = output.float()
        logits = F.avg_pool2d(output.masks, REDUCTION // 2)
        presence = output.presence.sigmoid()
        return part_probabilities(logits, presence, self.query_classes, len(self.mirror_ids))

    @torch.no_grad()
    def _keys(self, parts: torch.Tensor, boxes: torch.Tensor) -> RetrievalKeys:
        """For the vehicles in boxes (B, 4) of parts (B, C, n, n)."""
        layouts = crop(parts, boxes, LAYOUT_SIDE)
        mirrored = layouts[:, self.mirror_ids].flip(-1)
        return RetrievalKeys(retrieval_key(layouts), retrieval_key(mirrored), self.mirror_ids)

    @torch.no_grad()
    def _retrieve(
        self, keys: RetrievalKeys, photos: list[Photo | None], thinning: torch.Tensor | None
    ) -> Neighbours:
        if min(self.neighbours, len(self.gallery)) == 0:
            # Every parameter stays in use, as distributed training demands.
            classes = len(self.mirror_ids)
            return Neighbours.none(len(photos), classes, EMBEDDING_DIM, LAYOUT_SIDE, keys.device)
        return self.gallery.neighbours(keys, self.neighbours, photos, thinning)
