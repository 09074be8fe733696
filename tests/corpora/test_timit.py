import shutil

import pytest
import soundfile

from agegender.corpora import timit
from agegender.data.manifest import TooManyQuarantinedError
from agegender.data.splits import audit
from agegender.miniatures.voice_corpora import write_timit

from .published_timit import write_published_table

ROWS = [
    "ABC0  M  6  TRN  03/03/86  06/17/60  5'11\"  WHT  BS",
    "ABD0  F  1  TRN  01/22/87  ??        5'5\"   ???  ??  no birth date",
    "ABE0  F  2  TST  02/28/86  02/28/46  5'3\"   WHT  HS",
]
CLIPS = ("TRAIN/DR6/MABC0/SA1.WAV", "TRAIN/DR6/MABC0/SX3.WAV", "TRAIN/DR1/FABD0/SI9.WAV", "TEST/DR2/FABE0/SA2.WAV")


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write_timit(tmp_path_factory.mktemp("timit") / "m", num_subjects=4, seed=1)


@pytest.fixture
def tree(tmp_path):
    """Write a table of these rows, and empty files: what a file holds does not matter to the reader."""

    def write(rows=ROWS, clips=CLIPS, table="DOC/SPKRINFO.TXT"):
        for name in (table, *clips):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        (tmp_path / table).write_text("; a comment\n;\n" + "\n".join(rows) + "\n\n", encoding="latin-1")
        return tmp_path

    return write


def test_labels_are_those_of_the_subject_s_row(tree):
    examples = timit.read(tree()).examples.set_index("path")
    assert list(examples["subject"]) == ["FABE0", "FABD0", "MABC0", "MABC0"]
    assert list(examples["gender"]) == ["female", "female", "male", "male"]
    assert list(examples["published_split"]) == ["test", "train", "train", "train"]
    assert list(examples["dialect"]) == ["2", "1", "6", "6"]
    assert list(examples["sentence"]) == ["SA2", "SI9", "SA1", "SX3"]


def test_age_is_that_at_the_recording_in_decimal_years():
    assert timit.age_at("02/28/46", "02/28/86") == pytest.approx(40, abs=0.01)
    assert timit.age_at("06/17/60", "03/03/86") == pytest.approx(
        25 + 259 / 365.25, abs=0.005
    )  # 259 days: 17 Jun to 3 Mar
    assert timit.age_at("06/17/60", "06/16/86") < 26 < timit.age_at("06/17/60", "06/19/86")


@pytest.mark.parametrize(("born", "recorded"), [("??", "03/03/86"), ("??/??/??", "03/03/86"), ("06/17/60", "??")])
def test_a_date_with_question_marks_gives_no_age_and_no_number_in_its_place(born, recorded, tree):
    manifest = timit.read(tree([f"ABC0 M 6 TRN {recorded} {born} 5'11\" WHT BS", *ROWS[1:]]))
    ages = manifest.examples.set_index("subject")["age"]
    assert ages[["MABC0", "FABD0"]].isna().all()
    assert ages["FABE0"] == pytest.approx(40, abs=0.01)
    assert len(manifest.quarantine) == 0
    assert manifest.describe()["num_with_age"] == 1
    assert manifest.examples["gender"].notna().all()


def test_the_release_has_630_subjects_and_the_published_parts(tmp_path):
    examples = timit.read(write_published_table(tmp_path), labels_only=True).examples
    counts = examples.groupby(["published_split", "gender"])["subject"].nunique().to_dict()
    expected = {("train", "male"): 326, ("train", "female"): 136, ("test", "male"): 112, ("test", "female"): 56}
    assert counts == expected
    assert len(examples) == examples["subject"].nunique() == 630


def test_the_common_sentences_are_named_so_that_they_can_be_left_out(miniature):
    examples = timit.read(miniature).examples
    assert examples.groupby("subject").size().eq(10).all()
    assert examples[~examples["sentence"].isin(["SA1", "SA2"])].groupby("subject").size().eq(8).all()


def test_a_miniature_is_read_whole_and_its_clips_are_sphere(miniature):
    manifest = timit.read(miniature)
    assert len(manifest.quarantine) == 0
    assert manifest.modality == "voice"
    assert len(manifest) == 40
    path = manifest.root / manifest.examples["path"][0]
    assert path.read_bytes().startswith(b"NIST_1A")
    assert soundfile.info(path).samplerate == 16_000
    parts = dict(iter(manifest.examples.groupby("published_split")))
    assert audit(parts)["num_shared"].tolist() == [0]


