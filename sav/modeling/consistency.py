"""Scores that mined priors contradict, lowered.

What is confident within a vehicle speaks against what is less confident and, by the priors, does
not go with it: a right door beside a left one, a second windshield, a plate beside the body. Scores
only ever sink, and nothing is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from sav.d2 import Boxes, CfgNode, Instances
from sav.errors import SAVError
from sav.ontology import Ontology
from sav.ontology.priors import Priors

# What is this many times rarer than chance, or than the prior's mean allows, begins to contradict.
_RARE = 0.25
# Boxes of predicted masks are off by a few pixels: "within" means within this share of the
# vehicle's longer side.
_MARGIN = 0.05


@dataclass(frozen=True)
class ConsistencyRules:
    """What :func:`rescore` asks of the priors; C classes, indexed [a, b], b given a.

    Attributes:
        lift: (C, C) at most so many times as often as by chance is b seen where a is. The upper end
            of P(b | a) over the lower end of P(b), so few counts do not contradict anything.
        outside: (C, C) at most this share of b's box lies outside a's, on average: one minus the
            lower end of containment.
        max_instances: (C,) of a class in one vehicle.
    """

    lift: torch.Tensor
    outside: torch.Tensor
    max_instances: torch.Tensor

    @classmethod
    def from_priors(cls, priors: Priors, ontology: Ontology) -> ConsistencyRules:
        """Rules of a vocabulary."""
        chance = np.maximum(priors.frequency.low, 1e-9)[None]
        # Where b was hardly ever seen, nothing is known of when it is.
        lift = np.where(priors.frequency.low > 0, priors.co_visibility.high / chance, 1.0)
        return cls(
            torch.from_numpy(lift).float(),
            torch.from_numpy(1 - priors.contained.low).float(),
            torch.tensor(ontology.slots),
        )

    @classmethod
    def from_config(cls, cfg: CfgNode, ontology: Ontology) -> ConsistencyRules | None:
        """Rules from the file that the config names; None when they are switched off.

        Args:
            cfg: the node MODEL.SAV.TEST.
            ontology: the model's vocabulary.

        Raises:
            SAVError: there is no such file, or see :meth:`sav.ontology.priors.Priors.load`.
        """
        if not cfg.CONSISTENCY:
            return None
        if not cfg.PRIORS:
            raise SAVError(
                "MODEL.SAV.TEST.CONSISTENCY needs MODEL.SAV.TEST.PRIORS: the file that "
                "'sav graph mine' has written"
            )
        return cls.from_priors(Priors.load(cfg.PRIORS, ontology), ontology)


def rescore(instances: Instances, rules: ConsistencyRules) -> Instances:
    """Lower the scores of instances that contradict better ones of their vehicle.

    An instance i keeps the share 1 - max_j s_j c_ij of its score, over the better scored instances
    j of its vehicle, where s_j is j's score and c_ij in [0, 1] how strongly j speaks against i:

    - c = 1 - lift / 0.25 where the classes are seen together less than a quarter as often as by
      chance;
    - c = 1 - P / 0.25 with P = outside / (share of i's box outside j's): by Markov's inequality at
      most a share P of parts of this class lies that far outside;
    - c = 1 where i is one more than the vocabulary allows in a vehicle, for all better ones.

    Args:
        instances: pred_boxes, scores, pred_classes and vehicle_ids of N parts; left unchanged.
        rules: of the same vocabulary.

    Returns:
        The same instances with new scores, best first.
    """
    if len(instances) == 0:
        return instances
    scores, classes = instances.scores, instances.pred_classes
    vehicles = instances.vehicle_ids
    lift, outside = rules.lift.to(scores.device), rules.outside.to(scores.device)
    rank = scores.argsort(descending=True, stable=True).argsort()
    same_vehicle = vehicles[:, None] == vehicles[None]
    better = same_vehicle & (rank[None] < rank[:, None])
    same_class = same_vehicle & (classes[:, None] == classes[None])

    far = _outside(instances.pred_boxes, same_vehicle, same_class)
    # Row i is the part in question, b; column j what is said to go with it, a.
    chance = torch.minimum(
        lift[classes[None], classes[:, None]],
        outside[classes[None], classes[:, None]] / far.clamp(min=1e-6),
    )
    against = (1 - chance / _RARE).clamp(min=0)
    surplus = (better & same_class).sum(1) >= rules.max_instances.to(scores.device)[classes]
    against = torch.where(surplus[:, None] & same_class, 1.0, against)
    doubt = (against * scores[None] * better).amax(1)

    rescored = Instances(instances.image_size, **instances.get_fields())
    rescored.scores = scores * (1 - doubt)
    return rescored[rescored.scores.argsort(descending=True, stable=True)]


def _outside(boxes: Boxes, same_vehicle: torch.Tensor, same_class: torch.Tensor) -> torch.Tensor:
    """(N, N): share of box i outside the best box of j's class in the vehicle; 0 on the diagonal.

    The other boxes are enlarged by the margin.
    """
    box = boxes.tensor
    low = torch.where(same_vehicle[..., None], box[None, :, :2], torch.inf).amin(1)
    high = torch.where(same_vehicle[..., None], box[None, :, 2:], -torch.inf).amax(1)
    margin = _MARGIN * (high - low).amax(1, keepdim=True)
    near_low = torch.maximum(box[:, None, :2], (box[:, :2] - margin)[None])
    near_high = torch.minimum(box[:, None, 2:], (box[:, 2:] + margin)[None])
    shared = (near_high - near_low).clamp(min=0).prod(2)
    held = shared / boxes.area().clamp(min=1e-6)[:, None]
    # (N, N, N): i, j, and the instances k of j's class.
    return 1 - torch.where(same_class[None], held[:, None, :], 0.0).amax(2)
