import shutil

import pandas as pd
import pytest
import soundfile

from agegender.corpora import commonvoice
from agegender.data.manifest import TooManyQuarantinedError
from agegender.miniatures.voice_corpora import COMMONVOICE_HEADER as HEADER
from agegender.miniatures.voice_corpora import write_commonvoice

LATER_HEADER = (
    "client_id", "path", "sentence_id", "sentence", "sentence_domain", "up_votes", "down_votes", "age", "gender",
    "accents", "variant", "locale", "segment",
)  # fmt: skip


def line(path, client="c1", age="twenties", gender="female", header=HEADER):
    values = {
        "client_id": client,
        "path": path,
        "sentence": 'He said "no',
        "age": age,
        "gender": gender,
        "locale": "en",
    }
    return "\t".join(values.get(name, "") for name in header)


@pytest.fixture
def release(tmp_path):
    """Write ``validated.tsv``, other tables if given, and empty clips: what is in a clip does not matter here."""

    def write(rows, header=HEADER, clips=None, end="\n", encoding="utf-8", **parts):
        for name, lines in {"validated": rows, **parts}.items():
            text = end.join(["\t".join(header), *lines, ""])
            (tmp_path / f"{name}.tsv").write_bytes(text.encode(encoding))
        (tmp_path / "clips").mkdir(exist_ok=True)
        for name in [row.split("\t")[1] for row in rows] if clips is None else clips:
            (tmp_path / "clips" / name).touch()
        return tmp_path

    return write


def reasons(manifest):
    return manifest.quarantine[["path", "row", "reason"]].to_numpy().tolist()


def test_age_group_gender_and_subject_are_those_of_the_row(release):
    rows = [
        line("a.mp3", "c1", "fourties", "male"),
        line("b.mp3", "c2", "", ""),
        line("c.mp3", "c1", "seventies", "other"),
    ]
    manifest = commonvoice.read(release(rows))
    examples = manifest.examples
    assert list(examples["path"]) == ["clips/a.mp3", "clips/b.mp3", "clips/c.mp3"]
    assert list(examples["subject"]) == ["c1", "c2", "c1"]
    assert examples["age_group"].astype("float").tolist()[0] == 3
    assert list(examples["age_group"].isna()) == [False, True, True]
    assert list(examples["gender"].fillna("?")) == ["male", "?", "?"]
    assert list(examples["age_label"].fillna("?")) == ["fourties", "?", "seventies"]
    assert examples["age"].isna().all()
    assert len(manifest.quarantine) == 0


@pytest.mark.parametrize("age", commonvoice.AGES)
def test_every_age_of_the_corpus_is_known_and_the_first_six_have_a_group(age, release):
    examples = commonvoice.read(release([line("a.mp3", age=age)])).examples
    expected = commonvoice.AGES.index(age)
    assert examples["age_group"].fillna(-1).tolist() == [expected if expected < 6 else -1]


@pytest.mark.parametrize(
    ("spelling", "gender"),
    [("male", "male"), ("male_masculine", "male"), ("female_feminine", "female"), ("do_not_wish_to_say", "?")],
)
def test_genders_of_early_and_late_releases_are_the_same(spelling, gender, release):
    manifest = commonvoice.read(release([line("a.mp3", gender=spelling)]))
    assert list(manifest.examples["gender"].fillna("?")) == [gender]


def test_the_part_is_that_of_the_table_that_lists_the_clip(release):
    rows = [line(f"{name}.mp3") for name in "abcd"]
    root = release(rows, train=[rows[2]], dev=[rows[0]], test=[rows[3]])
    assert list(commonvoice.read(root).examples["published_split"].fillna("?")) == ["dev", "?", "train", "test"]


def test_a_miniature_is_read_whole_and_as_a_later_release_writes_it_too(tmp_path):
    early = write_commonvoice(tmp_path / "early", num_subjects=4, seed=3)
    later = shutil.copytree(early, tmp_path / "later")
    spelling = {"male": "male_masculine", "female": "female_feminine"}  # of release 17.0, and its columns
    for path in later.glob("*.tsv"):
        rows = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False).replace({"gender": spelling})
        rows.reindex(columns=LATER_HEADER, fill_value="").to_csv(path, sep="\t", index=False)
    manifest = commonvoice.read(early)
    assert manifest.hash() == commonvoice.read(later).hash()
    assert "male_masculine" in (later / "validated.tsv").read_text()
    assert "male_masculine" not in (early / "validated.tsv").read_text()
    assert len(manifest.quarantine) == 0
    assert set(manifest.examples["published_split"].dropna()) <= set(commonvoice.PARTS)
    assert manifest.examples.groupby("subject").size().max() > 2 * manifest.examples.groupby("subject").size().min()
    info = soundfile.info(manifest.root / manifest.examples["path"][0])
    assert (info.format, info.samplerate) == ("MP3", 32_000)
    assert commonvoice.read(early, labels_only=True).hash() == manifest.hash()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_line_ends_byte_order_marks_and_lonely_quotes_change_nothing(end, encoding, release):
    manifest = commonvoice.read(release([line("a.mp3"), line("b.mp3")], end=end, encoding=encoding))
    assert list(manifest.examples["path"]) == ["clips/a.mp3", "clips/b.mp3"]
    assert list(manifest.examples["gender"]) == ["female", "female"]


