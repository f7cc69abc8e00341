"""Masks and scores of the decoder, corrected by the evidence of neighbours."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional as F

from sav.modeling.context.evidence import Evidence
from sav.modeling.sam.decoder import DecoderOutput
from sav.precision import float32

REDUCTION = 4  # of the masks' resolution: evidence is no finer
_HIDDEN = 16
_CHANNELS = 12
_LOGIT_SCALE = 4.0


class ContextCorrector(nn.Module):
    """Corrects the decoder's output by the evidence of neighbours.

    One small network treats every query in the same way, whatever its class. It reads the
    decoder's output for the query, for the other queries of its class and for the other classes,
    and the evidence for its class and for the others. Its result is added to the logits, and is
    zero where no neighbour knows the class: without a gallery the decoder's output stays as it is.
    No gradient flows back to the decoder, so the other weights learn as if there were no gallery.

    Args:
        query_classes: (N,) sorted class of each query.
    """

    def __init__(self, *, query_classes: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("query_classes", query_classes, persistent=False)
        self.trunk = nn.Sequential(
            nn.Conv2d(_CHANNELS, _HIDDEN, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(_HIDDEN, _HIDDEN, 3, padding=1),
            nn.GELU(),
        )
        self.masks = nn.Conv2d(_HIDDEN, 1, 1)
        self.scores = nn.Linear(2 * _HIDDEN, 2)
        for last in (self.masks, self.scores):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    @float32()
    def forward(
        self, output: DecoderOutput, parts: torch.Tensor, evidence: Evidence
    ) -> DecoderOutput:
        """Correct masks, presence and IoU.

        Args:
            output: the decoder's, of B images and N queries.
            parts: (B, C, g, g) probability of each class at each place, by that output.
            evidence: of the same images, on the same grid.
        """
        batch, queries = output.presence.shape
        channels = self._channels(output, parts, evidence)
        hidden = self.trunk(channels.flatten(0, 1))
        masks = self.masks(hidden).reshape(batch, queries, *hidden.shape[-2:])
        masks = F.interpolate(
            masks, size=output.masks.shape[-2:], mode="bilinear", align_corners=False
        )
        pooled = torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1)
        presence, iou = self.scores(pooled).reshape(batch, queries, 2).unbind(-1)
        known = evidence.known[:, self.query_classes]
        return replace(
            output,
            masks=output.masks.detach() + masks * known[..., None, None],
            presence=output.presence.detach() + presence * known,
            iou=output.iou.detach() + iou * known,
        )

    def _channels(
        self, output: DecoderOutput, parts: torch.Tensor, evidence: Evidence
    ) -> torch.Tensor:
        """(B, N, channels, g, g) input of the network."""
        classes = self.query_classes
        logits = F.avg_pool2d(output.masks.detach().float(), REDUCTION)
        presence = output.presence.detach().float().sigmoid()[..., None, None]
        query = presence * logits.sigmoid()
        # Of the noisy-or of all queries of the class, what is left without this one.
        same = 1 - (1 - parts[:, classes]) / (1 - query).clamp(min=1e-3)
        channels = [
            logits / _LOGIT_SCALE,
            query,
            same.clamp(0, 1),
            _rivals(parts)[:, classes],
            evidence.layout[:, classes],
            _rivals(evidence.layout)[:, classes],
            evidence.error[:, classes],
            evidence.appearance[:, classes],
            _rivals(evidence.appearance)[:, classes],
            presence.expand_as(query),
            evidence.visibility[:, classes, None, None].expand_as(query),
            evidence.similarity[:, None, None, None].expand_as(query),
        ]
        return torch.stack(channels, dim=2)


def _rivals(shares: torch.Tensor) -> torch.Tensor:
    """For each class the greatest share of any other at each place; shares are (B, C, g, g)."""
    if shares.shape[1] == 1:
        return torch.zeros_like(shares)
    (first, second), (winner, _) = (x.unbind(1) for x in shares.topk(2, dim=1))
    ids = torch.arange(shares.shape[1], device=shares.device)[:, None, None]
    return torch.where(winner[:, None] == ids, second[:, None], first[:, None])
