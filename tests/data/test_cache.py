"""The cache of decoded files, with pictures and with recordings in it."""

import json
import multiprocessing
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import soundfile

from agegender.data import audio, images
from agegender.data import cache as module
from agegender.data.audio import as_int16, cache_clips, read_clip
from agegender.data.cache import cache_examples, examples_in_memory
from agegender.data.images import cache_images, decode_image
from agegender.data.manifest import Manifest, TooManyQuarantinedError, build_manifest


class Faces:
    """Eight pictures, cached at 10 px."""

    module, decoder, ending = images, "decode_image", "png"

    @staticmethod
    def cache(manifest, folder, **options):
        return cache_examples(manifest, folder, lambda _: lambda path: images.decode_image(path, 10), "10", **options)

    @staticmethod
    def decoded(path):
        return decode_image(path, 10)


class Clips:
    """Eight recordings, cached at 16 kHz."""

    module, decoder, ending = audio, "read_clip", "wav"

    @staticmethod
    def cache(manifest, folder, **options):
        decoder = lambda _: lambda path: as_int16(audio.read_clip(path))  # noqa: E731
        return cache_examples(manifest, folder, decoder, "16 kHz", 16_000, **options)

    @staticmethod
    def decoded(path):
        return as_int16(read_clip(path))


@dataclass(frozen=True)
class Corpus:
    """Eight files of a kind and the folder of their cache."""

    kind: type[Faces] | type[Clips]
    manifest: Manifest
    folder: os.PathLike

    def path(self, number):
        return self.manifest.root / f"{number}.{self.kind.ending}"

    def cached(self, **options):
        return self.kind.cache(self.manifest, self.folder, **options)

    def numbers(self, **options):
        return np.array(self.cached(**options).array)

    def files(self):
        """The file of numbers and that of notes."""
        numbers, notes = sorted(self.folder.iterdir(), key=lambda path: path.suffix == ".json")
        return numbers, notes

    def has_no_cache(self):
        return not self.folder.exists() or list(self.folder.iterdir()) == []

    def assert_holds_its_files(self, cache, numbers):
        """The examples are those of the files with these numbers, in this order."""
        assert cache.manifest.examples["path"].tolist() == [self.path(number).name for number in numbers]
        assert cache.manifest.examples.index.tolist() == list(range(len(numbers)))
        for row, number in enumerate(numbers):
            assert np.array_equal(cache[row], self.kind.decoded(self.path(number)))


@pytest.fixture(params=["faces", "voices"])
def corpus(request, folder):
    kind = {"faces": Faces, "voices": Clips}[request.param]
    return Corpus(kind, request.getfixturevalue(request.param), folder)


def test_an_example_is_what_its_file_holds(corpus):
    corpus.assert_holds_its_files(corpus.cached(), range(8))


@pytest.mark.parametrize("num_threads", [1, 5])
def test_the_number_of_threads_does_not_change_the_cache(corpus, tmp_path, num_threads, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: num_threads)
    other = corpus.kind.cache(corpus.manifest, tmp_path / "other")
    corpus.assert_holds_its_files(other, range(8))
    assert np.array_equal(other.array, corpus.numbers())


def settle(corpus):
    """Let the file of numbers be an hour old."""
    path, _ = corpus.files()
    os.utime(path, ns=(path.stat().st_mtime_ns - 3_600_000_000_000,) * 2)


@pytest.fixture
def checked(monkeypatch):
    """The files of numbers that were read as a whole since the test began."""
    paths, checksum = [], module._checksum
    monkeypatch.setattr(module, "_checksum", lambda path: paths.append(path) or checksum(path))
    return paths


def test_a_cache_is_read_as_a_whole_once_for_each_version_of_its_file(corpus, checked, decoded):
    corpus.cached()
    settle(corpus)
    del checked[:]
    for _ in range(3):
        corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert len(checked) == 1
    settle(corpus)  # another date: another version, though with the same bytes
    for _ in range(2):
        corpus.cached()
    assert len(checked) == 2
    assert len(decoded) == 8


def test_a_cache_that_was_written_just_now_is_checked_again_because_its_date_may_stay_the_same(corpus, checked):
    corpus.cached()
    del checked[:]
    path, _ = corpus.files()
    os.utime(path)
    for _ in range(2):
        corpus.cached()
    assert len(checked) == 2


