import numpy as np
import pytest

from agegender.data.epochs import EpochsOfDistinctSubjects, ShuffledEpochs, generator_of
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


def distinct(counts=(5, 1, 9, 4, 4, 2), batch_size=3, seed=0, **settings):
    subjects = np.repeat(np.arange(len(counts)), counts)
    return subjects, EpochsOfDistinctSubjects(subjects, batch_size, seed, num_draws=1, **settings)


def test_no_subject_comes_twice_in_a_batch_and_no_example_twice_in_an_epoch():
    subjects, epochs = distinct()
    steps = [epochs.examples_of(step) for step in range(40)]
    assert all(len(set(subjects[examples])) == 3 and len(set(of_epoch)) == 1 for of_epoch, examples in steps)
    for epoch in {int(of_epoch[0]) for of_epoch, _ in steps}:
        examples = np.concatenate([examples for of_epoch, examples in steps if of_epoch[0] == epoch])
        assert len(set(examples)) == len(examples)
    assert [int(of_epoch[0]) for of_epoch, _ in steps] == sorted(int(of_epoch[0]) for of_epoch, _ in steps)
    assert len({tuple(examples) for _, examples in steps}) > 35


def test_an_example_is_left_out_of_an_epoch_only_if_its_subject_is_in_the_batch_already():
    subjects, epochs = distinct(counts=(2, 2, 2, 2), batch_size=2, seed=3)
    order, present, kept = epochs._epoch(0)[0], [], []
    for example in order:  # the rule, typed out
        present = [] if len(kept) % 2 == 0 else present
        if subjects[example] not in present:
            present.append(subjects[example])
            kept.append(example)
    num_batches = len(kept) // 2
    found = [epochs.examples_of(step) for step in range(num_batches + 1)]
    assert np.concatenate([examples for _, examples in found[:-1]]).tolist() == kept[: 2 * num_batches]
    assert [int(of_epoch[0]) for of_epoch, _ in found] == [0] * num_batches + [1]


def test_of_a_prolific_subject_only_so_many_examples_are_drawn_in_an_epoch():
    subjects, epochs = distinct(counts=(50, 8, 8, 8), batch_size=2, most_per_subject=3)
    _, examples = zip(*(epochs.examples_of(step) for step in range(60)), strict=True)
    of_epoch = np.concatenate([epochs.examples_of(step)[0] for step in range(60)])
    prolific = subjects[np.concatenate(examples)] == 0
    assert max(prolific[of_epoch == epoch].sum() for epoch in set(of_epoch)) == 3


def test_batches_of_distinct_subjects_do_not_depend_on_what_was_asked_before():
    forwards, backwards = distinct(seed=5)[1], distinct(seed=5)[1]
    expected = [forwards.examples_of(step)[1] for step in range(30)]
    for step in reversed(range(30)):
        assert np.array_equal(backwards.examples_of(step)[1], expected[step])


def test_too_few_subjects_for_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"6 subjects cannot fill a batch of 7 .* lower the batch size"):
        distinct(batch_size=7)
    with pytest.raises(ValueError, match="most_per_subject must be at least 1"):
        distinct(most_per_subject=0)
    subjects, epochs = distinct(batch_size=6, most_per_subject=1)
    assert sorted(subjects[epochs.examples_of(5)[1]]) == list(range(6))
    assert epochs.examples_of(5)[0].tolist() == [5] * 6
