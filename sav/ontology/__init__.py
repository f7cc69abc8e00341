"""Vehicle part vocabularies and the knowledge graph that turns them into prompts."""

from sav.ontology.ontology import (
    Concept,
    Ontology,
    PartClass,
    Relation,
    available_ontologies,
    load_ontology,
)

__all__ = [
    "Concept",
    "Ontology",
    "PartClass",
    "Relation",
    "available_ontologies",
    "load_ontology",
]
