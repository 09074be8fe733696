import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from agegender.data.batches import (
    EvaluationBatches,
    TrainingBatches,
    loader,
    targets_of,
)
from agegender.data.cache import examples_in_memory
from agegender.data.images import Augmentation, CentreCrop, cache_images, standardise
from agegender.data.samplers import Draws, ShuffledSampler

SIDE = 12


def numbered_faces(num_faces=10, side=SIDE):
    """Faces whose pixels tell where they come from: (file, y, x)."""
    faces = np.empty((num_faces, side, side, 3), dtype=np.uint8)
    faces[..., 0] = np.arange(num_faces)[:, None, None]
    faces[..., 1] = np.arange(side)[:, None]
    faces[..., 2] = np.arange(side)
    return faces


def cached(rows, faces=None):
    return examples_in_memory(list(numbered_faces() if faces is None else faces)).select(np.asarray(rows))


def training(num_examples=7, batch_size=3, seed=0, augmentation=None, rows=None):
    rows = np.arange(num_examples) if rows is None else rows
    targets = {"age_group": np.arange(num_examples) % 8, "gender": np.arange(num_examples) % 2}
    sampler = ShuffledSampler(len(rows), batch_size, seed)
    return TrainingBatches(cached(rows), targets, sampler, augmentation or CentreCrop())


def evaluation(num_examples=7, batch_size=3, crop_px=None, rows=None):
    rows = np.arange(num_examples) if rows is None else rows
    return EvaluationBatches(cached(rows), {"age_group": np.arange(num_examples)}, batch_size, CentreCrop(crop_px))


def assert_same_batch(batch, other):
    assert batch.keys() == other.keys()
    for name, values in batch.items():
        assert torch.equal(values, other[name]), name


def draws(num_examples, crop_px=9, contrast=(0.2, 1.8), flips=True, seed=0, side=SIDE):
    """Top, left, whether mirrored, and contrast of every example in its first epoch."""
    images = numbered_faces(1, side).repeat(num_examples, 0)
    sampler = ShuffledSampler(num_examples, num_examples, seed)
    augmentation = Augmentation(crop_px, flips=flips, contrast=contrast)
    batch = TrainingBatches(cached(np.arange(num_examples), images), {}, sampler, augmentation)[0]
    pixels = batch["images"].numpy()
    is_mirrored = pixels[:, 0, 0, 2] > pixels[:, 0, -1, 2]
    return pixels[:, 0, 0, 1], pixels[..., 2].min((1, 2)), is_mirrored, batch["contrast"].numpy()


@pytest.mark.parametrize(("num_examples", "batch_size"), [(7, 3), (7, 7), (6, 3), (5, 8), (3, 10), (1, 1), (10, 1)])
def test_every_epoch_sees_every_example_once(num_examples, batch_size):
    faces = training(num_examples, batch_size)
    steps = [faces.sampler.examples_of(step) for step in range(4 * num_examples)]
    epochs, examples = (np.concatenate(parts) for parts in zip(*steps, strict=True))
    assert np.array_equal(epochs, np.sort(epochs))
    for epoch in range(4):
        assert sorted(examples[epochs == epoch]) == list(range(num_examples))


def test_epochs_have_orders_of_their_own():
    faces = training(num_examples=10, batch_size=10)
    assert len({tuple(faces.sampler.examples_of(epoch)[1]) for epoch in range(8)}) == 8


def test_without_augmentation_a_batch_holds_the_faces_and_labels_of_its_examples():
    rows = np.array([9, 8, 6, 4, 3, 1, 0])
    faces = training(rows=rows)
    for step in range(5):
        batch, examples = faces[step], faces.sampler.examples_of(step)[1]
        assert np.array_equal(batch["images"].numpy(), numbered_faces()[rows[examples]])
        assert batch["age_group"].tolist() == (examples % 8).tolist()
        assert batch["gender"].tolist() == (examples % 2).tolist()
        assert batch.keys() == {"images", "age_group", "gender"}


