"""The two settings of the Common Voice pipeline: as its code was published, and as its text intends."""

from dataclasses import dataclass
from typing import Literal

from agegender.models.speech_sequence import Recurrence
from agegender.training.protocol import Protocol


@dataclass(frozen=True)
class CommonVoiceRecipe:
    """Every decision in which the published age groups from Common Voice and their intent differ.

    ``split`` parts clips or subjects. Age groups are made equally large by clip, or with at most ``most_per_subject``
    clips of one subject (``agegender.data.balancing``). ``augments_evaluation`` shifts and masks what is validated and
    tested too, as if it were trained on. ``recurrence`` is explained in ``agegender.models.speech_sequence``; the
    published ``batch_size_of_tcn`` leaves an LSTM over the batch with sequences of one step.

    What both share is published: Adam, its weight decay, the learning rate of all nets but the CNN, five parts of the
    clips of which one is tested and a fifth of the rest (``validation_share``) selects the epoch by its loss, and
    ``patience`` in epochs. The head of the CNN reads 63,240 features, which all move at once with a step; the rate of
    its own as intended is for that.

    ``precision`` is that of training: the original computes in 32 bits. What selects and what tests always does.
    """

    precision: Literal["bf16-mixed", "32-true"]
    split: Literal["clip", "subject"]
    most_per_subject: int | None
    augments_evaluation: bool
    recurrence: Recurrence
    batch_size: int
    batch_size_of_tcn: int
    learning_rate_of_cnn: float
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    validation_share: float = 0.2
    patience: int = 4

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(shares_subjects="all parts" if self.split == "clip" else "no parts")


COMMONVOICE_RECIPES = {
    "as_published": CommonVoiceRecipe(
        precision="32-true",
        split="clip",
        most_per_subject=None,
        augments_evaluation=True,
        recurrence="batch",
        batch_size=2,
        batch_size_of_tcn=1,
        learning_rate_of_cnn=1e-3,
    ),
    "as_intended": CommonVoiceRecipe(
        precision="bf16-mixed",
        split="subject",
        most_per_subject=12,
        augments_evaluation=False,
        recurrence="time",
        batch_size=32,
        batch_size_of_tcn=32,
        learning_rate_of_cnn=1e-4,
    ),
}
"""As intended, the size of a batch and the learning rate of the CNN are ours. So are the 12 clips of a subject: as many
as everyone in speechocean762 gave."""
