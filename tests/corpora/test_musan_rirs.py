import numpy as np
import pytest
import soundfile

from agegender.corpora import musan_rirs
from agegender.data.audio_augmentation import BABBLE_SNR_DB, MUSIC_SNR_DB, NOISE_SNR_DB, NUM_BABBLING
from agegender.miniatures.voice_corpora import write_musan, write_rirs


@pytest.fixture(scope="module")
def musan(tmp_path_factory):
    return write_musan(tmp_path_factory.mktemp("noise") / "musan", num_subjects=2, seed=1)


@pytest.fixture(scope="module")
def rirs(tmp_path_factory):
    return write_rirs(tmp_path_factory.mktemp("rooms") / "RIRS_NOISES", num_subjects=4, seed=1)


def test_recordings_are_listed_by_kind_whether_the_folder_itself_or_the_one_above_is_given(musan):
    manifest = musan_rirs.read(musan, "musan")
    assert manifest.examples["kind"].value_counts().to_dict() == {"music": 2, "noise": 2, "speech": 2}
    assert set(manifest.examples["source"]) == {"fma", "free-sound", "librivox"}
    assert manifest.hash() == musan_rirs.read(musan.parent, "musan").hash()
    assert not manifest.has_identities
    assert manifest.examples[["age", "age_group", "gender"]].isna().all(axis=None)
    assert all(soundfile.info(manifest.root / path).samplerate == 16_000 for path in manifest.examples["path"])


def test_rooms_are_listed_by_size_and_a_room_is_a_subject(rirs):
    manifest = musan_rirs.read(rirs, "rirs")
    assert manifest.examples["kind"].value_counts().to_dict() == {"smallroom": 4, "mediumroom": 2, "largeroom": 2}
    assert manifest.examples["subject"].nunique() == 4
    assert manifest.hash() == musan_rirs.read(rirs.parent, "rirs").hash()
    assert manifest.hash() == musan_rirs.read(rirs / "simulated_rirs", "rirs").hash()


def test_a_response_starts_with_its_strongest_sample_and_larger_rooms_sound_longer(rirs):
    lengths = {}
    for kind, path in musan_rirs.read(rirs, "rirs").examples[["kind", "path"]].to_numpy():
        response, rate_hz = soundfile.read(rirs / "simulated_rirs" / path)
        assert np.argmax(np.abs(response)) < 0.02 * rate_hz
        left = np.cumsum(response[::-1] ** 2)[::-1]
        lengths.setdefault(kind, []).append(np.argmax(left < 1e-3 * left[0]) / rate_hz)
    assert max(lengths["smallroom"]) < min(lengths["mediumroom"]) < max(lengths["largeroom"])


@pytest.mark.parametrize(
    ("corpus", "message"), [("musan", r"has no music/\*/\*.wav"), ("rirs", r"has no smallroom/\*/\*.wav")]
)
def test_a_corpus_that_is_not_whole_is_refused(corpus, message, tmp_path):
    with pytest.raises(FileNotFoundError, match=message):
        musan_rirs.read(tmp_path, corpus)


def test_the_same_arguments_write_the_same_sounds(musan, tmp_path):
    again = write_musan(tmp_path / "again", num_subjects=2, seed=1)
    for path in musan_rirs.read(musan, "musan").examples["path"]:
        assert (again / path).read_bytes() == (musan / path).read_bytes()


def test_fewer_rooms_than_sizes_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 3 rooms"):
        write_rirs(tmp_path / "m", num_subjects=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_musan(folder / "musan", num_subjects=6)
    write_rirs(folder / "rirs", num_subjects=6)
    return folder


def test_rooms_music_talkers_and_noises_come_from_their_own_folders_with_the_published_ratios(data, tmp_path):
    room, music, babble, noise = musan_rirs.read_augmentation(data, tmp_path).effects
    assert set(room.rooms.manifest.examples["corpus"]) == {"rirs"}
    kinds = [set(effect.sounds.manifest.examples["kind"]) for effect in (music, babble, noise)]
    assert kinds == [{"music"}, {"speech"}, {"noise"}]
    assert [effect.snr_db for effect in (music, babble, noise)] == [MUSIC_SNR_DB, BABBLE_SNR_DB, NOISE_SNR_DB]
    assert babble.num_at_once == NUM_BABBLING


def test_without_either_folder_there_is_nothing_to_add_and_one_alone_is_a_mistake(data, tmp_path):
    assert musan_rirs.read_augmentation(tmp_path, tmp_path / "cache") is None
    (tmp_path / "rirs").symlink_to(data / "rirs")
    with pytest.raises(FileNotFoundError, match=r"musan does not exist: .* take the other folder away"):
        musan_rirs.read_augmentation(tmp_path, tmp_path / "cache")
