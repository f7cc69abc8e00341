"""The one precision policy: what computes in half precision, and what never does.

The networks run in the type that the config names, under :meth:`Precision.autocast`: in training,
evaluation, gallery building and prediction alike. Matching, losses, evidence and scores are sums
over many pixels, which half precision cannot hold: they run in :func:`float32` whatever the config
says.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from sav.d2 import CfgNode
from sav.errors import SAVError

logger = logging.getLogger(__name__)

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
_FLOAT32 = ("", "highest", "high", "medium")


@dataclass(frozen=True)
class Precision:
    """What the networks of a model compute in.

    Attributes:
        device: type of the model's device.
        dtype: torch.float32 stands for no half precision at all.
    """

    device: str
    dtype: torch.dtype

    @classmethod
    def for_training(cls, cfg: CfgNode, model: nn.Module) -> Precision:
        """As SOLVER.AMP says.

        Raises:
            SAVError: SOLVER.AMP.PRECISION or FLOAT32_PRECISION is unknown.
        """
        amp, key = cfg.SOLVER.AMP, "SOLVER.AMP.PRECISION"
        chosen = cls._of(cfg, model, key, amp.PRECISION, ("auto", "bf16", "fp16"))
        if not amp.ENABLED:
            return cls(chosen.device, torch.float32)
        _log_once(f"Training computes in {_name(chosen.dtype)} ({key} {amp.PRECISION})")
        return chosen

    @classmethod
    def for_test(cls, cfg: CfgNode, model: nn.Module) -> Precision:
        """As TEST.PRECISION says, for evaluation, galleries and predictions.

        Raises:
            SAVError: TEST.PRECISION or FLOAT32_PRECISION is unknown.
        """
        key, value = "TEST.PRECISION", cfg.TEST.PRECISION
        chosen = cls._of(cfg, model, key, value, ("auto", "bf16", "fp16", "fp32"))
        _log_once(f"Evaluation and prediction compute in {_name(chosen.dtype)} ({key} {value})")
        return chosen

    @classmethod
    def _of(
        cls, cfg: CfgNode, model: nn.Module, key: str, value: str, known: tuple[str, ...]
    ) -> Precision:
        device = next(model.parameters()).device.type
        _set_float32(cfg.FLOAT32_PRECISION, device)
        if value not in known:
            raise SAVError(f"{key} is {', '.join(known[:-1])} or {known[-1]}, not {value}")
        if value != "auto":
            return cls(device, _DTYPES[value])
        return cls(device, torch.bfloat16 if has_bf16(device) else torch.float32)

    def autocast(self) -> AbstractContextManager[None]:
        """A context for forward passes; backward passes belong outside."""
        if self.dtype is torch.float32:
            return float32()
        return torch.autocast(self.device, self.dtype)


@contextmanager
def float32() -> Iterator[None]:
    """Within it, or in a function that it decorates, no autocast is in force.

    Tensors that are in half precision already stay so: turn them into float32 first.
    """
    with ExitStack() as stack:
        for device in ("cpu", "cuda"):
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


def has_bf16(device: str) -> bool:
    """Whether bf16 is faster than float32, and not merely emulated."""
    if device == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # torch.cpu.get_capabilities() says the same, but not yet in torch 2.11.
    return torch.cpu._is_avx512_bf16_supported()


def _set_float32(value: str, device: str) -> None:
    """Let a GPU multiply float32 in TF32, as Detectron2's FLOAT32_PRECISION says.

    Detectron2 itself reads the key only where its training is set up, never in prediction.
    """
    if value not in _FLOAT32:
        raise SAVError(f"FLOAT32_PRECISION is highest, high, medium or empty, not {value}")
    if value and device == "cuda":
        torch.set_float32_matmul_precision(value)
        torch.backends.cudnn.allow_tf32 = value != "highest"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@cache
def _log_once(message: str) -> None:
    logger.info(message)
