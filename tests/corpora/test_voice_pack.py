import tarfile

import pytest
import soundfile

from agegender.corpora.packs import VOICE_PACK, read_voices
from agegender.data.archives import UnsafeArchiveError
from agegender.data.manifest import TooManyQuarantinedError
from agegender.miniatures.voice_corpora import write_voicepack

HEADER = "file,speaker,age,gender,seconds,split,source,language,voice"
ROWS = [
    "svd/a_1.opus,a,71,female,2.04,train,svd,de,disordered",
    "svd/b_1.opus,b,20,male,1.5,val,svd,de,normal",
    "so762/c_1.opus,c,6,male,3.25,train,so762,en,normal",
]


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write_voicepack(tmp_path_factory.mktemp("packs"), num_subjects=6, seed=1)


@pytest.fixture
def pack(tmp_path):
    """Write a pack with these rows and empty clips: what is in a clip does not matter here."""

    def write(rows=ROWS, header=HEADER, clips=None):
        folder = tmp_path / VOICE_PACK
        for name in [row.split(",")[0] for row in ROWS] if clips is None else clips:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
        folder.mkdir(exist_ok=True)
        (folder / "clips.csv").write_text("\n".join([header, *rows]) + "\n")
        return tmp_path

    return write


def test_labels_are_those_of_the_row(pack):
    manifest = read_voices(pack())
    examples = manifest.examples
    assert list(examples["subject"]) == ["a", "b", "c"]
    assert list(examples["age"]) == [71, 20, 6]
    assert list(examples["gender"]) == ["female", "male", "male"]
    assert list(examples["published_split"]) == ["train", "validation", "train"]
    assert list(examples["source_corpus"]) == ["svd", "svd", "speechocean762"]
    assert list(examples["voice"]) == ["disordered", "normal", "normal"]
    assert list(examples["seconds"]) == [2.04, 1.5, 3.25]
    assert manifest.has_identities
    assert len(manifest.quarantine) == 0


def test_a_miniature_is_read_whole_and_an_archive_of_it_gives_the_same_manifest(miniature, tmp_path):
    manifest = read_voices(miniature)
    assert len(manifest.quarantine) == 0
    assert manifest.examples.groupby("source_corpus")["subject"].nunique().to_dict() == {"speechocean762": 2, "svd": 4}
    assert manifest.examples.groupby("source_corpus").size().to_dict() == {"speechocean762": 8, "svd": 4}
    info = soundfile.info(manifest.root / manifest.examples["path"][0])
    assert (info.samplerate, info.subtype) == (16_000, "OPUS")
    with tarfile.open(tmp_path / f"{VOICE_PACK}.tar.gz", "w:gz") as tar:
        tar.add(miniature / VOICE_PACK, VOICE_PACK)
    packed = read_voices(tmp_path, tmp_path / "cache")
    assert packed.hash() == manifest.hash()
    assert (packed.root / packed.examples["path"][0]).is_file()
    with pytest.raises(ValueError, match="say where with cache="):
        read_voices(tmp_path)


def test_an_archive_of_something_else_is_refused(tmp_path):
    (tmp_path / "other.txt").write_text("no pack")
    with tarfile.open(tmp_path / f"{VOICE_PACK}.tar.gz", "w:gz") as tar:
        tar.add(tmp_path / "other.txt", "other.txt")
    with pytest.raises(FileNotFoundError, match=rf"holds no {VOICE_PACK}/clips.csv"):
        read_voices(tmp_path, tmp_path / "cache")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  {VOICE_PACK}.tar.gz\n")
    with pytest.raises(UnsafeArchiveError, match="its SHA-256 is"):
        read_voices(tmp_path, tmp_path / "cache")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (ROWS[0].replace(",71,", ",171,"), "impossible age 171.0"),
        (ROWS[0].replace(",71,", ",,"), "could not convert string to float"),
        (ROWS[0].replace("female", "none"), "unknown gender 'none'"),
        (ROWS[0].replace("train", "other"), "unknown split 'other'"),
        (ROWS[0].replace(",svd,", ",tape,"), "unknown source 'tape'"),
        (ROWS[0].replace(",a,", ",,"), "no subject"),
        (ROWS[0].replace("a_1", "../../a_1"), "missing file"),
        (ROWS[0].replace("a_1", "z_1"), "missing file"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_with_its_line_and_reason(row, reason, pack):
    root = pack([ROWS[1], row, ROWS[2]])
    quarantine = read_voices(root, max_quarantined_share=0.5).quarantine
    assert quarantine["row"].tolist() == [3]
    assert quarantine["reason"].iloc[0].startswith(reason)
    with pytest.raises(TooManyQuarantinedError, match="rows were set aside"):
        read_voices(root)


def test_a_missing_pack_or_column_is_named(pack, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no pack here: neither .*clips.csv nor"):
        read_voices(tmp_path)
    with pytest.raises(ValueError, match=r"clips.csv, line 1: expected the columns file, speaker, age"):
        read_voices(pack(header=HEADER.replace("age", "years")))


def test_labels_alone_need_no_clip(pack):
    root = pack(clips=())
    assert len(read_voices(root, labels_only=True)) == 3
    with pytest.raises(TooManyQuarantinedError, match="3 x missing file"):
        read_voices(root)
