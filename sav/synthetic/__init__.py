"""Procedural vehicles: parametric 3D bodies with fine parts, rendered with a z-buffer."""

from sav.synthetic.bodies import BODY_TYPES
from sav.synthetic.dataset import ANNOTATION_FORMATS, generate_dataset
from sav.synthetic.parts import FINE_PARTS, PartMapping, load_mapping
from sav.synthetic.scene import Scene, render_scene
from sav.synthetic.sheet import contact_sheet

__all__ = [
    "ANNOTATION_FORMATS",
    "BODY_TYPES",
    "FINE_PARTS",
    "PartMapping",
    "Scene",
    "contact_sheet",
    "generate_dataset",
    "load_mapping",
    "render_scene",
]
