"""Files, folders and patterns as a list, told apart by what is in them and not by their names."""

import os

import numpy as np
import pytest
import soundfile
from PIL import Image

from agegender.use.inputs import Input, inputs_of, kind_of, looked_at

PICTURES = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")
RECORDINGS = ("WAV", "FLAC", "OGG", "MP3", "AIFF", "CAF", "AU", "RF64", "NIST")


@pytest.fixture
def folder(tmp_path):
    """Two pictures, a recording and a note, one picture in a folder below."""
    (tmp_path / "b").mkdir()
    for name in ("b/2.png", "1.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    soundfile.write(tmp_path / "voice.wav", np.zeros(100), 8000)
    (tmp_path / "notes.txt").write_text("nothing to see")
    return tmp_path


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_known_by_its_content(tmp_path, name):
    Image.new("RGB", (8, 8)).save(tmp_path / "named.wav", format=name)
    assert looked_at(str(tmp_path / "named.wav")).kind == "face"


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_recording_is_known_by_its_content(tmp_path, name):
    soundfile.write(tmp_path / "named.png", np.zeros(8000), 8000, format=name)
    assert looked_at(str(tmp_path / "named.png")).kind == "voice"


def test_an_mp3_without_a_header_is_a_recording_and_utf_16_text_is_none():
    assert kind_of(b"\xff\xfb\x90\x64") == "voice"
    assert kind_of("text".encode("utf-16-le")) is None
    assert kind_of(b"\xff\xfe" + "text".encode("utf-16-le")) is None  # its mark looks like an MPEG header
    assert kind_of(b"\xff") is None


def test_a_folder_stands_for_what_is_in_it_and_the_others_are_counted(folder):
    inputs, num_others = inputs_of([str(folder)])
    assert [(each.path, each.kind) for each in inputs] == [
        (str(folder / "1.png"), "face"),
        (str(folder / "voice.wav"), "voice"),
        (str(folder / "b/2.png"), "face"),
    ]
    assert num_others == 1


def test_a_folder_that_holds_itself_is_entered_once(folder):
    (folder / "b/loop").symlink_to(folder)
    assert len(inputs_of([str(folder)])[0]) == 3


def test_names_keep_their_order_and_their_repetitions(folder):
    names = [str(folder / name) for name in ("voice.wav", "1.png", "voice.wav")]
    assert [each.path for each in inputs_of(names)[0]] == names


def test_a_pattern_stands_for_the_files_it_fits_and_a_name_with_a_bracket_for_itself(folder):
    assert [each.path for each in inputs_of([f"{folder}/**/*.png"])[0]] == [
        str(folder / "1.png"),
        str(folder / "b/2.png"),
    ]
    (folder / "1.png").rename(folder / "a[1].png")
    assert inputs_of([str(folder / "a[1].png")])[0] == [Input(str(folder / "a[1].png"), "face")]


def test_what_cannot_be_used_says_why(folder, tmp_path):
    (folder / "empty").write_bytes(b"")
    (folder / "gone").symlink_to(folder / "nowhere")
    (folder / "none").mkdir()
    os.mkfifo(folder / "pipe")
    names = ["missing.png", "empty", "gone", "none", "pipe", "notes.txt", "*.gif"]
    said = [each.problem for each in inputs_of([str(folder / name) for name in names])[0]]
    assert said == [
        "no such file",
        "an empty file",
        "a link to nothing",
        "a folder without pictures or recordings",
        "not a regular file",
        "neither a picture nor a recording",
        "no file has such a name",
    ]
    assert inputs_of(["https://example.org/a.jpg"])[0][0].problem == "an address: download the file first"
