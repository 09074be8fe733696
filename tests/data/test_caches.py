import json
import multiprocessing
import os
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from agegender.data import cache_files, caches
from agegender.data.caches import cache_images
from agegender.data.images import decode_image, resize_as_tensorflow_1
from agegender.data.manifest import TooManyQuarantinedError, build_manifest


def faces(root, num_faces=8):
    """A manifest of small pictures that are all different."""
    root.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.png" for number in range(num_faces)]
    for name in names:
        Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)).save(root / name)
    table = pd.DataFrame({"path": names, "subject": names, "corpus": "drawn", "modality": "face"})
    return build_manifest(table, root=root)


@pytest.fixture
def manifest(tmp_path):
    return faces(tmp_path / "faces")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded since the test began."""
    names = []

    def noted(path, size_px):
        names.append(path.name)
        return decode_image(path, size_px)

    monkeypatch.setattr(caches, "decode_image", noted)
    return names


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def array_and_facts(folder):
    (array,), (facts,) = folder.glob("*.npy"), folder.glob("*.json")
    return array, facts


def test_example_i_is_image_rows_i_and_is_what_its_file_shows(manifest, folder):
    cache = cache_images(manifest, folder, size_px=10)
    assert cache.images.shape == (8, 10, 10, 3)
    assert cache.images.dtype == np.uint8
    for example, path in enumerate(cache.manifest.examples["path"]):
        assert np.array_equal(cache.images[cache.rows[example]], decode_image(manifest.root / path, 10))


def test_squashed_faces_are_resized_once_more_as_tensorflow_1_does(manifest, folder):
    whole, squashed = cache_images(manifest, folder, 10), cache_images(manifest, folder, 10, squash_px=7)
    assert squashed.images.shape == (8, 7, 7, 3)
    assert np.array_equal(squashed.images, resize_as_tensorflow_1(np.asarray(whole.images), 7))


@pytest.mark.parametrize("num_threads", [1, 5])
def test_the_number_of_threads_does_not_change_the_cache(manifest, folder, tmp_path, num_threads):
    expected = cache_images(manifest, folder, 10)
    assert np.array_equal(
        cache_images(manifest, tmp_path / "other", 10, num_threads=num_threads).images, expected.images
    )


def test_a_cache_that_is_there_is_taken(manifest, folder, decoded):
    first = cache_images(manifest, folder, 10)
    assert len(decoded) == 8
    second = cache_images(manifest, folder, 10)
    assert len(decoded) == 8
    assert np.array_equal(second.images, first.images)
    assert np.array_equal(second.rows, first.rows)
    assert second.manifest.hash() == first.manifest.hash()


def test_nobody_can_write_into_a_cache_by_accident(manifest, folder):
    with pytest.raises(ValueError, match="read-only"):
        cache_images(manifest, folder, 10).images[0] = 0


def test_other_sizes_other_labels_and_other_faces_have_caches_of_their_own(manifest, folder, decoded):
    cache_images(manifest, folder, 10)
    cache_images(manifest, folder, 9)
    cache_images(manifest, folder, 10, squash_px=9)
    cache_images(manifest.select(manifest.examples["path"] != "0.png"), folder, 10)
    assert len(decoded) == 4 * 8 - 1
    assert len(list(folder.glob("*.npy"))) == 4


@pytest.mark.parametrize("change", ["content", "date", "gone", "came"])
def test_a_changed_file_makes_a_new_cache(manifest, folder, decoded, change):
    path = manifest.root / "3.png"
    if change == "came":
        content = path.read_bytes()
        path.unlink()
    cache_images(manifest, folder, 10, max_unreadable_share=0.5)
    if change == "content":
        Image.new("RGB", (5, 5), "red").save(path)
    elif change == "date":
        os.utime(path, ns=(1, 1))
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(content)
    cache = cache_images(manifest, folder, 10, max_unreadable_share=0.5)
    assert len(decoded) == 16
    assert len(cache.manifest) == (7 if change == "gone" else 8)


@pytest.mark.parametrize("place", [0, 200, -1])
def test_one_changed_byte_of_the_images_is_found_and_the_cache_made_again(manifest, folder, decoded, place):
    expected = np.array(cache_images(manifest, folder, 10).images)
    array, _ = array_and_facts(folder)
    content = bytearray(array.read_bytes())
    content[place] ^= 1
    array.write_bytes(content)
    assert np.array_equal(cache_images(manifest, folder, 10).images, expected)
    assert len(decoded) == 16


@pytest.mark.parametrize("length", [0, 130, -1])
def test_half_a_cache_is_made_again(manifest, folder, decoded, length):
    expected = np.array(cache_images(manifest, folder, 10).images)
    array, _ = array_and_facts(folder)
    array.write_bytes(array.read_bytes()[:length])
    assert np.array_equal(cache_images(manifest, folder, 10).images, expected)
    assert len(decoded) == 16


def test_images_without_their_facts_and_facts_without_their_images_are_made_again(manifest, folder, decoded):
    for which in (0, 1):
        cache_images(manifest, folder, 10)
        array_and_facts(folder)[which].unlink()
    assert len(cache_images(manifest, folder, 10).images) == 8
    assert len(decoded) == 24


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b'{"num_bytes": 1}', b"\xff\xfe", b'{"num_bytes"'])
def test_damaged_facts_are_made_again(manifest, folder, decoded, content):
    cache_images(manifest, folder, 10)
    _, facts = array_and_facts(folder)
    before = facts.read_bytes()
    facts.write_bytes(content)
    assert len(cache_images(manifest, folder, 10).images) == 8
    assert facts.read_bytes() == before
    assert len(decoded) == 16


@pytest.mark.parametrize("wrong", [{}, {"6": "x"}, {"2": "x", "6": "x"}, {"99": "x"}, {"x": "x"}, []], ids=str)
def test_a_damaged_list_of_unreadable_faces_is_found(manifest, folder, wrong):
    """It says which example is which image, so a wrong list would give faces the labels of others."""
    (manifest.root / "2.png").write_bytes(b"")
    cache_images(manifest, folder, 10, max_unreadable_share=0.5)
    _, facts = array_and_facts(folder)
    facts.write_text(json.dumps(json.loads(facts.read_text()) | {"unreadable": wrong}))
    cache = cache_images(manifest, folder, 10, max_unreadable_share=0.5)
    assert cache.rows.tolist() == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize("opened", ["new", "again"])
def test_unreadable_files_are_set_aside_with_a_reason_and_the_others_keep_their_labels(manifest, folder, opened):
    (manifest.root / "2.png").write_bytes((manifest.root / "2.png").read_bytes()[:60])
    (manifest.root / "5.png").unlink()
    if opened == "again":
        cache_images(manifest, folder, 10, max_unreadable_share=0.25)
    cache = cache_images(manifest, folder, 10, max_unreadable_share=0.25)
    assert cache.manifest.examples["path"].tolist() == [f"{number}.png" for number in (0, 1, 3, 4, 6, 7)]
    assert cache.manifest.examples.index.tolist() == list(range(6))
    for example, path in enumerate(cache.manifest.examples["path"]):
        assert np.array_equal(cache.images[cache.rows[example]], decode_image(manifest.root / path, 10))
    aside = cache.manifest.quarantine
    assert aside["path"].tolist() == ["2.png", "5.png"]
    assert aside["row"].tolist() == [2, 5]
    assert aside["reason"].str.contains("no such file").tolist() == [False, True]
    assert cache.manifest.describe()["num_examples"] == 6


def test_what_was_in_the_quarantine_stays_there(tmp_path, folder):
    manifest = faces(tmp_path / "faces")
    earlier = pd.DataFrame({"path": ["x"], "row": [9], "reason": ["unknown label"]})
    manifest = build_manifest(manifest.examples, earlier, root=manifest.root, max_quarantined_share=1)
    (manifest.root / "2.png").unlink()
    quarantine = cache_images(manifest, folder, 10, max_unreadable_share=0.5).manifest.quarantine
    assert quarantine["path"].tolist() == ["x", "2.png"]


def test_one_unreadable_file_more_than_allowed_is_an_error(manifest, folder):
    for number in (2, 5):
        (manifest.root / f"{number}.png").write_bytes(b"")
    assert len(cache_images(manifest, folder, 10, max_unreadable_share=0.25).manifest) == 6
    for share in (0.24, 0.0):
        with pytest.raises(
            TooManyQuarantinedError, match=r"2 of 8 files cannot be used, more than .* First: .*2\.png: "
        ):
            cache_images(manifest, folder, 10, max_unreadable_share=share)


def test_a_corpus_that_could_not_be_read_leaves_no_cache_behind(manifest, folder, decoded, monkeypatch):
    """Most likely it will be there the next time: a disk that was not mounted, too many open files."""
    monkeypatch.setattr(caches, "decode_image", lambda path, size_px: decode_image(path.with_suffix(".gone"), size_px))
    with pytest.raises(TooManyQuarantinedError, match="8 of 8 files cannot be used"):
        cache_images(manifest, folder, 10)
    assert files_in(folder) == []


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system cannot claim disk space")
def test_the_space_is_claimed_before_anything_is_decoded(manifest, folder, decoded, monkeypatch):
    """A full disk under mapped memory would end the process without a word."""

    def full(handle, offset, length):
        assert length > 8 * 10 * 10 * 3
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left on device: the decoded faces need 0 MiB"):
        cache_images(manifest, folder, 10)
    assert decoded == []
    assert files_in(folder) == []


def test_a_disk_error_while_decoding_leaves_nothing_behind(manifest, folder, monkeypatch):
    def full(path, size_px):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caches, "decode_image", full)
    with pytest.raises(OSError, match="No space left"):
        cache_images(manifest, folder, 10)
    assert files_in(folder) == []


def test_images_whose_facts_could_not_be_written_are_made_again(manifest, folder, decoded, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(cache_files, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            cache_images(manifest, folder, 10)
    assert len(cache_images(manifest, folder, 10).images) == 8
    assert len(decoded) == 16


def test_another_process_may_finish_the_same_cache_in_between(manifest, folder, monkeypatch):
    finished = []

    def interrupted(path, size_px):
        if not finished:
            finished.append(True)
            finished.append(cache_images(manifest, folder, 10, num_threads=1))
        return decode_image(path, size_px)

    monkeypatch.setattr(caches, "decode_image", interrupted)
    ours, theirs = cache_images(manifest, folder, 10, num_threads=1), finished[1]
    assert np.array_equal(ours.images, theirs.images)
    assert len(files_in(folder)) == 2
    monkeypatch.setattr(caches, "decode_image", lambda path, size_px: pytest.fail("made again"))
    assert np.array_equal(cache_images(manifest, folder, 10).images, ours.images)


def build_in_a_process(manifest, folder, barrier):
    barrier.wait()
    cache = cache_images(manifest, folder, 10, num_threads=1)
    good = all(
        np.array_equal(cache.images[row], decode_image(manifest.root / path, 10))
        for row, path in zip(cache.rows, cache.manifest.examples["path"], strict=True)
    )
    os._exit(0 if good else 1)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="forking is not safe there")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_that_build_one_cache_at_once_all_get_it_whole(manifest, folder):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=build_in_a_process, args=(manifest, folder, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(files_in(folder)) == 2


def test_a_manifest_of_labels_only_has_no_faces_to_decode(manifest, folder):
    labels = build_manifest(manifest.examples)
    with pytest.raises(ValueError, match="this manifest was read from labels only: read it again with the folder"):
        cache_images(labels, folder, 10)
