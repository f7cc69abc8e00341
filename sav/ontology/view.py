"""Vocabularies as views of one knowledge graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sav.errors import SAVError
from sav.ontology.ontology import Ontology, Union
from sav.ontology.reading import available_ontologies, load_ontology


@dataclass(frozen=True)
class View:
    """A vocabulary whose classes are unions of a graph's parts.

    Attributes:
        vocabulary: in whose classes photos are annotated and answers given.
        graph: of the parts that a model knows.
        unions: what each class of the vocabulary is.
    """

    vocabulary: Ontology
    graph: Ontology
    unions: tuple[Union, ...]

    @classmethod
    def of(cls, vocabulary: Ontology, graph: Ontology) -> View:
        """See a graph in a vocabulary: its own, or one that is a view of it.

        Raises:
            SAVError: the vocabulary is a view of something else.
        """
        if vocabulary == graph:
            return cls(graph, graph, tuple(Union((part.name,)) for part in graph.classes))
        if vocabulary.view_of != graph.name:
            seen = vocabulary.view_of
            what = f"a view of {seen}" if seen else "a graph of its own"
            raise SAVError(
                f"vocabulary {vocabulary.name}: it is {what}, not a view of {graph.name}"
            )
        return cls(vocabulary, graph, vocabulary.unions)

    @property
    def name(self) -> str:
        """The vocabulary's."""
        return self.vocabulary.name

    @property
    def is_whole(self) -> bool:
        """Whether its classes are the graph's own parts."""
        return self.vocabulary == self.graph


def load_views(graph: Ontology, files: Sequence[str] = ()) -> tuple[View, ...]:
    """The views of a graph: its own parts first, then the shipped ones, then those of files.

    Raises:
        SAVError: a file is wrong, is a view of another graph, or two views have one name.
    """
    shipped = (load_ontology(name) for name in available_ontologies())
    own = [v for v in shipped if v.view_of == graph.name and v != graph]
    vocabularies = [graph, *own, *map(load_ontology, files)]
    names = [vocabulary.name for vocabulary in vocabularies]
    for name in names:
        if names.count(name) > 1:
            raise SAVError(f"MODEL.SAV.VIEWS: two vocabularies are called {name}")
    return tuple(View.of(vocabulary, graph) for vocabulary in vocabularies)


def find_view(views: Sequence[View], name: str) -> int:
    """The place of a view; the first for an empty name.

    Raises:
        SAVError: there is none of that name.
    """
    known = [view.name for view in views]
    if name and name not in known:
        raise SAVError(f"vocabulary '{name}': the model knows {', '.join(known)}")
    return known.index(name) if name else 0
