"""Catalogs: data sets by name, and what is known about them."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any


class _Catalog(UserDict):
    """Something for each name."""

    def list(self) -> list[str]:
        """Return all names."""
        return list(self.data)

    def remove(self, name: str) -> None:
        """Forget a name."""
        del self[name]


class _DatasetCatalog(_Catalog):
    """Names of data sets and the functions that load them."""

    def register(self, name: str, func: Callable[[], list[dict]]) -> None:
        """Register a data set.

        Args:
            name: unique name; registering it twice raises ``AssertionError``.
            func: returns the records; must return the same ones every time.
        """
        if not callable(func):
            raise AssertionError("register a data set with a function that loads it")
        if name in self:
            raise AssertionError(f"data set {name!r} is already registered")
        self[name] = func

    def get(self, name: str) -> list[dict]:
        """Load a data set; ``KeyError`` names the registered ones."""
        if name not in self:
            known = ", ".join(self) or "none"
            raise KeyError(f"data set {name!r} is not registered; registered are: {known}")
        return self[name]()


class Metadata(SimpleNamespace):
    """Facts about a data set, as attributes that can be set once."""

    name: str = "N/A"

    def __getattr__(self, key: str) -> Any:
        raise AttributeError(
            f"metadata of {self.name!r} has no {key!r}; it has {', '.join(vars(self)) or 'nothing'}"
        )

    def __setattr__(self, key: str, value: Any) -> None:
        if key in vars(self) and vars(self)[key] != value:
            raise AssertionError(
                f"metadata {key!r} of {self.name!r} is already {vars(self)[key]!r}, not {value!r}"
            )
        super().__setattr__(key, value)

    def set(self, **kwargs: Any) -> Metadata:
        """Set several facts; returns itself."""
        for key, value in kwargs.items():
            setattr(self, key, value)
        return self

    def get(self, key: str, default: Any = None) -> Any:
        """Return a fact or the default."""
        return vars(self).get(key, default)


class _MetadataCatalog(_Catalog):
    """Metadata by data set name, made when first asked for."""

    def get(self, name: str) -> Metadata:
        """Return the metadata of a data set."""
        if not name:
            raise AssertionError("metadata needs a data set name")
        if name not in self:
            self[name] = Metadata(name=name)
        return self[name]


DatasetCatalog = _DatasetCatalog()
MetadataCatalog = _MetadataCatalog()