def test_a_language_is_found_below_the_folder_of_the_release_and_two_are_refused(release, tmp_path):
    for language in ("en", "de"):
        folder = tmp_path / "cv-corpus" / language
        folder.mkdir(parents=True)
        if language == "de":
            with pytest.raises(FileNotFoundError, match=r"no validated.tsv in"):
                commonvoice.read(folder)
        (folder / "validated.tsv").write_text("\t".join(HEADER) + "\n" + line("a.mp3") + "\n")
        if language == "en":
            assert commonvoice.read(tmp_path, labels_only=True).root == folder
    with pytest.raises(ValueError, match=r"holds 2 tables validated.tsv \(cv-corpus/de, cv-corpus/en\)"):
        commonvoice.read(tmp_path)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (line("x.mp3", age="forties"), "unknown age 'forties'"),
        (line("x.mp3", age="37"), "unknown age '37'"),
        (line("x.mp3", gender="m"), "unknown gender 'm'"),
        (line("x.mp3", client=""), "no client_id"),
        (line("../x.mp3"), "path is not the name of a file"),
        (line(""), "path is not the name of a file"),
        (line("gone.mp3"), "missing file"),
    ],
)
def test_a_row_that_cannot_be_used_is_set_aside_with_its_line_and_reason(row, reason, release):
    root = release([line("a.mp3"), row, line("b.mp3")], clips=["a.mp3", "b.mp3", "x.mp3"])
    manifest = commonvoice.read(root, max_quarantined_share=0.5)
    assert list(manifest.examples["path"]) == ["clips/a.mp3", "clips/b.mp3"]
    assert [(row, why) for _, row, why in reasons(manifest)] == [(3, reason)]
    with pytest.raises(TooManyQuarantinedError, match="more than the 5% allowed"):
        commonvoice.read(root)


def test_a_row_of_another_width_is_set_aside_and_later_rows_keep_their_line_numbers(release):
    rows = [line("a.mp3"), "c1\tb.mp3\ttoo short", line("c.mp3", age="old")]
    manifest = commonvoice.read(release(rows), max_quarantined_share=0.9)
    assert reasons(manifest) == [
        ["validated.tsv", 3, "3 columns instead of 10"],
        ["clips/c.mp3", 4, "unknown age 'old'"],
    ]


def test_a_path_that_stands_twice_is_kept_once_or_not_at_all(release):
    same = [line("a.mp3"), line("a.mp3"), line("b.mp3", age="teens"), line("b.mp3", age="sixties"), line("c.mp3")]
    manifest = commonvoice.read(release(same), max_quarantined_share=0.9)
    assert list(manifest.examples["path"]) == ["clips/a.mp3", "clips/c.mp3"]
    assert sorted(why for _, _, why in reasons(manifest)) == [
        "listed twice, labels agree",
        *["listed twice, labels differ"] * 2,
    ]


def test_a_clip_in_two_parts_or_in_a_part_alone_is_set_aside(release):
    rows = [line(f"{name}.mp3") for name in "abc"]
    root = release(rows[:2], clips=["a.mp3", "b.mp3", "c.mp3"], train=rows[:1], test=[rows[0], rows[2]])
    assert reasons(commonvoice.read(root, max_quarantined_share=0.9)) == [
        ["clips/a.mp3", 2, "clip in two parts"],
        ["clips/c.mp3", 0, "in a part, but not in validated.tsv"],
    ]


@pytest.mark.parametrize("missing", ["client_id", "path", "age", "gender"])
def test_a_missing_column_is_named(missing, release):
    header = [name for name in HEADER if name != missing]
    with pytest.raises(ValueError, match=rf"validated.tsv, line 1: no column '{missing}'; found "):
        commonvoice.read(release([line("a.mp3", header=header)], header=header, clips=[]))


def test_a_table_without_rows_of_bytes_or_without_clips_is_refused(release, tmp_path):
    with pytest.raises(ValueError, match="has a header and no rows that could be read"):
        commonvoice.read(release([]))
    with pytest.raises(ValueError, match="cannot be read as tab-separated UTF-8 text"):
        commonvoice.read(release([line("a.mp3", age="näh")], encoding="latin-1"))
    release([line("a.mp3")])
    for clip in (tmp_path / "clips").iterdir():
        clip.unlink()
    (tmp_path / "clips").rmdir()
    with pytest.raises(FileNotFoundError, match="clips does not exist: unpack the clips there"):
        commonvoice.read(tmp_path)
    assert len(commonvoice.read(tmp_path, labels_only=True)) == 1


def test_the_order_of_the_columns_changes_nothing(release, tmp_path):
    rows = [("a.mp3", "c1", "teens", "male"), ("b.mp3", "c2", "fifties", "female")]
    first = commonvoice.read(release([line(*row) for row in rows])).examples
    turned = HEADER[::-1]
    clips = [row[0] for row in rows]
    second = commonvoice.read(release([line(*row, header=turned) for row in rows], turned, clips)).examples
    pd.testing.assert_frame_equal(first, second)
