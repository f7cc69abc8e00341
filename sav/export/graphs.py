"""The model's networks as two graphs of tensors, which exporters can trace.

Between the two stands what no graph can say: which parts belong to one vehicle. Modules that are
traced here take sizes from ``shape``: the ``len`` of a tensor would become a constant of the graph.
"""

from __future__ import annotations

import torch
from torch import nn

from sav.gallery.exemplars import Exemplars, Neighbours, RetrievalKeys
from sav.gallery.store import Gallery
from sav.modeling.embedding import EMBEDDING
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.meta_arch import SAV
from sav.modeling.sam.decoder import DecoderOutput

Scores = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def map_names(model: SAV) -> tuple[str, ...]:
    """The encoder's maps that context retrieval reads: all where exemplars are prompts."""
    if model.context is None or model.context.exemplar_prompts is None:
        return (EMBEDDING,)
    return tuple(model.encoder.output_shape())


class EncoderDecoder(nn.Module):
    """Image encoder, class prompts and decoder: the model without its context retrieval.

    The knowledge graph is encoded here, once: its prompts are constants of the graph.

    Args:
        model: to be exported.
    """

    prompts: torch.Tensor

    def __init__(self, model: SAV) -> None:
        super().__init__()
        self.model = model
        self.maps = map_names(model)
        with torch.no_grad():
            self.register_buffer("prompts", model.graph(), persistent=False)

    def forward(self, canvas: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Encode and decode photos.

        Args:
            canvas: (B, 3, S, S) float32, normalised photos.

        Returns:
            Mask logits (B, N, h, w), presence (B, N) and IoU (B, N) logits, and the maps of
            :func:`map_names`.
        """
        maps = self.model.encoder(canvas)
        output = self.model.decode(_photos(maps), self.prompts.expand(canvas.shape[0], -1, -1))
        return output.masks, output.presence, output.iou, *(maps[name] for name in self.maps)


class ContextRetrieval(nn.Module):
    """Context retrieval: finds each vehicle's neighbours in the gallery, and fuses what they show.

    Args:
        model: to be exported, with a gallery that is not empty.
    """

    prompts: torch.Tensor

    def __init__(self, model: SAV) -> None:
        super().__init__()
        self.model = model
        self.maps = map_names(model)
        self.gallery = GalleryLookup(model.context.gallery, model.context.neighbours)
        with torch.no_grad():
            self.register_buffer("prompts", model.graph(), persistent=False)

    def forward(
        self,
        masks: torch.Tensor,
        presence: torch.Tensor,
        iou: torch.Tensor,
        photo: torch.Tensor,
        own: torch.Tensor,
        *maps: torch.Tensor,
    ) -> Scores:
        """Retrieve and fuse.

        Args:
            masks: (B, N, h, w) logits of the decoder, as all that follow.
            presence: (B, N).
            iou: (B, N).
            photo: (V,) int64 the photo of each vehicle, ascending; each photo has one.
            own: (V, N) bool, the queries that show it.
            maps: of the encoder.

        Returns:
            Mask, presence and IoU logits, of the same shapes.
        """
        context, photos = self.model.context, _photos(dict(zip(self.maps, maps, strict=True)))
        output = DecoderOutput(masks, presence, iou, features=masks)  # which nothing reads
        vehicles = context.retriever.describe(output, photo, own)
        neighbours = self.gallery(context.retriever.keys(vehicles, photos.embedding))
        retrieved = context.weigh(vehicles, neighbours, photos.embedding, output)
        prompts = self.prompts.expand(presence.shape[0], -1, -1)
        fused = context.fuse(photos, prompts, output, retrieved, self.model.decode)[-1]
        return fused.masks, fused.presence, fused.iou


class GalleryLookup(nn.Module):
    """A gallery as tensors: a matrix product and a top-k find the nearest vehicles.

    Args:
        gallery: not empty.
        neighbours: wanted.
    """

    def __init__(self, gallery: Gallery, neighbours: int) -> None:
        super().__init__()
        for name, value in gallery.exemplars.tensors().items():
            self.register_buffer(name, value, persistent=False)
        self.size = len(gallery)
        self.count = min(neighbours, 2 * self.size)

    def forward(self, keys: RetrievalKeys) -> Neighbours:
        """As :meth:`Gallery.neighbours`, by comparing with every vehicle."""
        stored = Exemplars(**dict(self.named_buffers()))
        alike = torch.cat([x @ stored.keys.T for x in (keys.keys, keys.mirrored)], dim=1)
        similarity, place = alike.topk(self.count, dim=1)
        mirrored = place >= self.size
        found = Neighbours.at(stored, place % self.size, similarity, similarity.device)
        return found.mirror(mirrored, keys.mirror_ids)


def _photos(maps: dict[str, torch.Tensor]) -> EncodedPhotos:
    """Photos of which nothing but the encoder's maps is known."""
    return EncodedPhotos(maps, views=[], supervised=None, photos=[])
