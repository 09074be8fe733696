import io

import numpy as np
import pytest
import soundfile
from numpy.testing import assert_allclose

from agegender.data import audio
from agegender.data.audio import Crop, EvenCrops, as_float, as_int16, read_clip
from agegender.data.manifest import UnreadableFileError
from agegender.data.samplers import Draws

RATE = 16_000
STEP = 1 / 32768
"""The distance of two values of 16 bits."""


def tone(seconds=0.5, rate_hz=RATE, pitch_hz=200.0, peak=0.5):
    return peak * np.sin(2 * np.pi * pitch_hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def written(path, samples, rate_hz=RATE, file_format="WAV", subtype="PCM_16"):
    with path.open("wb") as file:
        soundfile.write(file, samples, rate_hz, format=file_format, subtype=subtype)
    return path


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clip.wav"


def test_a_16_bit_file_becomes_its_values_divided_by_32768(path):
    values = np.array([-32768, -1, 0, 1, 12345, 32767] * 400, np.int16)
    clip = read_clip(written(path, values))
    assert clip.dtype == np.float32
    assert clip.shape == (2400,)
    assert np.array_equal(clip * 32768, values)


@pytest.mark.parametrize(
    ("file_format", "subtype", "error"),
    [
        ("WAV", "PCM_U8", 1 / 128),
        ("WAV", "PCM_24", 2 / 2**23),
        ("WAV", "PCM_32", 2 / 2**24),
        ("WAV", "FLOAT", 1e-7),
        ("WAV", "DOUBLE", 1e-7),
        ("WAVEX", "PCM_24", 2 / 2**23),
        ("AIFF", "PCM_16", STEP),
        ("FLAC", "PCM_16", STEP),
        ("NIST", "PCM_16", STEP),
        ("OGG", "VORBIS", 0.05),
        ("OGG", "OPUS", 0.05),
        ("MP3", "MPEG_LAYER_III", 0.05),
    ],
)
@pytest.mark.parametrize("ending", [".wav", ".mp3", ".raw", ".WAV", ""])
def test_the_content_decides_and_not_the_ending(tmp_path, file_format, subtype, error, ending):
    clip = read_clip(written(tmp_path / f"clip{ending}", tone(), RATE, file_format, subtype))
    inside = slice(800, 7200)  # lossy codecs smear the ends
    assert abs(len(clip) - 8000) <= 1
    assert_allclose(clip[inside], tone()[inside], rtol=0, atol=error)


def test_a_sphere_file_as_timit_has_them_is_read(tmp_path):
    """Its head typed out, the samples little-endian."""
    values = np.round(1000 * tone(0.2) / 0.5).astype("<i2")
    head = (
        "NIST_1A\n   1024\ndatabase_id -s5 TIMIT\nutterance_id -s8 cjf0_sa1\nchannel_count -i 1\n"
        f"sample_count -i {len(values)}\nsample_rate -i 16000\nsample_min -i -1000\nsample_n_bytes -i 2\n"
        "sample_byte_format -s2 01\nsample_sig_bits -i 16\nend_head\n"
    )
    (tmp_path / "SA1.WAV").write_bytes(head.encode().ljust(1024) + values.tobytes())
    assert np.array_equal(read_clip(tmp_path / "SA1.WAV") * 32768, values)


def test_a_compressed_sphere_file_is_refused_with_the_way_out(path):
    head = "NIST_1A\n   1024\nchannel_count -i 1\nsample_count -i 9000\nsample_rate -i 16000\nsample_n_bytes -i 2\n"
    coding = "sample_byte_format -s2 01\nsample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    path.write_bytes((head + coding).encode().ljust(1024) + b"ajkg" + bytes(3000))
    with pytest.raises(UnreadableFileError, match=r"SPHERE file .*: unpack it with sph2pipe"):
        read_clip(path)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 22_050, 44_100, 48_000, 50_000])
def test_other_rates_are_resampled_to_the_same_tone(path, rate_hz):
    clip = read_clip(written(path, tone(0.5, rate_hz), rate_hz))
    assert abs(len(clip) - 8000) <= 1
    assert_allclose(clip[800:7200], tone()[800:7200], rtol=0, atol=1e-3)
    assert len(read_clip(path, rate_hz=8000)) in (3999, 4000, 4001)


