import pytest
import soundfile

from agegender.corpora import voxceleb
from agegender.data.manifest import TooManyQuarantinedError
from agegender.data.splits import audit
from agegender.miniatures.voice_corpora import write_voxceleb

HEADER = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
META = ["id10001\tA\tm\tIreland\tdev", "id10002\tB\tf\tUSA\tdev", "id10270\tC\tf\tIndia\ttest"]
CLIPS = ("id10001/v1/00001.wav", "id10001/v2/00001.wav", "id10002/v3/00002.wav", "id10270/v4/00001.wav")


@pytest.fixture
def tree(tmp_path):
    """Write the table and empty clips below these folders."""

    def write(meta=META, clips=CLIPS, base="wav"):
        (tmp_path / "vox1_meta.csv").write_text("\n".join([HEADER, *meta]) + "\n")
        for clip in clips:
            (tmp_path / base / clip).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / base / clip).touch()
        return tmp_path

    return write


def test_labels_are_those_of_the_subject_and_no_age_is_made_up(tree):
    manifest = voxceleb.read(tree())
    examples = manifest.examples
    assert list(examples["clip"]) == list(CLIPS)
    assert list(examples["subject"]) == ["id10001", "id10001", "id10002", "id10270"]
    assert list(examples["gender"]) == ["male", "male", "female", "female"]
    assert list(examples["published_split"]) == ["dev", "dev", "dev", "test"]
    assert list(examples["video"]) == ["v1", "v2", "v3", "v4"]
    assert examples["age"].isna().all()
    assert len(manifest.quarantine) == 0


@pytest.mark.parametrize("base", ["", "wav", "dev/wav", "vox1_dev/wav"])
def test_clips_are_found_where_the_archives_unpack_and_lists_mean_the_same(base, tree):
    manifest = voxceleb.read(tree(base=base))
    assert list(manifest.examples["clip"]) == list(CLIPS)
    assert all((manifest.root / path).is_file() for path in manifest.examples["path"])


def test_labels_alone_need_no_clip(tree):
    examples = voxceleb.read(tree(clips=()), labels_only=True).examples
    assert list(examples["subject"]) == ["id10001", "id10002", "id10270"]
    assert list(examples["gender"]) == ["male", "female", "female"]


def test_a_miniature_is_read_whole_and_its_trials_name_clips_of_other_videos(tmp_path):
    root = write_voxceleb(tmp_path / "m", num_subjects=5, seed=2)
    manifest = voxceleb.read(root)
    assert len(manifest) == 30
    assert len(manifest.quarantine) == 0
    assert audit(dict(iter(manifest.examples.groupby("published_split"))))["num_shared"].tolist() == [0]
    info = soundfile.info(manifest.root / manifest.examples["path"][0])
    assert (info.samplerate, info.channels) == (16_000, 1)
    trials = voxceleb.trials(root / "veri_test.txt", manifest)
    assert trials["is_same"].mean() == 0.5
    first, second = (manifest.examples.iloc[trials[name]].reset_index(drop=True) for name in ("first", "second"))
    assert (first["published_split"] == "test").all()
    assert (first["subject"] == second["subject"]).equals(trials["is_same"])
    assert (first["video"] != second["video"])[trials["is_same"]].all()


def test_trials_are_row_numbers_in_the_order_of_the_list(tree, tmp_path):
    manifest = voxceleb.read(tree())
    (tmp_path / "t.txt").write_text(f"1 {CLIPS[1]} {CLIPS[0]}\n\n0 {CLIPS[3]} {CLIPS[2]}\n")
    trials = voxceleb.trials(tmp_path / "t.txt", manifest)
    assert trials.to_numpy().tolist() == [[True, 1, 0], [False, 3, 2]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"1 {CLIPS[0]} id10001/v9/00001.wav", r"t.txt, line 2: clip 'id10001/v9/00001.wav' is not among the 4 clips"),
        (f"1 {CLIPS[0]}", r"t.txt, line 2: expected 0 or 1 and two clips, found '1 "),
        (f"same {CLIPS[0]} {CLIPS[1]}", r"t.txt, line 2: expected 0 or 1 and two clips, found 'same"),
        (f"0 {CLIPS[0]} {CLIPS[1]}", r"t.txt, line 2: says 0, but the subjects are"),
        (f"1 {CLIPS[0]} {CLIPS[2]}", r"t.txt, line 2: says 1, but the subjects are"),
    ],
)
def test_a_fault_in_a_list_of_trials_is_named_by_line(text, message, tree, tmp_path):
    (tmp_path / "t.txt").write_text(f"1 {CLIPS[1]} {CLIPS[0]}\n{text}\n")
    with pytest.raises(ValueError, match=message):
        voxceleb.trials(tmp_path / "t.txt", voxceleb.read(tree()))


def test_a_list_that_is_missing_or_empty_is_refused(tree, tmp_path):
    manifest = voxceleb.read(tree())
    with pytest.raises(FileNotFoundError, match=r"t.txt does not exist"):
        voxceleb.trials(tmp_path / "t.txt", manifest)
    (tmp_path / "t.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"t.txt is empty"):
        voxceleb.trials(tmp_path / "t.txt", manifest)


@pytest.mark.parametrize(
    ("meta", "clips", "expected"),
    [
        (META[:2], CLIPS, ["wav/id10270/v4/00001.wav", 3, "subject is not in vox1_meta.csv"]),
        (META, CLIPS[:3], ["id10270", 4, "no clips of this subject"]),
        ([*META[:2], META[2].replace("\tf", "\tx")], CLIPS, ["wav/id10270/v4/00001.wav", 3, "unknown gender 'x': "]),
    ],
)
def test_what_tree_and_table_do_not_agree_on_is_set_aside(meta, clips, expected, tree):
    root = tree(meta, clips)
    quarantine = voxceleb.read(root, max_quarantined_share=0.5).quarantine
    [[path, row, reason]] = quarantine[["path", "row", "reason"]].to_numpy().tolist()
    assert [path, row] == expected[:2]
    assert reason.startswith(expected[2])
    with pytest.raises(TooManyQuarantinedError, match="rows were set aside"):
        voxceleb.read(root)


def test_a_tree_without_table_or_clips_and_a_subject_twice_are_refused(tree, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"vox1_meta.csv does not exist"):
        voxceleb.read(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no clip <id>/<video>/<clip>.wav in"):
        voxceleb.read(tree(clips=()))
    with pytest.raises(ValueError, match=r"vox1_meta.csv, line 5: subject id10001 stands twice"):
        voxceleb.read(tree([*META, META[0]]))


def test_too_few_subjects_for_trials_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least 4 subjects, got 3"):
        write_voxceleb(tmp_path / "m", 3)
    assert list(tmp_path.iterdir()) == []
