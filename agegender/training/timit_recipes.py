"""The two settings of the TIMIT pipeline: as its code was published, and as its text intends."""

from dataclasses import dataclass
from typing import Literal

from agegender.training.protocol import Protocol


@dataclass(frozen=True)
class TimitRecipe:
    """Every decision in which the published fine-tuning on TIMIT and its intent differ.

    ``unit_years`` is the unit of age in the focal factor and in the bins of the weights by age: in hundreds of years
    all ages share one bin, and the focal factor leaves next to nothing of any error. ``truncates_counts`` and
    ``folds_tails`` are two habits of the code behind the weights by age (``agegender.training.reweighting``), which do
    not show with the kernel and the square roots of this pipeline. ``starts_at_mean`` lets the
    answers begin at the mean age of the training part, not at 0. ``scores`` are means over the test examples, or means
    over batches of ``batch_size`` of the mean in each. ``validation`` is the test part itself, or subjects of their
    own. ``num_test_crops`` of a clip are heard in the test and their answers averaged.

    ``uses_log`` is on in both: the README asks for features without the logarithm in fine-tuning, but the flag of the
    published code cannot be switched off, and the encoder was pretrained with it. A model named ``-mel`` goes without.

    The published schedule is SGD with two learning rates, that of the heads ``head_factor`` times the encoder's, both
    times ``decay_factor`` after each tenth of the run. As intended Adam, one rate for all layers and a steeper fall are
    ours: every model is then trained alike, whatever it starts from. ``width`` multiplies the channels of the encoder.

    ``precision`` is that of training: the original computes in 32 bits. What selects and what tests always does.
    """

    precision: Literal["bf16-mixed", "32-true"]
    unit_years: float
    truncates_counts: bool
    folds_tails: bool
    age_weight: float
    starts_at_mean: bool
    scores: Literal["batch_means", "pooled"]
    validation: Literal["test_part", "subjects"]
    num_test_crops: int
    optimizer: Literal["sgd", "adam"]
    head_factor: float
    decay_factor: float
    uses_log: bool = True
    width: float = 1.0
    batch_size: int = 24
    learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 1e-4

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(selects_on_test=self.validation == "test_part")


TIMIT_RECIPES = {
    "as_published": TimitRecipe(
        precision="32-true",
        unit_years=100.0,
        truncates_counts=True,
        folds_tails=True,
        age_weight=7.0,
        starts_at_mean=False,
        scores="batch_means",
        validation="test_part",
        num_test_crops=1,
        optimizer="sgd",
        head_factor=10.0,
        decay_factor=0.9,
    ),
    "as_intended": TimitRecipe(
        precision="bf16-mixed",
        unit_years=1.0,
        truncates_counts=False,
        folds_tails=False,
        age_weight=7.0 / 100**2,
        starts_at_mean=True,
        scores="pooled",
        validation="subjects",
        num_test_crops=3,
        optimizer="adam",
        head_factor=1.0,
        decay_factor=0.7,
    ),
}
"""Both weigh a squared error alike: 7 in hundreds of years is 7 / 100 ** 2 in years."""
