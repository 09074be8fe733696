"""What a head that sorts ages into classes knows about them: the labels it accepts, and how to read probabilities."""

from typing import Literal

import torch
from torch import Tensor, nn

from agegender.labels import AgeScheme


class AgeClasses(nn.Module):
    """The groups of a scheme, or single years.

    The groups of a scheme are learnt from the target ``"age_group"`` (indices) and are scored by ``"accuracy"``. A
    range of years, ``range(0, 101)`` for 0 to 100, is learnt from the target ``"age"`` (years, also decimal) and is
    scored by ``"mae"``; an age belongs to the class of its completed years, and a class is read as that many years,
    as face corpora count them.

    Raises ``ValueError`` for fewer than two classes, and for a range that does not go up in steps of one year.
    """

    years: Tensor
    target: Literal["age_group", "age"]
    metric: Literal["accuracy", "mae"]

    def __init__(self, groups: AgeScheme | range) -> None:
        super().__init__()
        if len(groups) < 2 or (isinstance(groups, range) and groups.step != 1):
            raise ValueError(f"an age head needs two or more groups, or years in steps of one, got {groups}")
        self.groups, self.is_in_years = groups, isinstance(groups, range)
        self.target, self.metric = ("age", "mae") if self.is_in_years else ("age_group", "accuracy")
        self.first_year = float(groups.start) if isinstance(groups, range) else 0.0
        years = tuple(groups) if isinstance(groups, range) else groups.midpoints
        self.register_buffer("years", torch.tensor(years, dtype=torch.float32), persistent=False)

    def __len__(self) -> int:
        return len(self.years)

    def positions(self, target: Tensor, num_examples: int) -> Tensor:
        """Return where each label of ``target`` (batch,) lies among the classes, counted from 0; float32 (batch,).

        Of a group it is the index; of an age in years the years since the first class, decimals kept, so that the
        whole number below is the index of its class. Raises what ``checked`` raises.
        """
        name = "age in years" if self.is_in_years else "age group"
        return checked(target, self.first_year, self.first_year + len(self), num_examples, name) - self.first_year

    def expected_years(self, probabilities: Tensor) -> Tensor:
        """Return the mean age in years (batch,) of ``probabilities`` (batch, classes)."""
        return (probabilities * self.years).sum(1)  # no matrix product: autocast would round years to eight bits

    def measure(self, probabilities: Tensor, target: Tensor) -> Tensor:
        """Sum over the batch: examples whose most probable group is right, or absolute errors in years."""
        if self.is_in_years:
            return (self.expected_years(probabilities) - target).abs().sum()
        return (probabilities.argmax(1) == target).sum()

    def decode(self, probabilities: Tensor) -> dict[str, Tensor]:
        """Return ``age`` (batch,), the mean in years, and of a scheme ``p_group`` (batch, groups)."""
        age = {"age": self.expected_years(probabilities)}
        return age if self.is_in_years else {"p_group": probabilities, **age}


def checked(target: Tensor, low: float, high: float, num_examples: int, name: str) -> Tensor:
    """Return the labels ``target`` (batch,) as float32 if each lies in ``low <= label < high``.

    Raises ``ValueError`` when there is not one label for each example, and for the first label outside or NaN. Asking
    an accelerator would make every step wait for it: there such a label becomes NaN, and with it the loss, which
    ``training.fit`` refuses.
    """
    if target.shape != (num_examples,):
        raise ValueError(f"expected one {name} for each of {num_examples} examples, got shape {tuple(target.shape)}")
    labels = target.float()
    is_known = (labels >= low) & (labels < high)  # written this way round so that NaN is none
    if target.device.type == "cpu" and not is_known.all():
        row = int((~is_known).nonzero()[0])
        raise ValueError(
            f"the {name} of example {row} of the batch is {target[row].item()}, not in {low:g} <= {name} < {high:g}: "
            "leave such examples out first"
        )
    return labels.masked_fill(~is_known, torch.nan)
