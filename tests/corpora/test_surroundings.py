import pytest

from agegender.corpora.surroundings import read_surroundings
from agegender.data.noise import BABBLE_SNR_DB, MUSIC_SNR_DB, NOISE_SNR_DB, NUM_BABBLING
from agegender.miniatures.musan_rirs import write_musan, write_rirs


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_musan(folder / "musan", num_subjects=6)
    write_rirs(folder / "rirs", num_subjects=6)
    return folder


def test_rooms_music_talkers_and_noises_come_from_their_own_folders_with_the_published_ratios(data, tmp_path):
    room, music, babble, noise = read_surroundings(data, tmp_path).effects
    assert set(room.rooms.manifest.examples["corpus"]) == {"rirs"}
    kinds = [set(effect.sounds.manifest.examples["kind"]) for effect in (music, babble, noise)]
    assert kinds == [{"music"}, {"speech"}, {"noise"}]
    assert [effect.snr_db for effect in (music, babble, noise)] == [MUSIC_SNR_DB, BABBLE_SNR_DB, NOISE_SNR_DB]
    assert babble.num_at_once == NUM_BABBLING


def test_without_either_folder_there_is_nothing_to_add_and_one_alone_is_a_mistake(data, tmp_path):
    assert read_surroundings(tmp_path, tmp_path / "cache") is None
    (tmp_path / "rirs").symlink_to(data / "rirs")
    with pytest.raises(FileNotFoundError, match=r"musan does not exist: .* take the other folder away"):
        read_surroundings(tmp_path, tmp_path / "cache")
