"""torchvision's Mask R-CNN on SAV's encoder."""

from __future__ import annotations

import torch
from torchvision.models.detection import MaskRCNN as TorchvisionMaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import MultiScaleRoIAlign

from sav.bench.peers.body import BodyMaps
from sav.bench.peers.peer import MOST_INSTANCES, Parts, Peer
from sav.d2 import META_ARCH_REGISTRY, CfgNode, Instances, ShapeSpec
from sav.modeling.original_frame import Frame, mask_boxes
from sav.modeling.postprocess import to_instances
from sav.modeling.pyramid import PYRAMID_WIDTH, feature_pyramid
from sav.modeling.targets import Supervision, Targets
from sav.precision import float32

_BOX_WIDTH = 512
_REGIONS = 64  # of a photo that a step learns from, as in the paper without a pyramid
_ANCHOR = 1 / 20  # of the canvas: the smallest; those of the next level are twice as large
_SCALES = (1.0, 2**0.5)
_RATIOS = (0.5, 1.0, 2.0)


@META_ARCH_REGISTRY.register()
class MaskRCNN(Peer):
    """Mask R-CNN (arXiv 1703.06870), with torchvision's own losses and light heads.

    The label map is drawn from the instances, the best score on top.

    Args:
        cfg: SAV's own.
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__(cfg)
        self.encoder = BodyMaps.of(cfg)
        shape = self.encoder.output_shape()
        self.detector = _detector(shape, len(self.ontology), self.preprocess.size)
        self.detector.roi_heads.score_thresh = self.score_threshold

    def losses(self, images: torch.Tensor, supervision: Supervision) -> dict[str, torch.Tensor]:
        """torchvision's: of the proposals, their boxes, classes and masks."""
        return self._detect(images, [_annotations(target) for target in supervision.targets])[1]

    def _detect(
        self, images: torch.Tensor, truth: list[dict[str, torch.Tensor]] | None = None
    ) -> tuple[list[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
        """The detections and losses, one of which is empty.

        The photos are on the canvas, so torchvision's own transform has nothing to do.
        """
        sizes = [tuple(images.shape[-2:])] * len(images)
        maps = self.detector.backbone(self.encoder(images))
        proposals, losses = self.detector.rpn(ImageList(images, sizes), maps, truth)
        found, others = self.detector.roi_heads(maps, proposals, sizes, truth)
        return found, losses | others

    def predict(self, images: torch.Tensor, frames: list[Frame]) -> list[Parts]:
        """The detections, and a label map of them."""
        found, _ = self._detect(images)
        return [self._parts(one, frame) for one, frame in zip(found, frames, strict=True)]

    @float32()
    def _parts(self, found: dict[str, torch.Tensor], frame: Frame) -> Parts:
        """Of one photo's detections."""
        canvas = (frame.canvas, frame.canvas)
        masks, boxes, scores = (found[name].float() for name in ("masks", "boxes", "scores"))
        masks = paste_masks_in_image(masks, boxes, canvas)[:, 0]
        instances = to_instances(
            *(masks - 0.5, scores, found["labels"] - 1), kinds=self.kinds, frame=frame
        )
        return {"instances": instances, "part_map": self._draw(instances)}

    def _draw(self, instances: Instances) -> torch.Tensor:
        """(H, W) uint8 label map of instances that are likelier than the background."""
        masks = instances.pred_masks
        labels = torch.zeros(masks.shape[1:], dtype=torch.uint8, device=masks.device)
        drawn = (instances.scores > self.background).nonzero()[:, 0]
        for row in drawn.flip(0).tolist():  # the best come first
            labels[masks[row]] = instances.pred_classes[row].to(torch.uint8) + 1
        return labels


def _annotations(target: Targets) -> dict[str, torch.Tensor]:
    """As torchvision takes them; its class 0 is the background."""
    masks = target.masks > 0
    return {
        "boxes": mask_boxes(masks),
        "labels": target.classes + 1,
        "masks": masks.to(torch.uint8),
    }


def _detector(shape: dict[str, ShapeSpec], num_classes: int, size: int) -> TorchvisionMaskRCNN:
    """The model of torchvision behind an FPN with the encoder's levels.

    The usual coarser level would have its anchors in the corners of a small canvas, so each level
    has anchors of two sizes instead.

    Args:
        shape: of the encoder's maps.
        num_classes: C, without the background.
        size: canvas side S.
    """
    pyramid = feature_pyramid(shape)
    pyramid.out_channels = PYRAMID_WIDTH
    levels = list(shape)
    sides = [tuple(size * _ANCHOR * 2**n * scale for scale in _SCALES) for n in range(len(levels))]
    return TorchvisionMaskRCNN(
        pyramid,
        rpn_anchor_generator=AnchorGenerator(tuple(sides), (_RATIOS,) * len(sides)),
        box_roi_pool=MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2),
        box_head=TwoMLPHead(PYRAMID_WIDTH * 7**2, _BOX_WIDTH),
        box_predictor=FastRCNNPredictor(_BOX_WIDTH, num_classes + 1),
        box_batch_size_per_image=_REGIONS,
        box_detections_per_img=MOST_INSTANCES,
        mask_roi_pool=MultiScaleRoIAlign(levels, output_size=14, sampling_ratio=2),
        mask_head=MaskRCNNHeads(PYRAMID_WIDTH, (PYRAMID_WIDTH,) * 4, dilation=1),
        mask_predictor=MaskRCNNPredictor(PYRAMID_WIDTH, PYRAMID_WIDTH, num_classes + 1),
    )
