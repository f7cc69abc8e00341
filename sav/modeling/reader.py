"""Reads parts, in the classes of a view, out of the decoder's output."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sav.d2 import CfgNode, Instances
from sav.modeling.grouping import VehicleKinds, group_into_vehicles
from sav.modeling.original_frame import Frame, mask_boxes
from sav.modeling.postprocess import label_map, to_instances
from sav.modeling.sam.decoder import DecoderOutput
from sav.modeling.views import Members, ViewQueries, unite
from sav.precision import float32


@dataclass
class PartReader:
    """Reads the parts of photos out of the decoder's logits.

    Attributes:
        score_threshold: instances below it are not returned.
        background: see :func:`label_map`.
    """

    score_threshold: float
    background: float

    @classmethod
    def from_config(cls, cfg: CfgNode) -> PartReader:
        """As MODEL.SAV.TEST says."""
        return cls(cfg.MODEL.SAV.TEST.SCORE_THRESHOLD, cfg.MODEL.SAV.TEST.BACKGROUND)

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
            "instances" and "part_map" of each, see :meth:`sav.modeling.meta_arch.SAV.forward`.
        """
        output = output.float()
        return [
            {
                "instances": self._instances(one, view, part_classes, frame),
                "part_map": self._part_map(one, view, frame),
            }
            for one, view, frame in zip(output.split(), views, frames, strict=True)
        ]

    def _part_map(self, output: DecoderOutput, view: ViewQueries, frame: Frame) -> torch.Tensor:
        united = view(output)
        presence = view.beyond_narrower(united.presence[0].sigmoid(), view.members)
        return label_map(
            united.masks[0], presence, view.classes, background=self.background, frame=frame
        )

    def _instances(
        self, output: DecoderOutput, view: ViewQueries, part_classes: torch.Tensor, frame: Frame
    ) -> Instances:
        """Of one photo; unions are made of the parts of one vehicle."""
        vehicles = None
        members = view.members
        if not view.view.is_whole:
            members, vehicles = self._by_vehicle(output, view, part_classes)
            output = unite(output, members)
        presence = view.beyond_narrower(output.presence[0].sigmoid(), members)
        scores = presence * output.iou[0].sigmoid()
        kept = scores >= self.score_threshold
        return to_instances(
            output.masks[0, kept],
            scores[kept],
            members.classes[kept],
            vehicles=None if vehicles is None else vehicles[kept],
            kinds=VehicleKinds.of(view.view.vocabulary),
            frame=frame,
        )

    def _by_vehicle(
        self, output: DecoderOutput, view: ViewQueries, part_classes: torch.Tensor
    ) -> tuple[Members, torch.Tensor]:
        """Unions of the parts that are seen, and the vehicle (Q,) of each.

        Where a vehicle has a part twice, the best ones belong together, then the second ones.
        """
        scores = output.presence[0].sigmoid() * output.iou[0].sigmoid()
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
