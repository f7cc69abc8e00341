"""A car of rectangles, seen from its left, in the words of `vehicle`."""

import numpy as np
import torch

from sav.d2 import Boxes, Instances
from sav.ontology import load_ontology

VEHICLE = load_ontology("vehicle")
SIZE = (120, 220)  # height, width
LEFT = {
    "left_frame": (10, 50, 200, 80),
    "left_front_door": (60, 50, 100, 80),
    "left_back_door": (100, 50, 140, 80),
    "left_front_window": (65, 30, 100, 50),
    "left_back_window": (100, 30, 140, 50),
    "left_front_wheel": (30, 75, 50, 95),
    "left_back_wheel": (150, 75, 170, 95),
    "left_mirror": (58, 46, 64, 52),
    "roof": (65, 24, 140, 30),
}
FRONT = {
    "hood": (40, 20, 120, 45),
    "windshield": (50, 5, 110, 20),
    "grille": (60, 45, 100, 55),
    "front_bumper": (40, 55, 120, 75),
    "left_head_light": (100, 45, 118, 55),
    "right_head_light": (42, 45, 60, 55),
}


def instances(boxes, ontology=VEHICLE, size=SIZE, vehicle=0, scores=0.9):
    """Rectangles by the names of their classes; of pairs (name, box) where a name comes twice."""
    rows = list(boxes.items() if isinstance(boxes, dict) else boxes)
    masks = np.zeros((len(rows), *size), dtype=bool)
    for mask, (_, (x0, y0, x1, y1)) in zip(masks, rows, strict=True):
        mask[y0:y1, x0:x1] = True
    found = Instances(size)
    found.pred_masks = torch.from_numpy(masks)
    found.pred_boxes = Boxes(np.array([box for _, box in rows], dtype=np.float32).reshape(-1, 4))
    found.pred_classes = torch.tensor([ontology.class_id(name) for name, _ in rows]).long()
    found.scores = torch.full((len(rows),), scores)
    found.vehicle_ids = torch.full((len(rows),), vehicle)
    return found


def without(boxes, *names):
    return {name: box for name, box in boxes.items() if name not in names}