def test_riff_under_the_same_names_gives_the_same_manifest(miniature, tmp_path):
    riff = shutil.copytree(miniature, tmp_path / "riff")
    for path in riff.rglob("*.WAV"):
        samples, rate_hz = soundfile.read(path, dtype="int16")
        soundfile.write(path, samples, rate_hz, format="WAV")
    manifest = timit.read(riff)
    assert manifest.hash() == timit.read(miniature).hash()
    assert (manifest.root / manifest.examples["path"][0]).read_bytes().startswith(b"RIFF")


def test_labels_alone_need_no_clip_and_are_those_of_the_whole_tree(miniature, tmp_path):
    shutil.copy(miniature / "DOC/SPKRINFO.TXT", tmp_path)
    labels = timit.read(tmp_path, labels_only=True).examples.set_index("subject")
    columns = ["age", "gender", "published_split", "dialect"]
    whole = timit.read(miniature).examples.groupby("subject")[columns].first()
    assert labels.loc[whole.index, columns].equals(whole)
    with pytest.raises(FileNotFoundError, match="no folders TRAIN and TEST"):
        timit.read(tmp_path)


def test_capitals_dialect_folders_and_folders_above_change_no_label(miniature, tmp_path):
    base = tmp_path / "timit"
    for path in miniature.rglob("*.WAV"):
        part, _, subject, name = path.relative_to(miniature).parts
        place = base / part.lower() / subject.lower() / f"{name.lower()}.wav"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    shutil.copytree(miniature / "DOC", base / "doc")
    columns = ["subject", "sentence", "age", "gender", "published_split", "dialect"]
    found, expected = (
        timit.read(root).examples.sort_values(["subject", "sentence"])[columns].reset_index(drop=True)
        for root in (tmp_path, miniature)
    )
    assert found.equals(expected)


def test_a_second_file_of_a_sentence_is_set_aside_and_is_no_fault(tree):
    copies = [f"{clip}.wav" for clip in CLIPS]
    manifest = timit.read(tree(clips=(*CLIPS, *copies)))
    assert sorted(manifest.examples["path"]) == sorted(CLIPS)
    assert sorted(manifest.quarantine["path"]) == sorted(copies)
    assert set(manifest.quarantine["reason"]) == {"another file of the same sentence"}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("ABC0  M  6  TRN  03/03/86", "5 fields instead of ID, Sex, DR, Use, RecDate, BirthDate"),
        ("ABC0  X  6  TRN  03/03/86  06/17/60", "unknown gender 'X'"),
        ("ABC0  M  6  ALL  03/03/86  06/17/60", "part 'ALL' is neither TRN nor TST"),
        ("ABC0  M  6  TRN  03/03/86  17.6.60", "date '17.6.60' is not month/day/year"),
        ("ABC0  M  6  TRN  03/03/86  02/30/60", "date '02/30/60' is not month/day/year"),
        ("ABC0  M  6  TRN  03/03/86  06/17/90", "impossible age -4."),
    ],
)
def test_a_row_that_cannot_be_understood_is_set_aside_with_its_clips(row, reason, tree):
    root = tree([row, *ROWS[1:]])
    quarantine = timit.read(root, max_quarantined_share=1).quarantine
    assert quarantine["reason"].iloc[0].startswith(reason)
    assert quarantine["row"].iloc[0] == 3
    assert list(quarantine["reason"][1:]) == ["the subject's row is not usable"] * 2
    with pytest.raises(TooManyQuarantinedError, match="rows were set aside"):
        timit.read(root)


@pytest.mark.parametrize(
    ("rows", "clips", "path", "reason"),
    [
        (ROWS, (*CLIPS, "TRAIN/DR1/MXYZ0/SA1.WAV"), "TRAIN/DR1/MXYZ0/SA1.WAV", "no row in SPKRINFO.TXT"),
        (ROWS, CLIPS[:3], "TEST/DR2/FABE0", "no clips of this subject"),
        (
            ROWS,
            (*CLIPS, "TEST/DR6/MABC0/SX9.WAV"),
            "TEST/DR6/MABC0/SX9.WAV",
            "SPKRINFO.TXT has the subject in the other part",
        ),
    ],
)
def test_what_tree_and_table_do_not_agree_on_is_set_aside(rows, clips, path, reason, tree):
    root = tree(rows, clips)
    (root / "TEST").mkdir(exist_ok=True)
    quarantine = timit.read(root, max_quarantined_share=0.9).quarantine
    assert quarantine[["path", "reason"]].to_numpy().tolist() == [[path, reason]]


def test_a_table_that_is_missing_empty_or_names_a_subject_twice_is_refused(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no SPKRINFO.TXT in"):
        timit.read(tmp_path)
    with pytest.raises(ValueError, match=r"SPKRINFO.TXT has no row"):
        timit.read(tree([]))
    with pytest.raises(ValueError, match=r"SPKRINFO.TXT, line 6: subject MABC0 stands twice"):
        timit.read(tree([*ROWS, ROWS[0]]))
