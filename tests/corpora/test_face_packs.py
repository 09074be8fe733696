import hashlib
import shutil
import tarfile

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from agegender.corpora.packs import read_fairface, read_utkface
from agegender.data.archives import UnsafeArchiveError
from agegender.data.manifest import TooManyQuarantinedError
from agegender.labels import FAIRFACE_9
from agegender.miniatures import face_corpora


@pytest.fixture
def own_packs(packs, tmp_path):
    """A copy of the packs that a test may damage."""
    return shutil.copytree(packs, tmp_path / "packs")


def packed(packs, folder, name="face-fairface"):
    folder.mkdir(exist_ok=True)
    archive = folder / f"{name}.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(packs / name, arcname=name)
    return archive


def replace_in(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def point_outside(folder):
    shutil.copy(folder / "img/00/00007.jpg", folder.parent / "outside.jpg")
    replace_in(folder / "faces.csv", "img/00/00007.jpg", "../outside.jpg")


def test_fairface_has_groups_and_no_years_and_utkface_years_and_no_groups(packs):
    fairface, utkface = read_fairface(packs), read_utkface(packs)
    assert len(fairface) == len(utkface) == 60
    assert fairface.scheme is FAIRFACE_9
    assert fairface.examples["age_group"].notna().all()
    assert fairface.examples["age"].isna().all()
    assert utkface.scheme is None
    assert utkface.examples["age_group"].isna().all()
    assert utkface.examples["age"].between(1, 100).all()
    assert set(fairface.examples["gender"]) == {"female", "male"}


def test_the_labels_of_a_row_are_those_of_its_line(packs):
    lines = (packs / "face-fairface" / "faces.csv").read_text().splitlines()[1:]
    examples = read_fairface(packs).examples
    for line, row in zip(lines, examples.itertuples(), strict=True):
        file, _, age, gender, _ = line.split(",")
        assert (file, FAIRFACE_9.labels.index(age), gender) == (row.path, row.age_group, row.gender[0])
    extra = dict(line.split(",")[::4] for line in (packs / "face-fairface" / "extra.csv").read_text().splitlines())
    assert examples["race_label"].tolist() == [extra[path] for path in examples["path"]]


def test_without_identities_each_picture_is_its_own_subject_and_the_manifest_says_so(packs):
    manifest = read_fairface(packs)
    assert not manifest.has_identities
    assert manifest.is_aligned
    assert manifest.examples["subject"].nunique() == len(manifest)
    assert not manifest.examples["subject"].str.contains("img").any()
    assert manifest.examples["published_split"].isna().all()


def test_copies_of_a_picture_share_a_subject_even_if_saved_again_and_darker(own_packs):
    folder = own_packs / "face-fairface"
    before = read_fairface(own_packs).examples
    shutil.copy(folder / before["path"][3], folder / before["path"][40])
    with Image.open(folder / before["path"][5]) as image:
        image.point(lambda value: value * 0.9).resize((96, 96)).save(folder / before["path"][50], quality=60)
    subject = read_fairface(own_packs).examples["subject"]
    assert subject[40] == subject[3]
    assert subject[50] == subject[5]
    assert subject.nunique() == len(subject) - 2


def test_an_archive_is_unpacked_once_and_read_as_its_folder_is(packs, tmp_path):
    archive = packed(packs, tmp_path / "data")
    cache = tmp_path / "cache"
    manifest = read_fairface(archive.parent, cache)
    assert manifest.hash() == read_fairface(packs).hash()
    marker = manifest.root / "untouched"
    marker.touch()
    assert read_fairface(archive.parent, cache).root == manifest.root
    assert marker.exists()


def test_an_archive_without_a_cache_a_foreign_archive_and_no_pack_at_all_are_refused(packs, tmp_path):
    archive = packed(packs, tmp_path / "data", "face-utkface")
    with pytest.raises(ValueError, match="say where with cache="):
        read_utkface(archive.parent)
    archive.rename(archive.parent / "face-fairface.tar.gz")
    with pytest.raises(FileNotFoundError, match=r"holds no face-fairface/faces\.csv"):
        read_fairface(archive.parent, tmp_path / "cache")
    with pytest.raises(FileNotFoundError, match="no pack here"):
        read_fairface(tmp_path, tmp_path / "cache")


def test_an_archive_that_is_not_the_listed_one_is_refused(packs, tmp_path):
    archive = packed(packs, tmp_path / "data")
    sums = archive.parent / "SHA256SUMS"
    sums.write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()}  {archive.name}\n")
    assert len(read_fairface(archive.parent, tmp_path / "cache")) == 60
    sums.write_text(f"{'0' * 64}  {archive.name}\n")
    with pytest.raises(UnsafeArchiveError, match="its SHA-256 is"):
        read_fairface(archive.parent, tmp_path / "cache")


