"""A CPU that notes when the host would wait, were its tensors on a GPU."""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

WAITS = {
    *("cpu", "tolist", "item", "numpy", "nonzero", "unique", "masked_select", "bincount"),
    *("__bool__", "__int__", "__float__", "__index__", "__contains__"),
}


class OnGPU(torch.Tensor):
    """What is computed with it is one too."""


def on_gpu(tensor):
    return tensor.as_subclass(OnGPU)


class FakeGPU(TorchFunctionMode):
    """Attributes: waits, the names of the functions that the host waited for."""

    def __init__(self):
        super().__init__()
        self.waits = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        leaves = pytree.tree_leaves((args, kwargs))
        there = any(isinstance(leaf, OnGPU) for leaf in leaves)
        moves = name == "to" and any(isinstance(leaf, torch.device) for leaf in leaves)
        # The shape of what a boolean index chooses depends on its values.
        by_values = name in ("__getitem__", "__setitem__") and any(
            isinstance(leaf, torch.Tensor) and leaf.dtype is torch.bool
            for leaf in pytree.tree_leaves(args[1])
        )
        copies = moves and not there and not kwargs.get("non_blocking", False)
        if copies or (there and (name in WAITS or by_values)):
            self.waits.append(name)
        result = func(*args, **kwargs)
        if name == "cpu":
            return result.as_subclass(torch.Tensor)
        return on_gpu(result) if moves else result
