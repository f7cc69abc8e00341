"""The context encoder: what neighbours say of each part class, and where they say it."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from sav.retrieval.entries import GEOMETRY_DIM, LAYOUT_SIDE, describe
from sav.retrieval.views import Neighbours

_COMPARED_DIM = 64
_FAR = -1e4
# Of the parts seen along one side of the photo, this share may lie outside the vehicle's box.
_BOX_TAIL = 0.03
_FAINT = 0.15


class ContextEncoder(nn.Module):
    """What neighbours lend, as a token for each class and as evidence at each place.

    - Tokens: each class's prompt attends over the neighbours that show the class. A learned "no
      exemplar" vector is always among the attended, and is all there is for a class that no
      neighbour shows or when the gallery is empty.
    - Evidence: places that look like the neighbours' parts, and places where the neighbours, laid
      over this vehicle's box, have their parts. It is painted into the image embedding in the
      language of the prompts, so the decoder's queries find their own class's evidence, and masks
      as well as scores depend on it.

    Args:
        dim: width of prompts, prototypes and embedding.
        heads: attention heads.
    """

    def __init__(self, *, dim: int, heads: int = 8) -> None:
        super().__init__()
        self.heads = heads
        self.appearance = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, dim))
        self.geometry = nn.Sequential(nn.Linear(GEOMETRY_DIM, dim), nn.GELU(), nn.Linear(dim, dim))
        self.no_exemplar = nn.Parameter(torch.randn(dim) * 0.02)
        self.query = nn.Linear(dim, dim)
        self.key_value = nn.Linear(dim, 2 * dim)
        self.output = nn.Linear(dim, dim)
        self.compare = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, _COMPARED_DIM))
        self.log_scale = nn.Parameter(torch.tensor(2.0))
        self.paint_likeness = nn.Linear(dim, dim, bias=False)
        self.paint_layout = nn.Linear(dim, dim, bias=False)
        self.no_evidence = nn.Parameter(torch.zeros(dim))

    def forward(
        self,
        prompts: torch.Tensor,
        neighbours: Neighbours | None,
        embedding: torch.Tensor,
        layout: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode the context.

        Args:
            prompts: (B, C, dim).
            neighbours: of B images, or None when there are none.
            embedding: (B, dim, h, w).
            layout: (B, 1 + C, h, w) logits of background and of each part at each place.

        Returns:
            tokens (B, C, dim) to add to the prompts, and evidence (B, dim, h, w) to add to the
            embedding.
        """
        batch, classes, dim = prompts.shape
        if neighbours is None:
            neighbours = _nobody(batch, classes, dim, prompts.device)
        seen = neighbours.exists.any(1)[:, None, None, None]
        alike = self._likeness(neighbours, embedding) * seen
        placed = usual_places(neighbours, layout) * seen
        evidence = torch.einsum("bchw,bcd->bdhw", alike, self.paint_likeness(prompts))
        evidence = evidence + torch.einsum("bchw,bcd->bdhw", placed, self.paint_layout(prompts))
        evidence = evidence + self.no_evidence[:, None, None] * ~seen
        return self._attend(prompts, neighbours), evidence

    def _attend(self, prompts: torch.Tensor, neighbours: Neighbours) -> torch.Tensor:
        """(B, C, dim) what the prompts read from the neighbours' parts."""
        batch, classes, dim = prompts.shape
        parts = neighbours.prototypes[:, :, :classes]
        lent = self.appearance(parts) + self.geometry(neighbours.geometry)
        lent = lent.transpose(1, 2).reshape(batch * classes, -1, dim)
        present = neighbours.present.transpose(1, 2).reshape(batch * classes, -1)
        values = torch.cat([self.no_exemplar.expand(len(lent), 1, dim), lent], dim=1)
        visible = torch.cat([present.new_ones(len(lent), 1), present], dim=1)
        key, value = self.key_value(values).chunk(2, dim=-1)
        query = self.query(prompts).reshape(batch * classes, 1, dim)
        attended = F.scaled_dot_product_attention(
            self._split(query), self._split(key), self._split(value), visible[:, None, None]
        )
        return self.output(attended.transpose(1, 2).reshape(batch, classes, dim))

    def _split(self, tokens: torch.Tensor) -> torch.Tensor:
        """(X, T, dim) to (X, heads, T, dim / heads)."""
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _likeness(self, neighbours: Neighbours, embedding: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) share of each class at each place, by likeness to the neighbours' parts.

        What surrounds the neighbours competes as one more class.
        """
        classes = neighbours.present.shape[-1]
        places = F.normalize(self.compare(embedding.permute(0, 2, 3, 1)), dim=-1)
        parts = F.normalize(self.compare(neighbours.prototypes), dim=-1)
        likeness = torch.einsum("bhwd,bkcd->bkchw", places, parts) * self.log_scale.exp()
        shown = torch.cat([neighbours.present, neighbours.exists[..., None]], dim=-1)
        likeness = likeness.masked_fill(~shown[..., None, None], _FAR)
        return likeness.logsumexp(1).softmax(1)[:, :classes]


def usual_places(neighbours: Neighbours, layout: torch.Tensor) -> torch.Tensor:
    """Where the neighbours have their parts, laid over this vehicle's box.

    Args:
        neighbours: of B images.
        layout: (B, 1 + C, h, w) logits.

    Returns:
        (B, C, h, w) mean share of each part, 0 outside the box.
    """
    weight = neighbours.exists / neighbours.exists.sum(1, keepdim=True).clamp(min=1)
    mean = torch.einsum("bk,bkcij->bcij", weight, neighbours.layouts / 255)
    low, high = vehicle_box(layout).split(2, dim=1)
    # Where each cell of the image lies in the box, in [-1, 1].
    centres = _cells(layout.shape[-1], layout.device)
    x, y = ((centres - low[..., None]) / (high - low).clamp(min=1e-3)[..., None] * 2 - 1).unbind(1)
    return F.grid_sample(mean, _grid(x, y), align_corners=False)


def describe_photo(layout: torch.Tensor) -> torch.Tensor:
    """The descriptor, see :func:`sav.retrieval.entries.describe`, of what the model sees.

    Args:
        layout: (B, 1 + C, h, w) logits.
    """
    low, high = vehicle_box(layout).split(2, dim=1)
    centres = _cells(LAYOUT_SIDE, layout.device)
    x, y = ((low[..., None] + centres * (high - low)[..., None]) * 2 - 1).unbind(1)
    parts = layout.float().softmax(1)[:, 1:]
    cropped = F.grid_sample(parts, _grid(x, y), align_corners=False, padding_mode="border")
    return describe(cropped)


@torch.no_grad()
def vehicle_box(layout: torch.Tensor) -> torch.Tensor:
    """The box around what is taken for parts.

    Args:
        layout: (B, 1 + C, h, w) logits, background first.

    Returns:
        (B, 4) XYXY as shares of the image, finer than the grid: the quantiles of the parts' profile
        along each side.
    """
    parts = 1 - layout.float().softmax(1)[:, 0]
    ends = [_quantiles(parts.sum(axis)) for axis in (1, 2)]
    return torch.stack(ends, dim=-1).flatten(1)


def _quantiles(profile: torch.Tensor) -> torch.Tensor:
    """(B, 2) where a profile (B, n) of mass along [0, 1] begins and ends."""
    size = profile.shape[1]
    mass = (profile - _FAINT).clamp(min=0) + 1e-6
    share = F.pad((mass / mass.sum(1, keepdim=True)).cumsum(1), (1, 0))
    levels = torch.tensor([_BOX_TAIL, 1 - _BOX_TAIL], device=profile.device)
    right = torch.searchsorted(share, levels.expand(len(share), 2).contiguous()).clamp(1, size)
    before, after = share.gather(1, right - 1), share.gather(1, right)
    return (right - 1 + (levels - before) / (after - before).clamp(min=1e-6)) / size


def _cells(size: int, device: torch.device) -> torch.Tensor:
    """(size,) centres of the cells of [0, 1]."""
    return (torch.arange(size, device=device) + 0.5) / size


def _grid(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """(B, h, w, 2) sampling grid of columns x (B, w) and rows y (B, h)."""
    columns = x[:, None, :].expand(-1, y.shape[1], -1)
    rows = y[:, :, None].expand(-1, -1, x.shape[1])
    return torch.stack([columns, rows], dim=-1)


def _nobody(batch: int, classes: int, dim: int, device: torch.device) -> Neighbours:
    """One neighbour that is not there: every parameter stays in use, as DDP demands."""
    shape = batch, 1, classes
    return Neighbours(
        prototypes=torch.zeros(batch, 1, classes + 1, dim, device=device),
        geometry=torch.zeros(*shape, GEOMETRY_DIM, device=device),
        present=torch.zeros(shape, dtype=torch.bool, device=device),
        layouts=torch.zeros(*shape, LAYOUT_SIDE, LAYOUT_SIDE, dtype=torch.uint8, device=device),
        exists=torch.zeros(batch, 1, dtype=torch.bool, device=device),
    )
