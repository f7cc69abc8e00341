import pytest
import torch

from sav.modeling.graph.encoder import GraphEncoder, adjacency, node_features
from sav.ontology import available_ontologies, load_ontology
from sav.ontology.text import TEXT_MODEL, text_embeddings


def build(name="vehicleseg10k", **changes):
    options = {"dim": 64, "layers": 2, "enabled": True, "text_model": TEXT_MODEL} | changes
    torch.manual_seed(0)
    return GraphEncoder(load_ontology(name), **options)


def test_mirrored_classes_differ_by_more_than_their_text():
    ontology = load_ontology("vehicleseg10k")
    text = text_embeddings(ontology, TEXT_MODEL)
    left, right = ontology.class_id("Left front door"), ontology.class_id("Right front door")
    assert torch.cosine_similarity(text[left], text[right], dim=0) > 0.9
    features = node_features(ontology, TEXT_MODEL)
    assert features[left, -1] == 1
    assert features[right, -1] == -1
    prompts = build()()
    assert torch.cosine_similarity(prompts[left], prompts[right], dim=0) < 0.8


@pytest.mark.parametrize("name", available_ontologies())
def test_mirror_images_differ_in_side_and_place_alone(name):
    ontology = load_ontology(name)
    height, side = -3, (-4, -2, -1)  # z; y, how far to the right it is seen, and the side
    features = node_features(ontology, TEXT_MODEL)[: len(ontology)]
    mirrored = features[list(ontology.mirror_ids)]
    assert torch.allclose(mirrored[:, -5], features[:, -5], atol=1e-5)
    assert torch.allclose(mirrored[:, height], features[:, height], atol=1e-5)
    assert torch.allclose(mirrored[:, side], -features[:, side], atol=1e-5)


def test_the_front_is_seen_at_the_left_of_the_left_side():
    ontology = load_ontology("vehicleseg10k")
    across = node_features(ontology, TEXT_MODEL)[:, -2]
    front, back = (ontology.class_id(f"Left {end} door") for end in ("front", "back"))
    assert across[front] < 0 < across[back]
    front, back = (ontology.class_id(f"Right {end} door") for end in ("front", "back"))
    assert across[back] < 0 < across[front]


def test_adjacency_follows_the_relations():
    ontology = load_ontology("vehicleseg10k")
    from sav.ontology.relations import PREDICATES

    matrix = adjacency(ontology)
    plate, body = ontology.class_id("Plate"), ontology.class_id("Foreground")
    inside = PREDICATES.index("inside")
    assert matrix[inside, plate, body] == 1
    assert matrix[inside, body, plate] == 0
    sums = matrix.sum(-1)
    assert (torch.isclose(sums, torch.ones(()), atol=1e-6) | (sums == 0)).all()


def test_messages_travel_along_edges():
    encoder = build(layers=1)
    encoder.features.requires_grad_()
    ontology = load_ontology("vehicleseg10k")
    wheel, door = ontology.class_id("Wheel"), ontology.class_id("Left front door")
    plate, window = ontology.class_id("Plate"), ontology.class_id("Left front window")
    (encoder()[window] * torch.randn(64)).sum().backward()
    reached = encoder.features.grad.abs().sum(1) > 1e-6
    assert reached[door]
    assert not reached[wheel]
    assert not reached[plate]


def test_without_the_graph_prompts_are_class_embeddings():
    encoder = build(enabled=False)
    assert torch.equal(encoder(), encoder.class_embedding)
    assert [name for name, _ in encoder.named_parameters()] == ["class_embedding"]


def test_prompts_are_encoded_nodes_and_class_embeddings():
    encoder = build()
    encoded = encoder.encoded_nodes()
    assert torch.allclose(encoder(), encoded + encoder.class_embedding)
    with torch.no_grad():
        encoder.class_embedding.add_(1.0)
    assert torch.equal(encoder.encoded_nodes(), encoded)


def test_mined_support_weighs_the_relations():
    ontology = load_ontology("vehicleseg10k")
    from sav.ontology.relations import PREDICATES

    touching = [
        fact
        for fact in ontology.relations
        if fact.predicate == "adjacent_to" and fact.subject == "Left front door"
    ]
    rare, *others = touching
    matrix = adjacency(ontology, {rare: 0.0, **dict.fromkeys(others, 0.5)})
    index = {node.name: i for i, node in enumerate(ontology.nodes)}
    row = matrix[PREDICATES.index("adjacent_to"), index["Left front door"]]
    assert row[index[rare.object]] == 0
    expected = torch.tensor(0.5 / len(touching))
    assert all(torch.isclose(row[index[fact.object]], expected) for fact in others)


def test_a_weakly_supported_relation_stays_weak_where_it_is_the_only_one():
    ontology = load_ontology("vehicleseg10k")
    matrix = adjacency(ontology)
    alone = ((matrix > 0).sum(-1) == 1)[..., None] & (matrix > 0)
    assert alone.sum() > 10
    weak = adjacency(ontology, dict.fromkeys(ontology.relations, 0.1))
    assert torch.allclose(weak[alone], torch.tensor(0.1))
    assert torch.allclose(weak, 0.1 * matrix)
