import numpy as np
import pytest
import torch

from agegender.data.audio import Crop, EvenCrops, RandomCrop
from agegender.data.audio_augmentation import AddedSound, AudioAugmentation, Reverberation
from agegender.data.batches import EvaluationBatches, TrainingBatches, loader
from agegender.data.samplers import DistinctSubjectSampler, Draws, ShuffledSampler

LENGTHS = (50, 7, 30, 20, 21, 90, 33)
"""Of the clips; a crop has 20 samples."""


def numbered_clips(lengths=LENGTHS):
    """Clips whose samples tell where they come from: 100 times the clip, plus the place."""
    return [100 * (number + 1) + np.arange(length) for number, length in enumerate(lengths)]


@pytest.fixture
def clips(cache_of):
    return cache_of(numbered_clips())


@pytest.fixture
def around(cache_of):
    rng = np.random.default_rng(0)
    sounds = cache_of([rng.integers(-9000, 9000, length).astype(np.int16) for length in (10, 300, 20)])
    return AudioAugmentation((AddedSound(sounds, (0.0, 10.0), (1, 3)), Reverberation(sounds)))


def training(clips, batch_size=3, seed=0, crop=Crop(20), around=None, num_uniforms=0):  # noqa: B008
    targets = {"age": np.arange(len(clips)).astype(np.float32), "gender": np.arange(len(clips)) % 2}
    sampler = ShuffledSampler(len(clips), batch_size, seed)
    return TrainingBatches(clips, targets, sampler, RandomCrop(crop, around, num_uniforms))


def evaluation(clips, batch_size=3, crop=Crop(20), num_crops=1, num_uniforms=0, seed=0):  # noqa: B008
    targets = {"age": np.arange(len(clips)).astype(np.float32)}
    return EvaluationBatches(clips, targets, batch_size, EvenCrops(crop, num_crops, num_uniforms), seed)


def assert_same_batch(batch, other):
    assert batch.keys() == other.keys()
    for name, values in batch.items():
        assert torch.equal(values, other[name]), name


def test_a_batch_holds_crops_of_its_examples_and_their_targets(clips):
    stream = training(clips)
    for step in range(30):
        batch, examples = stream[step], stream.sampler.examples_of(step)[1]
        assert batch["clips"].shape == (3, 20)
        assert batch["clips"].dtype == torch.int16
        assert batch["age"].tolist() == examples.tolist()
        assert batch["gender"].tolist() == (examples % 2).tolist()
        for crop, example in zip(batch["clips"].tolist(), examples, strict=True):
            whole = numbered_clips()[example].tolist()
            assert crop == (whole * 3)[:20] if len(whole) <= 20 else crop[0] in whole
            if len(whole) > 20:
                assert crop == list(range(crop[0], crop[0] + 20))


def test_a_crop_begins_as_published_at_a_share_of_what_is_left(clips):
    """``int(random() * (len - max_audio))``."""
    stream = training(clips)
    for step in range(10):
        epochs, examples = stream.sampler.examples_of(step)
        drawn = stream.sampler.draws_of(epochs, examples, 1)
        for crop, example, draws in zip(stream[step]["clips"], examples, drawn, strict=True):
            start = int(draws.uniforms[0].item() * max(0, LENGTHS[example] - 20))
            assert crop[0] == 100 * (example + 1) + start


@pytest.mark.parametrize("length", [1, 8, 19, 20])
def test_a_short_clip_is_looped_from_its_beginning_as_numpy_pads_with_wrap(cache_of, length):
    whole = numbered_clips([length])[0]
    crop = training(cache_of([whole]), batch_size=1)[0]["clips"][0].numpy()
    assert np.array_equal(crop, np.pad(whole, (0, 21), mode="wrap")[:20])


def test_zeros_may_follow_a_short_clip_and_a_crop_may_begin_at_the_first_sample(clips):
    stream = training(clips, crop=Crop(20, is_looped=False, is_random=False))
    for step in range(7):
        for crop, example in zip(stream[step]["clips"], stream.sampler.examples_of(step)[1], strict=True):
            whole = numbered_clips()[example][:20]
            assert np.array_equal(crop, np.pad(whole, (0, 20 - len(whole))))


def test_every_place_of_a_crop_is_as_likely_as_any_other(cache_of):
    starts = training(cache_of([np.arange(24)] * 2000), batch_size=2000)[0]["clips"][:, 0].numpy()
    counts = np.bincount(starts, minlength=4)
    assert len(counts) == 4  # the last place is never reached, as published
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)


def test_the_largest_draw_stays_inside_the_clip():
    largest = Draws(np.full(1, np.nextafter(np.float32(1), np.float32(0))), (0, 0, 0))
    assert RandomCrop(Crop(20))(np.arange(3_000_000), largest)["clips"].shape == (20,)


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_asked_before(clips, around):
    in_order, backwards = (training(clips, around=around, num_uniforms=2) for _ in range(2))
    expected = [in_order[step] for step in range(12)]
    for step in reversed(range(12)):
        assert_same_batch(backwards[step], expected[step])
    assert_same_batch(training(clips, around=around, num_uniforms=2)[9], expected[9])


