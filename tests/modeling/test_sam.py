"""Segment Anything's own code is the judge: random weights, saved in the official format."""

import copy

import pytest
import torch
from segment_anything import sam_model_registry
from torch.nn import functional as F

from sav.d2 import build_backbone, build_model
from sav.errors import SAVError
from sav.modeling.encoders import SAMEncoder
from sav.modeling.encoders.tuning import resize_position_embedding
from sav.modeling.sam.checkpoint import load_image_encoder
from sav.modeling.sam.decoder import IOU_OFFSET, IOU_SLOPE, PartDecoder
from sav.modeling.weights import save_weights
from sav.predict.predictor import SAVPredictor

from .toy_sam import TOY, build_encoder, set_up


@pytest.mark.parametrize(
    ("name", "keys", "millions"), [("vit_b", 314, 94), ("vit_l", 482, 312), ("vit_h", 594, 641)]
)
def test_every_key_of_the_official_files_has_its_place(name, keys, millions):
    """On the meta device, which has shapes and no memory."""
    with torch.device("meta"):
        official = sam_model_registry[name]().state_dict()
        encoder = SAMEncoder(
            body=sam_model_registry[name]().image_encoder,
            image_size=1024,
            tuning="full",
            rank=1,
            alpha=1,
            dropout=0,
        )
        shapes = encoder.output_shape()
        decoder = PartDecoder(encoder_shape=shapes, depth=2, heads=8, mlp_dim=2048)
    assert len(official) == keys
    assert round(sum(value.numel() for value in official.values()) / 1e6) == millions
    ours = {f"image_encoder.{k}": v.shape for k, v in encoder.body.state_dict().items()}
    ours |= {f"mask_decoder.{k}": v.shape for k, v in decoder.sam.state_dict().items()}
    theirs = {k: v.shape for k, v in official.items() if not k.startswith("prompt_encoder.")}
    for token in (1, 2, 3):  # a decoder goes on from one of SAM's four mask tokens
        for layer in range(3):
            for kind in ("weight", "bias"):
                name = f"mask_decoder.output_hypernetworks_mlps.{{}}.layers.{layer}.{kind}"
                assert theirs.pop(name.format(token)) == ours[name.format(0)]
    assert theirs.keys() == ours.keys()
    different = {name for name in ours if ours[name] != theirs[name]}
    last = "mask_decoder.iou_prediction_head.layers.2"
    assert different == {"mask_decoder.mask_tokens.weight", f"{last}.weight", f"{last}.bias"}
    assert all(theirs[name] == (4, *ours[name][1:]) for name in different)


def test_every_weight_of_the_encoder_arrives(official):
    sam, path = official
    loaded = load_image_encoder(TOY, str(path)).state_dict()
    expected = sam.image_encoder.state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(value, loaded[name]) for name, value in expected.items())


def test_encoder_is_segment_anythings_on_its_own_canvas(official, cfg):
    sam, path = official
    encoder = build_backbone(set_up(cfg, path, 1024)).eval()
    image = torch.randn(1, 3, 1024, 1024)
    with torch.no_grad():
        embedding = encoder(image)["embedding"]
        assert embedding.shape == (1, 256, 64, 64)
        assert torch.allclose(embedding, sam.image_encoder(image), atol=1e-5)


@pytest.mark.parametrize("size", [64, 512])
def test_encoder_on_other_canvases_is_one_built_for_them(official, cfg, size):
    """The same network, built for the canvas, with embeddings resized by hand."""
    sam, path = official
    state = dict(sam.image_encoder.state_dict())
    side = size // 16
    state["pos_embed"] = F.interpolate(
        state["pos_embed"].permute(0, 3, 1, 2), (side, side), mode="bicubic"
    ).permute(0, 2, 3, 1)
    for axis in "hw":  # of the global block; the other has windows of 14 on every canvas
        name = f"blocks.1.attn.rel_pos_{axis}"
        state[name] = F.interpolate(state[name].T[None], 2 * side - 1, mode="linear")[0].T
    native = build_encoder(size).eval()
    native.load_state_dict(state)
    encoder = build_backbone(set_up(cfg, path, size)).eval()
    image = torch.randn(1, 3, size, size)
    with torch.no_grad():
        assert torch.allclose(encoder(image)["embedding"], native(image), atol=1e-5)


def test_resizing_keeps_a_smooth_embedding():
    encoder = build_encoder()
    ramp = torch.linspace(0, 1, 64)[None, :, None, None].expand(1, 64, 64, 32)
    encoder.pos_embed = torch.nn.Parameter(ramp.clone())
    resize_position_embedding(encoder, 512)
    assert encoder.pos_embed.shape == (1, 32, 32, 32)
    assert torch.allclose(encoder.pos_embed[0, 5, :, 0], encoder.pos_embed[0, 5, :1, 0].expand(32))
    assert (encoder.pos_embed[0, 1:, 0, 0] > encoder.pos_embed[0, :-1, 0, 0]).all()
    with pytest.raises(SAVError, match="multiple of 16"):
        resize_position_embedding(encoder, 500)