@pytest.mark.parametrize("change", ["byte", "place"])
def test_a_checked_cache_that_was_changed_since_is_found(corpus, decoded, change):
    expected = corpus.numbers()
    settle(corpus)
    corpus.cached()
    path, _ = corpus.files()
    content, date = bytearray(path.read_bytes()), path.stat().st_mtime_ns
    content[50] ^= 1
    if change == "byte":
        path.write_bytes(content)
    else:  # of the same length and date, but another file
        (path.parent / "other").write_bytes(content)
        os.utime(path.parent / "other", ns=(date, date))
        (path.parent / "other").replace(path)
    assert np.array_equal(corpus.numbers(), expected)
    assert len(decoded) == 16


def test_a_cache_in_a_folder_that_cannot_be_written_to_is_checked_each_time(corpus, checked, monkeypatch):
    corpus.cached()
    settle(corpus)
    del checked[:]

    def read_only(path, text):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module, "write_text", read_only)
    for _ in range(2):
        corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert len(checked) == 2


def test_a_cache_that_is_there_is_taken(corpus, decoded):
    first = corpus.cached()
    assert len(decoded) == 8
    second = corpus.cached()
    assert len(decoded) == 8
    corpus.assert_holds_its_files(second, range(8))
    assert second.manifest.hash() == first.manifest.hash()


def test_nobody_can_write_into_a_cache_by_accident(corpus):
    with pytest.raises(ValueError, match="read-only"):
        corpus.cached().array[0] = 0


@pytest.mark.parametrize("change", ["content", "date", "gone", "came"])
def test_a_changed_file_makes_a_new_cache(corpus, decoded, change):
    path = corpus.path(3)
    content = path.read_bytes()
    if change == "came":
        path.unlink()
    corpus.cached(max_unreadable_share=0.5)
    if change == "content":
        path.write_bytes(corpus.path(4).read_bytes())
    elif change == "date":
        os.utime(path, ns=(1, 1))
    elif change == "gone":
        path.unlink()
    else:
        path.write_bytes(content)
    cache = corpus.cached(max_unreadable_share=0.5)
    assert len(decoded) == 16
    corpus.assert_holds_its_files(cache, [0, 1, 2, 4, 5, 6, 7] if change == "gone" else range(8))


@pytest.mark.parametrize("place", [0, 200, -1])
def test_one_changed_byte_of_the_numbers_is_found_and_the_cache_made_again(corpus, decoded, place):
    expected = corpus.numbers()
    path, _ = corpus.files()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert np.array_equal(corpus.numbers(), expected)
    assert len(decoded) == 16


@pytest.mark.parametrize("length", [0, 130, -1])
def test_half_a_cache_is_made_again(corpus, decoded, length):
    expected = corpus.numbers()
    path, _ = corpus.files()
    path.write_bytes(path.read_bytes()[:length])
    assert np.array_equal(corpus.numbers(), expected)
    assert len(decoded) == 16


def test_numbers_without_their_notes_and_notes_without_their_numbers_are_made_again(corpus, decoded):
    for which in (0, 1):
        corpus.cached()
        corpus.files()[which].unlink()
    corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert len(decoded) == 24


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"7", b'{"num_bytes": 1}', b"\xff\xfe", b'{"num_bytes"'])
def test_damaged_notes_are_made_again(corpus, decoded, content):
    corpus.cached()
    _, notes = corpus.files()
    before = notes.read_bytes()
    notes.write_bytes(content)
    corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert notes.read_bytes() == before
    assert len(decoded) == 16


