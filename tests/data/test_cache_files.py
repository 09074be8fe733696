"""What the two caches of decoded files have in common: that of faces and that of clips."""

import json
import multiprocessing
import os
import sys
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from agegender.data import cache_files, caches, clips
from agegender.data.audio import read_clip
from agegender.data.caches import cache_images
from agegender.data.clips import as_float, as_int16, cache_clips
from agegender.data.images import decode_image
from agegender.data.manifest import Manifest, TooManyQuarantinedError, build_manifest


class Faces:
    """Eight pictures, cached at 10 px."""

    module, decoder, ending = caches, "decode_image", "png"

    @staticmethod
    def cache(manifest, folder, **options):
        return cache_images(manifest, folder, 10, **options)

    @staticmethod
    def numbers(cache):
        return cache.images

    @staticmethod
    def example(cache, row):
        return cache.images[cache.rows[row]]

    @staticmethod
    def decoded(path):
        return decode_image(path, 10)


class Clips:
    """Eight recordings, cached at 16 kHz."""

    module, decoder, ending = clips, "decode_clip", "wav"
    cache = staticmethod(cache_clips)

    @staticmethod
    def numbers(cache):
        return cache.samples

    @staticmethod
    def example(cache, row):
        return cache.clip(row)

    @staticmethod
    def decoded(path):
        return as_float(as_int16(read_clip(path)))


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
        return np.array(self.kind.numbers(self.cached(**options)))

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
            assert np.array_equal(self.kind.example(cache, row), self.kind.decoded(self.path(number)))


@pytest.fixture(params=["faces", "voices"])
def corpus(request, folder):
    kind = {"faces": Faces, "voices": Clips}[request.param]
    return Corpus(kind, request.getfixturevalue(request.param), folder)


def test_an_example_is_what_its_file_holds(corpus):
    corpus.assert_holds_its_files(corpus.cached(), range(8))


@pytest.mark.parametrize("num_threads", [1, 5])
def test_the_number_of_threads_does_not_change_the_cache(corpus, tmp_path, num_threads):
    other = corpus.kind.cache(corpus.manifest, tmp_path / "other", num_threads=num_threads)
    corpus.assert_holds_its_files(other, range(8))
    assert np.array_equal(corpus.kind.numbers(other), corpus.numbers())


def test_a_cache_that_is_there_is_taken(corpus, decoded):
    first = corpus.cached()
    assert len(decoded) == 8
    second = corpus.cached()
    assert len(decoded) == 8
    corpus.assert_holds_its_files(second, range(8))
    assert second.manifest.hash() == first.manifest.hash()


def test_nobody_can_write_into_a_cache_by_accident(corpus):
    with pytest.raises(ValueError, match="read-only"):
        corpus.kind.numbers(corpus.cached())[0] = 0


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


@pytest.mark.parametrize("wrong", [{}, {"6": "x"}, {"2": "x", "6": "x"}, {"99": "x"}, {"x": "x"}, []], ids=str)
def test_a_damaged_list_of_unreadable_files_is_found(corpus, wrong):
    """It says which example is which, so a wrong list would give files the labels of others."""
    corpus.path(2).write_bytes(b"")
    corpus.cached(max_unreadable_share=0.5)
    _, notes = corpus.files()
    notes.write_text(json.dumps(json.loads(notes.read_text()) | {"unreadable": wrong}))
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
        patched.setattr(cache_files, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            corpus.cached()
    corpus.assert_holds_its_files(corpus.cached(), range(8))
    assert len(decoded) == 16


def test_another_process_may_finish_the_same_cache_in_between(corpus, monkeypatch):
    decode, finished = getattr(corpus.kind.module, corpus.kind.decoder), []

    def interrupted(path, *rest):
        if not finished:
            finished.append(True)
            finished.append(corpus.cached(num_threads=1))
        return decode(path, *rest)

    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, interrupted)
    ours = corpus.cached(num_threads=1)
    corpus.assert_holds_its_files(ours, range(8))
    corpus.assert_holds_its_files(finished[1], range(8))
    assert len(corpus.files()) == 2
    monkeypatch.setattr(corpus.kind.module, corpus.kind.decoder, lambda *rest: pytest.fail("made again"))
    corpus.assert_holds_its_files(corpus.cached(), range(8))


def build_in_a_process(corpus, barrier):
    barrier.wait()
    corpus.assert_holds_its_files(corpus.cached(num_threads=1), range(8))
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
