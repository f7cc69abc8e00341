"""From the decoder's output to vehicles, their retrieval keys and their exemplars."""

from __future__ import annotations

import torch
from torch import nn

from sav.gallery.exemplars import ExemplarBatch, RetrievalKeys
from sav.modeling.context.exemplars import AnnotatedVehicles, pool_exemplars
from sav.modeling.context.frame import crop, vehicle_boxes
from sav.modeling.context.keys import LAYOUT_SIDE, appearance_key, join_keys, layout_key
from sav.modeling.context.vehicles import (
    PredictedVehicles,
    describe_vehicles,
    find_vehicles,
    match_annotated,
    predicted_parts,
)
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.grouping import VehicleKinds
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Targets
from sav.precision import float32


class Retriever(nn.Module):
    """Finds the vehicles in photos, and describes them for look-up and for storage.

    It has no weights and learns nothing.

    Args:
        query_classes: (N,) class of each query.
        mirror_ids: the class that each class is in the mirror.
        kinds: what classes say about vehicles.
        appearance: weight of the appearance in a key, in [0, 1]; the rest is the layout's.
    """

    def __init__(
        self,
        *,
        query_classes: torch.Tensor,
        mirror_ids: list[int],
        kinds: VehicleKinds,
        appearance: float,
    ) -> None:
        super().__init__()
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.register_buffer("mirror_ids", torch.tensor(mirror_ids), persistent=False)
        self.kinds = kinds
        self.appearance = appearance

    def fingerprint(self) -> dict[str, float]:
        """What a gallery made with it depends on."""
        return {"appearance": self.appearance}

    @torch.no_grad()
    @float32()
    def parts(self, output: DecoderOutput) -> torch.Tensor:
        """(B, C, n, n) probability of each class at each place, by the decoder's output."""
        return predicted_parts(output, self.query_classes, len(self.mirror_ids))

    @torch.no_grad()
    @float32()
    def find(self, output: DecoderOutput) -> PredictedVehicles:
        """The vehicles that the decoder predicts in B photos."""
        return find_vehicles(output, self.query_classes, len(self.mirror_ids), self.kinds)

    @torch.no_grad()
    @float32()
    def describe(
        self, output: DecoderOutput, photo: torch.Tensor, own: torch.Tensor
    ) -> PredictedVehicles:
        """Vehicles by the queries that show them, see :func:`describe_vehicles`."""
        return describe_vehicles(output, photo, own, self.query_classes, len(self.mirror_ids))

    @torch.no_grad()
    @float32()
    def keys(self, vehicles: PredictedVehicles, embedding: torch.Tensor) -> RetrievalKeys:
        """The keys of V vehicles in photos with the embedding (B, 256, h, w)."""
        layouts = crop(vehicles.parts, vehicles.boxes, LAYOUT_SIDE)
        mirrored = layouts[:, self.mirror_ids].flip(-1)
        # Features have no mirror image.
        look = appearance_key(embedding[vehicles.photo], vehicles.parts)
        keys, turned = (
            join_keys(layout_key(x), look, self.appearance) for x in (layouts, mirrored)
        )
        return RetrievalKeys(keys, turned, self.mirror_ids)

    @torch.no_grad()
    @float32()
    def exemplars(
        self, photos: EncodedPhotos, output: DecoderOutput, targets: list[Targets]
    ) -> ExemplarBatch:
        """Exemplars of the annotated vehicles in photos.

        Args:
            photos: B of them. One without a name, or without an annotated part, gives none.
            output: the decoder's.
            targets: the annotations.
        """
        whole = self.parts(output)
        annotated = AnnotatedVehicles.of(photos, targets, whole)
        if annotated is None:
            return ExemplarBatch([], [], None)
        row, embedding = annotated.photo, photos.embedding.float()
        predicted = self._as_predicted(annotated, self.find(output), whole)
        keys = self.keys(predicted, embedding).keys
        exemplars = pool_exemplars(embedding[row], annotated, predicted, keys)
        return ExemplarBatch(annotated.names, row.tolist(), exemplars)

    def _as_predicted(
        self, annotated: AnnotatedVehicles, predicted: PredictedVehicles, whole: torch.Tensor
    ) -> PredictedVehicles:
        """What the model takes each annotated vehicle for; ``whole`` is :meth:`parts`.

        Where it predicts no vehicle at that place, this is what it predicts there.
        """
        boxes = vehicle_boxes(annotated.parts)
        match = match_annotated(predicted, annotated.photo, boxes)
        found = match >= 0
        return PredictedVehicles(
            annotated.photo,
            torch.where(found[:, None, None, None], predicted.parts[match], whole[annotated.photo]),
            torch.where(found[:, None], predicted.boxes[match], boxes),
        )
