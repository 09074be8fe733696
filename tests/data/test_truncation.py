"""Every format that states its length, cut at every place."""

import io

import numpy as np
import pytest
import soundfile

from agegender.data.truncation import cut_short

FORMATS = {
    "WAV": "PCM_16",
    "WAVEX": "PCM_24",
    "AIFF": "PCM_16",
    "AU": "PCM_16",
    "NIST": "PCM_16",
    "OGG": "VORBIS",
    "MP3": "MPEG_LAYER_III",
}


def content_of(file_format, subtype=None, seconds=0.5, channels=1):
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    noise = 0.1 * rng.standard_normal((int(16_000 * seconds), channels))
    soundfile.write(file, noise, 16_000, format=file_format, subtype=subtype or FORMATS[file_format])
    return file.getvalue()


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("channels", [1, 2])
def test_a_whole_file_misses_nothing(file_format, channels):
    assert cut_short(content_of(file_format, channels=channels)) is None


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_is_found_cut_wherever_it_is_cut_behind_its_head(file_format):
    content = content_of(file_format)
    head = 4400 if file_format == "OGG" else 1024  # the comments and code books of Vorbis fill a page of their own
    last = len(content) * 98 // 100 if file_format == "MP3" else len(content)
    assert last - head > 800
    assert [cut for cut in range(head, last, 7) if cut_short(content[:cut]) is None] == []
    if file_format != "MP3":
        assert cut_short(content[:-1]).startswith("cut short")


def test_the_message_says_how_much_is_there():
    content = content_of("WAV")
    assert cut_short(content[:-6000]) == "cut short: 10,000 of 16,000 bytes"


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF])
def test_a_wav_from_a_pipe_states_no_length_and_is_whole(size):
    content = bytearray(content_of("WAV"))
    assert content[36:40] == b"data"
    content[40:44] = size.to_bytes(4, "little")
    assert cut_short(bytes(content[:-1000])) is None


def test_chunks_between_the_head_and_the_samples_are_passed_also_those_of_odd_length():
    content = content_of("WAV")
    extra = b"LIST" + (5).to_bytes(4, "little") + b"abcde\0"
    assert cut_short(content[:36] + extra + content[36:]) is None
    assert cut_short(content[:36] + extra + content[36:-2]) == "cut short: 15,998 of 16,000 bytes"


def test_what_stands_behind_the_samples_does_not_count_for_them():
    assert cut_short(content_of("WAV") + b"LIST\4\0\0\0abcd") is None


def test_a_tag_before_an_mp3_is_passed():
    content = content_of("MP3")
    tag = b"ID3\4\0\0" + bytes([0, 0, 2, 10]) + bytes(2 * 128 + 10)
    assert cut_short(tag + content) is None
    assert cut_short((tag + content)[: len(content)]).startswith("cut short")


def test_an_mp3_may_be_a_frame_shorter_than_it_says():
    content = content_of("MP3", seconds=8)
    assert cut_short(content[: len(content) * 995 // 1000]) is None


def test_a_compressed_sphere_file_is_left_to_its_decoder():
    head = b"NIST_1A\n   1024\nchannel_count -i 1\nsample_n_bytes -i 2\nsample_count -i 9000\n"
    shorten = head + b"sample_coding -s26 pcm,embedded-shorten-v2.00\nend_head\n"
    assert cut_short(shorten.ljust(4000, b"\0")) is None
    assert cut_short((head + b"sample_coding -s3 pcm\nend_head\n").ljust(4000, b"\0")).startswith("cut short")


@pytest.mark.parametrize(
    "content",
    [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"FORM", b".snd", b"NIST_1A\n", b"ID3", b"\xff\xfb", b"no recording"],
)
def test_what_is_no_recording_is_left_to_the_decoder(content):
    assert cut_short(content) is None
