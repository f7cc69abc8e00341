"""The relational graph encoder: knowledge graph in, one prompt per part class out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import nn

from sav.d2 import CfgNode
from sav.modeling.embedding import EMBEDDING_DIM
from sav.ontology import Ontology
from sav.ontology.graph import relation_support, relation_weights
from sav.ontology.priors import Priors
from sav.ontology.relations import PREDICATES, Relation
from sav.ontology.text import text_embeddings

_SIDE_CODE = {"left": 1.0, "right": -1.0, "none": 0.0}


def node_features(ontology: Ontology, text_model: str) -> torch.Tensor:
    """The features of each node, in three blocks of about one size.

    Sentence vectors of "left front door" and "right front door" are nearly the same (cosine 0.97
    with all-MiniLM-L6-v2), so the text is standardised over the nodes, and side and nominal
    position are given explicitly beside it. In a picture the front of the vehicle is at the left
    where its left side is seen, and at the right where its right side is: without that, "back" of
    the one side would teach the reverse of what it means on the other.

    Returns:
        (nodes, D + 5) float32: text, about 1 long; position x, y, z and how far to the right one
        sees the part who looks at its side, standardised; and side (1 left, -1 right).
    """
    text = _standardised(text_embeddings(ontology, text_model))
    position = torch.tensor([node.position for node in ontology.nodes])
    sides = [_SIDE_CODE[part.side] for part in ontology.classes]
    side = torch.tensor(sides + [0.0] * len(ontology.concepts))[:, None]
    across = -side * position[:, :1]
    places = _standardised(torch.cat([position, across], dim=1))
    return torch.cat([text / text.shape[1] ** 0.5, places, side], dim=1)


def _standardised(columns: torch.Tensor) -> torch.Tensor:
    return (columns - columns.mean(0)) / columns.std(0).clamp(min=1e-6)


def adjacency(ontology: Ontology, support: Mapping[Relation, float] | None = None) -> torch.Tensor:
    """The graph as one matrix a predicate.

    Args:
        ontology: the knowledge graph.
        support: see :func:`sav.ontology.graph.relation_weights`.

    Returns:
        (R, nodes, nodes) float32; entry (r, i, j) weighs the message from node j to node i along
        predicate r: its support over the number of such relations of node i. So a relation with
        little support stays weak, even where it is a node's only one.
    """
    every = torch.from_numpy(relation_weights(ontology, PREDICATES))
    weights = torch.from_numpy(relation_weights(ontology, PREDICATES, support))
    return weights / every.sum(-1, keepdim=True).clamp(min=1)


class RelationalLayer(nn.Module):
    """One round of messages with a weight matrix per predicate (R-GCN, arXiv 1703.06103)."""

    def __init__(self, dim: int, num_predicates: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.messages = nn.Parameter(torch.empty(num_predicates, dim, dim))
        nn.init.normal_(self.messages, std=(dim * num_predicates) ** -0.5)
        self.update = nn.Sequential(nn.GELU(), nn.Linear(dim, dim))

    def forward(self, nodes: torch.Tensor, adjacency: torch.Tensor) -> torch.Tensor:
        """Args: nodes (V, dim); adjacency (R, V, V). Returns: (V, dim)."""
        sources = torch.einsum("vd,rde->rve", self.norm(nodes), self.messages)
        return nodes + self.update(torch.einsum("rvw,rwe->ve", adjacency, sources))


class GraphEncoder(nn.Module):
    """Encodes an ontology into class prompts.

    A prompt is a sum of two: the encoded node of the class, and a learned class embedding for what
    text and relations cannot tell apart. With ``enabled=False`` there is only the second, the
    ablation without knowledge.

    Args:
        ontology: vocabulary and relations.
        dim: prompt width.
        layers: rounds of message passing; 0 keeps text, position and side only.
        enabled: whether the graph is used.
        text_model: see :func:`sav.ontology.text.text_embeddings`.
        support: see :func:`adjacency`.
    """

    # See :mod:`sav.modeling.weights`.
    class_axes: ClassVar = {"class_embedding": 0}

    def __init__(
        self,
        ontology: Ontology,
        *,
        dim: int,
        layers: int,
        enabled: bool,
        text_model: str,
        support: Mapping[Relation, float] | None = None,
    ) -> None:
        super().__init__()
        self.num_classes = len(ontology)
        self.class_embedding = nn.Parameter(torch.randn(self.num_classes, dim))
        self.enabled = enabled
        if not enabled:
            return
        features = node_features(ontology, text_model)
        self.register_buffer("features", features, persistent=False)
        self.register_buffer("adjacency", adjacency(ontology, support), persistent=False)
        self.project = nn.Sequential(nn.Linear(features.shape[1], dim), nn.LayerNorm(dim))
        self.layers = nn.ModuleList(RelationalLayer(dim, len(PREDICATES)) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)

    @classmethod
    def from_config(cls, cfg: CfgNode, ontology: Ontology) -> GraphEncoder:
        """As MODEL.SAV.GRAPH says."""
        graph = cfg.MODEL.SAV.GRAPH
        priors = Priors.load(graph.PRIORS, ontology) if graph.PRIORS else None
        return cls(
            ontology,
            dim=EMBEDDING_DIM,
            layers=graph.LAYERS,
            enabled=graph.ENABLED,
            text_model=graph.TEXT_MODEL,
            support=priors and relation_support(ontology, priors),
        )

    @property
    def class_features(self) -> torch.Tensor:
        """(C, F) float32 features of the classes' nodes; one-hot without the graph."""
        return self.features[: self.num_classes] if self.enabled else torch.eye(self.num_classes)

    def forward(self) -> torch.Tensor:
        """Prompts (C, dim)."""
        learned = self.embeddings()
        return self.encoded_nodes() + learned if self.enabled else learned

    def embeddings(self) -> torch.Tensor:
        """(C, dim) the learned part of the prompts."""
        return self.class_embedding

    def encoded_nodes(self) -> torch.Tensor:
        """(C, dim) the part of the prompts that comes from the graph."""
        nodes = self.project(self.features)
        for layer in self.layers:
            nodes = layer(nodes, self.adjacency)
        return self.norm(nodes)[: self.num_classes]
