"""The context module: similar annotated vehicles change what the decoder says of a photo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.d2 import CfgNode, comm
from sav.errors import SAVError
from sav.gallery.exemplars import ExemplarBatch, Neighbours
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.modeling.context.corrector import REDUCTION, ContextCorrector
from sav.modeling.context.evidence import EvidenceEncoder, Retrieved
from sav.modeling.context.keys import LAYOUT_SIDE
from sav.modeling.context.prompts import ExemplarPrompts
from sav.modeling.context.retriever import Retriever
from sav.modeling.context.vehicles import GRID_REDUCTION, PredictedVehicles
from sav.modeling.criterion import PartCriterion
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.grouping import VehicleKinds
from sav.modeling.sam.decoder import DecoderOutput, choose
from sav.modeling.targets import Supervision
from sav.ontology import Ontology
from sav.precision import float32

FUSIONS = ("prompts", "corrector", "both")
Decode = Callable[[EncodedPhotos, torch.Tensor], DecoderOutput]


@dataclass
class Withheld:
    """What of the gallery some of B training photos do without, to learn what less is worth.

    Attributes:
        thinning: (B,) int64 on the CPU, see :meth:`Gallery.neighbours`.
        forgotten: (B, C) bool, classes that their neighbours say nothing of.
    """

    thinning: torch.Tensor
    forgotten: torch.Tensor


class ContextModule(nn.Module):
    """Retrieves exemplars by what the decoder predicts, and fuses it with what they show.

    The gallery is part of it. In training each forward pass adds its photos' exemplars, the same in
    all processes, so any training loop will do.

    Args:
        retriever: finds vehicles, and describes them.
        query_classes: (N,) sorted class of each query.
        neighbours: k, of each vehicle.
        share: of the training photos that retrieve exemplars, and become exemplars.
        thinning: training photos search galleries that are up to so many times thinner.
        forget: probability that a training photo's neighbours say nothing of a class.
        capacity: exemplars that training keeps at most.
        fusion: how neighbours change the decoder's output: "prompts", as prompts of a second
            decoding; "corrector", by a small network behind it; or "both".
        loss_weight: of the losses after the fusion.
    """

    optional = True  # weights without this module can be the start of a training

    def __init__(
        self,
        *,
        retriever: Retriever,
        query_classes: torch.Tensor,
        neighbours: int,
        share: float,
        thinning: int,
        forget: float,
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
        if not 0 <= forget < 1:
            raise SAVError(f"MODEL.SAV.CONTEXT.FORGET: {forget} is not from 0 to below 1")
        self.retriever = retriever
        self.neighbours = neighbours
        self.share = share
        self.thinning = thinning
        self.forget = forget
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
        if not 0 <= context.APPEARANCE <= 1:
            raise SAVError(f"MODEL.SAV.CONTEXT.APPEARANCE: {context.APPEARANCE} is not in [0, 1]")
        retriever = Retriever(
            query_classes=query_classes,
            mirror_ids=ontology.mirror_ids,
            kinds=VehicleKinds.of(ontology),
            appearance=context.APPEARANCE,
        )
        return cls(
            retriever=retriever,
            query_classes=query_classes,
            neighbours=context.NEIGHBOURS,
            share=context.SHARE,
            thinning=context.THINNING,
            forget=context.FORGET,
            capacity=context.CAPACITY,
            fusion=context.FUSION,
            loss_weight=cfg.MODEL.SAV.LOSS.CONTEXT,
        )

    def forward(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
        decode: Decode,
    ) -> DecoderOutput:
        """What B photos show in the light of their neighbours; without any the output stays.

        Args:
            photos: never their own neighbours, nor are the others of their vehicles or their
                copies.
            prompts: (B, C, 256) class prompts.
            output: the decoder's, for these prompts alone.
            decode: decodes again, with other prompts.
        """
        if not len(self.gallery):
            return output
        retrieved = self._retrieve(photos, output)
        return self.fuse(photos, prompts, output, retrieved, decode)[-1]

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
            criterion: gives the losses of the fused output.
        """
        draws = [torch.rand(1, generator=g, device=g.device) for g in supervision.generators]
        chosen = (torch.cat(draws) < self.share).nonzero()[:, 0].tolist()
        # Without a chosen photo one takes part with weight 0: every parameter stays in use, as
        # distributed training demands.
        rows = chosen or [0]
        index = torch.tensor(rows, device=prompts.device)
        truth = supervision.select(rows)
        some, queried = photos.select(index), output.select(index)
        retrieved = self._retrieve(some, queried, self._withhold(truth.generators))
        outputs = self.fuse(some, prompts[index], queried, retrieved, decode)
        if torch.is_grad_enabled():
            kept = [photo if row in chosen else None for row, photo in enumerate(photos.photos)]
            named = replace(photos, photos=kept)
            exemplars = self.retriever.exemplars(named, output, supervision.targets)
            self._remember(len(kept), exemplars)
        weight = len(chosen) / (len(photos.photos) * self.share)
        # Each part of the fusion learns by itself: the corrector sends no gradient back.
        loss = weight * sum(sum(criterion.supervise(out, truth).values()) for out in outputs)
        return {"loss_context": self.loss_weight * loss}

    @float32()
    def _retrieve(
        self, photos: EncodedPhotos, output: DecoderOutput, withheld: Withheld | None = None
    ) -> Retrieved:
        """Find neighbours of the vehicles that are predicted in photos."""
        vehicles = self.retriever.find(output)
        embedding = photos.embedding.detach().float()
        neighbours = self._neighbours(vehicles, embedding, photos.photos, withheld)
        return self.weigh(vehicles, neighbours, embedding, output)

    def weigh(
        self,
        vehicles: PredictedVehicles,
        neighbours: Neighbours,
        embedding: torch.Tensor,
        output: DecoderOutput,
    ) -> Retrieved:
        """What the neighbours of vehicles say of the photos; the embedding is in float32."""
        size = output.masks.shape[-1] // REDUCTION  # as fine as the corrector reads it
        evidence = self.evidence(neighbours, embedding, vehicles, size)
        return Retrieved(vehicles, neighbours, evidence)

    @torch.no_grad()
    def _neighbours(
        self,
        vehicles: PredictedVehicles,
        embedding: torch.Tensor,
        photos: list[Photo | None],
        withheld: Withheld | None,
    ) -> Neighbours:
        if min(self.neighbours, len(self.gallery)) == 0:
            # Every parameter stays in use, as distributed training demands.
            shape = len(vehicles.photo), len(self.retriever.mirror_ids), EMBEDDING_DIM, LAYOUT_SIDE
            return Neighbours.none(*shape, vehicles.boxes.device)
        keys = self.retriever.keys(vehicles, embedding)
        rows = vehicles.photo.cpu()
        exclude = [photos[row] for row in rows.tolist()]
        thinning = withheld and withheld.thinning[rows]
        found = self.gallery.neighbours(keys, self.neighbours, exclude, thinning)
        return found.forget(withheld.forgotten[vehicles.photo]) if withheld else found

    def fuse(
        self,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
        retrieved: Retrieved,
        decode: Decode,
    ) -> list[DecoderOutput]:
        """The outputs after each part of the fusion, in the order of the parts.

        Args:
            photos: see :meth:`forward`, as all others.
            prompts: (B, C, 256).
            output: without neighbours.
            retrieved: what the gallery has for the photos.
            decode: for other prompts.
        """
        outputs = []
        if self.exemplar_prompts is not None:
            parts = self.retriever.parts(output)
            again = decode(*self.exemplar_prompts(photos, prompts, parts, retrieved))
            output = choose(retrieved.evidence.known.any(1), again, output)
            outputs.append(output)
        if self.corrector is not None:
            parts = F.avg_pool2d(self.retriever.parts(output), REDUCTION // GRID_REDUCTION)
            outputs.append(self.corrector(output, parts, retrieved.evidence))
        return outputs

    def _withhold(self, generators: list[torch.Generator]) -> Withheld:
        """Draw powers of two up to the greatest thinning, and classes; a photo a generator."""
        steps, classes = self.thinning.bit_length(), len(self.retriever.mirror_ids)
        thinning, forgotten = [], []
        for g in generators:
            thinning.append(torch.randint(steps, (1,), generator=g, device=g.device))
            forgotten.append(torch.rand(classes, generator=g, device=g.device) < self.forget)
        return Withheld(2 ** torch.cat(thinning).cpu(), torch.stack(forgotten))

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
                batches.append(ExemplarBatch(batch.vehicles, places, batch.exemplars))
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

    @float32()  # autocast would bring all pieces to its type
    def _insert(self, batch: ExemplarBatch) -> None:
        """Insert the exemplars of all processes; every process must call it."""
        merged = ExemplarBatch.merge(comm.all_gather(batch.to_storage()))
        if merged.exemplars is None:
            return
        new = torch.tensor([vehicle not in self.gallery.vehicles for vehicle in merged.vehicles])
        room = self.capacity - len(self.gallery)
        rows = (~new | (new.cumsum(0) <= room)).nonzero()[:, 0]
        if len(rows):
            vehicles = [merged.vehicles[row] for row in rows.tolist()]
            self.gallery.update(vehicles, merged.exemplars.select(rows))
