import numpy as np
import pytest

from agegender.data.epochs import ShuffledEpochs, generator_of
from agegender.data.loading import TrainingFaces


@pytest.mark.parametrize(("num_examples", "batch_size"), [(7, 3), (7, 7), (5, 8), (3, 10), (1, 1), (10, 1)])
def test_every_epoch_has_every_example_once(num_examples, batch_size):
    epochs = ShuffledEpochs(num_examples, batch_size, seed=0, num_draws=1)
    steps = [epochs.examples_of(step) for step in range(4 * num_examples)]
    of_epoch, examples = (np.concatenate(column) for column in zip(*steps, strict=True))
    for epoch in range(4 * num_examples * batch_size // num_examples):
        assert sorted(examples[of_epoch == epoch]) == list(range(num_examples))


def test_epochs_are_in_different_orders():
    epochs = ShuffledEpochs(20, 20, seed=0, num_draws=1)
    assert len({tuple(epochs.examples_of(step)[1]) for step in range(10)}) == 10


def test_a_step_does_not_depend_on_what_was_asked_before():
    asked = ShuffledEpochs(5, 3, seed=1, num_draws=2)
    expected = [(asked.examples_of(step), asked.draws_of(*asked.examples_of(step))) for step in range(20)]
    for step in reversed(range(20)):
        examples = asked.examples_of(step)
        assert np.array_equal(examples, expected[step][0])
        assert np.array_equal(asked.draws_of(*examples), expected[step][1])


def test_draws_belong_to_the_example_and_not_to_its_place_in_the_batch():
    small, large = (ShuffledEpochs(6, size, seed=2, num_draws=3) for size in (1, 6))
    epochs, examples = large.examples_of(0)
    together = large.draws_of(epochs, examples)
    assert together.shape == (6, 3)
    assert together.dtype == np.float32
    for place in range(6):
        assert np.array_equal(small.draws_of(*small.examples_of(place))[0], together[place])


def test_faces_and_clips_are_shuffled_alike():
    faces = TrainingFaces(np.zeros((7, 2, 2, 3), np.uint8), np.arange(7), {}, 3, 5)
    clips = ShuffledEpochs(7, 3, 5, 4)
    for step in range(6):
        assert np.array_equal(faces.examples_of(step), clips.examples_of(step))


def test_the_generator_of_an_example_is_none_of_its_neighbours_nor_that_of_the_epoch():
    assert np.random.default_rng((3, 2)).random() == np.random.default_rng((3, 2, 0)).random()  # why there is a 1
    first = [generator_of(*key).random() for key in [(3, 2, 0), (3, 2, 1), (3, 1, 0), (2, 2, 0), (3, 0, 2)]]
    assert len({*first, np.random.default_rng((3, 2)).random()}) == 6
    assert generator_of(3, 2, 1).random() == first[1]


def test_nothing_to_shuffle_is_refused():
    with pytest.raises(ValueError, match="no training examples: the training part of the split is empty"):
        ShuffledEpochs(0, 3, 0, 1)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ShuffledEpochs(3, 0, 0, 1)
