"""Vehicle part vocabularies and the knowledge graph that turns them into prompts."""

from sav.ontology.ontology import Concept, Ontology, PartClass
from sav.ontology.reading import available_ontologies, load_ontology
from sav.ontology.relations import Relation

__all__ = [
    "Concept",
    "Ontology",
    "PartClass",
    "Relation",
    "available_ontologies",
    "load_ontology",
]
