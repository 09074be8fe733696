"""What only the cache of clips does; ``test_cache_files`` has what it shares with that of faces."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from agegender.data import clips
from agegender.data.audio import decode_clip, read_clip
from agegender.data.clips import as_float, as_int16, cache_clips, clips_in_memory

RATE = 16_000


def assert_holds_its_files(cache):
    for example, path in enumerate(cache.manifest.examples["path"]):
        clip = read_clip(cache.manifest.root / path, cache.rate_hz)
        assert cache.lengths[example] == len(clip)
        assert_allclose(cache.clip(example), clip, rtol=0, atol=0.5001 / 32768)


def test_a_cached_clip_is_the_decoded_one_within_the_rounding_to_16_bits(voices, folder):
    cache = cache_clips(voices, folder)
    assert len(cache) == len(cache.manifest) == 8
    assert cache.samples.dtype == np.int16
    assert cache.samples.shape == (sum(range(1700, 2500, 100)),)
    assert cache.clip(3).dtype == np.float32
    assert_holds_its_files(cache)


def test_a_16_bit_file_at_the_same_rate_is_kept_bit_by_bit(voices, folder):
    values = np.array([-32768, -32767, -1, 0, 1, 32766, 32767] * 300, np.int16)
    soundfile.write(voices.root / "0.wav", values, RATE, "PCM_16")
    cache = cache_clips(voices, folder)
    assert np.array_equal(cache.samples[:2100], values)
    assert np.array_equal(cache.clip(0) * 32768, values)


def test_rounding_to_16_bits_and_back():
    values = np.array([-1, -0.5, 0, 0.4 / 32768, 0.6 / 32768, 0.5, 1], np.float32)
    assert as_int16(values).tolist() == [-32768, -16384, 0, 0, 1, 16384, 32767]
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(as_int16(as_float(every)), every)


def test_another_rate_is_another_cache(voices, folder):
    cache, slow = cache_clips(voices, folder), cache_clips(voices, folder, rate_hz=8000)
    assert (cache.rate_hz, slow.rate_hz) == (16_000, 8000)
    assert slow.lengths.tolist() == [850 + 50 * number for number in range(8)]
    assert_holds_its_files(slow)


def test_clipped_recordings_are_kept_and_counted(voices, folder):
    soundfile.write(voices.root / "2.wav", np.sign(np.sin(np.arange(2000.0) + 0.5)), RATE, "PCM_16")
    half = np.where(np.arange(2000) < 1000, 1.0, np.sin(np.arange(2000)) / 2)
    soundfile.write(voices.root / "5.wav", half, RATE, "PCM_16")
    for _ in ("new", "again"):
        cache = cache_clips(voices, folder)
        assert cache.clipped_shares.tolist() == [0, 0, 1, 0, 0, 0.5, 0, 0]


def test_clips_that_are_decoded_out_of_order_are_written_in_order(voices, folder, monkeypatch):
    last_is_done = threading.Event()

    def late(path, rate_hz, min_s):
        if path.name == "0.wav":
            assert last_is_done.wait(10)
        elif path.name == "3.wav":
            last_is_done.set()
        return decode_clip(path, rate_hz, min_s)

    monkeypatch.setattr(clips, "decode_clip", late)
    assert_holds_its_files(cache_clips(voices, folder, num_threads=2))


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


def test_other_rates_other_labels_and_other_clips_have_caches_of_their_own(voices, folder, decoded):
    cache_clips(voices, folder)
    cache_clips(voices, folder, rate_hz=8000)
    cache_clips(voices, folder, min_s=0.05)
    cache_clips(voices.select(voices.examples["path"] != "0.wav"), folder)
    assert len(decoded) == 4 * 8 - 1
    assert len(list(folder.glob("*.i16"))) == 4


@pytest.mark.parametrize(
    "wrong",
    [{"lengths": [2000] * 8}, {"lengths": []}, {"unreadable": {"2": "x"}}, {"clipped_shares": [1.0] * 8}],
    ids=str,
)
def test_damaged_notes_are_found(voices, folder, decoded, wrong):
    """They say where a clip begins, so wrong ones would give clips the labels of others."""
    cache_clips(voices, folder)
    (path,) = folder.glob("*.json")
    before = path.read_bytes()
    path.write_text(json.dumps(json.loads(before) | wrong))
    assert_holds_its_files(cache_clips(voices, folder))
    assert path.read_bytes() == before
    assert len(decoded) == 16


def test_a_cache_of_nothing_is_possible_for_whoever_allows_it(voices, folder):
    for path in voices.root.iterdir():
        path.write_bytes(b"")
    for _ in ("new", "again"):
        cache = cache_clips(voices, folder, max_unreadable_share=1)
        assert len(cache) == len(cache.manifest) == len(cache.samples) == 0


def test_a_full_disk_is_an_error_and_leaves_nothing_behind(voices, folder, monkeypatch):
    def full(path, notes):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(clips, "proof_of", full)
    with pytest.raises(OSError, match="No space left"):
        cache_clips(voices, folder)
    assert list(folder.iterdir()) == []


def test_a_part_of_a_cache_shows_its_own_clips_and_copies_none(voices, folder):
    loud = np.where(np.arange(2000) < 1000, 1.0, np.sin(np.arange(2000)) / 2)
    soundfile.write(voices.root / "6.wav", loud, RATE, "PCM_16")
    cache = cache_clips(voices, folder)
    part = cache.select(np.flatnonzero(cache.manifest.examples["age"] >= 25))
    assert part.manifest.examples["path"].tolist() == ["5.wav", "6.wav", "7.wav"]
    assert np.shares_memory(part.samples, cache.samples)
    assert len(part) == 3
    assert part.clipped_shares.tolist() == [0, 0.5, 0]
    assert_holds_its_files(part)


def test_a_part_of_a_cache_keeps_the_order_in_which_its_rows_are_given(voices, folder):
    part = cache_clips(voices, folder).select(np.array([5, 0, 3]))
    assert part.manifest.examples["age"].tolist() == [25, 20, 23]
    assert part.lengths.tolist() == [2200, 1700, 2000]
    assert_holds_its_files(part)


@pytest.mark.parametrize("rows", [np.ones(8, dtype=bool), np.arange(3.0)], ids=["truths", "floats"])
def test_what_is_no_row_number_chooses_no_clip(voices, folder, rows):
    with pytest.raises(ValueError, match=f"rows must be row numbers .np.flatnonzero., got {rows.dtype} values"):
        cache_clips(voices, folder).select(rows)


def test_a_crop_is_a_part_of_its_clip_or_the_clip_again_and_again_or_the_clip_and_zeros(cache_of):
    cache = cache_of([np.arange(10, 20), np.arange(30, 34)])
    assert cache.crop(0, 3).tolist() == [10, 11, 12]
    assert cache.crop(0, 3, 7).tolist() == [17, 18, 19]
    assert cache.crop(0, 10).tolist() == list(range(10, 20))
    assert cache.crop(1, 6, 2).tolist() == [30, 31, 32, 33, 30, 31]
    assert cache.crop(1, 6, is_looped=False).tolist() == [30, 31, 32, 33, 0, 0]


def test_the_fingerprint_of_a_cache_changes_with_its_file_its_rate_and_its_choice_of_clips(voices, folder, cache_of):
    cache, slow = cache_clips(voices, folder), cache_clips(voices, folder, rate_hz=8000)
    some = [cache.select(np.arange(first, 8)) for first in (0, 1, 2)]
    assert some[0].fingerprint == cache.fingerprint == cache_clips(voices, folder).fingerprint
    assert len({slow.fingerprint, *(part.fingerprint for part in some)}) == 4
    assert len(cache.fingerprint) == 12
    assert cache_of([np.ones(9)], 16_000).fingerprint != cache_of([np.ones(9)], 8000).fingerprint  # without files
    soundfile.write(voices.root / "7.wav", np.sin(np.arange(2400.0)), RATE, "FLOAT")
    assert cache_clips(voices, folder).fingerprint != cache.fingerprint


def test_clips_in_memory_are_told_apart_by_what_is_in_them():
    """Equal lengths, and no file that could be named."""
    first, other = ([np.full(30, value, np.int16), np.arange(20, dtype=np.int16)] for value in (1, 2))
    assert clips_in_memory(first, 16_000).fingerprint != clips_in_memory(other, 16_000).fingerprint
    assert clips_in_memory(first, 16_000).fingerprint == clips_in_memory(first, 16_000).fingerprint