@pytest.mark.parametrize("batch_size", [2, 5])
def test_the_size_of_the_batch_cuts_the_stream_of_clips_and_changes_none(clips, around, batch_size):
    streams = []
    for size in (1, batch_size):
        stream = training(clips, size, around=around, num_uniforms=2)
        batches = [stream[step] for step in range(20 // size)]
        streams.append({name: torch.cat([batch[name] for batch in batches]) for name in batches[0]})
    assert_same_batch(*streams)


@pytest.mark.parametrize("num_workers", [0, 1, 2])
def test_the_number_of_workers_does_not_change_the_batches(clips, around, num_workers):
    loaded = list(loader(training(clips, around=around), range(4, 9), num_workers))
    assert len(loaded) == 5
    for step, batch in zip(range(4, 9), loaded, strict=True):
        assert_same_batch(batch, training(clips, around=around)[step])


def test_the_generators_of_numpy_and_torch_are_neither_asked_nor_moved(clips, around):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the generator that must not be touched
    before = torch.random.get_rng_state(), np.random.get_state()[2]  # noqa: NPY002
    batch = training(clips, around=around)[0]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[2] == before[1]  # noqa: NPY002
    torch.manual_seed(4)
    assert_same_batch(training(clips, around=around)[0], batch)


def test_another_seed_gives_other_orders_crops_and_sounds(clips, around):
    assert not np.array_equal(
        training(clips, 7).sampler.examples_of(0)[1], training(clips, 7, seed=1).sampler.examples_of(0)[1]
    )
    assert not torch.equal(
        training(clips, 7, around=around)[0]["clips"], training(clips, 7, 1, around=around)[0]["clips"]
    )


def test_an_example_sounds_different_in_another_epoch(cache_of, around):
    stream = training(cache_of([np.arange(20) * 100]), batch_size=1, around=around)
    heard = {tuple(stream[step]["clips"][0].tolist()) for step in range(9)}
    assert len(heard) > 5


def test_two_examples_with_the_same_recording_have_sounds_of_their_own(cache_of, around):
    stream = training(cache_of([np.arange(20) * 100] * 12), batch_size=12, around=around)
    assert len({tuple(clip) for clip in stream[0]["clips"].tolist()}) > 6


def test_augmented_crops_are_those_of_the_clip_in_float(clips, around):
    plain, heard = training(clips, 7)[0]["clips"], training(clips, 7, around=around)[0]["clips"]
    assert heard.dtype == torch.float32
    is_left_alone = (heard == plain / 32768).all(1)
    assert 0 < is_left_alone.sum() < 7


def test_uniforms_go_along_only_when_asked_for_and_lie_between_0_and_1(clips):
    assert "uniforms" not in training(clips)[0]
    uniforms = torch.cat([training(clips, 7, num_uniforms=9)[step]["uniforms"] for step in range(20)])
    assert uniforms.shape == (140, 9)
    assert 0 <= uniforms.min() < 0.05
    assert 0.95 < uniforms.max() < 1
    assert len(uniforms.unique()) > 1200


def test_the_fingerprint_changes_with_whatever_changes_the_batches(cache_of, clips, around):
    def found(cache=clips, batch_size=3, seed=0, crop=Crop(20), around=None, num_uniforms=0, **targets):  # noqa: B008
        targets = {"age": np.arange(7.0), **targets}
        transform = RandomCrop(crop, around, num_uniforms)
        return TrainingBatches(cache, targets, ShuffledSampler(7, batch_size, seed), transform).fingerprint

    other = cache_of(numbered_clips((49, *LENGTHS[1:])))
    changes = [
        {}, {"cache": other}, {"batch_size": 4}, {"seed": 1}, {"crop": Crop(21)}, {"crop": Crop(20, is_looped=False)},
        {"crop": Crop(20, is_random=False)}, {"around": around}, {"around": AudioAugmentation(around.effects[:1])},
        {"num_uniforms": 1}, {"age": np.arange(1, 8.0)}, {"gender": np.arange(7)}, {"other": np.arange(7)},
    ]  # fmt: skip
    assert len({found(**change) for change in changes}) == len(changes)
    assert found() == found()
    assert len(found()) == 12


@pytest.mark.parametrize(("batch_size", "sizes"), [(3, [3, 3, 1]), (7, [7]), (9, [7])])
def test_an_evaluation_counts_every_example_once_in_order(clips, batch_size, sizes):
    batches = list(loader(evaluation(clips, batch_size, crop=Crop(20))))
    assert [len(batch["clips"]) for batch in batches] == sizes
    assert torch.cat([batch["age"] for batch in batches]).tolist() == list(range(7))
    assert (torch.cat([batch["clips"] for batch in batches])[:, 0] // 100).tolist() == list(range(1, 8))


def test_ten_crops_are_spread_evenly_from_the_first_sample_to_the_last(clips):
    for step in range(3):
        crops = evaluation(clips, crop=Crop(20), num_crops=10)[step]["clips"].numpy()
        assert crops.shape[1:] == (10, 20)
        for clip, whole in zip(crops, numbered_clips()[3 * step :], strict=False):
            starts = np.linspace(0, max(0, len(whole) - 20), 10).astype(int)
            expected = [np.resize(whole, 20) if len(whole) < 20 else whole[start : start + 20] for start in starts]
            assert np.array_equal(clip, expected)
            assert clip[-1, -1] == whole[-1] or len(whole) < 20


def test_a_crop_of_one_sample_is_one(clips):
    assert evaluation(clips, 7, crop=Crop(1))[0]["clips"][:, 0].tolist() == [100 * number for number in range(1, 8)]


def test_one_crop_begins_at_the_first_sample(clips):
    batch = evaluation(clips, 7, crop=Crop(20))[0]
    assert batch["clips"].shape == (7, 20)
    assert (batch["clips"][:, 0] % 100 == 0).all()


def test_uniforms_of_an_evaluation_belong_to_the_example_and_are_the_same_every_time(clips):
    small, large = (evaluation(clips, size, crop=Crop(20), num_uniforms=9, seed=1) for size in (3, 7))
    together = large[0]["uniforms"]
    assert together.shape == (7, 9)
    assert together.dtype == torch.float32
    assert torch.equal(torch.cat([small[step]["uniforms"] for step in range(3)]), together)
    assert torch.equal(large[0]["uniforms"], together)
    assert not torch.equal(evaluation(clips, 7, num_uniforms=9, seed=2)[0]["uniforms"], together)
    assert "uniforms" not in evaluation(clips, 7)[0]


def test_an_evaluation_has_no_batch_beyond_its_last(clips):
    for step in (3, -1):
        with pytest.raises(IndexError):
            evaluation(clips)[step]


def test_what_cannot_be_loaded_is_refused(cache_of, clips):
    with pytest.raises(ValueError, match="no training examples"):
        training(cache_of([]))
    with pytest.raises(ValueError, match="no examples to evaluate"):
        evaluation(cache_of([]))
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        training(clips, 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        evaluation(clips, 0)
    for make in (
        lambda t: TrainingBatches(clips, t, ShuffledSampler(7, 3, 0), RandomCrop(Crop(20))),
        lambda t: EvaluationBatches(clips, t, 3, EvenCrops(Crop(20))),
    ):
        with pytest.raises(ValueError, match="6 values of 'age' for 7 examples"):
            make({"age": np.arange(6.0)})


def test_a_record_says_how_clips_become_batches(clips, around):
    crop = {"num_samples": 20, "is_looped": True, "is_random": True}
    shuffled = {"batch_size": 3, "seed": 5, "num_draws": 2, "crop": crop, "has_surroundings": True}
    assert training(clips, seed=5, around=around, num_uniforms=2).settings == shuffled
    in_order = {"batch_size": 3, "crop": crop, "num_crops": 4, "num_draws": 0, "seed": None}
    assert evaluation(clips, num_crops=4, seed=5).settings == in_order
    assert evaluation(clips, num_crops=4, num_uniforms=2, seed=5).settings == in_order | {"num_draws": 2, "seed": 5}


def test_sounds_at_another_rate_are_refused(cache_of, clips):
    slow = AudioAugmentation((Reverberation(cache_of([np.ones(50)], rate_hz=8000)),))
    with pytest.raises(ValueError, match="sounds at 8000 Hz cannot be added to clips at 16000 Hz"):
        training(clips, around=slow)


def test_batches_without_a_subject_twice_are_crops_and_targets_like_others_and_say_who_they_are_of(clips):
    def made(sampler, targets):
        return TrainingBatches(clips, {"subject_index": targets}, sampler, RandomCrop(Crop(20)))

    subjects, others = np.array([0, 0, 1, 1, 2, 2, 2]), np.array([0, 0, 1, 1, 2, 2, 0])
    stream = made(DistinctSubjectSampler(subjects, 3, 0, most_per_subject=2), subjects)
    for step in range(10):
        batch, examples = stream[step], stream.sampler.examples_of(step)[1]
        assert sorted(batch["subject_index"].tolist()) == [0, 1, 2]
        assert (batch["clips"][:, 0] // 100 - 1).tolist() == examples.tolist()
    streams = [
        stream,
        made(DistinctSubjectSampler(subjects, 3, 0, most_per_subject=3), subjects),
        made(DistinctSubjectSampler(others, 3, 0, most_per_subject=2), subjects),
        made(DistinctSubjectSampler(subjects, 3, 0, most_per_subject=2), others),
        made(ShuffledSampler(7, 3, 0), subjects),
    ]
    assert len({each.fingerprint for each in streams}) == 5
