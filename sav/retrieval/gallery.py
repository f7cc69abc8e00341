"""The gallery: what is remembered of each training vehicle, and the search for similar ones."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import faiss
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from sav.errors import SAVError
from sav.files import atomic_path

_TENSORS = "gallery.safetensors"
_INDEX = "gallery.json"


@dataclass
class GalleryEntries:
    """What G vehicles lend.

    Attributes:
        descriptors: (G, D) float32, unit length.
        prototypes: (G, C, E) mean feature of each part.
        geometry: (G, C, 5) centre x, centre y, width, height of each part's box and its area, all
            as shares of the vehicle's box.
        present: (G, C) bool, whether the vehicle shows the part; the others are zero where not.
    """

    descriptors: torch.Tensor
    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor

    def tensors(self) -> dict[str, torch.Tensor]:
        """The fields by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def cat(cls, parts: list[GalleryEntries]) -> GalleryEntries:
        """All rows of several, in order."""
        names = [field.name for field in fields(cls)]
        return cls(**{name: torch.cat([getattr(p, name) for p in parts]) for name in names})

    def select(self, rows: torch.Tensor) -> GalleryEntries:
        """The rows of an index (N,) or a mask (G,)."""
        return GalleryEntries(**{name: value[rows] for name, value in self.tensors().items()})

    def to_storage(self) -> GalleryEntries:
        """On the CPU, prototypes in half precision: they are by far the largest part."""
        kept = {name: value.detach().cpu() for name, value in self.tensors().items()}
        return GalleryEntries(**{**kept, "prototypes": kept["prototypes"].half()})


@dataclass
class GalleryViews:
    """What a batch of photos lends.

    Attributes:
        keys: one a photo, None for a photo that shows no part.
        entries: one row for each key that is not None; None when there is no such row.
    """

    keys: list[str | None]
    entries: GalleryEntries | None

    def to_storage(self) -> GalleryViews:
        """See :meth:`GalleryEntries.to_storage`."""
        return GalleryViews(self.keys, self.entries and self.entries.to_storage())


@dataclass
class Neighbours:
    """Entries of k neighbours of B images: each tensor of GalleryEntries as (B, k, C, ...).

    ``present`` is False everywhere for neighbours that do not exist.
    """

    prototypes: torch.Tensor
    geometry: torch.Tensor
    present: torch.Tensor


