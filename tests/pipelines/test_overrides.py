import pytest

from agegender.data.images import Augmentation
from agegender.pipelines import levihassner, lmtcnn
from agegender.pipelines.recipes import with_overrides

INTENDED = levihassner.RECIPES["as_intended"]


def test_any_decision_can_be_changed_by_name_and_all_others_stay():
    found = with_overrides(INTENDED, {"batch_size": 8, "augmentation": {"flips": False}})
    assert (found.batch_size, INTENDED.batch_size) == (8, 32)
    assert found.augmentation == Augmentation(crop_px=227, flips=False, contrast=(0.2, 1.8))
    assert with_overrides(found, {"batch_size": 32, "augmentation": INTENDED.augmentation}) == INTENDED
    assert with_overrides(INTENDED, {}) == INTENDED


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"learning_rte": 1}, r"Recipe has no decision 'learning_rte'. Did you mean 'learning_rate'\?"),
        ({"augmentation": {"flip": 1}}, r"Augmentation has no decision 'flip'. Did you mean 'flips'\?"),
    ],
)
def test_an_unknown_decision_is_refused_with_the_nearest(overrides, message):
    with pytest.raises(ValueError, match=message):
        with_overrides(INTENDED, overrides)


def test_a_decision_that_was_none_takes_what_is_given():
    augmentation = Augmentation(crop_px=200)
    assert with_overrides(lmtcnn.RECIPES["as_published"], {"augmentation": augmentation}).augmentation == augmentation
