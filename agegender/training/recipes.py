"""The two settings of each pipeline: as its code was published, and as its text intends."""

from dataclasses import dataclass
from typing import Literal

from agegender.data.loading import Augmentation
from agegender.evaluation.denominators import Reading


@dataclass(frozen=True)
class LmtcnnRecipe:
    """Every decision in which the published LMTCNN code and its intent differ.

    ``lrn`` and ``uses_batch_statistics_at_test`` are explained in ``agegender.models.lmtcnn``. ``test_geometry`` takes
    the whole face squashed from 256 to 227 pixels, or the central 227 of 256. ``augmentation`` of ``None`` trains on
    the same squashed faces. ``validation`` images are drawn by image from the training subjects, or are of subjects of
    their own. ``repairs_25_23`` reads Adience's label ``(25, 23)`` as the group (25, 32) instead of leaving it out.
    ``denominator`` is how the published tables divide: see ``agegender.evaluation.denominators``.
    """

    lrn: Literal["tensorflow", "caffe"]
    uses_batch_statistics_at_test: bool
    test_geometry: Literal["whole", "centre"]
    augmentation: Augmentation | None
    validation: Literal["images", "subjects"]
    is_off_by_one: bool
    repairs_25_23: bool
    selects_best: bool
    denominator: Reading
    test_batch_size: int = 128


LMTCNN_RECIPES = {
    "as_published": LmtcnnRecipe(
        lrn="tensorflow",
        uses_batch_statistics_at_test=True,
        test_geometry="whole",
        augmentation=None,
        validation="images",
        is_off_by_one=True,
        repairs_25_23=False,
        selects_best=False,
        denominator="last_batch_dropped",
    ),
    "as_intended": LmtcnnRecipe(
        lrn="caffe",
        uses_batch_statistics_at_test=False,
        test_geometry="centre",
        augmentation=Augmentation(crop_px=227, flips=True, contrast=(0.2, 1.8)),
        validation="subjects",
        is_off_by_one=False,
        repairs_25_23=True,
        selects_best=True,
        denominator="each_once",
    ),
}
"""``as_published`` is the code behind the published table of five folds (the port, which trains without augmentation);
the authors' own code differs from it in one switch, ``augmentation``."""
