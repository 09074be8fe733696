import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import soundfile
from numpy.testing import assert_allclose

from agegender.data import cache_files, clips
from agegender.data.audio import decode_clip, read_clip
from agegender.data.clips import as_float, as_int16, cache_clips
from agegender.data.manifest import TooManyQuarantinedError, build_manifest

RATE = 16_000


def voices(root, num_clips=8):
    """A manifest of short recordings that are all different, in length too."""
    root.mkdir()
    rng = np.random.default_rng(0)
    names = [f"{number}.wav" for number in range(num_clips)]
    for number, name in enumerate(names):
        soundfile.write(root / name, 0.2 * rng.standard_normal(1700 + 100 * number), RATE, "FLOAT")
    labels = {"subject": names, "age": np.arange(20.0, 20 + num_clips), "corpus": "spoken", "modality": "voice"}
    return build_manifest(pd.DataFrame({"path": names, **labels}), root=root)


@pytest.fixture
def manifest(tmp_path):
    return voices(tmp_path / "voices")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded since the test began."""
    names = []

    def noted(path, rate_hz, min_s):
        names.append(path.name)
        return decode_clip(path, rate_hz, min_s)

    monkeypatch.setattr(clips, "decode_clip", noted)
    return names


def files_in(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def samples_and_notes(folder):
    (samples,), (notes,) = folder.glob("*.i16"), folder.glob("*.json")
    return samples, notes


def assert_holds_its_files(cache):
    for example, path in enumerate(cache.manifest.examples["path"]):
        clip = read_clip(cache.manifest.root / path, cache.rate_hz)
        assert cache.lengths[example] == len(clip)
        assert_allclose(cache.clip(example), clip, rtol=0, atol=0.5001 / 32768)


def test_a_cached_clip_is_the_decoded_one_within_the_rounding_to_16_bits(manifest, folder):
    cache = cache_clips(manifest, folder)
    assert len(cache) == len(cache.manifest) == 8
    assert cache.samples.dtype == np.int16
    assert cache.samples.shape == (sum(range(1700, 2500, 100)),)
    assert cache.clip(3).dtype == np.float32
    assert_holds_its_files(cache)


def test_a_16_bit_file_at_the_same_rate_is_kept_bit_by_bit(manifest, folder):
    values = np.array([-32768, -32767, -1, 0, 1, 32766, 32767] * 300, np.int16)
    soundfile.write(manifest.root / "0.wav", values, RATE, "PCM_16")
    cache = cache_clips(manifest, folder)
    assert np.array_equal(cache.samples[:2100], values)
    assert np.array_equal(cache.clip(0) * 32768, values)


def test_rounding_to_16_bits_and_back():
    values = np.array([-1, -0.5, 0, 0.4 / 32768, 0.6 / 32768, 0.5, 1], np.float32)
    assert as_int16(values).tolist() == [-32768, -16384, 0, 0, 1, 16384, 32767]
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(as_int16(as_float(every)), every)


def test_another_rate_is_another_cache(manifest, folder):
    cache, slow = cache_clips(manifest, folder), cache_clips(manifest, folder, rate_hz=8000)
    assert (cache.rate_hz, slow.rate_hz) == (16_000, 8000)
    assert slow.lengths.tolist() == [850 + 50 * number for number in range(8)]
    assert_holds_its_files(slow)


def test_clipped_recordings_are_kept_and_counted(manifest, folder):
    soundfile.write(manifest.root / "2.wav", np.sign(np.sin(np.arange(2000.0) + 0.5)), RATE, "PCM_16")
    half = np.where(np.arange(2000) < 1000, 1.0, np.sin(np.arange(2000)) / 2)
    soundfile.write(manifest.root / "5.wav", half, RATE, "PCM_16")
    for _ in ("new", "again"):
        cache = cache_clips(manifest, folder)
        assert cache.clipped_shares.tolist() == [0, 0, 1, 0, 0, 0.5, 0, 0]


@pytest.mark.parametrize("num_threads", [1, 5])
def test_the_number_of_threads_does_not_change_the_cache(manifest, folder, tmp_path, num_threads):
    expected = cache_clips(manifest, folder)
    other = cache_clips(manifest, tmp_path / "other", num_threads=num_threads)
    assert np.array_equal(other.samples, expected.samples)
    assert np.array_equal(other.starts, expected.starts)


def test_clips_that_are_decoded_out_of_order_are_written_in_order(manifest, folder, monkeypatch):
    last_is_done = threading.Event()

    def late(path, rate_hz, min_s):
        if path.name == "0.wav":
            assert last_is_done.wait(10)
        elif path.name == "3.wav":
            last_is_done.set()
        return decode_clip(path, rate_hz, min_s)

    monkeypatch.setattr(clips, "decode_clip", late)
    assert_holds_its_files(cache_clips(manifest, folder, num_threads=2))


def test_few_decoded_clips_wait_in_memory():
    """A corpus does not fit into memory: the decoders wait for whoever writes."""
    begun = []

    def decode(path):
        begun.append(path)
        return path

    with ThreadPoolExecutor(4) as threads:
        results = clips._in_order(threads, decode, map(str, range(20)), num_ahead=3)
        for number, result in enumerate(results):
            assert result == str(number)
            assert len(begun) <= number + 3
    assert len(begun) == 20


def test_a_cache_that_is_there_is_taken(manifest, folder, decoded):
    first = cache_clips(manifest, folder)
    assert len(decoded) == 8
    second = cache_clips(manifest, folder)
    assert len(decoded) == 8
    assert np.array_equal(second.samples, first.samples)
    assert np.array_equal(second.starts, first.starts)
    assert second.manifest.hash() == first.manifest.hash()


def test_nobody_can_write_into_a_cache_by_accident(manifest, folder):
    with pytest.raises(ValueError, match="read-only"):
        cache_clips(manifest, folder).samples[0] = 0


def test_other_rates_other_labels_and_other_clips_have_caches_of_their_own(manifest, folder, decoded):
    cache_clips(manifest, folder)
    cache_clips(manifest, folder, rate_hz=8000)
    cache_clips(manifest, folder, min_s=0.05)
    cache_clips(manifest.select(manifest.examples["path"] != "0.wav"), folder)
    assert len(decoded) == 4 * 8 - 1
    assert len(list(folder.glob("*.i16"))) == 4


@pytest.mark.parametrize("change", ["content", "date", "gone"])
def test_a_changed_file_makes_a_new_cache(manifest, folder, decoded, change):
    path = manifest.root / "3.wav"
    cache_clips(manifest, folder)
    if change == "content":
        soundfile.write(path, np.sin(np.arange(5000.0)), RATE)
    elif change == "date":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    cache = cache_clips(manifest, folder, max_unreadable_share=0.5)
    assert len(decoded) == 16
    assert len(cache) == (7 if change == "gone" else 8)
    assert_holds_its_files(cache)


@pytest.mark.parametrize("place", [0, 200, -1])
def test_one_changed_byte_of_the_samples_is_found_and_the_cache_made_again(manifest, folder, decoded, place):
    expected = np.array(cache_clips(manifest, folder).samples)
    path, _ = samples_and_notes(folder)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert np.array_equal(cache_clips(manifest, folder).samples, expected)
    assert len(decoded) == 16


@pytest.mark.parametrize("length", [0, 130, -1])
def test_half_a_cache_is_made_again(manifest, folder, decoded, length):
    expected = np.array(cache_clips(manifest, folder).samples)
    path, _ = samples_and_notes(folder)
    path.write_bytes(path.read_bytes()[:length])
    assert np.array_equal(cache_clips(manifest, folder).samples, expected)
    assert len(decoded) == 16


def test_samples_without_their_notes_and_notes_without_their_samples_are_made_again(manifest, folder, decoded):
    for which in (0, 1):
        cache_clips(manifest, folder)
        samples_and_notes(folder)[which].unlink()
    assert len(cache_clips(manifest, folder)) == 8
    assert len(decoded) == 24


@pytest.mark.parametrize(
    "wrong",
    [{"lengths": [2000] * 8}, {"lengths": []}, {"unreadable": {"2": "x"}}, {"clipped_shares": [1.0] * 8}],
    ids=str,
)
def test_damaged_notes_are_found(manifest, folder, decoded, wrong):
    """They say where a clip begins, so wrong ones would give clips the labels of others."""
    cache_clips(manifest, folder)
    _, path = samples_and_notes(folder)
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | wrong))
    assert_holds_its_files(cache_clips(manifest, folder))
    assert path.read_bytes() == before
    assert len(decoded) == 16


@pytest.mark.parametrize("opened", ["new", "again"])
def test_unreadable_clips_are_set_aside_with_a_reason_and_the_others_keep_their_labels(manifest, folder, opened):
    root = manifest.root
    (root / "1.wav").write_bytes((root / "1.wav").read_bytes()[:600])
    (root / "3.wav").unlink()
    soundfile.write(root / "4.wav", np.zeros(4000), RATE)
    soundfile.write(root / "7.wav", np.sin(np.arange(800.0)), RATE)
    if opened == "again":
        cache_clips(manifest, folder, max_unreadable_share=0.5)
    cache = cache_clips(manifest, folder, max_unreadable_share=0.5)
    assert cache.manifest.examples["path"].tolist() == ["0.wav", "2.wav", "5.wav", "6.wav"]
    assert cache.manifest.examples["age"].tolist() == [20, 22, 25, 26]
    assert_holds_its_files(cache)
    aside = cache.manifest.quarantine
    assert aside["path"].tolist() == ["1.wav", "3.wav", "4.wav", "7.wav"]
    assert aside["row"].tolist() == [1, 3, 4, 7]
    for reason, words in zip(aside["reason"], ("cut short", "no such file", "silent", "0.05 s of sound"), strict=True):
        assert words in reason


def test_one_unreadable_clip_more_than_allowed_is_an_error_and_leaves_no_cache(manifest, folder):
    for number in (2, 5):
        (manifest.root / f"{number}.wav").write_bytes(b"")
    with pytest.raises(TooManyQuarantinedError, match=r"2 of 8 files cannot be used, .* First: .*2\.wav: an empty"):
        cache_clips(manifest, folder, max_unreadable_share=0.24)
    assert files_in(folder) == []
    assert len(cache_clips(manifest, folder, max_unreadable_share=0.25)) == 6
    with pytest.raises(TooManyQuarantinedError, match="2 of 8"):
        cache_clips(manifest, folder, max_unreadable_share=0.24)


def test_a_cache_of_nothing_is_possible_for_whoever_allows_it(manifest, folder):
    for path in manifest.root.iterdir():
        path.write_bytes(b"")
    for _ in ("new", "again"):
        cache = cache_clips(manifest, folder, max_unreadable_share=1)
        assert len(cache) == len(cache.manifest) == len(cache.samples) == 0


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(manifest, folder, monkeypatch):
    def full(path, notes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips, "proof_of", full)
    with pytest.raises(OSError, match="No space left"):
        cache_clips(manifest, folder)
    assert files_in(folder) == []


def test_samples_whose_notes_could_not_be_written_are_made_again(manifest, folder, decoded, monkeypatch):
    def full(path, text):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(cache_files, "write_text", full)
        with pytest.raises(OSError, match="No space left"):
            cache_clips(manifest, folder)
    assert len(cache_clips(manifest, folder)) == 8
    assert len(decoded) == 16


def test_a_part_of_a_cache_shows_its_own_clips_and_copies_none(manifest, folder):
    cache = cache_clips(manifest, folder)
    part = cache.select(cache.manifest.examples["age"] >= 25)
    assert part.manifest.examples["path"].tolist() == ["5.wav", "6.wav", "7.wav"]
    assert np.shares_memory(part.samples, cache.samples)
    assert len(part) == 3
    assert_holds_its_files(part)


def test_a_manifest_of_labels_only_has_no_clips_to_decode(manifest, folder):
    with pytest.raises(ValueError, match="labels only: read it again with the folder of its clips"):
        cache_clips(build_manifest(manifest.examples), folder)
