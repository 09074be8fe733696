"""The two settings of each pipeline: as its code was published, and as its text intends."""

from dataclasses import dataclass
from typing import Literal

from agegender.data.images import Augmentation, Resize
from agegender.evaluation.published_arithmetic import Denominator
from agegender.models.heads import Init
from agegender.training.protocol import Protocol, Shared


@dataclass(frozen=True)
class LmtcnnRecipe:
    """Every decision in which the published LMTCNN code and its intent differ.

    ``lrn`` and ``uses_batch_statistics_at_test`` are explained in ``agegender.models.lmtcnn``. ``test_geometry`` takes
    the whole face squashed from 256 to 227 pixels, or the central 227 of 256. ``augmentation`` of ``None`` trains on
    the same squashed faces. ``resize`` says how a file comes to its 256 pixels (``agegender.data.images``).

    ``validation`` images are drawn by image from the training subjects, or are of subjects of their own.
    ``repairs_25_23`` reads Adience's label ``(25, 23)`` as the group (25, 32) instead of leaving it out.
    ``keeps_repeated_lines`` counts a face as often as the fold files list it (117 lines of Adience repeat an earlier
    one), ``filters_last`` cuts the published lists out of all lines and drops those without labels afterwards: both in
    ``agegender.data.parts``. ``denominator`` is how the published tables divide: see
    ``agegender.evaluation.published_arithmetic``.

    The learning rate falls to a tenth after each ``decay_share`` of the run: as published after 10,000 of 50,000 steps,
    as intended once, for the last third of a shorter run. What both share is published: the rate of a batch of 128
    (scaled to the size of the batch), momentum, a weight decay on the kernels of the encoder, and the norm at which
    the gradient is clipped.

    ``precision`` is that of training: the original computes in 32 bits. What selects and what tests always does.
    """

    precision: Literal["bf16-mixed", "32-true"]
    lrn: Literal["tensorflow", "caffe"]
    uses_batch_statistics_at_test: bool
    test_geometry: Literal["whole", "centre"]
    resize: Resize
    augmentation: Augmentation | None
    validation: Literal["images", "subjects"]
    is_off_by_one: bool
    keeps_repeated_lines: bool
    filters_last: bool
    repairs_25_23: bool
    selects_best: bool
    denominator: Denominator
    decay_share: float
    test_batch_size: int = 128
    learning_rate_of_128: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 5e-6
    clip_norm: float = 4.0

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(shares_subjects="train and validation" if self.validation == "images" else "no parts")


LMTCNN_RECIPES = {
    "as_published": LmtcnnRecipe(
        precision="32-true",
        lrn="tensorflow",
        uses_batch_statistics_at_test=True,
        test_geometry="whole",
        resize="tensorflow_1",
        augmentation=None,
        validation="images",
        is_off_by_one=True,
        keeps_repeated_lines=True,
        filters_last=True,
        repairs_25_23=False,
        selects_best=False,
        denominator="last_batch_dropped",
        decay_share=1 / 5,
    ),
    "as_intended": LmtcnnRecipe(
        precision="bf16-mixed",
        lrn="caffe",
        uses_batch_statistics_at_test=False,
        test_geometry="centre",
        resize="filtered",
        augmentation=Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8)),
        validation="subjects",
        is_off_by_one=False,
        keeps_repeated_lines=False,
        filters_last=False,
        repairs_25_23=True,
        selects_best=True,
        denominator="each_once",
        decay_share=2 / 3,
    ),
}
"""``as_published`` is the code behind the published table of five folds (the port, which trains without augmentation);
the authors' own code differs from it in one switch, ``augmentation``."""


@dataclass(frozen=True)
class LeviHassnerRecipe:
    """Every decision in which the multi-task Levi-Hassner net as published in Keras and its intent differ.

    ``normalisation``, ``pooling`` and ``init`` are explained in ``agegender.models.levi_hassner``; of pretraining the
    latter is ``pretraining_init``. ``gender_logits`` is 1 for a sigmoid and 2 for a softmax.
    ``clips_probabilities`` is about the loss of age: ``agegender.models.losses.clipped_cross_entropy``.
    ``misspells_8_12`` writes the label ``(8, 12)`` of Adience as ``(8, 13)``, so that its faces are in no part.
    ``repairs_25_23`` reads ``(25, 23)`` as the group (25, 32), ``keeps_repeated_lines`` counts a face as often as the
    fold files list it (``agegender.data.parts``). ``validation`` selects the epoch on the test fold itself, or on
    subjects of their own; ``resize`` says how a file comes to its 256 pixels (``agegender.data.images``);
    ``test_augmentation`` crops, mirrors and changes the contrast of what is evaluated, ``None``
    takes the centre.
    ``best_by`` and ``patience`` (of the single tasks; in validations) are those of ``TrainingConfig``.

    ``precision`` is that of training: the original computes in 32 bits. What selects and what tests always does.
    """

    precision: Literal["bf16-mixed", "32-true"]
    normalisation: Literal["caffe", "rows"]
    pooling: Literal["ceil", "floor"]
    init: Literal["caffe", "levi_hassner", "glorot", "he"]
    pretraining_init: Literal["glorot", "he"]
    gender_logits: Literal[1, 2]
    clips_probabilities: bool
    misspells_8_12: bool
    repairs_25_23: bool
    keeps_repeated_lines: bool
    validation: Literal["test_fold", "subjects"]
    test_augmentation: Augmentation | None
    resize: Resize
    best_by: Literal["accuracy", "every_task"]
    patience_of_single_tasks: int | None
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    augmentation: Augmentation

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        return Protocol(selects_on_test=self.validation == "test_fold")