def sam_for(sam, size):
    """The official SAM, its image encoder built for another canvas by hand."""
    if size == sam.image_encoder.img_size:
        return sam
    side = size // 16
    state = dict(sam.image_encoder.state_dict())
    state["pos_embed"] = F.interpolate(
        state["pos_embed"].permute(0, 3, 1, 2), (side, side), mode="bicubic"
    ).permute(0, 2, 3, 1)
    for axis in "hw":  # of the global block; the other has windows of 14 on every canvas
        name = f"blocks.1.attn.rel_pos_{axis}"
        state[name] = F.interpolate(state[name].T[None], 2 * side - 1, mode="linear")[0].T
    other = copy.deepcopy(sam)
    other.image_encoder = build_encoder(size)
    other.image_encoder.load_state_dict(state)
    other.prompt_encoder.image_embedding_size = (side, side)
    other.prompt_encoder.input_image_size = (size, size)
    return other.eval()


def sams_answer(sam, image):
    """Masks and IoU of SAM itself for a click and a box in a photo, and the tokens it decodes."""
    click = torch.tensor([[[30.0, 20.0]]]), torch.ones(1, 1)
    box = torch.tensor([[10.0, 5.0, 50.0, 40.0]])
    sparse, dense = sam.prompt_encoder(points=click, boxes=None, masks=None)
    with_box, _ = sam.prompt_encoder(points=click, boxes=box, masks=None)
    sparse = torch.cat([sparse, with_box], dim=1)
    masks, iou = sam.mask_decoder.predict_masks(
        image_embeddings=sam.image_encoder(sam.preprocess(image.float())[None]),
        image_pe=sam.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
    )
    head = sam.mask_decoder
    return masks, iou, torch.cat([head.iou_token.weight, head.mask_tokens.weight, sparse[0]])[None]


@pytest.mark.parametrize("tuning", ["frozen", "lora"])
@pytest.mark.parametrize("shape", [(64, 45), (61, 96), (600, 1024)])
def test_masks_and_iou_are_sams_own(official, cfg, tuning, shape):
    """Through our preprocessing, encoder and decoder as the model calls them, for SAM's prompts."""
    size = max(shape)
    sam = sam_for(official[0], size)
    image = torch.randint(0, 256, (3, *shape), dtype=torch.uint8)
    for mask_token in range(4):
        cfg.MODEL.SAM.MASK_TOKEN = mask_token
        model = build_model(set_up(cfg, official[1], size, tuning)).eval()
        assert_sams_own(model, sam, image, mask_token)


@torch.no_grad()
def assert_sams_own(model, sam, image, mask_token=0):
    """Masks and IoU of our model, for the tokens that SAM decodes in the queries' place."""
    masks, iou, tokens = sams_answer(sam, image)
    maps, decoder = model.encode([{"image": image}]).maps, model.decoder
    # The decoder itself puts the IoU token before the queries and adds the mask token to them.
    found = decoder(maps, tokens[:, 1:] - decoder.sam.mask_tokens.weight)
    assert_close(found.masks[:, mask_token], masks[:, mask_token])
    # SAM reads the IoU at the IoU token, ours at the queries.
    found = decoder.read(*decoder.attend(maps, tokens))
    assert_close((found.iou[:, 0] - IOU_OFFSET) / IOU_SLOPE, iou[:, mask_token])


def assert_close(found, expected):
    """Equal to 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.slow
def test_vit_b_at_512_is_sams_own(cfg, tmp_path):
    """ViT-B in full size, with random weights in the official format."""
    torch.manual_seed(2)
    sam = sam_model_registry["vit_b"]().eval()
    for name, parameter in sam.named_parameters():
        if "pos" in name:
            torch.nn.init.normal_(parameter, std=0.02)
    torch.save(sam.state_dict(), tmp_path / "sam_vit_b.pth")
    cfg = set_up(cfg, tmp_path / "sam_vit_b.pth", 512)
    cfg.MODEL.SAM.TYPE = "vit_b"
    model = build_model(cfg).eval()
    sam.image_encoder.img_size = 512
    resize_position_embedding(sam.image_encoder, 512)
    sam.prompt_encoder.image_embedding_size = (32, 32)
    sam.prompt_encoder.input_image_size = (512, 512)
    image = torch.randint(0, 256, (3, 512, 341), dtype=torch.uint8)
    assert_sams_own(model, sam, image)


def test_the_iou_head_starts_calibrated(official, cfg):
    """SAM's head gives an IoU; ours gives its logit, so a sigmoid gives the IoU again."""
    iou = torch.linspace(0.5, 0.98, 25)
    assert ((IOU_SLOPE * iou + IOU_OFFSET).sigmoid() - iou).abs().max() < 0.05


