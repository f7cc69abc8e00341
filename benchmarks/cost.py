"""What a training needs on GPUs, computed from its config: memory, and hours from FLOPs.

Nothing is run: a step is traced on tensors that have shapes and no values. It has the encoder and
the decoder, forward and backward, in bf16. Losses, matching, the graph and the context module are
left out, some 2 GFLOP and 0.12 GiB a photo at 1024 pixels, and so is what the GPU's driver and its
kernels take for themselves.

    memory = weights (4 bytes a parameter)
           + average, optimizer and exchanged gradients (4 + 8 + 4 bytes a trained parameter)
           + the peak of what a step holds at a time: activations, gradients, weights in bf16
    hours  = (FLOPs of all steps + FLOPs of all evaluations) / (sustained FLOP/s of all GPUs)

An evaluation predicts each record once: those of DATASETS.TRAIN for the gallery, and those of
DATASETS.TEST. torch counts the backward pass of a grouped convolution as if it had no groups, so
the hours of mobile networks come out too long; SAM has none.

Run with ``python benchmarks/cost.py --config-file F --gpus 8``.
"""

from __future__ import annotations

import argparse
import math
import weakref
from dataclasses import dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from sav.config import load_config
from sav.d2 import CfgNode
from sav.errors import SAVError
from sav.modeling.embedding import EMBEDDING_DIM
from sav.modeling.encoders import build_encoder
from sav.modeling.graph.queries import query_classes
from sav.modeling.sam.decoder import PartDecoder
from sav.ontology import load_ontology
from sav.process import run_command

RECORDS = 11_665  # of VehicleSeg10K
TFLOPS = 125.0  # two fifths of the 312 of an A100 in bf16

_aten = torch.ops.aten
# The counter knows the fused attention of GPUs, and tracing chooses that of CPUs: same shapes.
_ATTENTION = {
    _aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda q, k, v, *args, **kwargs: sdpa_flop_count(q, k, v)
    ),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, q, k, v, *args, **kwargs: sdpa_backward_flop_count(grad, q, k, v)
    ),
}


class HeldMemory(TorchDispatchMode):
    """Follows how many bytes the tensors hold that are made within it.

    Attributes:
        peak: the most bytes at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._storages = weakref.WeakSet()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        known = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if _is_tensor(t)}
        result = func(*args, **(kwargs or {}))
        for tensor in filter(_is_tensor, tree_leaves(result)):
            storage = tensor.untyped_storage()
            if id(storage) not in known and storage not in self._storages:
                self._storages.add(storage)
                self._add(storage.nbytes())
                weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, size: int) -> None:
        self._now += size
        self.peak = max(self.peak, self._now)


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


@dataclass
class Step:
    """A training step of some photos on one GPU.

    Attributes:
        parameters: of encoder and decoder.
        trained: those of them that learn.
        forward: FLOPs of the forward pass.
        total: FLOPs of the step.
        held: bytes that the step holds at its peak, beside weights and optimizer.
    """

    parameters: int
    trained: int
    forward: int
    total: int
    held: int

    def memory(self, cfg: CfgNode, gpus: int) -> int:
        """Bytes that a training needs on each GPU."""
        of_trained = 8 + 4 * bool(cfg.SOLVER.EMA_DECAY) + 4 * (gpus > 1)
        return 4 * self.parameters + of_trained * self.trained + self.held


def trace(cfg: CfgNode, photos: int) -> Step:
    """Trace a step of so many photos at a time."""
    cfg.MODEL.SAM.CHECKPOINT = cfg.MODEL.TIMM.CHECKPOINT = ""  # no weights are needed
    queries = len(query_classes(load_ontology(cfg.MODEL.SAV.ONTOLOGY), cfg.MODEL.SAV.MAX_SLOTS))
    with torch.device("meta"):
        encoder = build_encoder(cfg)
        decoder = PartDecoder.from_config(cfg, encoder.output_shape())
    flops, held = FlopCounterMode(display=False, custom_mapping=_ATTENTION), HeldMemory()
    with FakeTensorMode():
        modules = [(module, _fake_state(module)) for module in (encoder, decoder)]
        (encoder, encoder_state), (decoder, decoder_state) = modules
        images = torch.empty(photos, 3, cfg.INPUT.SAV.SIZE, cfg.INPUT.SAV.SIZE)
        prompts = torch.empty(photos, queries, EMBEDDING_DIM, requires_grad=True)
        with flops, held:
            with torch.autocast("cpu", torch.bfloat16):
                maps = functional_call(encoder, encoder_state, (images,))
                output = functional_call(decoder, decoder_state, (maps, prompts))
            forward = flops.get_total_flops()
            (output.masks.sum() + output.presence.sum() + output.iou.sum()).backward()
    parameters = [*encoder.parameters(), *decoder.parameters()]
    return Step(
        parameters=sum(p.numel() for p in parameters),
        trained=sum(p.numel() for p in parameters if p.requires_grad),
        forward=forward,
        total=flops.get_total_flops(),
        held=held.peak,
    )


def _fake_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Weights and buffers of a module on the meta device, as the tensors that tracing takes."""
    return {
        name: torch.empty(value.shape, dtype=value.dtype, requires_grad=value.requires_grad)
        for name, value in (*module.named_parameters(), *module.named_buffers())
    }


def cost(cfg: CfgNode, gpus: int, records: int, tflops: float) -> dict[str, str]:
    """The figures of a training, by name."""
    solver, batch = cfg.SOLVER, cfg.SOLVER.IMS_PER_BATCH
    photos, rest = divmod(batch, gpus * solver.ACCUMULATE)
    if rest:
        raise SAVError(
            f"SOLVER.IMS_PER_BATCH {batch} is not a multiple of {gpus} GPUs times "
            f"SOLVER.ACCUMULATE {solver.ACCUMULATE}"
        )
    step = trace(cfg, photos)
    evaluations = math.ceil(solver.MAX_ITER / cfg.TEST.EVAL_PERIOD) if cfg.TEST.EVAL_PERIOD else 1
    seen = solver.MAX_ITER * batch
    flops = (seen * step.total + evaluations * records * step.forward) / photos
    hours = flops / (tflops * 1e12) / 3600
    return {
        "parameters, of them trained": f"{step.parameters / 1e6:.0f} M, {step.trained / 1e6:.1f} M",
        "photos at a time on a GPU": f"{photos}",
        "FLOPs a photo, forward": f"{step.forward / photos / 1e12:.3g} T",
        "FLOPs a photo, training": f"{step.total / photos / 1e12:.3g} T",
        "memory of a GPU": f"{step.memory(cfg, gpus) / 2**30:.1f} GiB",
        "epochs": f"{seen / records:.0f}",
        f"hours of one GPU at {tflops:g} TFLOP/s": f"{hours:.1f}",
        f"hours of {gpus}": f"{hours / gpus:.1f}",
    }


def main() -> None:
    """Compute and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", required=True, metavar="FILE")
    parser.add_argument("--gpus", type=int, default=8, help="%(default)s")
    parser.add_argument("--records", type=int, default=RECORDS, help="photos; %(default)s")
    parser.add_argument("--tflops", type=float, default=TFLOPS, help="sustained; %(default)s")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="KEY VALUE pairs of the config")
    args = parser.parse_args()
    cfg = load_config(args.config_file, args.opts)
    print(tabulate(cost(cfg, args.gpus, args.records, args.tflops).items()))


if __name__ == "__main__":
    run_command(main)
