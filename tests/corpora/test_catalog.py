"""Corpora by their names: where they lie, what can be chosen, and which of their examples are labelled."""

import pytest
from PIL import Image

from agegender.corpora import catalog
from agegender.data.audio import cache_clips
from agegender.data.parts import parts_of_subjects
from agegender.labels import FAIRFACE_9
from agegender.miniatures.face_corpora import write_adience
from agegender.miniatures.imdb_wiki import write_imdb
from agegender.miniatures.voice_corpora import write_timit, write_voicepack


def groups_of_own(folder):
    return catalog.read("folder", folder, options=catalog.FACES).require("age_group", "gender")


def ages_of_own(folder, oldest):
    return catalog.read("folder", folder, options=catalog.FACES).require("age", "gender", oldest=oldest)


def labelled(corpus, data, labels_only=False):
    return catalog.read(corpus, data, labels_only=labels_only, options=catalog.VOICES).require("age", "gender")


@pytest.fixture
def own_table(tmp_path):
    for number in range(5):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    lines = ["path,subject,age,age_group,gender", "0.png,a,9.9,,f", "1.png,b,,70+,m", "2.png,c,33,,", "3.png,d,,,m"]
    (tmp_path / "faces.csv").write_text("\n".join([*lines, "4.png,e,101.5,,f"]) + "\n")
    return tmp_path


def test_ages_in_years_are_sorted_into_the_groups_and_given_groups_are_kept(own_table, tmp_path):
    manifest = groups_of_own(own_table)
    assert manifest.examples["path"].tolist() == ["0.png", "1.png"]
    assert [FAIRFACE_9.labels[group] for group in manifest.examples["age_group"]] == ["3-9", "70+"]


def test_examples_without_both_labels_are_set_aside_and_counted(own_table, tmp_path):
    aside = groups_of_own(own_table).quarantine
    assert aside["path"].tolist() == ["2.png", "3.png", "4.png"]  # 101.5 years is in no group
    assert set(aside["reason"]) == {"no age group or no gender"}


def test_rows_mean_the_same_whether_a_variant_repairs_25_23_or_not(tmp_path):
    write_adience(tmp_path / "adience", num_subjects=60, size_px=16)
    examples = catalog.read("adience", tmp_path).examples
    slips = examples[examples["age_label"] == "(25, 23)"]
    assert len(slips) > 0
    assert set(slips["age_group"]) == {4}


def test_ages_beyond_the_oldest_and_unlabelled_examples_are_set_aside_and_counted(own_table, tmp_path):
    manifest = ages_of_own(own_table, 100)
    assert manifest.examples["path"].tolist() == ["0.png"]
    assert manifest.quarantine["path"].tolist() == ["1.png", "2.png", "3.png", "4.png"]
    assert set(manifest.quarantine["reason"]) == {"no age up to 100 or no gender"}


def test_the_oldest_year_is_still_in(own_table, tmp_path):
    assert ages_of_own(own_table, 101).examples["age"].tolist() == [9.9, 101.5]


def test_utkface_keeps_its_years_and_imdb_its_filters(packs, tmp_path):
    utkface = catalog.read("utkface", packs, tmp_path).require("age", "gender", oldest=100)
    assert utkface.examples["age"].between(1, 100).all()
    assert utkface.is_aligned
    write_imdb(tmp_path / "imdb", num_subjects=12, size_px=16)
    strict, lenient = (
        catalog.read("imdb", tmp_path, options=catalog.Options(min_face_score=score)) for score in (1.0, None)
    )
    assert 0 < len(strict) < len(lenient)
    assert not strict.is_aligned
    assert not set(strict.quarantine["reason"]) <= set(lenient.quarantine["reason"])


def test_a_corpus_without_a_usable_example_is_refused_with_the_reason(own_table):
    with pytest.raises(ValueError, match="none of 5 examples can be used: no age up to 5 or no gender"):
        ages_of_own(own_table, 5)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_timit(folder / "timit", num_subjects=20)
    write_voicepack(folder, num_subjects=6)
    return folder


def test_clips_without_an_age_are_set_aside_with_the_reason_and_the_others_have_both_labels(data, tmp_path):
    manifest = labelled("timit", data)
    assert manifest.examples[["age", "gender"]].notna().all(axis=None)
    unknown = manifest.quarantine["reason"].eq("no age or no gender")
    assert unknown.sum() > 0
    assert len(manifest) + unknown.sum() == 200