def test_what_the_lower_rate_cannot_hold_is_filtered_out_and_not_folded_back(path):
    high = tone(0.5, 44_100, 10_000)
    assert np.abs(read_clip(written(path, high + tone(0.5, 44_100), 44_100))[800:7200] - tone()[800:7200]).max() < 1e-3


def test_channels_are_averaged(path):
    left, right = tone(pitch_hz=200), tone(pitch_hz=330)
    clip = read_clip(written(path, np.stack([left, right], 1), subtype="FLOAT"))
    assert clip.shape == (8000,)
    assert_allclose(clip, (left + right) / 2, rtol=0, atol=1e-6)


def test_a_clipped_recording_is_read_as_it_is(path):
    loud = np.clip(tone(peak=2.0), -1, 1)
    assert_allclose(read_clip(written(path, loud)), loud, rtol=0, atol=STEP)


def test_values_a_little_beyond_full_scale_are_cut(path):
    clip = read_clip(written(path, tone(peak=1.2), subtype="FLOAT"))
    assert np.abs(clip).max() == 1


def test_the_overshoot_of_resampling_is_cut(path):
    square = np.sign(tone(0.5, 44_100, 300))
    assert np.abs(read_clip(written(path, square, 44_100, subtype="FLOAT"))).max() == 1


def test_what_is_louder_than_eight_times_full_scale_is_in_other_units(path):
    assert np.abs(read_clip(written(path, tone(peak=7.99), subtype="FLOAT"))).max() == 1
    with pytest.raises(UnreadableFileError, match=r"values up to 8\.01"):
        read_clip(written(path, np.append(tone(), -8.01), subtype="FLOAT"))


def test_a_float_file_in_16_bit_units_is_refused(path):
    with pytest.raises(UnreadableFileError, match="values up to 16384, where full scale is 1: other units"):
        read_clip(written(path, tone() * 32768, subtype="FLOAT"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_no_numbers_are_refused_and_counted(path, bad):
    samples = tone()
    samples[[5, 77]] = bad
    with pytest.raises(UnreadableFileError, match="2 values are not finite numbers"):
        read_clip(written(path, samples, subtype="FLOAT"))


@pytest.mark.parametrize("level", [0.0, 0.3, -0.3])
def test_silence_is_refused_also_with_a_constant_voltage(path, level):
    with pytest.raises(UnreadableFileError, match="silent"):
        read_clip(written(path, np.full(8000, level)))


def test_channels_that_cancel_are_silent(path):
    with pytest.raises(UnreadableFileError, match="silent"):
        read_clip(written(path, np.stack([tone(), -tone()], 1), subtype="FLOAT"))


def test_silence_ends_80_db_below_full_scale(path):
    click = np.zeros(8000, np.float32)
    click[4000] = 0.99e-4
    with pytest.raises(UnreadableFileError, match="silent"):
        read_clip(written(path, click, subtype="FLOAT"))
    click[4000] = 1.02e-4
    assert len(read_clip(written(path, click, subtype="FLOAT"))) == 8000


@pytest.mark.parametrize("rate_hz", [8000, RATE, 44_100])
def test_a_twentieth_of_a_second_is_too_short(path, rate_hz):
    with pytest.raises(UnreadableFileError, match=r"0\.05 s of sound, less than 0\.1"):
        read_clip(written(path, tone(0.05, rate_hz), rate_hz))


def test_a_tenth_of_a_second_is_just_long_enough(path, monkeypatch):
    written(path, tone()[:1600])
    assert len(read_clip(path)) == 1600
    with pytest.raises(UnreadableFileError, match="less than"):
        read_clip(written(path, tone()[:1599]))
    monkeypatch.setattr(audio, "MIN_S", 0.05)
    assert len(read_clip(path)) == 1599


@pytest.mark.parametrize("file_format", ["WAV", "FLAC", "NIST"])
def test_a_file_without_a_sample_is_refused_whatever_is_asked_for(path, file_format, monkeypatch):
    monkeypatch.setattr(audio, "MIN_S", 0)
    with pytest.raises(UnreadableFileError):
        read_clip(written(path, np.zeros(0), file_format=file_format))


def test_a_recording_longer_than_an_hour_is_refused_before_it_is_decoded(path, monkeypatch):
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *arguments, **options: pytest.fail("decoded"))
    written(path, np.zeros(3601, np.int16), rate_hz=1)
    with pytest.raises(UnreadableFileError, match="3601 s, more than 3600"):
        read_clip(path)
    monkeypatch.undo()
    with pytest.raises(UnreadableFileError, match="silent"):  # an hour exactly is listened to
        read_clip(written(path, np.zeros(3600, np.int16), rate_hz=1), rate_hz=1)


FORMATS = [("WAV", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("NIST", "PCM_16")]


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_half_of_a_file_is_refused(path, file_format, subtype):
    content = written(path, tone(2.0), RATE, file_format, subtype).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UnreadableFileError):
        read_clip(path)


def test_a_flac_file_that_ends_between_two_frames_is_refused(path):
    content = written(path, tone(2.0), RATE, "FLAC").read_bytes()
    places = [place for place in range(len(content)) if content[place : place + 2] == b"\xff\xf8"]
    assert len(places) > 3
    path.write_bytes(content[: places[-2]])
    with pytest.raises(UnreadableFileError):
        read_clip(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "an empty file"),
        (b"a text that somebody named .wav\n" * 50, "not a recording that can be identified"),
        (b"RIFF", "not a recording that can be identified"),
        (b"\x89PNG\r\n\x1a\n" + bytes(500), "not a recording that can be identified"),
        (bytes(5000), "not a recording that can be identified"),
    ],
    ids=["empty", "text", "RIFF", "PNG", "zeros"],
)
def test_what_is_no_recording_is_refused_with_its_name(path, content, reason):
    path.write_bytes(content)
    with pytest.raises(UnreadableFileError) as caught:
        read_clip(path)
    assert str(caught.value) == f"{path}: {reason}"


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(UnreadableFileError, match=r"gone\.wav: no such file"):
        read_clip(tmp_path / "gone.wav")
    with pytest.raises(UnreadableFileError, match="directory"):
        read_clip(tmp_path)


