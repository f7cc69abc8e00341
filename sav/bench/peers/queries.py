"""Class-agnostic learned queries on SAV's decoder, as Mask2Former (arXiv 2112.01527) has them."""

from __future__ import annotations

import torch
from segment_anything.modeling.mask_decoder import MLP
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from sav.bench.peers.peer import MOST_INSTANCES, Parts, Peer
from sav.d2 import META_ARCH_REGISTRY, CfgNode
from sav.modeling.criterion import PartCriterion
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.encoders import build_encoder
from sav.modeling.graph.queries import query_classes
from sav.modeling.matcher import Matches, assign, pair_cost
from sav.modeling.original_frame import Frame
from sav.modeling.postprocess import draw_labels, to_instances
from sav.modeling.reader import soft_iou
from sav.modeling.sam.decoder import DecoderOutput, PartDecoder
from sav.modeling.targets import Supervision, Targets
from sav.precision import float32

_NO_OBJECT = 0.1  # weight of queries that find nothing, as in the paper


@META_ARCH_REGISTRY.register()
class LearnedQueries(Peer):
    """As many learned queries as SAV has, each of which can find any class or none.

    The decoder's presence head is a classifier here. Queries are matched with instances over all
    classes and masks.

    Args:
        cfg: SAV's own.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        count = len(self.ontology)
        self.encoder = build_encoder(cfg)
        self.decoder = PartDecoder.from_config(cfg, self.encoder.output_shape())
        self.decoder.presence = MLP(EMBEDDING_DIM, EMBEDDING_DIM, count + 1, 3)
        self.criterion = PartCriterion.from_config(cfg)
        queries = len(query_classes(self.ontology, cfg.MODEL.SAV.MAX_SLOTS))
        self.query_embed = nn.Parameter(torch.randn(queries, EMBEDDING_DIM))
        weights = torch.ones(count + 1)
        weights[count] = _NO_OBJECT
        self.register_buffer("class_weights", weights, persistent=False)

    def decode(self, images: torch.Tensor) -> DecoderOutput:
        """The decoder's output for N queries; presence are class logits (B, N, C + 1)."""
        queries = self.query_embed.expand(len(images), -1, -1)
        return self.decoder(self.encoder(images), queries)

    def losses(self, images: torch.Tensor, supervision: Supervision) -> dict[str, torch.Tensor]:
        """Cross-entropy of the classes, and SAV's losses of matched masks, with its weights."""
        output = self.decode(images)
        with float32():
            return self._losses(output, supervision)

    def _losses(self, output: DecoderOutput, supervision: Supervision) -> dict[str, torch.Tensor]:
        matches = match_any(output, supervision.targets)
        image, query = matches.places(output.masks.device)
        labels = torch.full_like(output.iou, len(self.ontology), dtype=torch.int64)
        pairs = zip(matches.image.tolist(), matches.instance.tolist(), strict=True)
        found = [supervision.targets[row].classes[instance] for row, instance in pairs]
        if found:
            labels[image, query] = torch.stack(found)
        logits = output.presence.flatten(0, 1)
        entropy = F.cross_entropy(logits, labels.flatten(), weight=self.class_weights)
        masks = self.criterion.mask_losses(
            *(output.masks[image, query], output.iou[image, query].sigmoid()), supervision, matches
        )
        losses = {"presence": entropy, **masks}
        return {f"loss_{name}": self.criterion.weights[name] * x for name, x in losses.items()}

    @float32()
    def _parts(self, output: DecoderOutput, frame: Frame) -> Parts:
        """Of one photo, as in the paper: each query under each class that is likely enough."""
        masks, likely = output.masks[0], output.presence[0].softmax(-1)[:, :-1]
        matching = output.iou[0].sigmoid() * soft_iou(masks)
        scores = (likely * matching[:, None]).flatten()
        best = scores.topk(min(MOST_INSTANCES, len(scores))).indices
        best = best[scores[best] >= self.score_threshold]
        query, classes = best // likely.shape[1], best % likely.shape[1]
        instances = to_instances(masks[query], scores[best], classes, kinds=self.kinds, frame=frame)
        shares = torch.einsum("qc,qhw->chw", likely, masks.sigmoid())
        return {"instances": instances, "part_map": draw_labels(shares, self.background, frame)}

    def predict(self, images: torch.Tensor, frames: list[Frame]) -> list[Parts]:
        """What the queries find."""
        pairs = zip(self.decode(images).split(), frames, strict=True)
        return [self._parts(output, frame) for output, frame in pairs]


@torch.no_grad()
def match_any(output: DecoderOutput, targets: list[Targets]) -> Matches:
    """Match each instance with any query, by SAV's cost and the probability of its class."""
    classes = pad_sequence([target.classes for target in targets], batch_first=True)
    index = classes[:, None].expand(-1, output.presence.shape[1], -1)
    likely = output.presence.softmax(-1).gather(2, index)
    return assign(pair_cost(output.masks, targets) - likely, targets)
