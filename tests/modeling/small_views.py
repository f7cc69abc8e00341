"""Views of small graphs of parts."""

import torch

from sav.modeling.views import ViewQueries
from sav.ontology import Ontology, PartClass, View


def ontology(name, names, slots=1):
    """A vocabulary without relations; ``slots`` of each class, or of all."""
    counts = slots if isinstance(slots, list) else [slots] * len(names)
    return Ontology(
        name,
        tuple(
            PartClass(part, part, (0.0, 0.0, 0.0), number, (1, 2, 3), "none", None, count)
            for number, (part, count) in enumerate(zip(names, counts, strict=True))
        ),
        (),
        (),
    )


def view_queries(view):
    """The queries of a view, with as many slots as its graph says."""
    slots = view.graph.slots
    classes = torch.arange(len(slots)).repeat_interleave(torch.tensor(slots))
    return ViewQueries(view, classes, torch.cat([torch.arange(count) for count in slots]))


def whole_view(slots):
    """A view in which every class is a part, with so many slots each."""
    graph = ontology("graph", [f"part {number}" for number in range(len(slots))], slots)
    return view_queries(View.of(graph, graph))