@pytest.mark.parametrize(("file_format", "subtype"), FORMATS)
def test_damaged_bytes_are_decoded_or_refused_and_nothing_else(path, file_format, subtype, capfd):
    file = io.BytesIO()
    soundfile.write(file, tone(), RATE, format=file_format, subtype=subtype)
    whole, rng = file.getvalue(), np.random.default_rng(0)
    for _ in range(40):
        content = bytearray(whole)
        for place in rng.integers(0, min(len(content), 1200), 8):
            content[place] = rng.integers(256)
        path.write_bytes(content)
        try:
            clip = read_clip(path)
        except UnreadableFileError:
            continue
        assert np.isfinite(clip).all()
        assert np.abs(clip).max() <= 1


def test_rounding_to_16_bits_and_back():
    values = np.array([-1, -0.5, 0, 0.4 / 32768, 0.6 / 32768, 0.5, 1], np.float32)
    assert as_int16(values).tolist() == [-32768, -16384, 0, 0, 1, 16384, 32767]
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(as_int16(as_float(every)), every)


def test_a_crop_is_a_part_of_its_clip_or_the_clip_again_and_again_or_the_clip_and_zeros():
    clip, short = np.arange(10, 20), np.arange(30, 34)
    assert Crop(3).of(clip).tolist() == [10, 11, 12]
    assert Crop(3).of(clip, 7).tolist() == [17, 18, 19]
    assert Crop(10).of(clip).tolist() == list(range(10, 20))
    assert Crop(6).of(short, 2).tolist() == [30, 31, 32, 33, 30, 31]
    assert Crop(6, is_looped=False).of(short).tolist() == [30, 31, 32, 33, 0, 0]


def test_a_clip_is_cut_at_its_end_or_filled_with_silence_at_its_end():
    clip = np.arange(1, 6, dtype=np.int16)
    for length, expected in ((3, [1, 2, 3]), (5, [1, 2, 3, 4, 5]), (7, [1, 2, 3, 4, 5, 0, 0])):
        crop = Crop(length, is_looped=False, is_random=False).of(clip)
        assert crop.tolist() == expected
        assert crop.dtype == np.int16


def test_no_crop_and_crops_of_no_length_are_refused():
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        Crop(0)
    with pytest.raises(ValueError, match="num_crops must be at least 1, got 0"):
        EvenCrops(Crop(5), 0)


def test_uniforms_go_along_with_evaluated_crops_only_when_asked_for():
    draws = Draws(np.array([0.25, 0.5], np.float32), (0, 0, 0))
    assert EvenCrops(Crop(5))(np.arange(9), draws).keys() == {"clips"}
    assert EvenCrops(Crop(5), num_uniforms=2)(np.arange(9), draws)["uniforms"].tolist() == [0.25, 0.5]
