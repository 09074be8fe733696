import pytest

from agegender.corpora import catalog
from agegender.corpora.packs import VOICE_PACK, read_speechocean762, read_voices
from agegender.data.audio import cache_clips
from agegender.labels import SPEECHOCEAN_6
from agegender.miniatures.voice_corpora import write_voicepack


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    return write_voicepack(tmp_path_factory.mktemp("packs"), num_subjects=18, seed=3)


def test_its_examples_are_those_of_its_source_in_the_pack_renumbered(pack):
    own, whole = read_speechocean762(pack), read_voices(pack).examples
    expected = whole[whole["source_corpus"] == "speechocean762"]
    assert len(own) == len(expected) == 24
    assert own.examples["path"].tolist() == expected["path"].tolist()
    assert own.examples["age"].tolist() == expected["age"].tolist()
    assert own.examples.index.tolist() == list(range(24))
    assert set(own.examples["corpus"]) == {own.corpus} == {"speechocean762"}


def test_each_age_is_in_the_group_that_holds_it(pack):
    own = read_speechocean762(pack)
    assert own.scheme == SPEECHOCEAN_6
    groups = own.examples["age_group"]
    assert groups.nunique() > 1
    for age, group in zip(own.examples["age"], groups, strict=True):
        assert SPEECHOCEAN_6.lower[group] <= age < SPEECHOCEAN_6.upper[group]


def test_it_is_opened_by_its_name_and_its_clips_can_be_decoded(pack, tmp_path):
    own = catalog.read("speechocean762", pack)
    assert own.hash() == read_speechocean762(pack).hash()
    assert catalog.read("speechocean762", pack, labels_only=True).hash() == own.hash()
    assert len(cache_clips(own, tmp_path)) == len(own)


def test_the_quarantine_of_the_pack_stays(pack, tmp_path):
    table = (pack / VOICE_PACK / "clips.csv").read_text().splitlines()
    broken = [
        line.replace(",male,", ",none,").replace(",female,", ",none,") if n == 1 else line
        for n, line in enumerate(table)
    ]
    folder = tmp_path / VOICE_PACK
    folder.mkdir()
    (folder / "clips.csv").write_text("\n".join(broken) + "\n")
    own = read_speechocean762(tmp_path, labels_only=True)
    assert own.quarantine["reason"].tolist() == [
        "unknown gender 'none': expected one of ['f', 'female', 'female_feminine', 'm', 'male', 'male_masculine']"
    ]
    assert own.quarantine["row"].tolist() == [2]


def test_a_pack_without_its_clips_is_refused(pack, tmp_path):
    header, *rows = (pack / VOICE_PACK / "clips.csv").read_text().splitlines()
    (tmp_path / VOICE_PACK).mkdir()
    rest = [row for row in rows if ",so762," not in row]
    (tmp_path / VOICE_PACK / "clips.csv").write_text("\n".join([header, *rest]) + "\n")
    with pytest.raises(ValueError, match="has 12 clips and none of speechocean762"):
        read_speechocean762(tmp_path, labels_only=True)
