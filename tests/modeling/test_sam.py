"""SAM's own code is the judge: random weights, saved in the official format."""

import pytest
import torch
from segment_anything import sam_model_registry

from sav.d2 import build_backbone, build_model
from sav.errors import SAVError
from sav.modeling.decoder import PartDecoder
from sav.modeling.sam import load_sam, read_sam_checkpoint, resize_position_embedding


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """A ViT-B checkpoint in the official format, and the model it came from."""
    torch.manual_seed(1)
    sam = sam_model_registry["vit_b"]()
    for name, parameter in sam.named_parameters():
        if "pos" in name:  # zero at the start, which would hide mistakes
            torch.nn.init.normal_(parameter, std=0.1)
    path = tmp_path_factory.mktemp("sam") / "sam_vit_b_01ec64.pth"
    torch.save(sam.state_dict(), path)
    return sam.eval(), path


def configure(cfg, path, size):
    cfg.MODEL.BACKBONE.NAME = "SAMEncoder"
    cfg.MODEL.SAM.CHECKPOINT = str(path)
    cfg.INPUT.SAV.SIZE = size
    cfg.MODEL.SAV.DECODER.MLP_DIM = 2048
    return cfg


def test_every_weight_of_the_checkpoint_arrives(official):
    sam, path = official
    loaded = load_sam("vit_b", str(path)).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in sam.state_dict().items())


def test_encoder_is_segment_anythings_on_a_small_canvas(official, cfg):
    sam, path = official
    encoder = build_backbone(configure(cfg, path, 64)).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        resize_position_embedding(sam.image_encoder, 64)
        expected = sam.image_encoder(image)
        embedding = encoder(image)["embedding"]
    assert embedding.shape == (1, 256, 4, 4)
    assert torch.allclose(embedding, expected, atol=1e-5)


def test_resizing_keeps_a_smooth_embedding(official):
    sam = sam_model_registry["vit_b"]().image_encoder
    ramp = torch.linspace(0, 1, 64)[None, :, None, None].expand(1, 64, 64, 768)
    sam.pos_embed = torch.nn.Parameter(ramp.clone())
    resize_position_embedding(sam, 512)
    assert sam.pos_embed.shape == (1, 32, 32, 768)
    assert torch.allclose(sam.pos_embed[0, 5, :, 0], sam.pos_embed[0, 5, :1, 0].expand(32))
    assert (sam.pos_embed[0, 1:, 0, 0] > sam.pos_embed[0, :-1, 0, 0]).all()


def test_decoder_starts_as_sams_single_mask_decoder(official):
    sam, path = official
    decoder = PartDecoder(encoder_shape={}, depth=2, heads=8, mlp_dim=2048).eval()
    decoder.load_sam(read_sam_checkpoint(str(path)))
    embedding = torch.randn(1, 256, 4, 4)
    token = torch.zeros(1, 1, 256)
    with torch.no_grad():
        output = decoder({"embedding": embedding}, token)
        position = sam.prompt_encoder.pe_layer((4, 4))[None]
        tokens = torch.cat([sam.mask_decoder.iou_token.weight, sam.mask_decoder.mask_tokens.weight])
        # SAM decodes four mask tokens together; with the first alone the attention is the same.
        tokens = tokens[None, :2]
        hidden, keys = sam.mask_decoder.transformer(embedding, position, tokens)
        features = sam.mask_decoder.output_upscaling(keys.transpose(1, 2).view(1, 256, 4, 4))
        weights = sam.mask_decoder.output_hypernetworks_mlps[0](hidden[:, 1])
        expected = torch.einsum("bd,bdhw->bhw", weights, features)
    assert torch.allclose(output.masks[:, 0], expected, atol=1e-5)


def test_frozen_encoder_gets_no_gradient_and_the_rest_does(official, cfg, make_input):
    _, path = official
    model = build_model(configure(cfg, path, 64))
    sum(model([make_input()]).values()).backward()
    assert all(p.grad is None for p in model.encoder.parameters())
    assert model.decoder.sam.mask_tokens.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("damage", ["missing", "extra", "shape"])
def test_a_key_that_does_not_fit_is_named(official, tmp_path, damage):
    sam, _ = official
    state = dict(sam.state_dict())
    name = "mask_decoder.iou_token.weight"
    if damage == "missing":
        del state[name]
    elif damage == "extra":
        name = "mask_decoder.iou_token.bias"
        state[name] = torch.zeros(1)
    else:
        state[name] = torch.zeros(1, 3)
    path = tmp_path / "sam.pth"
    torch.save(state, path)
    with pytest.raises(SAVError, match=name):
        load_sam("vit_b", str(path))


def test_a_decoder_of_another_width_is_a_clear_error(official, cfg):
    configure(cfg, official[1], 64)
    cfg.MODEL.SAV.DECODER.MLP_DIM = 32
    with pytest.raises(SAVError, match="MLP_DIM"):
        build_model(cfg)


def test_bad_checkpoints_are_clear_errors(tmp_path):
    with pytest.raises(SAVError, match="does not exist"):
        load_sam("vit_b", str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("no tensors here")
    with pytest.raises(SAVError, match="not a file of tensors"):
        load_sam("vit_b", str(tmp_path / "text.pth"))
    with pytest.raises(SAVError, match="vit_x"):
        load_sam("vit_x", "")