def test_the_pack_is_found_in_the_folder_itself(data, tmp_path):
    assert set(labelled("voicepack", data).examples["source_corpus"]) == {"svd", "speechocean762"}


def test_recordings_of_ones_own_are_voices_and_need_both_labels(data, tmp_path):
    pack = data / "voice-svd-so762"
    clips = sorted(path.relative_to(pack).as_posix() for path in pack.rglob("*.opus"))[:3]
    for name in clips:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((pack / name).read_bytes())
    lines = [f"{clips[0]},ann,30.5,f", f"{clips[1]},bob,41,m", f"{clips[2]},cy,,m"]
    (tmp_path / "own.csv").write_text("\n".join(["path,subject,age,gender", *lines]) + "\n")
    manifest = labelled("folder", tmp_path)
    assert manifest.modality == "voice"
    assert manifest.examples["subject"].tolist() == ["ann", "bob"]
    assert manifest.quarantine["path"].tolist() == [clips[2]]
    assert len(cache_clips(manifest, tmp_path / "cache")) == 2


def test_timit_has_one_fold_and_its_training_part_is_never_tested(data, tmp_path):
    examples = labelled("timit", data).examples
    parts = parts_of_subjects(examples, 0, 0)
    published = examples.drop_duplicates("subject").set_index("subject")["published_split"]
    assert published[parts.index].eq("test").tolist() == parts.eq("test").tolist()
    with pytest.raises(ValueError, match=r"fold 1 has no examples: the folds are \[0\].*published for training"):
        parts_of_subjects(examples, 1, 0)


@pytest.mark.parametrize("corpus", ["voicepack", "folder"])
def test_who_is_in_which_part_does_not_depend_on_which_clips_are_there(tmp_path, corpus):
    if corpus == "voicepack":
        clips = sorted(write_voicepack(tmp_path, num_subjects=14).rglob("*.opus"))
    else:
        rows = [f"{n}.wav,s{n},{20 + n},{'mf'[n % 2]}" for n in range(14)]
        (tmp_path / "own.csv").write_text("\n".join(["path,subject,age,gender", *rows]) + "\n")
        clips = [tmp_path / f"{n}.wav" for n in range(14)]
        for clip in clips:
            clip.write_bytes(b"RIFF....WAVE")

    def parts():
        return parts_of_subjects(labelled(corpus, tmp_path, labels_only=True).examples, 0, 0)

    before = parts()
    for clip in clips[::2]:
        clip.unlink()
    assert parts().to_dict() == before.to_dict()
    assert len(before) == 14


@pytest.mark.parametrize("corpus", ["timit", "voicepack"])
def test_a_corpus_lies_in_the_folder_of_its_name_or_in_the_folder_itself(data, corpus):
    among_others = catalog.read(corpus, data)
    root = data / "timit" if corpus == "timit" else data
    assert catalog.read(corpus, root).hash() == among_others.hash()


def test_a_pack_too_may_lie_in_the_folder_of_its_name(packs, tmp_path):
    (tmp_path / "fairface").symlink_to(packs)
    assert catalog.read("fairface", tmp_path).hash() == catalog.read("fairface", packs).hash()


def test_an_unknown_name_is_refused_and_what_cannot_be_read_without_files(tmp_path):
    with pytest.raises(ValueError, match="unknown corpus 'siren': expected one of adience, celeba, commonvoice,"):
        catalog.read("siren", tmp_path)
    for corpus in sorted(set(catalog.CORPORA) - set(catalog.LABELS_ALONE)):
        with pytest.raises(ValueError, match=f"is for adience, celeba, .* not for {corpus}"):
            catalog.read(corpus, tmp_path, labels_only=True)


@pytest.mark.parametrize(("options", "wanted"), [(catalog.FACES, "pictures"), (catalog.VOICES, "recordings")])
def test_a_table_of_the_other_kind_is_refused(tmp_path, options, wanted):
    start = b"RIFF....WAVE" if wanted == "pictures" else b"\x89PNG"
    (tmp_path / "a").write_bytes(start)
    (tmp_path / "own.csv").write_text("path,subject,age,gender\na,1,30,f\n")
    with pytest.raises(ValueError, match=f"{wanted} are asked for"):
        catalog.read("folder", tmp_path, options=options)
