"""What the recipes of all pipelines share: any of their decisions can be changed by name."""

import difflib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

R = TypeVar("R")


def with_overrides(recipe: R, overrides: Mapping[str, Any]) -> R:
    """Return ``recipe`` (any dataclass of decisions) with the decisions of ``overrides`` in the place of its own.

    A decision that is a dataclass itself, such as an augmentation, takes a dictionary of what changes in it. Raises
    ``ValueError`` for a name that the recipe does not have.

    >>> from agegender.data.images import Augmentation
    >>> with_overrides(Augmentation(crop_px=227), {"flips": False}).flips
    False
    """
    known = {field.name: getattr(recipe, field.name) for field in fields(recipe)}  # type: ignore[arg-type]
    for name in overrides:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{type(recipe).__name__} has no decision {name!r}.{hint} It has: {', '.join(known)}")
    changes = {
        name: with_overrides(known[name], value) if is_dataclass(known[name]) and isinstance(value, Mapping) else value
        for name, value in overrides.items()
    }
    return replace(recipe, **changes)  # type: ignore[type-var]
