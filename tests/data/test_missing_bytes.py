"""Every format that states its length, cut at every place."""

import io

import numpy as np
import pytest
import soundfile

from agegender.data.missing_bytes import cut_short

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
    assert cut_short(content[:44]) == "cut short: 0 of 16,000 bytes"  # the head of the samples ends the file
    assert cut_short(content_of("AU")[:-6000]) == "cut short: 10,000 of 16,000 bytes"
    assert cut_short(content_of("NIST")[:1000]) == "cut short: 0 of 16,000 bytes"  # in the middle of its head
    assert cut_short(content_of("OGG")[:-1]) == "cut short: the last page of the Ogg stream is incomplete"


@pytest.mark.parametrize("size", [0, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x7FFF_0000])
def test_a_wav_from_a_pipe_states_no_length_and_is_whole(size):
    content = bytearray(content_of("WAV"))
    assert content[36:40] == b"data"
    content[40:44] = size.to_bytes(4, "little")
    assert cut_short(bytes(content[:-1000])) is None


def test_the_largest_length_that_is_one_is_just_below_those_of_a_pipe():
    content = bytearray(content_of("WAV"))
    content[40:44] = (0x7FFE_FFFF).to_bytes(4, "little")
    assert cut_short(bytes(content)) == "cut short: 16,000 of 2,147,418,111 bytes"


@pytest.mark.parametrize("size", [0xFFFF_FFFF, 0x7FFF_0000])
def test_an_au_file_of_unknown_length_is_whole(size):
    content = bytearray(content_of("AU"))
    content[8:12] = size.to_bytes(4, "big")
    assert cut_short(bytes(content)) is None


@pytest.mark.parametrize(
    ("file_format", "place", "other"),
    [("WAV", 0, b"RIFX"), ("WAV", 8, b"AVI "), ("AIFF", 0, b"FROM"), ("AIFF", 8, b"8SVX"), ("AU", 0, b".snx"),
     ("NIST", 0, b"NIST_2A"), ("OGG", 0, b"OggX")],
)  # fmt: skip
def test_a_file_of_another_kind_is_left_to_its_decoder_whatever_it_states(file_format, place, other):
    content = bytearray(content_of(file_format)[:-1000])
    assert cut_short(bytes(content)).startswith("cut short")
    content[place : place + len(other)] = other
    assert cut_short(bytes(content)) is None


def test_a_compressed_aiff_states_its_length_in_the_same_way():
    content = content_of("AIFF")
    assert cut_short(content[:8] + b"AIFC" + content[12:-1000]).startswith("cut short")


def sphere(head="NIST_1A\n   1024\n", size=1024, **fields):
    fields = {"channel_count": 2, "sample_count": 500, "sample_n_bytes": 2} | fields
    lines = "".join(f"{name} -i {value}\n" for name, value in fields.items() if value is not None)
    return f"{head}{lines}end_head\nsample_count -i 9\n".encode().ljust(size)


def test_the_samples_of_a_sphere_file_begin_behind_a_head_of_the_length_that_it_states():
    assert cut_short(sphere() + bytes(2000)) is None
    assert cut_short(sphere() + bytes(1999)) == "cut short: 1,999 of 2,000 bytes"
    assert cut_short(sphere("NIST_1A\n   2048\n", 2048) + bytes(1999)) == "cut short: 1,999 of 2,000 bytes"
    assert cut_short(sphere("NIST_1A\n   what\n") + bytes(1999)) == "cut short: 1,999 of 2,000 bytes"


@pytest.mark.parametrize("missing", ["channel_count", "sample_count", "sample_n_bytes"])
def test_a_sphere_file_that_does_not_state_its_length_is_left_to_the_decoder(missing):
    assert cut_short(sphere(**{missing: None})) is None


def test_chunks_between_the_head_and_the_samples_are_passed_also_those_of_odd_length():
    content = content_of("WAV")
    extra = b"LIST" + (5).to_bytes(4, "little") + b"abcde\0"
    assert cut_short(content[:36] + extra + content[36:]) is None
    assert cut_short(content[:36] + extra + content[36:-2]) == "cut short: 15,998 of 16,000 bytes"


def test_what_stands_behind_the_samples_does_not_count_for_them():
    assert cut_short(content_of("WAV") + b"LIST\4\0\0\0abcd") is None


@pytest.mark.parametrize("size", [(0, 0, 0, 0), (0, 0, 2, 10), (0, 1, 0, 3), (1, 0, 0, 0)])
def test_a_tag_before_an_mp3_is_passed(size):
    """Its length is written with seven bits to a byte."""
    content = content_of("MP3")
    length = size[0] * 128**3 + size[1] * 128**2 + size[2] * 128 + size[3]
    tag = b"ID3\4\0\0" + bytes(size) + bytes(length)
    assert cut_short(tag + content) is None
    assert cut_short((tag + content)[: -len(content) // 2]).startswith("cut short")


@pytest.mark.parametrize(("flags", "frames"), [(2, b""), (3, b"\0\0\0\x09"), (0x0E, b""), (0x0F, b"\0\0\0\x09")])
@pytest.mark.parametrize("name", [b"Xing", b"Info"])
def test_the_length_of_an_mp3_stands_behind_the_number_of_frames_if_there_is_one(flags, frames, name):
    head = b"\xff\xfb\x90\0" + bytes(32) + name + bytes([0, 0, 0, flags]) + frames + (10_000).to_bytes(4, "big")
    assert cut_short(head.ljust(10_000, b"\0")) is None
    assert cut_short(head.ljust(9_900, b"\0")) is None  # a hundredth less
    assert cut_short(head.ljust(9_899, b"\0")) == "cut short: 9,899 of 10,000 bytes"
    assert cut_short(b"\xfe" + head[1:]) is None  # no frame of an MP3 begins so
    assert cut_short(head.replace(bytes([0, 0, 0, flags]), bytes([0, 0, 0, 1]))) is None  # frames only


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