LEVI_HASSNER_RECIPES = {
    "as_published": LeviHassnerRecipe(
        precision="32-true",
        normalisation="rows",
        pooling="floor",
        init="levi_hassner",
        pretraining_init="glorot",
        gender_logits=1,
        clips_probabilities=True,
        misspells_8_12=True,
        repairs_25_23=False,
        keeps_repeated_lines=True,
        validation="test_fold",
        augmentation=Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8)),
        test_augmentation=Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8)),
        best_by="every_task",
        resize="tensorflow_2",
        patience_of_single_tasks=5,
        batch_size=8,
        learning_rate=0.01,
        momentum=0.0,
        weight_decay=0.0,
    ),
    "as_intended": LeviHassnerRecipe(
        precision="bf16-mixed",
        normalisation="caffe",
        pooling="ceil",
        init="he",
        pretraining_init="he",
        gender_logits=2,
        clips_probabilities=False,
        misspells_8_12=False,
        repairs_25_23=True,
        keeps_repeated_lines=False,
        validation="subjects",
        augmentation=Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8)),
        test_augmentation=None,
        best_by="accuracy",
        resize="filtered",
        patience_of_single_tasks=None,
        batch_size=32,
        learning_rate=0.0025,
        momentum=0.9,
        weight_decay=5e-4,
    ),
}
"""``as_intended`` is the net of Levi and Hassner (2015) with its momentum and its weight decay; the first weights, the
size of the batch and the learning rate are ours, since its own are made for pixels that are not standardised."""


@dataclass(frozen=True)
class ImdbRecipe:
    """Every decision in which the joint estimation on IMDB as published and its intent differ.

    ``softmax_before_loss`` takes the cross-entropy of values that are probabilities already. ``channel_order`` is that
    of the pixels to which the statistics of red, green and blue are applied. ``age_of`` and ``min_face_score`` are
    explained in ``agegender.corpora.imdb_wiki``, ``cap`` (at ``most_per_age`` faces of an age in years) in
    ``agegender.data.balancing``. ``split`` parts photographs or
    people; ``validation`` is the test part itself, or people of their own. ``crop_at_224`` tells whether
    faces of 224 px are cropped as tightly as those of 112. ``resize`` says how a face that is
    larger shrinks (``agegender.data.images``). ``starts_at_median`` lets a regression of years start from
    the median age of the training part, not from 0.

    ``head_init`` and ``head_init_of_ir`` (of the nets with which the published code ends) are the first weights of the
    heads for age and gender, explained in ``agegender.models.heads``. As published they are those of the code. As
    intended every head starts from the same distribution, N(0, 0.01), which does not depend on how many outputs a head
    has: heads that are compared differ in their loss alone, and all begin near the answer of one that knows nothing.
    ``learning_rate`` of ``None`` is 1e-4 with ImageNet's weights, as published, and 1e-3 without (ours).

    ``precision`` is that of training: the original computes in 32 bits. What selects and what tests always does.
    """

    precision: Literal["bf16-mixed", "32-true"]
    softmax_before_loss: bool
    channel_order: Literal["bgr", "rgb"]
    age_of: Literal["years_apart", "mid_year"]
    min_face_score: float | None
    cap: Literal["first_come", "spread"]
    split: Literal["photographs", "subjects"]
    validation: Literal["test_part", "subjects"]
    crop_at_224: Literal["loose", "tight"]
    resize: Resize
    starts_at_median: bool
    head_init: Init
    head_init_of_ir: Init
    batch_size: int = 32
    weight_decay: float = 5e-4
    most_per_age: int = 5000
    clip_value: float = 5.0
    plateau: int = 8
    patience: int = 20
    learning_rate: float | None = None

    @property
    def protocol(self) -> Protocol:
        """What the parts of a run may have in common."""
        shared: Shared = "all parts" if self.split == "photographs" else "no parts"
        return Protocol(self.validation == "test_part", shared)


IMDB_RECIPES = {
    "as_published": ImdbRecipe(
        precision="32-true",
        softmax_before_loss=True,
        channel_order="bgr",
        age_of="years_apart",
        min_face_score=None,
        cap="first_come",
        split="photographs",
        validation="test_part",
        crop_at_224="loose",
        resize="opencv",
        starts_at_median=False,
        head_init="xavier_weight",
        head_init_of_ir="xavier_normal",
    ),
    "as_intended": ImdbRecipe(
        precision="bf16-mixed",
        softmax_before_loss=False,
        channel_order="rgb",
        age_of="mid_year",
        min_face_score=1.0,
        cap="spread",
        split="subjects",
        validation="subjects",
        crop_at_224="tight",
        resize="filtered",
        starts_at_median=True,
        head_init="normal",
        head_init_of_ir="normal",
    ),
}
"""``as_published`` is the code behind the first row of the published table (ResNet-18, the L1 loss, 112 px)."""

IMDB_AGE_WEIGHTS = {
    "l1": 0.1,
    "l2": 0.01,
    "huber": 0.1,
    "ce": 1.0,
    "dldl": 0.2,
    "meanvariance": 0.05,
    "coral": 0.1,
    "corn": 50.0,
}
"""The weight of the age loss beside that of gender. Those of ``l1``, ``l2`` and ``ce`` are published.

The others are ours: they bring the first loss of a net that knows nothing to about that of the cross-entropy of 101
classes.
"""
