import numpy as np
import pytest

from agegender.data.samplers import DistinctSubjectSampler, Draws, ShuffledSampler


@pytest.mark.parametrize(("num_examples", "batch_size"), [(7, 3), (7, 7), (5, 8), (3, 10), (1, 1), (10, 1)])
def test_every_epoch_has_every_example_once(num_examples, batch_size):
    epochs = ShuffledSampler(num_examples, batch_size, seed=0)
    steps = [epochs.examples_of(step) for step in range(4 * num_examples)]
    of_epoch, examples = (np.concatenate(column) for column in zip(*steps, strict=True))
    for epoch in range(4 * num_examples * batch_size // num_examples):
        assert sorted(examples[of_epoch == epoch]) == list(range(num_examples))


def test_epochs_are_in_different_orders():
    epochs = ShuffledSampler(20, 20, seed=0)
    assert len({tuple(epochs.examples_of(step)[1]) for step in range(10)}) == 10


def uniforms_of(sampler, epochs, examples, num_uniforms=2):
    return np.stack([draws.uniforms for draws in sampler.draws_of(epochs, examples, num_uniforms)])


def test_a_step_does_not_depend_on_what_was_asked_before():
    asked = ShuffledSampler(5, 3, seed=1)
    expected = [(asked.examples_of(step), uniforms_of(asked, *asked.examples_of(step))) for step in range(20)]
    for step in reversed(range(20)):
        examples = asked.examples_of(step)
        assert np.array_equal(examples, expected[step][0])
        assert np.array_equal(uniforms_of(asked, *examples), expected[step][1])


def test_whoever_asks_for_fewer_uniforms_in_between_changes_none():
    asked, fresh = ShuffledSampler(5, 5, seed=1), ShuffledSampler(5, 5, seed=1)
    order = asked.examples_of(0)
    expected = {num: uniforms_of(fresh, *order, num) for num in (2, 4)}
    for num in (4, 2, 4):
        assert np.array_equal(asked.examples_of(0), order)
        assert np.array_equal(uniforms_of(asked, *order, num), expected[num])


def test_the_numbers_are_those_of_one_generator_for_each_epoch_order_first():
    rng = np.random.default_rng((3, 1))
    order, uniforms = rng.permutation(5), rng.random((5, 4), np.float32)
    epochs, examples = ShuffledSampler(5, 5, seed=3).examples_of(1)
    assert np.array_equal(examples, order)
    assert np.array_equal(uniforms_of(ShuffledSampler(5, 5, seed=3), epochs, examples, 4), uniforms[order])


def test_uniforms_belong_to_the_example_and_not_to_its_place_in_the_batch():
    small, large = (ShuffledSampler(6, size, seed=2) for size in (1, 6))
    epochs, examples = large.examples_of(0)
    together = uniforms_of(large, epochs, examples, 3)
    assert together.shape == (6, 3)
    assert together.dtype == np.float32
    for place in range(6):
        assert np.array_equal(uniforms_of(small, *small.examples_of(place), 3)[0], together[place])


def test_the_generator_of_an_example_is_none_of_its_neighbours_nor_that_of_the_epoch():
    assert np.random.default_rng((3, 2)).random() == np.random.default_rng((3, 2, 0)).random()  # why there is a 1
    keys = [(3, 2, 0), (3, 2, 1), (3, 1, 0), (2, 2, 0), (3, 0, 2)]
    first = [Draws(np.zeros(0), key).generator().random() for key in keys]
    assert len({*first, np.random.default_rng((3, 2)).random()}) == 6
    assert Draws(np.zeros(0), (3, 2, 1)).generator().random() == first[1]
    epochs, examples = np.array([2, 1]), np.array([1, 0])
    drawn = ShuffledSampler(4, 2, seed=3).draws_of(epochs, examples, 0)
    assert [draws.generator().random() for draws in drawn] == first[1:3]


def test_nothing_to_shuffle_is_refused():
    with pytest.raises(ValueError, match="no training examples: the training part of the split is empty"):
        ShuffledSampler(0, 3, 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        ShuffledSampler(3, 0, 0)


def distinct(counts=(5, 1, 9, 4, 4, 2), batch_size=3, seed=0, **settings):
    subjects = np.repeat(np.arange(len(counts)), counts)
    return subjects, DistinctSubjectSampler(subjects, batch_size, seed, **settings)


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


def test_the_text_of_a_sampler_changes_with_whatever_changes_the_order():
    subjects, other = np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])
    samplers = [
        ShuffledSampler(4, 2, 0), ShuffledSampler(5, 2, 0), ShuffledSampler(4, 3, 0), ShuffledSampler(4, 2, 1),
        DistinctSubjectSampler(subjects, 2, 0), DistinctSubjectSampler(subjects, 2, 0, 399),
        DistinctSubjectSampler(other, 2, 0),
    ]  # fmt: skip
    assert len({repr(sampler) for sampler in samplers}) == len(samplers)
    assert repr(DistinctSubjectSampler(subjects, 2, 0)) == repr(
        DistinctSubjectSampler(subjects, 2, 0, 400)
    )  # published