@pytest.mark.parametrize(
    "wrong",
    [
        *({"unreadable": rows} for rows in ({}, {"6": "x"}, {"2": "x", "6": "x"}, {"99": "x"}, {"x": "x"}, [])),
        {"lengths": [2000] * 7}, {"lengths": []}, {"dtype": "|u2"}, {"shape": [3]},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("is_settled", [False, True])
def test_damaged_notes_about_the_examples_are_found(corpus, wrong, is_settled):
    """They say which example is which and where it begins: wrong ones would give files the labels of others."""
    corpus.path(2).write_bytes(b"")
    corpus.cached(max_unreadable_share=0.5)
    if is_settled:
        settle(corpus)
        corpus.cached(max_unreadable_share=0.5)
    _, notes = corpus.files()
    stored = json.loads(notes.read_text())
    notes.write_text(json.dumps(stored | {"notes": stored["notes"] | wrong}))
    corpus.assert_holds_its_files(corpus.cached(max_unreadable_share=0.5), [0, 1, 3, 4, 5, 6, 7])


@pytest.mark.parametrize("opened", ["new", "again"])
def test_unreadable_files_are_set_aside_with_a_reason_and_the_others_keep_their_labels(corpus, opened):
    corpus.path(2).write_bytes(corpus.path(2).read_bytes()[:60])
    corpus.path(5).unlink()
    if opened == "again":
        corpus.cached(max_unreadable_share=0.25)
    cache = corpus.cached(max_unreadable_share=0.25)
    corpus.assert_holds_its_files(cache, [0, 1, 3, 4, 6, 7])
    assert cache.manifest.examples["age"].tolist() == [20, 21, 23, 24, 26, 27]
    aside = cache.manifest.quarantine
    assert aside["path"].tolist() == [corpus.path(2).name, corpus.path(5).name]
    assert aside["row"].tolist() == [2, 5]
    assert aside["reason"].str.contains("no such file").tolist() == [False, True]
    assert cache.manifest.describe()["num_examples"] == 6


def test_what_was_in_the_quarantine_stays_there(corpus):
    earlier = pd.DataFrame({"path": ["x"], "row": [9], "reason": ["unknown label"]})
    manifest = build_manifest(corpus.manifest.examples, earlier, root=corpus.manifest.root, max_quarantined_share=1)
    corpus.path(2).unlink()
    quarantine = corpus.kind.cache(manifest, corpus.folder, max_unreadable_share=0.5).manifest.quarantine
    assert quarantine["path"].tolist() == ["x", corpus.path(2).name]


def test_one_unreadable_file_more_than_allowed_is_an_error(corpus):
    for number in (2, 5):
        corpus.path(number).write_bytes(b"")
    message = rf"2 of 8 files cannot be used, more than .* First: .*2\.{corpus.kind.ending}: "
    with pytest.raises(TooManyQuarantinedError, match=message):
        corpus.cached(max_unreadable_share=0.24)
    assert corpus.has_no_cache()
    corpus.assert_holds_its_files(corpus.cached(max_unreadable_share=0.25), [0, 1, 3, 4, 6, 7])
    for share in (0.24, 0.0):  # also of a cache that is there
        with pytest.raises(TooManyQuarantinedError, match=message):
            corpus.cached(max_unreadable_share=share)


def test_unasked_one_file_in_twenty_may_be_unreadable(corpus):
    for number in range(8, 20):
        corpus.path(number).write_bytes(corpus.path(number % 8).read_bytes())
    names = [corpus.path(number).name for number in range(20)]
    table = pd.DataFrame({"path": names, "subject": names, "corpus": "made", "modality": corpus.manifest.modality})
    corpus = Corpus(corpus.kind, build_manifest(table, root=corpus.manifest.root), corpus.folder)
    corpus.path(0).unlink()
    corpus.assert_holds_its_files(corpus.cached(), range(1, 20))
    corpus.path(1).unlink()
    with pytest.raises(TooManyQuarantinedError, match="2 of 20 files cannot be used, more than the 5% allowed"):
        corpus.cached()


def test_a_corpus_that_could_not_be_read_leaves_no_cache_behind(corpus, monkeypatch):
    """Most likely it will be there the next time: a disk that was not mounted, too many open files."""
    decode = getattr(corpus.kind.module, corpus.kind.decoder)
    monkeypatch.setattr(
        corpus.kind.module, corpus.kind.decoder, lambda path, *rest: decode(path.with_suffix(".gone"), *rest)
    )
    with pytest.raises(TooManyQuarantinedError, match="8 of 8 files cannot be used"):
        corpus.cached()
    assert corpus.has_no_cache()


def test_a_disk_error_while_decoding_leaves_nothing_behind(corpus, monkeypatch):
    def full(path, *rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, full)
    with pytest.raises(OSError, match="No space left"):
        corpus.cached()
    assert corpus.has_no_cache()


def test_numbers_whose_notes_could_not_be_written_are_made_again(corpus, decoded, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            corpus.cached()
    corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert len(decoded) == 16


def test_another_process_may_finish_the_same_cache_in_between(corpus, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    decode, finished = getattr(corpus.kind.module, corpus.kind.decoder), []

    def interrupted(path, *rest):
        if not finished:
            finished.append(True)
            finished.append(corpus.cached())
        return decode(path, *rest)

    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, interrupted)
    ours = corpus.cached()
    corpus.assert_holds_its_files(ours, range(8))
    corpus.assert_holds_its_files(finished[1], range(8))
    assert len(corpus.files()) == 2
    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, lambda *rest: pytest.fail("made again"))
    corpus.assert_holds_its_files(corpus.cached(), range(8))


def build_in_a_process(corpus, barrier):
    barrier.wait()
    corpus.assert_holds_its_files(corpus.cached(), range(8))
    os._exit(0)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork")
@pytest.mark.skipif(sys.platform == "darwin", reason="forking is not safe there")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_processes_that_build_one_cache_at_once_all_get_it_whole(corpus):
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(3)
    processes = [context.Process(target=build_in_a_process, args=(corpus, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(corpus.files()) == 2


def test_a_manifest_of_labels_only_has_nothing_to_decode(corpus):
    files = {Faces: "images", Clips: "clips"}[corpus.kind]
    with pytest.raises(ValueError, match=f"read from labels only: read it again with the folder of its {files}"):
        corpus.kind.cache(build_manifest(corpus.manifest.examples), corpus.folder)


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(corpus, monkeypatch):
    def full(path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_checksum", full)
    with pytest.raises(OSError, match="No space left"):
        corpus.cached()
    assert list(corpus.folder.iterdir()) == []


def test_examples_that_are_decoded_out_of_order_are_written_in_order(corpus, monkeypatch):
    last_is_done, decode = threading.Event(), getattr(corpus.kind.module, corpus.kind.decoder)

    def late(path, *rest):
        if path.stem == "0":
            assert last_is_done.wait(10)
        elif path.stem == "3":
            last_is_done.set()
        return decode(path, *rest)

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, late)
    corpus.assert_holds_its_files(corpus.cached(), range(8))


def test_few_decoded_examples_wait_in_memory(corpus):
    """A corpus does not fit into memory: the decoders wait for whoever writes."""
    begun = []
    with ThreadPoolExecutor(4) as threads:
        results = module._in_order(threads, lambda path: begun.append(path) or path, corpus.manifest, num_ahead=3)
        for number, result in enumerate(results):
            assert result == corpus.path(number)
            assert len(begun) <= number + 3
    assert len(begun) == 8


def test_a_cache_of_nothing_is_possible_for_whoever_allows_it(corpus):
    for number in range(8):
        corpus.path(number).write_bytes(b"")
    for _ in ("new", "again"):
        cache = corpus.cached(max_unreadable_share=1)
        assert len(cache) == len(cache.manifest) == len(cache.array) == 0


def test_other_settings_other_labels_and_other_files_have_caches_of_their_own(faces, voices, folder, decoded):
    for cache, manifest, others in (
        (cache_images, faces, [(10,), (9,), (10, "opencv")]),
        (cache_clips, voices, [(16_000,), (8000,)]),
    ):
        for settings in others:
            cache(manifest, folder, *settings)
        cache(manifest.select(manifest.examples["subject"] != manifest.examples["subject"][0]), folder, *others[0])
        labels = manifest.examples.assign(age=7.0)
        cache(build_manifest(labels, root=manifest.root), folder, *others[0])
    assert len(decoded) == 9 * 8 - 2
    assert len(list(folder.glob("*.values"))) == 9


def test_a_cache_of_faces_holds_squares_of_pixels_resized_as_it_was_asked_for(faces, folder):
    for resize in ("filtered", "tensorflow_1", "tensorflow_2", "opencv"):
        cache = cache_images(faces, folder, 5, resize)
        assert cache.rate_hz is None
        for row, path in enumerate(faces.examples["path"]):
            assert (cache[row].shape, cache[row].dtype) == ((5, 5, 3), np.uint8)
            assert np.array_equal(cache[row], decode_image(faces.root / path, 5, resize))


@pytest.mark.parametrize("rate_hz", [16_000, 8000])
def test_a_cached_clip_is_the_decoded_one_within_the_rounding_to_16_bits(voices, folder, rate_hz):
    cache = cache_clips(voices, folder, rate_hz)
    assert len(cache) == len(cache.manifest) == 8
    assert cache.array.dtype == np.int16
    assert cache.rate_hz == rate_hz
    assert cache.lengths.tolist() == [(1700 + 100 * number) * rate_hz // 16_000 for number in range(8)]
    for example, path in enumerate(voices.examples["path"]):
        clip = read_clip(voices.root / path, rate_hz)
        np.testing.assert_allclose(cache[example] / 32768, clip, rtol=0, atol=0.5001 / 32768)


def test_a_16_bit_file_at_the_same_rate_is_kept_bit_by_bit(voices, folder):
    values = np.array([-32768, -32767, -1, 0, 1, 32766, 32767] * 300, np.int16)
    soundfile.write(voices.root / "0.wav", values, 16_000, "PCM_16")
    assert np.array_equal(cache_clips(voices, folder)[0], values)


def test_a_part_of_a_cache_shows_its_own_examples_and_copies_none(corpus):
    cache = corpus.cached()
    part = cache.select(np.flatnonzero(cache.manifest.examples["age"] >= 25))
    assert len(part) == 3
    assert np.shares_memory(part.array, cache.array)
    corpus.assert_holds_its_files(part, [5, 6, 7])


def test_a_part_of_a_cache_keeps_the_order_in_which_its_rows_are_given_and_may_have_one_twice(corpus):
    part = corpus.cached().select(np.array([5, 0, 3, 0]))
    assert part.manifest.examples["age"].tolist() == [25, 20, 23, 20]
    corpus.assert_holds_its_files(part, [5, 0, 3, 0])
    corpus.assert_holds_its_files(part.select(np.array([2])), [3])


@pytest.mark.parametrize("rows", [np.ones(8, dtype=bool), np.arange(3.0)], ids=["truths", "floats"])
def test_what_is_no_row_number_chooses_no_example(corpus, rows):
    with pytest.raises(ValueError, match=f"rows must be row numbers .np.flatnonzero., got {rows.dtype} values"):
        corpus.cached().select(rows)


def test_the_fingerprint_of_a_cache_changes_with_its_files_and_its_choice_and_order_of_examples(corpus):
    cache = corpus.cached()
    some = [cache.select(rows) for rows in (np.arange(8), np.arange(1, 8), np.arange(2, 8), np.arange(8)[::-1])]
    assert some[0].fingerprint == cache.fingerprint == corpus.cached().fingerprint
    assert len({part.fingerprint for part in some}) == 4
    assert len(cache.fingerprint) == 12
    assert cache.fingerprint in repr(cache)
    corpus.path(7).write_bytes(corpus.path(6).read_bytes())
    assert corpus.cached().fingerprint != cache.fingerprint


def test_the_fingerprint_does_not_depend_on_the_folder_of_the_cache(corpus, tmp_path):
    assert corpus.kind.cache(corpus.manifest, tmp_path / "b").fingerprint == corpus.cached().fingerprint


def test_another_rate_is_another_cache(voices, folder):
    assert cache_clips(voices, folder).fingerprint != cache_clips(voices, folder, rate_hz=8000).fingerprint


def test_examples_in_memory_are_told_apart_by_what_is_in_them():
    """Equal lengths, and no file that could be named."""
    first, other = ([np.full(30, value, np.int16), np.arange(20, dtype=np.int16)] for value in (1, 2))
    found = [examples_in_memory(clips, 16_000) for clips in (first, other, first)]
    assert found[0].fingerprint == found[2].fingerprint != found[1].fingerprint
    assert examples_in_memory(first, 8000).fingerprint != found[0].fingerprint
    assert [found[1][row].tolist() for row in (0, 1)] == [[2] * 30, list(range(20))]
    faces = list(np.random.default_rng(0).integers(0, 255, (3, 4, 4, 3), dtype=np.uint8))
    assert all(np.array_equal(examples_in_memory(faces)[row], face) for row, face in enumerate(faces))
    assert examples_in_memory(faces).manifest.modality == "face"
