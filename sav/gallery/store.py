"""The gallery: what is remembered of each annotated vehicle, and the search for similar ones."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from sav.errors import SAVError
from sav.files import atomic_path
from sav.gallery.exemplars import GalleryEntries, GalleryViews, Neighbours, Queries
from sav.gallery.photos import Photo, PhotoTable, photos_from_columns
from sav.gallery.search import DescriptorIndex, exact_search

INDEX_FILE = "gallery.json"
_TENSORS = "gallery.safetensors"
_SEARCH = "gallery.faiss"
_LAYOUT = 3
_MARGIN = 8  # more is fetched than is wanted, as some of it may be forbidden


class Gallery:
    """Vehicles by the key of their photo, with search over their descriptors.

    Args:
        fingerprint: what the entries depend on (ontology, encoder, preprocessing); a gallery is
            refused where it does not fit.

    Attributes:
        photos: where each row comes from.
        sources: for each data set in it, by name, "file" (its annotations), "digest" (of that file)
            and "vehicles" (how many it gave).
    """

    def __init__(self, fingerprint: dict[str, Any]) -> None:
        self.fingerprint = fingerprint
        self.sources: dict[str, dict[str, Any]] = {}
        self.photos = PhotoTable()
        self._entries: GalleryEntries | None = None
        self._index: DescriptorIndex | None = None

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def keys(self) -> list[str]:
        """Keys in row order."""
        return self.photos.keys

    @property
    def entries(self) -> GalleryEntries | None:
        """All entries in row order, or None for an empty gallery."""
        if self._entries is None:
            return None
        return GalleryEntries(**{k: v[: len(self)] for k, v in self._entries.tensors().items()})

    @property
    def search_method(self) -> str:
        """In words: exact, or FAISS's name of the index."""
        return "exact" if self._index is None else self._index.recipe

    def update(self, photos: Sequence[Photo], entries: GalleryEntries) -> None:
        """Insert vehicles, or replace those whose key is known; search is exact from now on.

        Args:
            photos: one a row; of rows with the same key the last one stays.
            entries: on any device.
        """
        last = {photo.key: row for row, photo in enumerate(photos)}
        rows = torch.tensor(self.photos.insert([photos[row] for row in last.values()]))
        chosen = entries.to_storage().select(torch.tensor(list(last.values())))
        self._reserve(len(self), chosen)
        stored = self._entries.tensors()
        for name, value in chosen.tensors().items():
            stored[name][rows] = value
        self._index = None

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
            (place, photo)
            for share in shares
            for place, photo in enumerate(photo for view in share for photo in view.photos)
            if photo is not None
        ]
        order = sorted(range(len(placed)), key=lambda row: placed[row][0])
        entries = GalleryEntries.cat([view.entries for view in views])
        self.update([placed[row][1] for row in order], entries.select(torch.tensor(order)))

    def remove_source(self, name: str) -> int:
        """Take out what a data set gave; returns how many vehicles that were."""
        rows = [r for r, key in enumerate(self.keys) if key.rpartition("/")[0] != name]
        removed = len(self) - len(rows)
        self.sources.pop(name, None)
        if removed:
            kept, entries = [self.photos[row] for row in rows], self.entries
            self.photos, self._entries, self._index = PhotoTable(), None, None
            if kept:
                self.update(kept, entries.select(torch.tensor(rows)))
        return removed

    def settle(self) -> None:
        """Make the index that suits a gallery of this size and that changes no more."""
        if self._entries is not None:
            self._index = DescriptorIndex.build(self.entries.descriptors.numpy())

    def search(
        self, descriptors: torch.Tensor, count: int, exclude: Sequence[Photo | None]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Find the most similar vehicles.

        Args:
            descriptors: (B, D) unit length.
            count: neighbours wanted.
            exclude: for each query its photo, which may not be its neighbour, nor may its copies
                and the others of its group, see :meth:`PhotoTable.forbidden`; or None.

        Returns:
            rows (B, count) int64, -1 where there is no further vehicle, and similarities
            (B, count) in [-1, 1].
        """
        rows = np.full((len(descriptors), count), -1, dtype=np.int64)
        similarities = np.full((len(descriptors), count), -1.0, dtype=np.float32)
        queries = descriptors.detach().float().cpu().contiguous().numpy()
        pending = np.arange(len(queries) if count else 0)
        fetched = min(count + _MARGIN, len(self))
        index = self._index
        while len(pending) and fetched:
            found, nearest = self._nearest(index, queries[pending], fetched)
            allowed = nearest >= 0
            photos = [exclude[query] for query in pending]
            allowed &= ~self.photos.forbidden(photos, nearest.clip(min=0))
            # Stable sorting moves what is forbidden to the end and keeps the others in order.
            order = np.argsort(~allowed, axis=1, kind="stable")[:, :count]
            kept = np.take_along_axis(allowed, order, 1)
            width = order.shape[1]
            rows[pending, :width] = np.where(kept, np.take_along_axis(nearest, order, 1), -1)
            similarities[pending, :width] = np.where(
                kept, np.take_along_axis(found, order, 1), -1.0
            )
            if index is None and fetched == len(self):
                break
            # Who has been left with too few looks further, at every vehicle if need be.
            pending = pending[allowed.sum(1) < min(count, len(self))]
            index, fetched = None, min(4 * fetched, len(self))
        return torch.from_numpy(rows), torch.from_numpy(similarities)

    def _nearest(
        self, index: DescriptorIndex | None, queries: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray]:
        if index is not None:
            return index.search(queries, count)
        return exact_search(self._entries.descriptors[: len(self)].numpy(), queries, count)

    def neighbours(
        self,
        queries: Queries,
        count: int,
        exclude: Sequence[Photo | None],
        thinning: torch.Tensor | None = None,
    ) -> Neighbours:
        """What the most similar vehicles lend, those that are similar in the mirror included.

        The gallery must not be empty.

        Args:
            queries: of B photos; the result is on their device.
            count: see :meth:`search`.
            exclude: see :meth:`search`.
            thinning: (B,) int64 on the CPU, n to find what would be found if only every n-th
                vehicle were there; None leaves out nobody.
        """
        if thinning is None:
            rows, similarity, mirrored = self.search_both(queries, count, exclude)
        else:
            found = self.search_both(queries, count * int(thinning.max()), exclude)
            ranks = thinning[:, None] * torch.arange(1, count + 1) - 1
            rows, similarity, mirrored = (every.gather(1, ranks) for every in found)
        return self._lend(rows, similarity, queries.device).mirrored(mirrored, queries.mirror_ids)

    def search_both(
        self, queries: Queries, count: int, exclude: Sequence[Photo | None]
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """As :meth:`search`, among the vehicles and their mirror images.

        Returns:
            rows, similarities, and (B, count) bool, whether it is the mirror image.
        """
        both = torch.cat([queries.descriptors, queries.mirrored])
        rows, similarity = self.search(both, count, [*exclude, *exclude])
        rows, similarity = (torch.cat(x.chunk(2), dim=1) for x in (rows, similarity))
        best = similarity.argsort(dim=1, descending=True, stable=True)[:, :count]
        return rows.gather(1, best), similarity.gather(1, best), best >= count

    def random_neighbours(
        self, queries: Queries, count: int, exclude: Sequence[Photo | None]
    ) -> Neighbours:
        """What any vehicles lend, always the same ones for the same photo.

        The arguments are those of :meth:`neighbours`.
        """
        rows = np.full((len(exclude), count), -1, dtype=np.int64)
        for row, photo in zip(rows, exclude, strict=True):
            seed = zlib.crc32(photo.key.encode()) if photo else 0
            drawn = np.random.default_rng(seed).permutation(len(self))[: count + _MARGIN]
            allowed = drawn[~self.photos.forbidden([photo], drawn[None])[0]][:count]
            row[: len(allowed)] = allowed
        found = torch.from_numpy(rows)
        lent = self._entries.descriptors[found.clamp(min=0)]
        similarity = torch.einsum("bd,bkd->bk", queries.descriptors.float().cpu(), lent)
        similarity = similarity.masked_fill(found < 0, -1.0)
        return self._lend(found, similarity, queries.device)

    def _lend(
        self, rows: torch.Tensor, similarity: torch.Tensor, device: torch.device
    ) -> Neighbours:
        """What the vehicles of rows (B, k) lend, -1 for nobody; see :meth:`search`."""
        stored, index, exists = self._entries, rows.clamp(min=0), rows >= 0
        return Neighbours(
            prototypes=stored.prototypes[index].to(device, torch.float32),
            layouts=stored.layouts[index].to(device, torch.float32) / 255,
            predicted=stored.predicted[index].to(device, torch.float32) / 255,
            present=(stored.present[index] & exists[..., None]).to(device),
            similarity=similarity.to(device),
            exists=exists.to(device),
        )

    def save(self, folder: Path) -> None:
        """Write the gallery, each of its files atomically."""
        entries = self.entries
        tensors = {} if entries is None else entries.tensors()
        # An index that belongs to other tensors must not be found, whenever we are interrupted.
        (folder / _SEARCH).unlink(missing_ok=True)
        with atomic_path(folder / _TENSORS) as temporary:
            temporary.write_bytes(save({k: value.contiguous() for k, value in tensors.items()}))
        contents = {
            "layout": _LAYOUT,
            "fingerprint": self.fingerprint,
            "sources": self.sources,
            "index": self._index and self._index.recipe,
            **self.photos.columns(),
        }
        with atomic_path(folder / INDEX_FILE) as temporary:
            temporary.write_text(json.dumps(contents, indent=1), encoding="utf-8")
        if self._index is not None:
            self._index.save(folder / _SEARCH)

    @classmethod
    def load(cls, folder: Path) -> Gallery:
        """Read a saved gallery, ready for search.

        Raises:
            SAVError: a file is missing, broken or of an older layout.
        """
        try:
            contents = json.loads((folder / INDEX_FILE).read_text(encoding="utf-8"))
            if contents.get("layout") != _LAYOUT:
                raise ValueError("it is of another version of SAV")
            tensors = load_file(folder / _TENSORS)
            gallery = cls(contents["fingerprint"])
            gallery.sources = contents["sources"]
            photos = photos_from_columns(contents)
            if photos:
                gallery.update(photos, GalleryEntries(**tensors))
                gallery._open_index(folder / _SEARCH, contents["index"])
        except (
            AttributeError,
            IndexError,
            KeyError,
            OSError,
            RuntimeError,
            SafetensorError,
            TypeError,
            ValueError,
        ) as error:
            raise SAVError(
                f"{folder}: the gallery cannot be read ({error}); build it again with "
                "'sav gallery build'"
            ) from error
        return gallery

    def _open_index(self, path: Path, recipe: str | None) -> None:
        """Read the index where there is one, and make it where its file is gone."""
        if recipe is not None and path.is_file():
            self._index = DescriptorIndex.read(path, recipe)
            if len(self._index) != len(self):
                raise ValueError(f"{path.name} has {len(self._index)} of {len(self)} vehicles")
        else:
            self.settle()

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
        # Copies, or the file would also hold the rows kept in reserve.
        entries = {} if self._entries is None else self.entries.tensors()
        return {**self.photos.columns(), **{k: value.clone() for k, value in entries.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` returned.

        Raises:
            SAVError: the checkpoint was written by another version.
        """
        try:
            photos = photos_from_columns(state)
            self.photos, self._entries, self._index = PhotoTable(), None, None
            if photos:
                names = state.keys() - self.photos.columns().keys()
                self.update(photos, GalleryEntries(**{name: state[name] for name in names}))
        except (KeyError, TypeError, ValueError) as error:
            raise SAVError(
                f"the checkpoint's gallery is of another version of SAV ({error}); start the "
                "training anew, in another OUTPUT_DIR"
            ) from error

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
