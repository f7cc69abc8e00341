"""What weight decay reaches."""

import pytest

from sav.config import load_config
from sav.engine.optimizer import build_adamw
from sav.engine.trainer import Trainer
from tests.modeling.toy_sam import build_encoder


@pytest.fixture(scope="module")
def model(root):
    """The toy model with an encoder of Segment Anything's."""
    model = Trainer.build_model(load_config(root / "toy.yaml"))
    model.encoder = build_encoder(64)
    return model


def decays(root, model, *options):
    cfg = load_config(root / "toy.yaml", [*options, "SOLVER.WEIGHT_DECAY", "0.05"])
    groups = build_adamw(cfg, model).param_groups
    found = {p: group["weight_decay"] for group in groups for p in group["params"]}
    return {name: found[p] for name, p in model.named_parameters()}


def test_only_matrices_and_kernels_decay(root, model):
    decay = decays(root, model)
    shapes = {name: p.ndim for name, p in model.named_parameters()}
    assert set(decay.values()) == {0.0, 0.05}
    assert {decay[name] for name, ndim in shapes.items() if ndim < 2} == {0.0}
    for name in (
        "encoder.pos_embed",
        "encoder.blocks.0.attn.rel_pos_h",
        "encoder.neck.1.weight",  # SAM's LayerNorm2d
        "decoder.sam.iou_token.weight",
        "decoder.sam.mask_tokens.weight",
        "decoder.pyramid.levels.layer_blocks.0.1.weight",
        "queries.slot_embedding.weight",
        "graph.class_embedding",
    ):
        assert decay[name] == 0.0, name
    for name in (
        "encoder.patch_embed.proj.weight",
        "encoder.blocks.0.attn.qkv.weight",
        "graph.project.0.weight",
        "graph.layers.0.messages",
        "decoder.shortcut.weight",
    ):
        assert decay[name] == 0.05, name


def test_the_config_can_say_otherwise(root, model):
    chosen = "(('graph.class_embedding', 0.1), ('encoder.patch_embed.proj.bias', 0.2))"
    decay = decays(root, model, "SOLVER.WEIGHT_DECAYS", chosen)
    assert decay["graph.class_embedding"] == 0.1
    assert decay["encoder.patch_embed.proj.bias"] == 0.2
