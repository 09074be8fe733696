"""The heads of a saved model: described when it is saved, and built again from that description alone."""

from dataclasses import asdict
from typing import Any

from torch import nn

from agegender.labels import AgeScheme
from agegender.models.heads import GENDER, AgeBins, ClassHead, RegressionHead, SigmoidHead, hidden_layers
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal import CoralHead, CornHead

Facts = dict[str, Any]

_OF_AGE_BINS = {kind.__name__: kind for kind in (ClassHead, CoralHead, CornHead)}
_OF_GENDER = {kind.__name__: kind for kind in (ClassHead, SigmoidHead)}
_EARLIER = {
    "AgeGroupHead": "ClassHead",
    "LabelDistributionHead": "ClassHead",
    "MeanVarianceHead": "ClassHead",
    "GenderHead": "ClassHead",
    "SigmoidGenderHead": "SigmoidHead",
    "AgeRegressionHead": "RegressionHead",
    "DeepAgeHead": "RegressionHead",
    "DeepGenderHead": "ClassHead",
}
"""Names of heads in files of version 0.1 -> their names today."""


def facts_of_heads(model: MultiTaskModel) -> dict[str, Facts]:
    """Return what is needed to build each head of ``model`` again, by its task: to be saved with the weights (JSON).

    Each has ``name`` (its class), ``hidden_features`` (the widths of its hidden layers) and ``has_batch_norm``; those
    of age bins ``groups``, the scheme with its labels and bounds or the first and last year; ``RegressionHead``
    ``unit_years``. What only a loss needs is left out. Raises ``ValueError`` for a head of another task than age and
    gender.
    """
    return {task: _facts_of(task, head) for task, head in model.heads.items()}


def _facts_of(task: str, head: nn.Module) -> Facts:
    if not isinstance(head, ClassHead | RegressionHead) or head.target not in ("age", "age_group", "gender"):
        raise ValueError(f"a saved model predicts age or gender, and the head of {task!r} predicts neither")
    layers = list(head.hidden.modules())
    facts: Facts = {
        "name": type(head).__name__,
        "hidden_features": [layer.out_features for layer in layers if isinstance(layer, nn.Linear)],
        "has_batch_norm": any(isinstance(layer, nn.BatchNorm1d) for layer in layers),
    }
    if isinstance(head, RegressionHead):
        return facts | {"unit_years": head.unit_years}
    if not isinstance(head.classes, AgeBins):
        return facts
    groups = head.classes.groups
    written = {"first": groups[0], "last": groups[-1]} if isinstance(groups, range) else asdict(groups)
    return facts | {"groups": written}


def heads_of(facts: dict[str, Facts], in_features: int) -> dict[str, nn.Module]:
    """Build the heads that ``facts_of_heads`` described; raise ``ValueError`` for a class that is none of them."""
    return {task: _head_of(_today(head), in_features) for task, head in facts.items()}


def _head_of(facts: Facts, in_features: int) -> nn.Module:
    name, widths = facts["name"], facts["hidden_features"]
    hidden, width = hidden_layers(in_features, widths, facts["has_batch_norm"]), [in_features, *widths][-1]
    if name == "RegressionHead":
        return RegressionHead(width, hidden, unit_years=facts["unit_years"])
    if "groups" in facts and name in _OF_AGE_BINS:
        return _OF_AGE_BINS[name](width, AgeBins(groups_of(facts)), hidden)
    if name in _OF_GENDER:
        return _OF_GENDER[name](width, GENDER, hidden)
    raise ValueError(f"has a head {name!r}, which this version does not know")


def _today(facts: Facts) -> Facts:
    """Return the facts of a head, written by this version or by version 0.1, as this version writes them."""
    if "has_batch_norm" in facts:
        return facts
    name = facts["name"]
    if name.startswith("Deep"):
        layers = {"hidden_features": [1024, 512], "has_batch_norm": True}
    elif name in _EARLIER or name in _OF_AGE_BINS:
        width = facts["hidden_features"]
        layers = {"hidden_features": [] if width is None else [width], "has_batch_norm": False}
    else:
        raise ValueError(f"has a head {name!r}, which this version does not know")
    return {"unit_years": 1.0} | facts | layers | {"name": _EARLIER.get(name, name)}


def groups_of(facts: Facts) -> AgeScheme | range:
    """Return the groups, or the years, of the head of age that ``facts`` describe."""
    groups = facts["groups"]
    if "first" in groups:
        return range(groups["first"], groups["last"] + 1)
    return AgeScheme(groups["name"], *(tuple(groups[part]) for part in ("labels", "lower", "upper")))


def scheme_of(facts: dict[str, Facts]) -> AgeScheme | None:
    """Return the scheme of the age groups of these heads, ``None`` where they predict years or no age."""
    groups = groups_of(facts["age"]) if "groups" in facts.get("age", {}) else None
    return groups if isinstance(groups, AgeScheme) else None
