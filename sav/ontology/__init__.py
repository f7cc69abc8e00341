"""Vehicle part vocabularies and the knowledge graph that turns them into prompts."""

from sav.ontology.ontology import Concept, Ontology, PartClass, Union
from sav.ontology.reading import available_ontologies, load_ontology
from sav.ontology.relations import Relation
from sav.ontology.view import View, find_view, load_views

__all__ = [
    "Concept",
    "Ontology",
    "PartClass",
    "Relation",
    "Union",
    "View",
    "available_ontologies",
    "find_view",
    "load_ontology",
    "load_views",
]
