import pytest

from agegender.corpora.voices import read_labelled_voices
from agegender.data.clips import cache_clips
from agegender.data.parts import parts_of_subjects
from agegender.miniatures.timit import write_timit
from agegender.miniatures.voicepack import write_voicepack


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_timit(folder / "timit", num_subjects=20)
    write_voicepack(folder, num_subjects=6, clips_per_subject=2)
    return folder


def test_clips_without_an_age_are_set_aside_with_the_reason_and_the_others_have_both_labels(data, tmp_path):
    manifest = read_labelled_voices("timit", data, tmp_path)
    assert manifest.examples[["age", "gender"]].notna().all(axis=None)
    unknown = manifest.quarantine["reason"].eq("no age or no gender")
    assert unknown.sum() > 0
    assert len(manifest) + unknown.sum() == 200


def test_the_pack_is_found_in_the_folder_itself(data, tmp_path):
    assert set(read_labelled_voices("voicepack", data, tmp_path).examples["source_corpus"]) == {"svd", "speechocean762"}


def test_recordings_of_ones_own_are_voices_and_need_both_labels(data, tmp_path):
    pack = data / "voice-svd-so762"
    clips = sorted(path.relative_to(pack).as_posix() for path in pack.rglob("*.opus"))[:3]
    for name in clips:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((pack / name).read_bytes())
    lines = [f"{clips[0]},ann,30.5,f", f"{clips[1]},bob,41,m", f"{clips[2]},cy,,m"]
    (tmp_path / "own.csv").write_text("\n".join(["path,subject,age,gender", *lines]) + "\n")
    manifest = read_labelled_voices("folder", tmp_path, tmp_path)
    assert manifest.modality == "voice"
    assert manifest.examples["subject"].tolist() == ["ann", "bob"]
    assert manifest.quarantine["path"].tolist() == [clips[2]]
    assert len(cache_clips(manifest, tmp_path / "cache")) == 2


def test_timit_has_one_fold_and_its_training_part_is_never_tested(data, tmp_path):
    examples = read_labelled_voices("timit", data, tmp_path).examples
    parts = parts_of_subjects(examples, 0, 0)
    published = examples.drop_duplicates("subject").set_index("subject")["published_split"]
    assert published[parts.index].eq("test").tolist() == parts.eq("test").tolist()
    with pytest.raises(ValueError, match=r"fold 1 has no examples: the folds are \[0\].*published for training"):
        parts_of_subjects(examples, 1, 0)


@pytest.mark.parametrize("corpus", ["voicepack", "folder"])
def test_who_is_in_which_part_does_not_depend_on_which_clips_are_there(tmp_path, corpus):
    if corpus == "voicepack":
        clips = sorted(write_voicepack(tmp_path, num_subjects=14, clips_per_subject=2).rglob("*.opus"))
    else:
        rows = [f"{n}.wav,s{n},{20 + n},{'mf'[n % 2]}" for n in range(14)]
        (tmp_path / "own.csv").write_text("\n".join(["path,subject,age,gender", *rows]) + "\n")
        clips = [tmp_path / f"{n}.wav" for n in range(14)]
        for clip in clips:
            clip.write_bytes(b"RIFF....WAVE")

    def parts():
        return parts_of_subjects(read_labelled_voices(corpus, tmp_path, tmp_path, labels_only=True).examples, 0, 0)

    before = parts()
    for clip in clips[::2]:
        clip.unlink()
    assert parts().to_dict() == before.to_dict()
    assert len(before) == 14


def test_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown corpus of voices 'siren'"):
        read_labelled_voices("siren", tmp_path, tmp_path)