class Gallery:
    """Vehicles by key, with exact search over their descriptors.

    Args:
        fingerprint: what the entries depend on (ontology, encoder, preprocessing); a gallery is
            refused where it does not fit.
    """

    def __init__(self, fingerprint: dict[str, Any]) -> None:
        self.fingerprint = fingerprint
        self._rows: dict[str, int] = {}
        self._entries: GalleryEntries | None = None

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def keys(self) -> list[str]:
        """Keys in row order."""
        return list(self._rows)

    @property
    def entries(self) -> GalleryEntries | None:
        """All entries in row order, or None for an empty gallery."""
        if self._entries is None:
            return None
        return GalleryEntries(**{k: v[: len(self)] for k, v in self._entries.tensors().items()})

    def update(self, keys: list[str], entries: GalleryEntries) -> None:
        """Insert vehicles, or replace those whose key is known.

        Args:
            keys: one a row; of rows with the same key the last one stays.
            entries: on any device.
        """
        last = {key: row for row, key in enumerate(keys)}
        rows = torch.tensor([self._rows.setdefault(key, len(self._rows)) for key in last])
        chosen = entries.to_storage().select(torch.tensor(list(last.values())))
        self._reserve(len(self._rows), chosen)
        stored = self._entries.tensors()
        for name, value in chosen.tensors().items():
            stored[name][rows] = value

    def add_views(self, shares: list[list[GalleryViews]]) -> None:
        """Insert what a batch of photos lends that was dealt out to processes in turn.

        Args:
            shares: for each process its part of the batch, in one piece or several. Photos are
                inserted in the order of the whole batch, so that their rows do not depend on the
                number of processes.
        """
        views = [view for share in shares for view in share if view.entries is not None]
        if not views:
            return
        placed = [
            (place, key)
            for share in shares
            for place, key in enumerate(key for view in share for key in view.keys)
            if key is not None
        ]
        order = sorted(range(len(placed)), key=lambda row: placed[row][0])
        entries = GalleryEntries.cat([view.entries for view in views])
        self.update([placed[row][1] for row in order], entries.select(torch.tensor(order)))

    def search(
        self, descriptors: torch.Tensor, count: int, exclude: list[str | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the most similar vehicles.

        Args:
            descriptors: (B, D) unit length.
            count: neighbours wanted.
            exclude: for each query the key that may not be its neighbour, itself, or None.

        Returns:
            rows (B, count) int64, -1 where there is no further vehicle, and similarities
            (B, count) in [-1, 1].
        """
        rows = torch.full((len(descriptors), count), -1, dtype=torch.int64)
        similarities = torch.full((len(descriptors), count), -1.0)
        available = min(count + 1, len(self))
        if available == 0 or count == 0:
            return rows, similarities
        found, indices = faiss.knn(
            descriptors.detach().float().cpu().contiguous().numpy(),
            self._entries.descriptors[: len(self)].numpy(),
            available,
            metric=faiss.METRIC_INNER_PRODUCT,
        )
        own = torch.tensor([self._rows.get(key, -1) if key else -1 for key in exclude])
        indices, found = torch.from_numpy(indices), torch.from_numpy(found)
        # Stable sorting moves the excluded row to the end and keeps the others in order.
        order = (indices == own[:, None]).int().argsort(dim=1, stable=True)
        indices = indices.gather(1, order).masked_fill(
            (indices == own[:, None]).gather(1, order), -1
        )
        kept = min(count, available)
        rows[:, :kept] = indices[:, :kept]
        similarities[:, :kept] = found.gather(1, order)[:, :kept]
        return rows, similarities

    def neighbours(
        self, descriptors: torch.Tensor, count: int, exclude: list[str | None]
    ) -> Neighbours | None:
        """What the most similar vehicles lend; None where nobody lends anything.

        Args:
            descriptors: (B, D); the result is on their device.
            count: see :meth:`search`.
            exclude: see :meth:`search`.
        """
        rows, _ = self.search(descriptors, count, exclude)
        if not (rows >= 0).any():
            return None
        stored, index = self._entries, rows.clamp(min=0)
        lent = Neighbours(
            prototypes=stored.prototypes[index],
            geometry=stored.geometry[index],
            present=stored.present[index] & (rows >= 0)[..., None],
        )
        device = descriptors.device
        return Neighbours(
            lent.prototypes.to(device, torch.float32),
            lent.geometry.to(device),
            lent.present.to(device),
        )

    def save(self, folder: Path) -> None:
        """Write the gallery, each of its two files atomically."""
        entries = self.entries
        tensors = {} if entries is None else entries.tensors()
        with atomic_path(folder / _TENSORS) as temporary:
            temporary.write_bytes(save({k: value.contiguous() for k, value in tensors.items()}))
        text = json.dumps({"fingerprint": self.fingerprint, "keys": self.keys}, indent=1)
        with atomic_path(folder / _INDEX) as temporary:
            temporary.write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Gallery:
        """Read a saved gallery.

        Raises:
            SAVError: a file is missing or broken.
        """
        try:
            index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
            tensors = load_file(folder / _TENSORS)
            gallery = cls(index["fingerprint"])
            keys = index["keys"]
            if keys:
                gallery.update(keys, GalleryEntries(**tensors))
        except (OSError, ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
            raise SAVError(
                f"{folder}: the gallery cannot be read ({error}); build it again by training or "
                "evaluating the run"
            ) from error
        return gallery

    def check_fingerprint(self, expected: dict[str, Any], where: str) -> None:
        """Refuse a gallery that was made for something else.

        Raises:
            SAVError: naming the first difference.
        """
        for name, value in expected.items():
            own = self.fingerprint.get(name)
            if own != value:
                raise SAVError(
                    f"{where}: the gallery was built with {name} {own!r}, but the model has "
                    f"{value!r}; build it again"
                )

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: a resumed run finds the gallery as it was."""
        if self._entries is None:
            return {"keys": []}
        # Copies, or the file would also hold the rows kept in reserve.
        tensors = {name: value.clone() for name, value in self.entries.tensors().items()}
        return {"keys": self.keys, **tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        state = dict(state)
        keys = state.pop("keys")
        self._rows, self._entries = {}, None
        if keys:
            self.update(keys, GalleryEntries(**state))

    def _reserve(self, size: int, like: GalleryEntries) -> None:
        """Grow the storage by doubling, so that filling it row by row stays linear."""
        capacity = 0 if self._entries is None else len(self._entries.present)
        if size <= capacity:
            return
        capacity = max(size, 2 * capacity)
        grown = {}
        for name, value in like.tensors().items():
            grown[name] = torch.zeros((capacity, *value.shape[1:]), dtype=value.dtype)
            if self._entries is not None:
                old = getattr(self._entries, name)
                grown[name][: len(old)] = old
        self._entries = GalleryEntries(**grown)
