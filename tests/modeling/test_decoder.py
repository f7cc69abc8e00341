import pytest
import torch

from sav.d2 import ShapeSpec
from sav.modeling.calls import call
from sav.modeling.sam.decoder import PartDecoder, choose

CHANNELS = {"skip8": 12, "skip4": 8}


def build(stride, skips=()):
    shapes = {"embedding": ShapeSpec(channels=256, stride=stride)}
    shapes |= {s: ShapeSpec(channels=CHANNELS[s], stride=int(s[4:])) for s in skips}
    return PartDecoder(encoder_shape=shapes, depth=2, heads=8, mlp_dim=32).eval()


def encode(stride, skips=(), size=64):
    encoded = {"embedding": torch.randn(2, 256, size // stride, size // stride)}
    for skip in skips:
        side = size // int(skip[4:])
        encoded[skip] = torch.randn(2, CHANNELS[skip], side, side)
    return encoded


@pytest.mark.parametrize(
    ("stride", "skips", "width"),
    [(16, (), 32), (16, ("skip8", "skip4"), 128), (8, ("skip4",), 128)],
)
def test_masks_come_at_stride_4(stride, skips, width):
    decoder, encoded = build(stride, skips), encode(stride, skips)
    output = decoder(encoded, torch.randn(2, 5, 256))
    assert output.masks.shape == (2, 5, 16, 16)
    assert output.features.shape == (2, width, 16, 16)
    assert decoder.feature_dim == width
    assert output.presence.shape == output.iou.shape == (2, 5)


@pytest.mark.parametrize(("stride", "skips"), [(16, ("skip8", "skip4")), (8, ("skip4",))])
def test_every_map_of_the_encoder_counts(stride, skips):
    decoder, encoded = build(stride, skips), encode(stride, skips)
    queries = torch.randn(2, 5, 256)
    masks = decoder(encoded, queries).masks
    for skip in skips:
        other = decoder({**encoded, skip: torch.randn_like(encoded[skip])}, queries).masks
        assert not torch.allclose(other, masks)


def test_finer_maps_of_any_size_say_the_same():
    """Those of a pretrained encoder are ten times as large as the embedding, and would drown it."""
    skips = ("skip8", "skip4")
    decoder, encoded, queries = build(16, skips), encode(16, skips), torch.randn(2, 5, 256)
    larger = {name: 10 * value if name in skips else value for name, value in encoded.items()}
    masks = decoder(encoded, queries).masks
    torch.testing.assert_close(decoder(larger, queries).masks, masks, rtol=1e-3, atol=1e-3)


def test_the_finest_features_see_their_neighbours_sharply():
    """A change of one place of the finest map stays near it, and reaches beyond it."""
    decoder, encoded = build(16, ("skip8", "skip4")), encode(16, ("skip8", "skip4"), size=128)
    queries = torch.randn(2, 5, 256)
    other = encoded["skip4"].clone()
    other[..., 16, 16] += 5.0
    masks = decoder({**encoded, "skip4": other}, queries).masks - decoder(encoded, queries).masks
    change = masks.abs().amax((0, 1))
    near = change[13:20, 13:20]
    assert near[3, 3] > 4 * change[:8].max()
    assert near[2:5, 2:5].min() > change[:8].max()


def test_the_order_of_queries_does_not_matter():
    decoder, encoded = build(16), encode(16)
    queries, order = torch.randn(2, 5, 256), torch.tensor([3, 0, 4, 2, 1])
    straight, shuffled = decoder(encoded, queries), decoder(encoded, queries[:, order])
    assert torch.allclose(straight.masks[:, order], shuffled.masks, atol=1e-5)
    assert torch.allclose(straight.presence[:, order], shuffled.presence, atol=1e-5)
    assert torch.allclose(straight.iou[:, order], shuffled.iou, atol=1e-5)


def test_queries_are_what_sam_reads_with_the_iou_token_in_front():
    decoder, encoded = build(16), encode(16)
    queries = torch.randn(2, 5, 256)
    iou_token = decoder.sam.iou_token.weight.expand(2, 1, -1)
    tokens = torch.cat([iou_token, queries + decoder.sam.mask_tokens.weight], dim=1)
    masks = decoder.read(*decoder.attend(encoded, tokens)).masks
    assert torch.allclose(masks[:, 1:], decoder(encoded, queries).masks, atol=1e-5)


def test_names_of_the_weights_stay():
    """Weight files need them."""
    skips = ("skip8", "skip4")
    beyond_sam = {name.split(".")[0] for name in build(16, skips).state_dict()} - {"sam"}
    assert beyond_sam == {"position", "presence", "mask_bias", "shortcut", "pyramid"}


def test_a_frozen_decoder_learns_nothing_but_lets_gradients_through():
    decoder, encoded = build(16), encode(16)
    queries = torch.randn(2, 5, 256, requires_grad=True)
    encoded["embedding"].requires_grad_()
    output = call(decoder, encoded, queries, frozen=True)
    assert torch.equal(output.masks, decoder(encoded, queries).masks)
    (output.masks.sum() + output.presence.sum() + output.iou.sum()).backward()
    assert all(parameter.grad is None for parameter in decoder.parameters())
    assert (queries.grad != 0).any()
    assert (encoded["embedding"].grad != 0).any()


def test_choosing_between_outputs_photo_by_photo():
    first, second = (build(16)(encode(16), torch.randn(2, 5, 256)) for _ in range(2))
    chosen = choose(torch.tensor([True, False]), first, second)
    for name in ("masks", "presence", "iou"):
        assert torch.equal(getattr(chosen, name)[0], getattr(first, name)[0])
        assert torch.equal(getattr(chosen, name)[1], getattr(second, name)[1])
    assert chosen.features is second.features
