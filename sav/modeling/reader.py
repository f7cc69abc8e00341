"""Reads parts, in the classes of a view, out of the decoder's output."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sav.d2 import CfgNode, Instances
from sav.errors import SAVError
from sav.modeling.components import vehicle_components
from sav.modeling.grouping import VehicleKinds, group_into_vehicles
from sav.modeling.original_frame import Frame, mask_boxes
from sav.modeling.postprocess import label_map, to_instances
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.views import Members, ViewQueries, unite
from sav.precision import float32

LIKELY = 0.1
"""Score of the parts by which a vehicle is found if it has no surer ones."""


def calibrate(scores: torch.Tensor, line: tuple[float, float]) -> torch.Tensor:
    """Probabilities that instances are right, from presence times predicted IoU times soft IoU.

    The product puts the right instances in front, but is too modest: a part that is surely there
    has the score 0.7 if its mask will match by 0.7. Platt's scaling says how often such an instance
    is right, and keeps the order.

    Args:
        scores: in [0, 1].
        line: slope and intercept over the scores' logits, see
            :func:`sav.evaluation.calibration.fit_line`; (1, 0) changes nothing.

    Returns:
        As many, in [0, 1].
    """
    slope, intercept = line
    return torch.sigmoid(slope * torch.logit(scores, eps=1e-6) + intercept)


def soft_iou(masks: torch.Tensor) -> torch.Tensor:
    """By how much masks will match, as far as their own probabilities say.

    The share of what is inside or probable that is both: 1 where all is certain, less where borders
    are vague or a part may go on elsewhere. A predicted IoU knows the query, this knows the pixels.

    Args:
        masks: (N, h, w) logits.

    Returns:
        (N,) in [0, 1]; 0 for empty masks.
    """
    inside, likely = (masks > 0).flatten(1), masks.sigmoid().flatten(1)
    both = (likely * inside).sum(1)
    return both / (inside.sum(1) + likely.sum(1) - both)


def check_calibration(line: Sequence[float]) -> None:
    """Raise SAVError unless it is a slope above 0 and an intercept."""
    if len(line) != 2 or not all(map(math.isfinite, line)) or line[0] <= 0:
        raise SAVError(
            f"MODEL.SAV.TEST.CALIBRATION {tuple(line)}: give a slope above 0 and an intercept; "
            "(1.0, 0.0) leaves scores as they are"
        )


@dataclass
class PartReader:
    """Reads the parts of photos out of the decoder's logits.

    Attributes:
        score_threshold: instances below it are not returned.
        background: see :func:`label_map`.
        calibration: see :func:`calibrate`.
    """

    score_threshold: float
    background: float
    calibration: tuple[float, float] = (1.0, 0.0)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> PartReader:
        """As MODEL.SAV.TEST says.

        Raises:
            SAVError: a calibration that is not a rising line.
        """
        test = cfg.MODEL.SAV.TEST
        check_calibration(test.CALIBRATION)
        return cls(test.SCORE_THRESHOLD, test.BACKGROUND, tuple(test.CALIBRATION))

    @float32()
    def __call__(
        self,
        output: DecoderOutput,
        views: Sequence[ViewQueries],
        part_classes: torch.Tensor,
        frames: Sequence[Frame],
    ) -> list[dict[str, Instances | torch.Tensor]]:
        """Read B photos.

        Args:
            output: the decoder's, of N part queries.
            views: in whose classes each photo is answered.
            part_classes: (N,) int64 part of each query.
            frames: of the photos.

        Returns:
            "instances", "part_map" and "components" of each, see
            :meth:`sav.modeling.meta_arch.SAV.forward`.
        """
        photos = zip(output.float().split(), views, frames, strict=True)
        return [self._read(one, view, part_classes, frame) for one, view, frame in photos]

    def _read(
        self, output: DecoderOutput, view: ViewQueries, part_classes: torch.Tensor, frame: Frame
    ) -> dict[str, Instances | torch.Tensor]:
        scores = self._scores(output, output.presence[0].sigmoid())
        return {
            "instances": self._instances(output, scores, view, part_classes, frame),
            "part_map": self._part_map(output, view, frame),
            "components": vehicle_components(output.masks[0, scores >= LIKELY] > 0, frame),
        }

    def _part_map(self, output: DecoderOutput, view: ViewQueries, frame: Frame) -> torch.Tensor:
        united = view(output)
        presence = view.beyond_narrower(united.presence[0].sigmoid(), view.members)
        return label_map(
            united.masks[0], presence, view.classes, background=self.background, frame=frame
        )

    def _instances(
        self,
        output: DecoderOutput,
        scores: torch.Tensor,
        view: ViewQueries,
        part_classes: torch.Tensor,
        frame: Frame,
    ) -> Instances:
        """Of one photo, whose part queries have scores; unions are of the parts of one vehicle."""
        vehicles = None
        members = view.members
        if not view.view.is_whole:
            members, vehicles = self._by_vehicle(output, scores, view, part_classes)
            output = unite(output, members)
        presence = view.beyond_narrower(output.presence[0].sigmoid(), members)
        scores = self._scores(output, presence)
        kept = scores >= self.score_threshold
        return to_instances(
            output.masks[0, kept],
            scores[kept],
            members.classes[kept],
            vehicles=None if vehicles is None else vehicles[kept],
            kinds=VehicleKinds.of(view.view.vocabulary),
            frame=frame,
        )

    def _scores(self, output: DecoderOutput, presence: torch.Tensor) -> torch.Tensor:
        """(N,) in [0, 1] of one photo's N queries, from how likely they are there."""
        matching = output.iou[0].sigmoid() * soft_iou(output.masks[0])
        return calibrate(presence * matching, self.calibration)

    def _by_vehicle(
        self,
        output: DecoderOutput,
        scores: torch.Tensor,
        view: ViewQueries,
        part_classes: torch.Tensor,
    ) -> tuple[Members, torch.Tensor]:
        """Unions of the parts that are seen, and the vehicle (Q,) of each.

        Where a vehicle has a part twice, the best ones belong together, then the second ones.
        """
        boxes = mask_boxes(output.masks[0] > 0)
        seen = ((scores >= self.score_threshold) & (boxes[:, 2] > boxes[:, 0])).nonzero()[:, 0]
        seen = seen[scores[seen].argsort(descending=True, stable=True)]
        kinds = VehicleKinds.of(view.view.graph)
        found = group_into_vehicles(boxes[seen], part_classes[seen], scores[seen], kinds)
        groups: dict[tuple[int, int], dict[int, int]] = defaultdict(dict)
        times: dict[tuple[int, int], int] = defaultdict(int)
        columns = (x.tolist() for x in (seen, part_classes[seen], found))
        for query, part, vehicle in zip(*columns, strict=True):
            groups[vehicle, times[vehicle, part]][part] = query
            times[vehicle, part] += 1
        members = Members.of(list(groups.values()), view.unions).to(seen.device)
        vehicle_of = torch.tensor([vehicle for vehicle, _ in groups], dtype=torch.int64)
        return members, vehicle_of.to(seen.device)[members.group]
