"""Segment-anything's own attention is the judge."""

import copy

import pytest
import torch
from segment_anything.modeling.image_encoder import Attention, Block
from torch.nn.attention import SDPBackend, sdpa_kernel

from sav.modeling.encoders.attention import FusedAttention

FUSED = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
]
NEEDS_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs one of NVIDIA's GPUs")


def build(dim=48, heads=3, size=(14, 14), positions=True):
    """Segment-anything's module, with relative positions that matter, and ours of its weights."""
    torch.manual_seed(0)
    original = Attention(dim, heads, use_rel_pos=positions, input_size=size)
    for parameter in original.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return original, FusedAttention(copy.deepcopy(original))


def assert_close(found, expected):
    """Equal to 1e-5 of the largest value."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("positions", [True, False])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 14, 14), (14, 14)),
        ((1, 5, 9), (5, 9)),
        ((3, 7, 6), (14, 14)),  # embeddings that are interpolated
        ((1, 16, 11), (8, 8)),
    ],
)
def test_attention_and_its_gradients_are_segment_anythings(shape, size, positions):
    original, ours = build(size=size, positions=positions)
    x = torch.randn(*shape, 48)
    inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
    expected, found = original(inputs[0]), ours(inputs[1])
    assert_close(found, expected)
    assert expected.std() > 0.1
    weights = torch.randn_like(x)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    assert_close(inputs[1].grad, inputs[0].grad)
    own = dict(ours.named_parameters())
    assert own.keys() == dict(original.named_parameters()).keys()
    for name, parameter in original.named_parameters():
        assert_close(own[name].grad, parameter.grad)


@pytest.mark.parametrize("side", [14, 20, 31])
def test_a_block_pads_its_windows_as_segment_anything_does(side):
    """The places around the photo take part in the attention, as keys without features."""
    torch.manual_seed(0)
    block = Block(48, 3, use_rel_pos=True, window_size=14, input_size=(64, 64)).eval()
    for parameter in block.attn.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    fused = copy.deepcopy(block)
    fused.attn = FusedAttention(fused.attn)
    x = torch.randn(2, side, side - 3, 48)
    with torch.no_grad():
        assert_close(fused(x), block(x))


def test_in_bf16_it_errs_no_more_than_segment_anything():
    original, ours = build()
    x = torch.randn(4, 14, 14, 48)
    with torch.no_grad():
        exact = original(x)
        with torch.autocast("cpu", torch.bfloat16):
            theirs, found = original(x), ours(x)
    assert found.dtype is torch.bfloat16
    errors = [(half.float() - exact).square().mean().sqrt() for half in (found, theirs)]
    assert 0 < errors[0] < 1.1 * errors[1]


@pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NEEDS_GPU])]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("dim", "side"), [(64, 14), (80, 14), (64, 21), (64, 64), (80, 64)])
def test_a_fused_kernel_takes_it(device, dtype, dim, side):
    """SAM's sizes of heads and windows; torch raises an error where no other kernel may run."""
    ours = build(dim, 1, (side, side))[1]
    x = torch.randn(1, side, side, dim, device=device, requires_grad=True)
    ours.to(device)
    with torch.autocast(device, torch.bfloat16, enabled=dtype is torch.bfloat16):
        with sdpa_kernel(FUSED):
            found = ours(x)
        if device == "cuda" and dtype is torch.bfloat16:
            with sdpa_kernel(SDPBackend.EFFICIENT_ATTENTION):
                ours(x)
    found.float().sum().backward()
    assert found.dtype is dtype
    assert x.grad.isfinite().all()
    assert x.grad.any()
