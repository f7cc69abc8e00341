import pytest
import torch

from sav.config import load_config, without_first_weights
from sav.d2 import build_model
from sav.errors import SAVError
from sav.modeling.weights import load_weights, save_weights, training_data
from sav.run_folder import CONFIG_FILE, SHIPPED, WEIGHTS_FILE


def test_half_precision_halves_the_file_and_loads_into_a_full_model(model, cfg, tmp_path):
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_weights(model, full)
    save_weights(model, half, half=True)
    assert half.stat().st_size < 0.6 * full.stat().st_size
    other = build_model(cfg)
    load_weights(other, half)
    for name, value in other.state_dict().items():
        assert value.dtype == model.state_dict()[name].dtype
        assert torch.allclose(value, model.state_dict()[name], rtol=1e-3, atol=1e-3), name


def test_what_weights_say_of_their_data_is_never_an_error(model, tmp_path):
    path = tmp_path / "some.safetensors"
    assert training_data(path) == ""
    path.write_bytes(b"damaged")
    assert training_data(path) == ""
    save_weights(model, path, trained_on="noise")
    assert training_data(path) == "noise"


def test_a_training_with_context_starts_from_weights_without(model, cfg, tmp_path):
    cfg.MODEL.SAV.CONTEXT.ENABLED = False
    bare = build_model(cfg)
    path = tmp_path / "bare.safetensors"
    save_weights(bare, path)
    own = {n: v.clone() for n, v in model.state_dict().items() if n.startswith("context.")}
    load_weights(model, path, adapt=True)
    assert all(torch.equal(model.state_dict()[name], value) for name, value in own.items())
    assert torch.equal(model.graph.class_embedding, bare.graph.class_embedding)
    with pytest.raises(SAVError, match="missing"):
        load_weights(model, path)


@pytest.mark.parametrize("graph", [True, False])
def test_parts_that_both_vocabularies_know_carry_over(cfg, tmp_path, graph):
    cfg.MODEL.SAV.GRAPH.ENABLED = graph
    source = build_model(cfg)
    path = tmp_path / "source.safetensors"
    save_weights(source, path)
    cfg.MODEL.SAV.ONTOLOGY = "dsmlr"
    other = build_model(cfg)
    own = other.graph.class_embedding.detach().clone()
    load_weights(other, path, adapt=True)
    wheel, bumper = (other.ontology.class_id(name) for name in ("wheel", "front_bumper"))
    before = source.ontology.class_id("Wheel")
    assert torch.equal(other.graph.class_embedding[wheel], source.graph.class_embedding[before])
    assert torch.equal(other.graph.class_embedding[bumper], own[bumper])
    if graph:
        assert torch.equal(
            other.class_maps.fine.to_weights.weight, source.class_maps.fine.to_weights.weight
        )
    else:
        shared = source.class_maps.fine.to_weights.weight[:, before]
        assert torch.equal(other.class_maps.fine.to_weights.weight[:, wheel], shared)


def test_the_shipped_model_starts_another_vocabulary():
    options = ["MODEL.SAV.ONTOLOGY", "dsmlr", "MODEL.DEVICE", "cpu"]
    model = build_model(without_first_weights(load_config(SHIPPED / CONFIG_FILE, options)))
    own = model.graph.class_embedding.detach().clone()
    load_weights(model, SHIPPED / WEIGHTS_FILE, adapt=True)
    kept = (model.graph.class_embedding == own).all(1)
    assert not kept[model.ontology.class_id("hood")]
    assert kept[model.ontology.class_id("front_left_door")]  # with its window, no part of the other


def test_weights_of_another_vocabulary_that_lack_a_tensor_are_refused(model, cfg, tmp_path):
    path = tmp_path / "source.safetensors"
    del model.graph.class_embedding
    save_weights(model, path)
    cfg.MODEL.SAV.ONTOLOGY = "dsmlr"
    with pytest.raises(SAVError, match=r"missing .*graph\.class_embedding"):
        load_weights(build_model(cfg), path, adapt=True)


def test_a_checkpoint_cannot_start_another_vocabulary_and_says_what_can(model, cfg, tmp_path):
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    cfg.MODEL.SAV.ONTOLOGY = "dsmlr"
    with pytest.raises(SAVError, match=r"model_final\.safetensors does"):
        load_weights(build_model(cfg), tmp_path / "model.pth", adapt=True)
