"""The gallery: exemplars by the vehicle that they come from, with search over their keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from sav.errors import SAVError
from sav.gallery.exemplars import Exemplars, Neighbours, RetrievalKeys
from sav.gallery.photos import Photo
from sav.gallery.search import KeyIndex, exact_search
from sav.gallery.vehicles import Vehicle, VehicleTable, vehicles_from_columns

_MARGIN = 8  # more is fetched than is wanted, as some of it may be excluded


class Gallery:
    """Exemplars in rows, each with its vehicle.

    Args:
        fingerprint: what the exemplars depend on (ontology, encoder, preprocessing); a gallery is
            refused where it does not fit.

    Attributes:
        vehicles: where each row comes from.
        sources: for each data set in it, by name, "file" (its annotations), "digest" (of that file)
            and "vehicles" (how many it gave).
    """

    def __init__(self, fingerprint: dict[str, Any]) -> None:
        self.fingerprint = fingerprint
        self.sources: dict[str, dict[str, Any]] = {}
        self.vehicles = VehicleTable()
        self._stored: Exemplars | None = None
        self.index: KeyIndex | None = None

    def __len__(self) -> int:
        return len(self.vehicles)

    @property
    def exemplars(self) -> Exemplars | None:
        """All exemplars in row order, or None for an empty gallery."""
        if self._stored is None:
            return None
        return Exemplars(**{k: v[: len(self)] for k, v in self._stored.tensors().items()})

    @property
    def search_method(self) -> str:
        """In words: exact, or FAISS's name of the index."""
        return "exact" if self.index is None else self.index.recipe

    def update(self, vehicles: Sequence[Vehicle], exemplars: Exemplars) -> None:
        """Insert exemplars, or replace those whose vehicle is known; search is exact from now on.

        Args:
            vehicles: one a row; of rows with the same photo and number the last one stays.
            exemplars: on any device.
        """
        last = {(one.photo.id, one.number): row for row, one in enumerate(vehicles)}
        rows = torch.tensor(self.vehicles.insert([vehicles[row] for row in last.values()]))
        chosen = exemplars.to_storage().select(torch.tensor(list(last.values())))
        self._reserve(len(self), chosen)
        stored = self._stored.tensors()
        for name, value in chosen.tensors().items():
            stored[name][rows] = value
        self.index = None

    def remove_source(self, name: str) -> int:
        """Take out what a data set gave; returns how many vehicles that were."""
        sources = [photo_id.rpartition("/")[0] for photo_id in self.vehicles.photo_ids]
        rows = [row for row, source in enumerate(sources) if source != name]
        removed = len(self) - len(rows)
        self.sources.pop(name, None)
        if removed:
            kept, exemplars = [self.vehicles[row] for row in rows], self.exemplars
            self._clear()
            if kept:
                self.update(kept, exemplars.select(torch.tensor(rows)))
        return removed

    def build_index(self) -> None:
        """Make the index that suits a gallery of this size and that changes no more."""
        if self._stored is not None:
            self.index = KeyIndex.build(self.exemplars.keys.numpy())

    def search(
        self, keys: torch.Tensor, count: int, exclude: Sequence[Photo | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the most similar vehicles.

        Args:
            keys: (B, D) unit length.
            count: neighbours wanted.
            exclude: for each key its photo, which may not be its neighbour, nor may its copies
                and the others of its group, see :meth:`VehicleTable.excluded`; or None.

        Returns:
            rows (B, count) int64, -1 where there is no further vehicle, and similarities
            (B, count) in [-1, 1].
        """
        rows = np.full((len(keys), count), -1, dtype=np.int64)
        similarities = np.full((len(keys), count), -1.0, dtype=np.float32)
        wanted = keys.detach().float().cpu().contiguous().numpy()
        pending = np.arange(len(wanted) if count else 0)
        fetched = min(count + _MARGIN, len(self))
        index = self.index
        while len(pending) and fetched:
            found, nearest = self._nearest(index, wanted[pending], fetched)
            allowed = nearest >= 0
            photos = [exclude[row] for row in pending]
            allowed &= ~self.vehicles.excluded(photos, nearest.clip(min=0))
            # Stable sorting moves what is excluded to the end and keeps the others in order.
            order = np.argsort(~allowed, axis=1, kind="stable")[:, :count]
            kept = np.take_along_axis(allowed, order, 1)
            width = order.shape[1]
            rows[pending, :width] = np.where(kept, np.take_along_axis(nearest, order, 1), -1)
            similarities[pending, :width] = np.where(
                kept, np.take_along_axis(found, order, 1), -1.0
            )
            if index is None and fetched == len(self):
                break
            # Keys with too few neighbours look further, at every vehicle if need be.
            pending = pending[allowed.sum(1) < min(count, len(self))]
            index, fetched = None, min(4 * fetched, len(self))
        return torch.from_numpy(rows), torch.from_numpy(similarities)

    def _nearest(
        self, index: KeyIndex | None, keys: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if index is not None:
            return index.search(keys, count)
        return exact_search(self._stored.keys[: len(self)].numpy(), keys, count)

    def search_with_mirror(
        self, keys: RetrievalKeys, count: int, exclude: Sequence[Photo | None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As :meth:`search`, among the vehicles and their mirror images.

        Returns:
            rows, similarities, and (B, count) bool, whether it is the mirror image.
        """
        both = torch.cat([keys.keys, keys.mirrored])
        rows, similarity = self.search(both, count, [*exclude, *exclude])
        rows, similarity = (torch.cat(x.chunk(2), dim=1) for x in (rows, similarity))
        best = similarity.argsort(dim=1, descending=True, stable=True)[:, :count]
        return rows.gather(1, best), similarity.gather(1, best), best >= count

    def neighbours(
        self,
        keys: RetrievalKeys,
        count: int,
        exclude: Sequence[Photo | None],
        thinning: torch.Tensor | None = None,
    ) -> Neighbours:
        """The most similar vehicles, those that are similar in the mirror included.

        The gallery must not be empty.

        Args:
            keys: of B vehicles; the result is on their device.
            count: see :meth:`search`.
            exclude: see :meth:`search`.
            thinning: (B,) int64 on the CPU, n to find what would be found if only every n-th
                vehicle were there; None leaves out none.
        """
        if thinning is None:
            rows, similarity, mirrored = self.search_with_mirror(keys, count, exclude)
        else:
            found = self.search_with_mirror(keys, count * int(thinning.max()), exclude)
            ranks = thinning[:, None] * torch.arange(1, count + 1) - 1
            rows, similarity, mirrored = (values.gather(1, ranks) for values in found)
        return self.at(rows, similarity, keys.device).mirror(mirrored, keys.mirror_ids)

    def at(self, rows: torch.Tensor, similarity: torch.Tensor, device: torch.device) -> Neighbours:
        """The exemplars of rows (B, k), -1 for none; see :meth:`search`."""
        return Neighbours.at(self._stored, rows, similarity, device)

    def check_fingerprint(self, expected: dict[str, Any], where: str) -> None:
        """Refuse a gallery that was made for something else.

        Raises:
            SAVError: naming the first difference.
        """
        for name, value in expected.items():
            found = self.fingerprint.get(name)
            if found != value:
                raise SAVError(
                    f"{where}: the gallery was built with {name} {found!r}, but the model has "
                    f"{value!r}; build it again"
                )

    def state_dict(self) -> dict[str, Any]:
        """For checkpoints: a resumed run finds the gallery as it was."""
        # Copies, or the file would also hold the rows kept in reserve.
        tensors = {} if self.exemplars is None else self.exemplars.tensors()
        return {**self.vehicles.columns(), **{k: value.clone() for k, value in tensors.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            SAVError: the checkpoint was written by another version.
        """
        try:
            vehicles = vehicles_from_columns(state)
            self._clear()
            if vehicles:
                names = state.keys() - self.vehicles.columns().keys()
                self.update(vehicles, Exemplars(**{name: state[name] for name in names}))
        except (KeyError, TypeError, ValueError) as error:
            raise SAVError(
                f"the checkpoint's gallery is of another version of SAV ({error}); start the "
                "training anew, in another OUTPUT_DIR"
            ) from error

    def _clear(self) -> None:
        self.vehicles, self._stored, self.index = VehicleTable(), None, None

    def _reserve(self, size: int, like: Exemplars) -> None:
        """Grow the storage by doubling, so that filling it row by row stays linear."""
        capacity = 0 if self._stored is None else len(self._stored.present)
        if size <= capacity:
            return
        capacity = max(size, 2 * capacity)
        grown = {}
        for name, value in like.tensors().items():
            grown[name] = torch.zeros((capacity, *value.shape[1:]), dtype=value.dtype)
            if self._stored is not None:
                old = getattr(self._stored, name)
                grown[name][: len(old)] = old
        self._stored = Exemplars(**grown)