def test_with_augmentation_a_batch_holds_crops_of_its_examples():
    faces = training(augmentation=Augmentation(9))
    for step in range(5):
        batch, examples = faces[step], faces.sampler.examples_of(step)[1]
        assert batch["images"].shape == (3, 9, 9, 3)
        assert batch["images"].dtype == torch.uint8
        assert batch["images"][:, 4, 4, 0].tolist() == examples.tolist()


def test_a_crop_is_a_window_of_the_face_or_its_mirror_image():
    face = numbered_faces(1)[0]
    cache = cached(np.arange(40), face[None].repeat(40, 0))
    faces = TrainingBatches(cache, {}, ShuffledSampler(40, 40, 1), Augmentation(9))
    windows = {face[y : y + 9, x : x + 9].tobytes() for y in range(4) for x in range(4)}
    mirrored = {face[y : y + 9, x : x + 9][:, ::-1].tobytes() for y in range(4) for x in range(4)}
    seen = {crop.numpy().tobytes() for crop in faces[0]["images"]}
    assert seen <= windows | mirrored
    assert seen & windows
    assert seen & mirrored


def test_every_place_of_the_crop_is_as_likely_as_any_other():
    top, left, _, _ = draws(8000)
    counts = np.histogram2d(top, left, bins=[range(5), range(5)])[0]
    assert counts.shape == (4, 4)
    assert np.abs(counts - 500).max() < 5 * np.sqrt(500)  # five standard deviations


def test_the_last_row_and_column_are_reached_but_not_passed():
    top, left, _, _ = draws(400)
    assert (top.min(), top.max(), left.min(), left.max()) == (0, 3, 0, 3)


@pytest.mark.parametrize("room", [1, 2, 3, 4, 30])
def test_the_largest_draw_stays_inside_the_face(room):
    largest = np.full(4, np.nextafter(np.float32(1), np.float32(0)))
    crop = Augmentation(SIDE - min(room, SIDE) + 1)(numbered_faces()[0], Draws(largest, (0, 0, 0)))["images"]
    assert crop[-1, -1, 1:].tolist() == [SIDE - 1, SIDE - 1]


