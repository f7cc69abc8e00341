"""The model: photo in, named instance masks of the vehicle's parts out."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from sav.d2 import META_ARCH_REGISTRY, Backbone, CfgNode, configurable
from sav.gallery.exemplars import ExemplarBatch, RetrievalKeys
from sav.gallery.photos import Photo
from sav.modeling.calls import call, rest_frozen
from sav.modeling.context.module import ContextModule
from sav.modeling.criterion import PartCriterion
from sav.modeling.crops import VehicleCrops
from sav.modeling.embedding import EMBEDDING
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.encoders import build_encoder
from sav.modeling.flips import Flips
from sav.modeling.graph.class_maps import ClassMaps
from sav.modeling.graph.encoder import GraphEncoder
from sav.modeling.graph.queries import PartQueries, query_classes
from sav.modeling.original_frame import Frame
from sav.modeling.preprocess import Preprocessor
from sav.modeling.reader import PartReader
from sav.modeling.sam.decoder import DecoderOutput, PartDecoder
from sav.modeling.targets import Batch, Supervision, read_targets
from sav.modeling.views import ViewQueries
from sav.ontology import Ontology, View, find_view, load_ontology, load_views


@META_ARCH_REGISTRY.register()
class SAV(nn.Module):
    """Segment Any Vehicle.

    Args:
        ontology: the knowledge graph, whose classes are the parts that the model knows.
        views: in whose classes photos can be annotated and answered; by default in the first.
        preprocess: normalises and pads photos.
        encoder: image encoder, see :mod:`sav.modeling.embedding`.
        graph: class prompts from the knowledge graph.
        decoder: masks, presence and IoU of all queries.
        context: similar annotated vehicles, or None for the ablation without them.
        queries: decoder queries from class prompts.
        criterion: training losses.
        flips: shows photos in the mirror too.
        reader: reads parts out of the decoder's logits.
        crops: predicts small vehicles again.
    """

    @configurable
    def __init__(
        self,
        *,
        ontology: Ontology,
        views: tuple[View, ...],
        preprocess: Preprocessor,
        encoder: Backbone,
        graph: GraphEncoder,
        decoder: PartDecoder,
        context: ContextModule | None,
        queries: PartQueries,
        criterion: PartCriterion,
        flips: Flips,
        reader: PartReader,
        crops: VehicleCrops,
    ) -> None:
        super().__init__()
        self.ontology = ontology
        self.preprocess = preprocess
        self.encoder = encoder
        self.graph = graph
        self.decoder = decoder
        self.context = context
        self.queries = queries
        self.criterion = criterion
        self.flips = flips
        self.reader = reader
        self.crops = crops
        self.class_maps = ClassMaps(
            graph.class_features, queries.classes, feature_dim=decoder.feature_dim
        )
        self.views = nn.ModuleList(ViewQueries(v, queries.classes, queries.slots) for v in views)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the components that the config names."""
        ontology = load_ontology(cfg.MODEL.SAV.ONTOLOGY)
        classes = query_classes(ontology, cfg.MODEL.SAV.MAX_SLOTS)
        encoder = build_encoder(cfg)
        return {
            "ontology": ontology,
            "views": load_views(ontology, cfg.MODEL.SAV.VIEWS),
            "preprocess": Preprocessor.from_config(cfg),
            "encoder": encoder,
            "decoder": PartDecoder.from_config(cfg, encoder.output_shape()),
            "graph": GraphEncoder.from_config(cfg, ontology),
            "criterion": PartCriterion.from_config(cfg),
            "flips": Flips.from_config(cfg, ontology, classes),
            "reader": PartReader.from_config(cfg),
            "crops": VehicleCrops.from_config(cfg),
            # After the others, so that their weights start the same with and without it.
            "context": ContextModule.from_config(cfg, ontology, classes),
            "queries": PartQueries(classes),
        }

    def forward(self, batched_inputs: Batch) -> dict[str, torch.Tensor] | Batch:
        """Train on, or predict, a batch.

        Args:
            batched_inputs: one dict an image with "image" (3, h, w) uint8 RGB, its long side S;
                "height" and "width" of the original photo; "vocabulary", the view that it is
                annotated and answered in (default: the first); in training also "instances" with
                gt_classes, gt_masks and gt_vehicle_ids, and "seed", from which everything random is
                drawn. "photo_id", "vehicle_group" and "photo_hash" name the photo, whose
                annotations it must not retrieve, see Photo. "crop" gives pieces of the photo.

        Raises:
            SAVError: an image or a vocabulary is not one that the model takes.

        Returns:
            In training the losses by name. Otherwise one dict an image: "instances" (pred_masks
            (N, H, W) bool, pred_boxes, scores, pred_classes, vehicle_ids); "part_map" (H, W) uint8,
            class + 1, 0 for background; "components" (K, 4) int64, see vehicle_components.
        """
        photos = self.encode(self.flips.with_mirror_images(batched_inputs))
        prompts = self.prompts(photos)
        output = self.decode(photos, prompts)
        if self.training:
            return self.losses(batched_inputs, photos, prompts, output)
        if self.context is not None:
            output = self.context(photos, prompts, output, partial(self.decode, frozen=True))
        frames = [Frame.of(item, self.preprocess.size) for item in batched_inputs]
        views = photos.views[: len(frames)]  # those of the mirror images are behind them
        seen = self.reader(self.flips.mean(output, frames), views, self.queries.classes, frames)
        return self.crops(self, batched_inputs, seen)

    def encode(self, batched_inputs: Batch) -> EncodedPhotos:
        """Encode photos, and look up their views."""
        maps = self.encoder(self.preprocess([item["image"] for item in batched_inputs]))
        known = [queries.view for queries in self.views]
        names = [item.get("vocabulary", "") for item in batched_inputs]
        views = [self.views[find_view(known, name)] for name in names]
        shape = len(names), len(self.ontology)
        supervised = torch.ones(shape, dtype=torch.bool, device=maps[EMBEDDING].device)
        return EncodedPhotos(maps, views, supervised, [*map(Photo.of, batched_inputs)])

    def prompts(self, photos: EncodedPhotos) -> torch.Tensor:
        """Class prompts (B, C, 256)."""
        return self.graph().expand(len(photos.photos), -1, -1)

    def decode(
        self, photos: EncodedPhotos, prompts: torch.Tensor, *, frozen: bool = False
    ) -> DecoderOutput:
        """The decoder's output for class prompts (B, C, 256); frozen weights do not learn."""
        queries = call(self.queries, prompts, frozen=frozen)
        output = call(self.decoder, photos.maps, queries, frozen=frozen)
        named = photos.supervised if self.training else None
        return call(self.class_maps, output, photos.embedding, named, frozen=frozen)

    def losses(
        self,
        batched_inputs: Batch,
        photos: EncodedPhotos,
        prompts: torch.Tensor,
        output: DecoderOutput,
    ) -> dict[str, torch.Tensor]:
        """Training losses by name, scalars."""
        views, known = photos.views, photos.supervised
        supervision = Supervision.of(batched_inputs, views, known, self.queries.classes)
        losses = self.criterion(output, supervision)
        if self.context is None:
            return losses
        again = partial(self.decode, frozen=True)
        learned = {"decode": again, "supervision": supervision, "criterion": self.criterion}
        return losses | self.context.losses(photos, prompts, output, **learned)

    @torch.no_grad()
    def retrieval_keys(self, batched_inputs: Batch) -> RetrievalKeys:
        """The keys by which exemplars are looked up for the vehicles in photos."""
        photos = self.encode(batched_inputs)
        output = self.decode(photos, self.prompts(photos))
        retriever = self.context.retriever
        return retriever.keys(retriever.find(output), photos.embedding)

    @torch.no_grad()
    def exemplars(self, batched_inputs: Batch) -> ExemplarBatch:
        """Exemplars of annotated vehicles, with this model's present weights."""
        photos = self.encode(batched_inputs)
        output = self.decode(photos, self.prompts(photos))
        targets = read_targets(batched_inputs, photos.views, photos.supervised)
        return self.context.retriever.exemplars(photos, output, targets)

    def train(self, mode: bool = True) -> SAV:
        """Switch to training or prediction; what is frozen always acts as in prediction."""
        super().train(mode)
        rest_frozen(self)
        return self
