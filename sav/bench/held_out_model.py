"""SAV with classes that no training photo supervises, known by the knowledge graph alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from sav.bench.unsupervised import UnsupervisedClasses
from sav.d2 import CfgNode, configurable
from sav.modeling.encoded_photos import EncodedPhotos
from sav.modeling.graph.encoder import GraphEncoder
from sav.modeling.meta_arch import SAV
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.targets import Batch


class HeldOutGraphEncoder(GraphEncoder):
    """Gives held-out classes no class embedding: their prompts come from the graph alone."""

    supervised: torch.Tensor

    def embeddings(self) -> torch.Tensor:
        """(C, dim), zero for held-out classes."""
        return super().embeddings() * self.supervised[:, None]


class HeldOutSAV(SAV):
    """Learns nothing of some classes, and predicts them by what the graph says of them.

    Args:
        held_out: names of the classes.
        components: see :class:`~sav.modeling.meta_arch.SAV`.
    """

    @configurable
    def __init__(self, *, held_out: list[str], **components: Any) -> None:
        super().__init__(**components)
        supervised = torch.ones(len(self.ontology), dtype=torch.bool)
        supervised[[self.ontology.class_id(name) for name in held_out]] = False
        self.register_buffer("supervised", supervised, persistent=False)
        self.graph.register_buffer("supervised", supervised, persistent=False)
        self.unsupervised = UnsupervisedClasses(self.ontology, self.queries, supervised)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict[str, Any]:
        """Read EXPERIMENT.HELD_OUT too."""
        components = super().from_config(cfg)
        graph = HeldOutGraphEncoder.from_config(cfg, components["ontology"])
        return {**components, "graph": graph, "held_out": list(cfg.EXPERIMENT.HELD_OUT)}

    def encode(self, batched_inputs: Batch) -> EncodedPhotos:
        """No photo supervises held-out classes."""
        photos = super().encode(batched_inputs)
        return replace(photos, supervised=photos.supervised & self.supervised)

    def decode(
        self, photos: EncodedPhotos, prompts: torch.Tensor, *, frozen: bool = False
    ) -> DecoderOutput:
        """As in SAV; in prediction the output for held-out classes is replaced."""
        output = super().decode(photos, prompts, frozen=frozen)
        if self.training:
            return output
        return self.unsupervised(output, output.class_logits[-1])