def test_frozen_trains_no_weight_of_the_encoder(official, cfg, make_input):
    model = build_model(set_up(cfg, official[1], 64))
    sum(model([make_input()]).values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in model.encoder.parameters())
    assert model.decoder.sam.mask_tokens.weight.grad.abs().sum() > 0


def test_full_trains_every_weight(official, cfg, make_input):
    model = build_model(set_up(cfg, official[1], 64, "full"))
    sum(model([make_input()]).values()).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_lora_starts_as_sam_and_trains_its_own_weights_alone(official, cfg, make_input):
    path = official[1]
    model = build_model(set_up(cfg, path, 64, "lora"))
    image = torch.randn(1, 3, 64, 64)
    before = {name: p.clone() for name, p in model.encoder.named_parameters()}
    plain = load_image_encoder(TOY, str(path))
    resize_position_embedding(plain, 64)
    with torch.no_grad():
        assert torch.allclose(model.encoder(image)["embedding"], plain(image), atol=1e-5)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(2):  # one matrix of each pair is zero at first, so the other has no gradient
        optimizer.zero_grad()
        sum(model([make_input()]).values()).backward()
        optimizer.step()
    changed = {n for n, p in model.encoder.named_parameters() if not torch.equal(p, before[n])}
    assert changed == {name for name in before if "lora_" in name}
    assert len(changed) == 2 * 2 * 2  # blocks, layers of the attention, matrices


def test_a_lora_run_folder_predicts_without_the_checkpoint(official, cfg, make_input, tmp_path):
    cfg = set_up(cfg, official[1], 64, "lora")
    cfg.MODEL.SAM.LORA.RANK = 3
    cfg.MODEL.SAV.TEST.SCORE_THRESHOLD = 0.0
    model = build_model(cfg).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zero until trained
            torch.nn.init.normal_(parameter, std=0.1)
    cfg.MODEL.SAM.CHECKPOINT = "gone.pth"
    (tmp_path / "config.yaml").write_text(cfg.dump())
    save_weights(model, tmp_path / "model_final.safetensors")
    predictor = SAVPredictor.from_pretrained(tmp_path, "cpu")
    item = make_input()
    with torch.no_grad():
        expected, found = model([item])[0], predictor.model([item])[0]
    assert torch.equal(found["instances"].scores, expected["instances"].scores)
    assert torch.equal(found["part_map"], expected["part_map"])
    loaded = predictor.model.state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("damage", ["missing", "unknown", "of another shape"])
@pytest.mark.parametrize("part", ["image_encoder", "mask_decoder", "prompt_encoder"])
def test_a_key_that_does_not_fit_is_named(official, tmp_path, damage, part):
    sam, _ = official
    state = dict(sam.state_dict())
    name = next(name for name in state if name.startswith(part))
    if damage == "missing":
        del state[name]
    elif damage == "unknown":
        name = f"{part}.other.weight"
        state[name] = torch.zeros(1)
    else:
        state[name] = torch.zeros(1, 3)
    path = tmp_path / "sam.pth"
    torch.save(state, path)
    with pytest.raises(SAVError, match=rf"sam\.pth: weights {damage} .*{name}$"):
        load_image_encoder(TOY, str(path))


def test_settings_that_do_not_fit_are_clear_errors(official, cfg):
    set_up(cfg, official[1], 64)
    for key, value, words in (
        ("MODEL.SAV.DECODER.MLP_DIM", 32, "MLP_DIM 2048"),
        ("MODEL.SAV.DECODER.HEADS", 4, "HEADS 8"),
        ("MODEL.SAM.MASK_TOKEN", 4, "MASK_TOKEN: 4"),
        ("MODEL.SAM.TUNING", "half", "TUNING: 'half'"),
        ("MODEL.SAM.TYPE", "vit_x", "vit_x"),
    ):
        wrong = cfg.clone()
        wrong.merge_from_list([key, value])
        with pytest.raises(SAVError, match=words):
            build_model(wrong)
    set_up(cfg, official[1], 64, "lora").MODEL.SAM.LORA.RANK = 0
    with pytest.raises(SAVError, match="RANK"):
        build_model(cfg)


def test_bad_checkpoints_are_clear_errors(tmp_path):
    with pytest.raises(SAVError, match="does not exist"):
        load_image_encoder("vit_b", str(tmp_path / "none.pth"))
    (tmp_path / "text.pth").write_text("no tensors here")
    with pytest.raises(SAVError, match="not a file of tensors"):
        load_image_encoder("vit_b", str(tmp_path / "text.pth"))
