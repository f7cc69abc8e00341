"""Exemplars: what is stored of annotated vehicles, and those that a search has found."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch.nn import functional as F

from sav.gallery.vehicles import Vehicle


@dataclass
class Exemplars:
    """G annotated vehicles.

    Attributes:
        keys: (G, D) float32 retrieval keys, unit length.
        prototypes: (G, C + 1, E) mean feature of each part, and of what surrounds the vehicle.
        layouts: (G, C, m, m) uint8, the annotated share of each part in each cell of the vehicle's
            box, 255 for all of it.
        predicted_layouts: (G, C, m, m) uint8, likewise what the model predicts without exemplars.
        present: (G, C) bool, whether the vehicle shows the part; the others are zero where not.
        known: (G, C) bool, the classes that its annotations can speak of. Of the others they say
            nothing, not even that the vehicle does not show them.
    """

    keys: torch.Tensor
    prototypes: torch.Tensor
    layouts: torch.Tensor
    predicted_layouts: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields by name, each (G, ...)."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def cat(cls, pieces: list[Exemplars]) -> Exemplars:
        """All rows of several, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(p, name) for p in pieces]) for name in names})

    def select(self, rows: torch.Tensor) -> Exemplars:
        """The rows of an index (N,) or a mask (G,)."""
        return Exemplars(**{name: value[rows] for name, value in self.tensors().items()})

    def to_storage(self) -> Exemplars:
        """On the CPU, prototypes in half precision: they are by far the largest part."""
        kept = {name: value.detach().cpu() for name, value in self.tensors().items()}
        return Exemplars(**{**kept, "prototypes": kept["prototypes"].half()})


@dataclass
class ExemplarBatch:
    """Exemplars made from a batch of photos.

    Attributes:
        vehicles: the vehicle of each row.
        places: the place of each row's photo in the batch.
        exemplars: the rows; None when there is none.
    """

    vehicles: list[Vehicle]
    places: list[int]
    exemplars: Exemplars | None

    def to_storage(self) -> ExemplarBatch:
        """See :meth:`Exemplars.to_storage`."""
        exemplars = self.exemplars and self.exemplars.to_storage()
        return ExemplarBatch(self.vehicles, self.places, exemplars)

    @classmethod
    def merge(cls, shares: list[ExemplarBatch]) -> ExemplarBatch:
        """A batch that was dealt out to processes in turn.

        Args:
            shares: of each process.

        Returns:
            the rows in the order of the whole batch, whatever the number of processes.
        """
        filled = [share for share in shares if share.exemplars is not None]
        if not filled:
            return cls([], [], None)
        vehicles = [vehicle for share in filled for vehicle in share.vehicles]
        places = [place for share in filled for place in share.places]
        order = sorted(range(len(places)), key=places.__getitem__)
        exemplars = Exemplars.cat([share.exemplars for share in filled])
        return cls(
            [vehicles[row] for row in order],
            [places[row] for row in order],
            exemplars.select(torch.tensor(order)),
        )


@dataclass
class RetrievalKeys:
    """The keys by which exemplars are looked up for B vehicles.

    Attributes:
        keys: (B, D) float32, unit length.
        mirrored: (B, D) likewise, of the vehicles' mirror images.
        mirror_ids: (C,) the class that each class is in the mirror.
    """

    keys: torch.Tensor
    mirrored: torch.Tensor
    mirror_ids: torch.Tensor

    @property
    def device(self) -> torch.device:
        """Where they are, and where the exemplars found are wanted."""
        return self.keys.device


@dataclass
class Neighbours:
    """The k exemplars found for each of B vehicles.

    Attributes:
        prototypes: (B, k, C + 1, E) float32, see Exemplars.
        layouts: (B, k, C, m, m) float32 in [0, 1], likewise.
        predicted_layouts: (B, k, C, m, m) float32 in [0, 1], likewise.
        present: (B, k, C) bool, likewise.
        known: (B, k, C) bool, likewise; False where no exemplar exists.
        similarity: (B, k) to the vehicle, in [-1, 1].
        exists: (B, k) bool, False where fewer were found.
    """

    prototypes: torch.Tensor
    layouts: torch.Tensor
    predicted_layouts: torch.Tensor
    present: torch.Tensor
    known: torch.Tensor
    similarity: torch.Tensor
    exists: torch.Tensor

    @classmethod
    def at(
        cls, stored: Exemplars, rows: torch.Tensor, similarity: torch.Tensor, device: torch.device
    ) -> Neighbours:
        """The exemplars of rows (B, k), -1 for none, with their similarity (B, k), on a device."""
        index, exists = rows.clamp(min=0), rows >= 0
        return cls(
            prototypes=stored.prototypes[index].to(device, torch.float32),
            layouts=stored.layouts[index].to(device, torch.float32) / 255,
            predicted_layouts=stored.predicted_layouts[index].to(device, torch.float32) / 255,
            present=(stored.present[index] & exists[..., None]).to(device),
            known=(stored.known[index] & exists[..., None]).to(device),
            similarity=similarity.to(device),
            exists=exists.to(device),
        )

    def mirror(self, which: torch.Tensor, mirror_ids: torch.Tensor) -> Neighbours:
        """With the mirror images of some, (B, k) bool, in their places.

        Features have no mirror image: those of the other side's part stand for it.
        """
        which = which.to(self.exists.device)
        parts = F.pad(mirror_ids, (0, 1), value=len(mirror_ids))  # surroundings stay what they are
        grid = which[..., None, None, None]
        predicted = self.predicted_layouts
        turned = which[..., None]
        # Not torch.where, for which ONNX Runtime has no kernel of booleans.
        present, known = (
            (flags[:, :, mirror_ids] & turned) | (flags & ~turned)
            for flags in (self.present, self.known)
        )
        return Neighbours(
            torch.where(which[..., None, None], self.prototypes[:, :, parts], self.prototypes),
            torch.where(grid, self.layouts[:, :, mirror_ids].flip(-1), self.layouts),
            torch.where(grid, predicted[:, :, mirror_ids].flip(-1), predicted),
            present,
            known,
            self.similarity,
            self.exists,
        )

    def forget(self, which: torch.Tensor) -> Neighbours:
        """As if the annotations could not speak of some classes, (B, C) bool."""
        kept = ~which[:, None]
        shares = kept[..., None, None]
        surroundings = F.pad(kept, (0, 1), value=True)[..., None]
        return replace(
            self,
            prototypes=self.prototypes * surroundings,
            layouts=self.layouts * shares,
            predicted_layouts=self.predicted_layouts * shares,
            present=self.present & kept,
            known=self.known & kept,
        )

    @classmethod
    def none(
        cls, batch: int, classes: int, dim: int, side: int, device: torch.device
    ) -> Neighbours:
        """One neighbour for each of B vehicles, that does not exist."""
        return cls(
            prototypes=torch.zeros(batch, 1, classes + 1, dim, device=device),
            layouts=torch.zeros(batch, 1, classes, side, side, device=device),
            predicted_layouts=torch.zeros(batch, 1, classes, side, side, device=device),
            present=torch.zeros(batch, 1, classes, dtype=torch.bool, device=device),
            known=torch.zeros(batch, 1, classes, dtype=torch.bool, device=device),
            similarity=torch.zeros(batch, 1, device=device),
            exists=torch.zeros(batch, 1, dtype=torch.bool, device=device),
        )
