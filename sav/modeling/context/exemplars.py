"""Exemplars: what is stored of annotated vehicles."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional as F

from sav.gallery.exemplars import Exemplars
from sav.gallery.vehicles import Vehicle
from sav.modeling.context.frame import crop
from sav.modeling.context.keys import LAYOUT_SIDE
from sav.modeling.context.vehicles import PredictedVehicles
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.targets import Targets


@dataclass
class AnnotatedVehicles:
    """W annotated vehicles of B photos.

    Attributes:
        names: of each one.
        photo: (W,) int64 index of its photo.
        parts: (W, C, n, n) share of each of its parts at each place of the photo.
        known: (W, C) bool, the parts that its annotation can speak of.
        surroundings: (W, n, n) share of what belongs to no part of any vehicle.
    """

    names: list[Vehicle]
    photo: torch.Tensor
    parts: torch.Tensor
    known: torch.Tensor
    surroundings: torch.Tensor

    @classmethod
    def of(
        cls, photos: EncodedPhotos, targets: list[Targets], predicted: torch.Tensor
    ) -> AnnotatedVehicles | None:
        """The vehicles of photos; None when there is none.

        Args:
            photos: B of them; one without a name gives none.
            targets: their annotations.
            predicted: (B, C, n, n) probability of each part at each place. What the view takes
                together is told apart by it.
        """
        names, rows, parts, known, around = [], [], [], [], []
        size = predicted.shape[-1]
        for row, (photo, target) in enumerate(zip(photos.photos, targets, strict=True)):
            view = photos.views[row]
            for number in dict.fromkeys(target.vehicles if photo else ()):
                names.append(Vehicle(photo, number))
                rows.append(row)
                # Pooled one by one: at full size they would take megabytes for each class.
                masks = target.parts(len(view.view.unions), number)
                shares, told = view.tell_apart(F.adaptive_avg_pool2d(masks, size), predicted[row])
                parts.append(shares)
                known.append(told & photos.supervised[row])
                around.append(F.adaptive_avg_pool2d((target.label_map == 0)[None].float(), size))
        if not names:
            return None
        parts, known = torch.stack(parts), torch.stack(known)
        index = torch.tensor(rows, device=parts.device)
        return cls(names, index, parts, known, torch.cat(around))


def pool_exemplars(
    embedding: torch.Tensor,
    annotated: AnnotatedVehicles,
    predicted: PredictedVehicles,
    keys: torch.Tensor,
) -> Exemplars:
    """Exemplars of W annotated vehicles.

    Args:
        embedding: (W, E, h, w) of each one's photo.
        annotated: the vehicles.
        predicted: what the model takes each of them for, without exemplars.
        keys: (W, D) of the predicted ones.
    """
    everything = torch.cat([annotated.parts, annotated.surroundings[:, None]], dim=1)
    weights = F.adaptive_avg_pool2d(everything, embedding.shape[-2:]).flatten(2)
    present = weights[:, :-1].sum(2) > 0
    weights = weights / weights.sum(2, keepdim=True).clamp(min=1e-6)
    return Exemplars(
        keys=keys,
        prototypes=weights @ embedding.flatten(2).transpose(1, 2).float(),
        layouts=_to_bytes(crop(annotated.parts, predicted.boxes, LAYOUT_SIDE)),
        predicted_layouts=_to_bytes(crop(predicted.parts, predicted.boxes, LAYOUT_SIDE)),
        present=present,
        known=annotated.known,
    )


def _to_bytes(shares: torch.Tensor) -> torch.Tensor:
    return (shares * 255).round().to(torch.uint8)