def test_kept_hashes_are_used_again_and_not_after_a_picture_changed(own_packs, tmp_path):
    cache = tmp_path / "cache"
    before = read_fairface(own_packs, cache)
    (kept,) = cache.glob("face-fairface-hashes-*.parquet")
    pd.read_parquet(kept).assign(hash=bytes(32)).to_parquet(kept)
    assert len(set(read_fairface(own_packs, cache).examples["subject"])) == 1  # zeros: read from the cache
    folder = own_packs / "face-fairface"
    shutil.copy(folder / before.examples["path"][3], folder / before.examples["path"][40])
    assert len(set(read_fairface(own_packs, cache).examples["subject"])) == 2  # the changed picture is no zero


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda folder: (folder / "img/00/00007.jpg").unlink(), "missing file"),
        (lambda folder: (folder / "img/00/00007.jpg").write_bytes(b"\xff\xd8 half"), "unreadable image"),
        (
            lambda folder: (folder / "img/00/00007.jpg").write_bytes((folder / "img/00/00007.jpg").read_bytes()[:900]),
            "unreadable image",
        ),
        (point_outside, "missing file"),
        (lambda folder: replace_in(folder / "faces.csv", ",f,drawn", ",x,drawn"), "unknown gender 'x'"),
    ],
)
def test_a_bad_row_is_quarantined_with_its_reason(own_packs, damage, reason):
    damage(own_packs / "face-fairface")
    manifest = read_fairface(own_packs)
    assert len(manifest) == 59
    assert len(manifest.quarantine) == 1
    assert manifest.quarantine["reason"][0].startswith(reason)


def test_quarantined_rows_carry_their_line_number(own_packs):
    replace_in(own_packs / "face-utkface" / "faces.csv", "img/00/00007.jpg", "img/00/nothing.jpg")
    replace_in(own_packs / "face-utkface" / "faces.csv", "img/00/00020.jpg", "img/00/00019.jpg")
    manifest = read_utkface(own_packs, max_quarantined_share=0.1)
    assert sorted(manifest.quarantine["row"]) == [9, 21, 22]
    assert sorted(manifest.quarantine["reason"]) == ["listed twice, labels differ"] * 2 + ["missing file"]


@pytest.mark.parametrize("age", ["", "old", "-3", "nan", "3-9"])
def test_an_impossible_age_in_years_is_quarantined(own_packs, age):
    path = own_packs / "face-utkface" / "faces.csv"
    header, first, *rest = path.read_text().splitlines()
    file, subject, _, gender, source = first.split(",")
    path.write_text("\n".join([header, f"{file},{subject},{age},{gender},{source}", *rest]) + "\n")
    manifest = read_utkface(own_packs)
    assert manifest.quarantine["path"].tolist() == [file]
    assert manifest.quarantine["row"].tolist() == [2]


def test_a_group_that_fairface_does_not_have_is_quarantined_and_many_stop_the_reading(own_packs):
    path = own_packs / "face-fairface" / "faces.csv"
    text = path.read_text()
    replace_in(path, ",20-29,", ",Oct-19,")
    assert read_fairface(own_packs).quarantine["reason"][0].startswith("unknown age group 'Oct-19'")
    path.write_text(text.replace(",20-29,", ",Oct-19,"))
    with pytest.raises(TooManyQuarantinedError):
        read_fairface(own_packs)


def test_a_pack_without_its_extra_table_has_no_race_labels(own_packs):
    (own_packs / "face-fairface" / "extra.csv").unlink()
    assert read_fairface(own_packs).examples["race_label"].isna().all()


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(own_packs):
    before = read_fairface(own_packs).hash()
    path = own_packs / "face-fairface" / "faces.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_fairface(own_packs).hash() == before


@pytest.mark.parametrize(("bits", "num_subjects"), [(13, 4), (28, 4), (29, 5)])
def test_pictures_that_differ_in_at_most_28_of_256_bits_are_of_one_subject(tmp_path, monkeypatch, bits, num_subjects):
    root = face_corpora.write_fairface(tmp_path, num_subjects=5, seed=0)
    others = np.random.default_rng(0).integers(0, 2**63, (3, 4), dtype=np.uint64)  # far from all
    hashes = iter([np.zeros(4, np.uint64), np.packbits(np.arange(256) < bits).view(np.uint64), *others])
    monkeypatch.setattr("agegender.corpora.packs.difference_hash", lambda image: next(hashes))
    examples = read_fairface(root, max_quarantined_share=1).examples
    assert (len(examples), examples["subject"].nunique()) == (5, num_subjects)


def test_further_faces_follow_those_of_the_pack_and_copies_are_found_across_both(own_packs):
    shutil.copytree(own_packs / "face-fairface", own_packs / "face-fairface-more")
    (own_packs / "face-fairface-more/img/00/00007.jpg").unlink()
    both = read_fairface(own_packs, has_more=True, max_quarantined_share=0.1)
    assert both.corpus == "fairface"
    assert len(both) == 119
    assert both.quarantine["path"].tolist() == ["face-fairface-more/img/00/00007.jpg"]
    assert all((both.root / path).is_file() for path in both.examples["path"])
    first, more = (both.examples[both.examples["path"].str.startswith(f"{name}/")] for name in
                   ("face-fairface", "face-fairface-more"))  # fmt: skip
    assert first.index.max() < more.index.min()
    assert set(more["subject"]) <= set(first["subject"])
    assert more["race_label"].tolist() == first["race_label"].drop(first.index[7]).tolist()


def test_further_faces_that_are_not_there_are_asked_for_by_name(packs):
    with pytest.raises(FileNotFoundError, match="face-fairface-more"):
        read_fairface(packs, has_more=True)
