"""The heads of a saved model: described when it is saved, and built again from that description alone."""

from dataclasses import asdict
from typing import Any

from torch import nn

from agegender.labels import AgeScheme
from agegender.models.deep_heads import DeepAgeHead, DeepGenderHead
from agegender.models.distribution_heads import LabelDistributionHead, MeanVarianceHead
from agegender.models.heads import AgeGroupHead, AgeRegressionHead, GenderHead, LinearHead, SigmoidGenderHead
from agegender.models.multitask import MultiTaskModel
from agegender.models.ordinal_heads import CoralHead, CornHead

Facts = dict[str, Any]

_CLASSES = (AgeGroupHead, LabelDistributionHead, MeanVarianceHead, CoralHead, CornHead)
_OF_CLASSES = {kind.__name__: kind for kind in _CLASSES}
_OTHERS = {kind.__name__: kind for kind in (AgeRegressionHead, GenderHead, SigmoidGenderHead)}
_DEEP = {kind.__name__: kind for kind in (DeepAgeHead, DeepGenderHead)}


def facts_of_heads(model: MultiTaskModel) -> dict[str, Facts]:
    """Return what is needed to build each head of ``model`` again, by its task: to be saved with the weights (JSON).

    Each has ``name`` (its class); the linear heads ``hidden_features``; those of classes ``groups``, the scheme with
    its labels and bounds or the first and last year; ``DeepAgeHead`` ``unit_years``. What only a loss needs is left
    out. Raises ``ValueError`` for a head that answers with neither age nor gender.
    """
    return {task: _facts_of(head) for task, head in model.heads.items()}


def _facts_of(head: nn.Module) -> Facts:
    name = type(head).__name__
    if isinstance(head, DeepAgeHead):
        return {"name": name, "unit_years": head.unit_years}
    if name in _DEEP:
        return {"name": name}
    if not isinstance(head, LinearHead) or name not in _OF_CLASSES | _OTHERS:
        raise ValueError(f"a saved model answers with age or gender, and {name} with neither")
    hidden = next((layer.out_features for layer in head.hidden.modules() if isinstance(layer, nn.Linear)), None)
    facts: Facts = {"name": name, "hidden_features": hidden}
    if not isinstance(head, AgeGroupHead | CoralHead | CornHead):
        return facts
    groups = head.classes.groups
    written = {"first": groups[0], "last": groups[-1]} if isinstance(groups, range) else asdict(groups)
    return facts | {"groups": written}


def heads_of(facts: dict[str, Facts], in_features: int) -> dict[str, nn.Module]:
    """Build the heads that ``facts_of_heads`` described; raise ``ValueError`` for a class that is none of them."""
    return {task: _head_of(head, in_features) for task, head in facts.items()}


def _head_of(facts: Facts, in_features: int) -> nn.Module:
    name = facts["name"]
    if name == "DeepAgeHead":
        return DeepAgeHead(in_features, unit_years=facts["unit_years"])
    if name in _DEEP:
        return _DEEP[name](in_features)
    if name in _OTHERS:
        return _OTHERS[name](in_features, hidden_features=facts["hidden_features"])
    if name in _OF_CLASSES:
        return _OF_CLASSES[name](in_features, groups_of(facts), facts["hidden_features"])
    raise ValueError(f"has a head {name!r}, which this version does not know")


def groups_of(facts: Facts) -> AgeScheme | range:
    """Return the groups, or the years, of the head of age that ``facts`` describe."""
    groups = facts["groups"]
    if "first" in groups:
        return range(groups["first"], groups["last"] + 1)
    return AgeScheme(groups["name"], *(tuple(groups[part]) for part in ("labels", "lower", "upper")))


def scheme_of(facts: dict[str, Facts]) -> AgeScheme | None:
    """Return the scheme of the age groups of these heads, ``None`` where they tell years or no age."""
    groups = groups_of(facts["age"]) if "groups" in facts.get("age", {}) else None
    return groups if isinstance(groups, AgeScheme) else None
