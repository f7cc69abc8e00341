"""What a server says of its model, and the model's answers in every view."""

from __future__ import annotations

from typing import Any

from sav import __version__
from sav.drawing.parts import CONFIDENT
from sav.ontology import Ontology
from sav.predict.predictor import SAVPredictor
from sav.serve.limits import Limits
from sav.serve.upload import PHOTO_TYPES


def in_every_view(predictor: SAVPredictor) -> dict[str, SAVPredictor]:
    """Predictors by the name of the vocabulary that they answer in; they share the model."""
    predictors = {}
    for queries in predictor.model.views:
        cfg = predictor.cfg.clone()
        cfg.defrost()
        cfg.MODEL.SAV.TEST.VOCABULARY = queries.view.name
        cfg.freeze()
        predictors[queries.view.name] = SAVPredictor(cfg, predictor.model)
    return predictors


def describe_model(predictor: SAVPredictor, limits: Limits, name: str) -> dict[str, Any]:
    """Everything that does not depend on a photo, as plain data.

    Args:
        predictor: the model, and the vocabulary that it answers in if nothing else is asked.
        limits: of requests.
        name: of the model.
    """
    context = predictor.model.context
    return {
        "name": name,
        "version": __version__,
        "vocabulary": predictor.ontology.name,
        "vocabularies": [_describe(queries.view.vocabulary) for queries in predictor.model.views],
        "score_threshold": CONFIDENT,
        "gallery": {
            "vehicles": 0 if context is None else len(context.gallery),
            "neighbours": 0 if context is None else context.neighbours,
        },
        "limits": {
            "bytes": limits.max_bytes,
            "pixels": limits.max_pixels,
            "seconds": limits.seconds,
            "types": [f"image/{kind}" for kind in PHOTO_TYPES],
        },
    }


def _describe(ontology: Ontology) -> dict[str, Any]:
    return {
        "name": ontology.name,
        "classes": [
            {"name": part.name, "description": part.description, "color": part.color}
            for part in ontology.classes
        ],
        "relations": [(r.subject, r.predicate, r.object) for r in ontology.relations],
    }
