"""The model: photo in, named instance masks of the vehicle's parts out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from sav.bench.unsupervised import UntaughtClasses
from sav.d2 import (
    META_ARCH_REGISTRY,
    Backbone,
    CfgNode,
    Instances,
    configurable,
)
from sav.gallery.exemplars import GalleryViews, Queries
from sav.gallery.photos import Photo
from sav.gallery.store import Gallery
from sav.modeling.context.module import SecondLook
from sav.modeling.criterion import PartCriterion, Supervision, Targets
from sav.modeling.embedding import EMBEDDING, EMBEDDING_DIM
from sav.modeling.encoders import build_encoder
from sav.modeling.graph.dense_classifier import PartMap
from sav.modeling.graph.encoder import GraphEncoder
from sav.modeling.postprocess import PartReader
from sav.modeling.sam.checkpoint import read_sam_checkpoint
from sav.modeling.sam.decoder import NEVER, DecoderOutput, PartDecoder
from sav.ontology import Ontology, load_ontology
from sav.ontology.priors import Priors
from sav.ontology.relations import Relation
from sav.ontology.support import relation_support

MAX_SLOTS = 16
_LOSSES = ("MASK", "DICE", "PRESENCE", "IOU", "DENSE")


@dataclass
class EncodedPhotos:
    """What the model sees in B photos before it asks for parts.

    Attributes:
        maps: the encoder's output.
        vocabularies: (B,) index of each photo's vocabulary.
        known: (B, C) bool, the classes of that vocabulary.
    """

    maps: dict[str, torch.Tensor]
    vocabularies: torch.Tensor
    known: torch.Tensor

    @property
    def embedding(self) -> torch.Tensor:
        """(B, 256, h, w)."""
        return self.maps[EMBEDDING]


@META_ARCH_REGISTRY.register()
class SAV(nn.Module):
    """Segment Any Vehicle.

    Args:
        ontology: the part vocabulary.
        query_classes: (N,) sorted class of each query.
        held_out: ids of classes that training does not supervise.
        encoder: image encoder, see :mod:`sav.modeling.encoders.timm_encoder`.
        graph: class prompts P from the knowledge graph.
        decoder: masks, presence and IoU of all queries.
        criterion: its losses are learned from.
        context_weight: of the losses after the second look.
        image_size: canvas side S.
        pixel_mean: RGB, 0 to 255.
        pixel_std: RGB.
        reader: reads parts out of the decoder's logits.
        second_look: corrects by what neighbours show, or None for the ablation without them.
    """

    @configurable
    def __init__(
        self,
        *,
        ontology: Ontology,
        query_classes: torch.Tensor,
        held_out: tuple[int, ...],
        encoder: Backbone,
        graph: GraphEncoder,
        decoder: PartDecoder,
        criterion: PartCriterion,
        context_weight: float,
        image_size: int,
        pixel_mean: tuple[float, ...],
        pixel_std: tuple[float, ...],
        reader: PartReader,
        second_look: SecondLook | None = None,
    ) -> None:
        super().__init__()
        self.ontology = ontology
        self.encoder = encoder
        self.graph = graph
        self.decoder = decoder
        self.criterion = criterion
        self.context_weight = context_weight
        self.image_size = image_size
        self.reader = reader
        self.second_look = second_look
        self.gallery = Gallery({})
        # What the photos of the present training step lend; the trainer moves it to the gallery
        # when all processes have taken the step.
        self.views: list[GalleryViews] = []

        counts = query_classes.bincount().tolist()
        slot_ids = torch.cat([torch.arange(count) for count in counts])
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.register_buffer("slot_ids", slot_ids, persistent=False)
        self.slot_embedding = nn.Embedding(MAX_SLOTS, EMBEDDING_DIM)
        self.layout = PartMap(EMBEDDING_DIM, graph.class_features)
        self.dense = PartMap(EMBEDDING_DIM // 8, graph.class_features)
        # In what follows "own" ids are those of a photo's own vocabulary, others the ontology's.
        own_ids = torch.full((len(ontology.vocabularies), len(ontology)), -1)
        for row, vocabulary in zip(own_ids, ontology.vocabularies, strict=True):
            row[ontology.ids_of(vocabulary)] = torch.arange(len(vocabulary))
        self.register_buffer("own_ids", own_ids, persistent=False)
        taught = torch.ones(len(ontology), dtype=torch.bool)
        taught[list(held_out)] = False
        self.register_buffer("taught", taught, persistent=False)
        self.untaught = (
            UntaughtClasses(ontology, query_classes=query_classes, slot_ids=slot_ids, taught=taught)
            if held_out
            else None
        )
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean)[:, None, None], False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std)[:, None, None], False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Build the components that the config names."""
        sav = cfg.MODEL.SAV
        ontology = load_ontology(sav.ONTOLOGY)
        slots = torch.tensor(ontology.slots).clamp(max=sav.MAX_SLOTS)
        query_classes = torch.arange(len(ontology)).repeat_interleave(slots)
        encoder = build_encoder(cfg)
        decoder = PartDecoder(
            encoder_shape=encoder.output_shape(),
            depth=sav.DECODER.DEPTH,
            heads=sav.DECODER.HEADS,
            mlp_dim=sav.DECODER.MLP_DIM,
        )
        if cfg.MODEL.BACKBONE.NAME == "SAMEncoder" and cfg.MODEL.SAM.CHECKPOINT:
            official = read_sam_checkpoint(cfg.MODEL.SAM.CHECKPOINT)
            decoder.load_sam(official, cfg.MODEL.SAM.MASK_TOKEN)
        return {
            "ontology": ontology,
            "query_classes": query_classes,
            "held_out": tuple(ontology.class_id(name) for name in sav.HELD_OUT),
            "encoder": encoder,
            "graph": GraphEncoder(
                ontology,
                dim=EMBEDDING_DIM,
                layers=sav.GRAPH.LAYERS,
                enabled=sav.GRAPH.ENABLED,
                text_model=sav.GRAPH.TEXT_MODEL,
                support=_support(sav.GRAPH.PRIORS, ontology),
            ),
            "decoder": decoder,
            "criterion": PartCriterion(
                query_classes=query_classes,
                weights={name.lower(): sav.LOSS[name] for name in _LOSSES},
                points=sav.LOSS.POINTS,
            ),
            "context_weight": sav.LOSS.CONTEXT,
            "image_size": cfg.INPUT.SAV.SIZE,
            "pixel_mean": tuple(cfg.MODEL.PIXEL_MEAN),
            "pixel_std": tuple(cfg.MODEL.PIXEL_STD),
            "reader": PartReader.from_config(sav.TEST, ontology),
            # Last, so that the weights before it start the same with and without it.
            "second_look": SecondLook(
                query_classes=query_classes,
                mirror_ids=ontology.mirror_ids,
                neighbours=sav.CONTEXT.NEIGHBOURS,
                passes=sav.CONTEXT.PASSES,
                random_neighbours=sav.CONTEXT.RANDOM,
                share=sav.CONTEXT.SHARE,
                thinning=sav.CONTEXT.THINNING,
            )
            if sav.CONTEXT.ENABLED
            else None,
        }

    @property
    def device(self) -> torch.device:
        """Where the model lives."""
        return self.pixel_mean.device

    def train(self, mode: bool = True) -> SAV:
        """Switch to training or prediction; what is frozen always acts as in prediction."""
        super().train(mode)
        for module in self.modules():
            parameters = list(module.parameters())
            if parameters and not any(p.requires_grad for p in parameters):
                module.eval()
        return self

    def gallery_fingerprint(self) -> dict[str, Any]:
        """What gallery entries made by this model depend on."""
        digest = hashlib.sha256()
        for name, value in self.state_dict().items():
            if not name.startswith("second_look."):
                digest.update(name.encode())
                digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return {
            "ontology": self.ontology.name,
            "classes": self.ontology.class_names,
            "image_size": self.image_size,
            "pixel_mean": [round(value, 3) for value in self.pixel_mean.flatten().tolist()],
            "pixel_std": [round(value, 3) for value in self.pixel_std.flatten().tolist()],
            "weights": digest.hexdigest()[:16],
        }

    def forward(
        self, batched_inputs: list[dict[str, Any]]
    ) -> dict[str, torch.Tensor] | list[dict[str, Any]]:
        """Train on, or predict, a batch.

        Args:
            batched_inputs: one dict an image with "image" (3, h, w) uint8 RGB, its long side S;
                "height" and "width" of the original photo; "vocabulary", the name of the one to
                answer in where the ontology joins several (default: the first); in training also
                "instances" with gt_classes, gt_masks and gt_vehicle_ids, and "seed", from which
                everything random about the photo is drawn. "gallery_key", "vehicle_group" and
                "photo_hash" name photos that it may not see, see Photo.

        Returns:
            In training the losses by name. Otherwise one dict an image, with "instances"
            (pred_masks (N, H, W) bool, pred_boxes, scores, pred_classes, vehicle_ids) and
            "part_map" (H, W) uint8, class + 1 and 0 for background. Classes are those of the
            photo's vocabulary.
        """
        encoded = self.encode(batched_inputs)
        if self.training:
            return self._losses(batched_inputs, encoded)
        # Evaluating on training photos must not show the model their own annotations either.
        photos = [Photo.of(item) for item in batched_inputs]
        output = self._decode(encoded)
        if self.second_look is not None and len(self.gallery):
            output = self.second_look(self.gallery, encoded.embedding, output, photos)
        return [
            self._postprocess(output, index, int(encoded.vocabularies[index]), item)
            for index, item in enumerate(batched_inputs)
        ]

    def encode(self, batched_inputs: list[dict[str, Any]]) -> EncodedPhotos:
        """Encode photos, and look up their vocabularies."""
        maps = self.encoder(self.preprocess(batched_inputs))
        names = [vocabulary.name for vocabulary in self.ontology.vocabularies]
        chosen = [names.index(item.get("vocabulary", names[0])) for item in batched_inputs]
        vocabularies = torch.tensor(chosen, device=self.device)
        return EncodedPhotos(maps, vocabularies, self.own_ids[vocabularies] >= 0)

    def preprocess(self, batched_inputs: list[dict[str, Any]]) -> torch.Tensor:
        """Normalise and pad at the bottom and right to the canvas: (B, 3, S, S) float."""
        size = self.image_size
        canvas = torch.zeros(len(batched_inputs), 3, size, size, device=self.device)
        for slot, item in zip(canvas, batched_inputs, strict=True):
            image = item["image"].to(self.device, non_blocking=True)
            slot[:, : image.shape[1], : image.shape[2]] = (image - self.pixel_mean) / self.pixel_std
        return canvas

    @torch.no_grad()
    def queries(self, batched_inputs: list[dict[str, Any]]) -> Queries:
        """With what the neighbours of photos are looked up."""
        output = self._decode(self.encode(batched_inputs))
        return self.second_look.queries(output)

    @torch.no_grad()
    def gallery_views(self, batched_inputs: list[dict[str, Any]]) -> GalleryViews:
        """What annotated photos lend, with this model's present weights."""
        encoded = self.encode(batched_inputs)
        output = self._decode(encoded)
        photos = [Photo.of(item) for item in batched_inputs]
        targets = self._targets(batched_inputs)
        return self.second_look.lend(photos, encoded.embedding, output, targets)

    def _targets(self, batched_inputs: list[dict[str, Any]]) -> list[Targets]:
        return [Targets.from_instances(x["instances"], self.taught) for x in batched_inputs]

    def _losses(
        self, batched_inputs: list[dict[str, Any]], encoded: EncodedPhotos
    ) -> dict[str, torch.Tensor]:
        generators = [
            torch.Generator(self.device).manual_seed(item["seed"]) for item in batched_inputs
        ]
        output = self._decode(encoded)
        learned = encoded.known & self.taught
        maps = self.layout(encoded.embedding), self.dense(output.features)
        dense = [_silenced(logits, learned) for logits in maps]
        asked = learned[:, self.query_classes]
        supervision = Supervision(self._targets(batched_inputs), generators, asked)
        losses = self.criterion(output, dense, supervision)
        if self.second_look is None:
            return losses
        photos = [Photo.of(item) for item in batched_inputs]
        second, views = self.second_look.learn(
            self.gallery,
            encoded.embedding,
            output,
            photos,
            supervision=supervision,
            criterion=self.criterion,
        )
        self.views.append(views)
        return {**losses, "loss_context": self.context_weight * second}

    def _decode(self, encoded: EncodedPhotos) -> DecoderOutput:
        """What the weights alone say."""
        classes = self.graph(encoded.vocabularies, self.taught)
        queries = classes[:, self.query_classes] + self.slot_embedding(self.slot_ids)
        output = self.decoder(encoded.maps, queries)
        asked = encoded.known[:, self.query_classes]
        output = replace(output, presence=output.presence.masked_fill(~asked, NEVER))
        if self.training or self.untaught is None:
            return output
        logits = _silenced(self.dense(output.features), encoded.known)
        return self.untaught(output, logits, encoded.known)

    def _postprocess(
        self, output: DecoderOutput, index: int, vocabulary: int, item: dict[str, Any]
    ) -> dict[str, Instances | torch.Tensor]:
        classes = self.own_ids[vocabulary][self.query_classes]
        known = classes >= 0
        return self.reader(
            output.masks[index][known],
            output.presence[index][known],
            output.iou[index][known],
            classes[known],
            body_ids=self.ontology.vocabularies[vocabulary].body_ids,
            size=(int(item["height"]), int(item["width"])),
        )


def _silenced(logits: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Logits (B, 1 + C, h, w), background first, that never speak of classes (B, C) not known."""
    return logits.masked_fill(~F.pad(known, (1, 0), value=True)[..., None, None], NEVER)


def _support(file: str, ontology: Ontology) -> dict[Relation, float] | None:
    """How much each relation counts by a file of mined priors, if there is one."""
    return relation_support(ontology, Priors.load(file, ontology)) if file else None
