"""Configuration: nodes that read files, and the ``configurable`` decorator."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fvcore.common.config import CfgNode as _CfgNode

from sav.d2.shared.config import DEFAULTS, CarefulMerge


class CfgNode(CarefulMerge, _CfgNode):
    """A config node: attribute access, ``_BASE_`` files, type checks, freezing.

    Unknown keys raise ``KeyError``; a value of another type than the declared one ``ValueError``.
    """

    def merge_from_file(self, cfg_filename: str, allow_unsafe: bool = True) -> None:
        """Merge a YAML file, and the files that it names under ``_BASE_`` before it.

        Args:
            cfg_filename: path of the file.
            allow_unsafe: accepted for compatibility; Python tags in YAML are always refused,
                because a config file must not be able to run code.

        Raises:
            FileNotFoundError: when there is no such file.
            KeyError, ValueError: an unknown key or a value of the wrong type.
        """
        if not Path(cfg_filename).is_file():
            raise FileNotFoundError(f"config file {cfg_filename} does not exist")
        super().merge_from_file(str(cfg_filename), allow_unsafe=False)


def get_cfg() -> CfgNode:
    """Return a fresh copy of the default config."""
    return CfgNode(DEFAULTS).clone()


def dump_config(cfg: CfgNode) -> str:
    """A run's config as YAML, which both engines can read."""
    return cfg.dump()


def configurable(init_func: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor take its arguments from a config.

    It is called either with its own arguments, or with a config as first argument or as ``cfg=``;
    in that case the classmethod ``from_config(cfg, ...)`` gives the arguments and explicit keyword
    arguments override what it returns.

    Args:
        init_func: an ``__init__`` whose class has a classmethod ``from_config``.

    Returns:
        The decorated constructor. It raises ``AttributeError`` when the class has no
        ``from_config``, and ``TypeError`` when that is no classmethod, or does not take ``cfg``
        first.
    """

    @functools.wraps(init_func)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> None:
        if isinstance(args[0] if args else kwargs.get("cfg"), _CfgNode):
            from_config = type(self).from_config
            args, kwargs = (), _arguments_from_config(from_config, *args, **kwargs)
        init_func(self, *args, **kwargs)

    return wrapped


def _arguments_from_config(
    from_config: Callable[..., dict[str, Any]], *args: Any, **kwargs: Any
) -> dict[str, Any]:
    """Call ``from_config`` with what it takes; the rest overrides its answer."""
    parameters = inspect.signature(from_config).parameters
    if next(iter(parameters), None) != "cfg":
        raise TypeError(f"{from_config.__qualname__} must take 'cfg' as its first argument")
    extra = {name: kwargs.pop(name) for name in list(kwargs) if name not in parameters}
    return {**from_config(*args, **kwargs), **extra}