def test_half_of_the_faces_are_mirrored_and_contrast_spreads_over_its_range():
    _, _, is_mirrored, contrast = draws(8000)
    assert abs(is_mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(8000)
    assert 0.2 <= contrast.min() < 0.21
    assert 1.79 < contrast.max() <= 1.8
    assert np.abs(np.histogram(contrast, bins=8, range=(0.2, 1.8))[0] - 1000).max() < 5 * np.sqrt(1000)


def test_crop_flip_and_contrast_are_drawn_independently():
    top, left, is_mirrored, contrast = draws(8000)
    correlations = np.corrcoef([top, left, is_mirrored, contrast])[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(8000)


def test_flips_and_contrast_can_be_left_out():
    _, _, is_mirrored, contrast = draws(100, flips=False, contrast=None)
    assert not is_mirrored.any()
    assert (contrast == 1).all()


def test_a_crop_of_the_whole_face_is_the_whole_face():
    top, left, _, _ = draws(20, crop_px=SIDE)
    assert top.tolist() == left.tolist() == [0] * 20


def test_a_batch_depends_on_seed_and_step_and_not_on_what_was_asked_before():
    in_order, backwards = training(augmentation=Augmentation(9)), training(augmentation=Augmentation(9))
    expected = [in_order[step] for step in range(20)]
    for step in reversed(range(20)):
        assert_same_batch(backwards[step], expected[step])
    assert_same_batch(training(augmentation=Augmentation(9))[17], expected[17])


def test_batches_longer_than_several_epochs_do_not_depend_on_what_was_asked_before_either():
    faces = training(num_examples=3, batch_size=10, augmentation=Augmentation(9))
    expected = [faces[step] for step in range(6)]
    assert_same_batch(faces[2], expected[2])
    assert_same_batch(training(num_examples=3, batch_size=10, augmentation=Augmentation(9))[5], expected[5])


@pytest.mark.parametrize("batch_size", [2, 5, 20])
def test_the_size_of_the_batch_cuts_the_stream_of_faces_and_changes_none(batch_size):
    """Each face is a function of seed, epoch and example, also where a batch reaches into the next epochs."""
    stream = []
    for size in (1, batch_size):
        faces = training(num_examples=7, batch_size=size, augmentation=Augmentation(9))
        batches = [faces[step] for step in range(40 // size)]
        stream.append({name: torch.cat([batch[name] for batch in batches]) for name in batches[0]})
    assert_same_batch(*stream)


def test_another_seed_gives_another_order_and_other_crops():
    assert not np.array_equal(
        training(10, 10, seed=0).sampler.examples_of(0)[1], training(10, 10, seed=1).sampler.examples_of(0)[1]
    )
    assert not np.array_equal(draws(50, seed=0)[3], draws(50, seed=1)[3])


def test_the_same_example_looks_different_in_another_epoch():
    faces = training(num_examples=1, batch_size=1, augmentation=Augmentation(9))
    assert len({faces[step]["contrast"].item() for step in range(10)}) == 10


@pytest.mark.parametrize("num_workers", [1, 2])
def test_the_number_of_workers_does_not_change_the_batches(num_workers):
    faces = training(augmentation=Augmentation(9))
    loaded = list(loader(faces, range(4, 11), num_workers))
    assert len(loaded) == 7
    for step, batch in zip(range(4, 11), loaded, strict=True):
        assert_same_batch(batch, training(augmentation=Augmentation(9))[step])


def test_the_generators_of_numpy_and_torch_are_neither_asked_nor_moved():
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the generator that must not be touched
    before = torch.random.get_rng_state(), np.random.get_state()[2]  # noqa: NPY002
    batch = training(augmentation=Augmentation(9))[0]
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[2] == before[1]  # noqa: NPY002
    torch.manual_seed(4)
    assert_same_batch(training(augmentation=Augmentation(9))[0], batch)


def fingerprinted(images=None, rows=None, batch_size=3, seed=0, augmentation=None, **targets):
    targets = {"age_group": np.arange(7), "gender": np.zeros(7, dtype=np.int64)} | targets
    images, rows = numbered_faces() if images is None else images, np.arange(7) if rows is None else rows
    sampler = ShuffledSampler(len(rows), batch_size, seed)
    return TrainingBatches(cached(rows, images), targets, sampler, augmentation or CentreCrop()).fingerprint


FACE_CHANGES = {
    "rows": {"rows": np.array([0, 1, 2, 3, 4, 6, 5])},
    "label": {"age_group": np.array([0, 1, 2, 3, 4, 5, 7])},
    "other label": {"gender": np.array([0, 0, 0, 0, 0, 0, 1])},
    "new label": {"identity": np.arange(7)},
    "new label of another name": {"voice": np.arange(7)},
    "batch size": {"batch_size": 4},
    "seed": {"seed": 1},
    "augmentation": {"augmentation": Augmentation(9)},
    "crop": {"augmentation": Augmentation(9, flips=False)},
    "size": {"images": numbered_faces(side=11)},
}


def test_the_fingerprint_changes_with_whatever_changes_the_batches():
    found = [fingerprinted(), *(fingerprinted(**change) for change in FACE_CHANGES.values())]
    assert len(set(found)) == len(FACE_CHANGES) + 1
    assert fingerprinted() == fingerprinted()
    assert len(fingerprinted()) == 12


def test_the_fingerprint_changes_with_the_files_of_the_cache_and_not_with_its_folder(faces, tmp_path):
    def found(folder):
        cache = cache_images(faces, tmp_path / folder, 10)
        return TrainingBatches(cache, {}, ShuffledSampler(8, 2, 0), Augmentation(9)).fingerprint

    first = found("a")
    assert found("b") == first
    (faces.root / "0.png").write_bytes((faces.root / "1.png").read_bytes())
    assert found("a") != first


@pytest.mark.parametrize(("num_examples", "batch_size", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [3, 3]), (2, 5, [2])])
def test_an_evaluation_counts_every_example_once_in_order(num_examples, batch_size, sizes):
    faces = evaluation(num_examples, batch_size)
    batches = list(loader(faces))
    assert len(faces) == len(batches) == len(sizes)
    assert [len(batch["images"]) for batch in batches] == sizes
    assert torch.cat([batch["age_group"] for batch in batches]).tolist() == list(range(num_examples))
    assert torch.cat([batch["images"] for batch in batches])[:, 0, 0, 0].tolist() == list(range(num_examples))


def test_an_evaluation_with_workers_is_the_same():
    alone, helped = (list(loader(evaluation(), num_workers=num_workers)) for num_workers in (0, 2))
    for batch, other in zip(alone, helped, strict=True):
        assert_same_batch(batch, other)


def test_an_evaluation_takes_the_image_that_its_row_names():
    rows = np.array([9, 2, 2])
    assert evaluation(3, 3, rows=rows)[0]["images"][:, 0, 0, 0].tolist() == [9, 2, 2]


@pytest.mark.parametrize(("crop_px", "first"), [(12, 0), (11, 0), (10, 1), (9, 1), (2, 5), (1, 5)])
def test_the_centre_is_cut_as_tensorflow_cuts_it(crop_px, first):
    """``resize_image_with_crop_or_pad``: the margin before is half of the difference, rounded down."""
    crop = evaluation(crop_px=crop_px)[0]["images"]
    assert crop.shape == (3, crop_px, crop_px, 3)
    assert crop[0, :, 0, 1].tolist() == crop[0, 0, :, 2].tolist() == list(range(first, first + crop_px))


def test_an_evaluation_has_no_batch_beyond_its_last():
    for step in (3, -1):
        with pytest.raises(IndexError):
            evaluation()[step]


def test_labels_become_indices():
    examples = pd.DataFrame({"path": ["a", "b"], "age_group": pd.array([7, 0], "Int64"), "gender": ["female", "male"]})
    targets = targets_of(examples)
    assert {name: values.tolist() for name, values in targets.items()} == {"age_group": [7, 0], "gender": [1, 0]}
    assert {values.dtype for values in targets.values()} == {np.dtype(np.int64)}


@pytest.mark.parametrize("column", ["age_group", "gender"])
def test_an_example_without_a_label_is_refused_with_its_path(column):
    examples = pd.DataFrame(
        {"path": ["a", "b", "c"], "age_group": pd.array([7, 0, 1], "Int64"), "gender": ["female", "male", "male"]}
    )
    examples.loc[[1, 2], column] = None
    with pytest.raises(ValueError, match=f"2 examples have no {column}, first 'b': leave them out first"):
        targets_of(examples)


def test_an_empty_part_is_refused():
    with pytest.raises(ValueError, match="no training examples: the training part of the split is empty"):
        training(num_examples=0)
    with pytest.raises(ValueError, match="no examples to evaluate: this part of the split is empty"):
        evaluation(num_examples=0)


def test_a_crop_larger_than_the_face_is_refused():
    message = "a crop of 13 px does not fit into faces of 12 px"
    with pytest.raises(ValueError, match=message):
        training(augmentation=Augmentation(13))
    with pytest.raises(ValueError, match=message):
        evaluation(crop_px=13)


@pytest.mark.parametrize("make", [training, evaluation])
def test_a_batch_of_nothing_is_refused(make):
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        make(batch_size=0)


@pytest.mark.parametrize("make", [training, evaluation])
def test_labels_of_other_examples_are_refused(make):
    with pytest.raises(ValueError, match="7 values of 'age_group' for 5 examples"):
        make(rows=np.arange(5))


def test_contrast_reaches_the_pixels_of_its_own_face():
    """The batch names one factor a face, in the order of the faces."""
    batch = training(augmentation=Augmentation(9))[2]
    together = standardise(batch["images"], batch["contrast"])
    for place in range(3):
        alone = standardise(batch["images"][place : place + 1], batch["contrast"][place : place + 1])
        assert_close(together[place : place + 1], alone)


def test_years_are_floats_and_yes_or_no_becomes_one_or_zero():
    examples = pd.DataFrame({"path": ["a", "b"], "age": [31.5, 2.0], "young": pd.array([True, False], "boolean")})
    targets = targets_of(examples, ("age", "young"))
    assert list(targets) == ["age", "young"]
    assert (targets["age"].dtype, targets["young"].dtype) == (np.float32, np.int64)
    assert targets["age"].tolist() == [31.5, 2.0]
    assert targets["young"].tolist() == [1, 0]


def test_an_unknown_age_in_years_is_refused_with_its_path():
    examples = pd.DataFrame({"path": ["a", "b", "c"], "age": [31.5, np.nan, np.nan]})
    with pytest.raises(ValueError, match="2 examples have no age, first 'b'"):
        targets_of(examples, ["age"])


def augmented(seed=0, batch_size=3, augmentation=Augmentation(crop_px=9)):  # noqa: B008
    targets = {"gender": np.arange(7) % 2}
    return EvaluationBatches(cached(np.arange(7)), targets, batch_size, augmentation, seed)


def test_an_augmented_evaluation_draws_for_each_example_and_the_same_whenever_it_is_asked():
    whole, other_batches = augmented(), augmented(batch_size=7)
    images = torch.cat([whole[step]["images"] for step in range(3)])
    contrast = torch.cat([whole[step]["contrast"] for step in range(3)])
    assert torch.equal(images, other_batches[0]["images"])
    assert torch.equal(contrast, other_batches[0]["contrast"])
    assert torch.equal(whole[1]["images"], whole[1]["images"])
    assert torch.cat([whole[step]["gender"] for step in range(3)]).tolist() == [0, 1, 0, 1, 0, 1, 0]
    assert images.shape == (7, 9, 9, 3)
    assert len(contrast.unique()) == 7
    assert not torch.equal(images, augmented(seed=1, batch_size=7)[0]["images"])


def test_an_augmented_evaluation_shows_windows_of_its_own_example():
    faces, batch = numbered_faces(), augmented(batch_size=7)[0]["images"].numpy()
    for example in range(7):
        places = range(faces.shape[1] - 9 + 1)
        windows = [faces[example, y : y + 9, x : x + 9] for y in places for x in places]
        assert any(np.array_equal(batch[example], seen) for window in windows for seen in (window, window[:, ::-1]))


def test_an_augmentation_of_the_evaluation_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="does not fit"):
        augmented(augmentation=Augmentation(crop_px=500))


def test_a_sampler_of_other_examples_is_refused():
    with pytest.raises(ValueError, match="the sampler draws from 6 examples, and there are 7"):
        TrainingBatches(cached(np.arange(7)), {}, ShuffledSampler(6, 3, 0), CentreCrop())


def test_a_record_says_how_faces_become_batches():
    settings = {"crop_px": 9, "flips": True, "contrast": (0.2, 1.8)}
    assert training(augmentation=Augmentation(9)).settings == {"batch_size": 3, "seed": 0, "augmentation": settings}
    whole = {"batch_size": 3, "stored_px": 12, "crop_px": None, "augmentation": None, "seed": None}
    assert evaluation().settings == whole
    assert evaluation(crop_px=9).settings == whole | {"crop_px": 9}
    assert augmented(seed=4).settings == whole | {"augmentation": settings, "seed": 4}
