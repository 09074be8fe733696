"""Which corpora are there, and what counts as a change of one."""

import gzip

import pytest
from corpora_found import PLACES, missing, place_of, state_of, state_of_stage, states
from plan import read_preset

from tests.book.conftest import ROOT

PRESET = """
papers:
  faces:
    stages: {3_train: {parameters: {data: "{data}", corpus: utkface}}}
  voices:
    corpora: [musan, voxceleb]
    stages:
      3_train: {parameters: {data: "{data}", corpus: timit}}
      5_results: {after: [3_train], parameters: {records: "{records}"}}
  compare:
    stages: {heads: {after: [faces/3_train], reads: faces, parameters: {records: "{records}"}}}
"""


@pytest.fixture
def preset(tmp_path):
    (tmp_path / "own.yaml").write_text(PRESET)
    return read_preset(tmp_path / "own.yaml")


@pytest.fixture
def folder(tmp_path):
    """A table of one's own beside two pictures."""
    root = tmp_path / "data"
    (root / "images").mkdir(parents=True)
    (root / "faces.csv").write_text("path,age\nimages/a.jpg,30\nimages/b.jpg,40\n")
    for name in "ab":
        (root / f"images/{name}.jpg").write_bytes(b"picture " + name.encode())
    return root


def state(folder):
    return state_of(place_of("folder", folder))


def test_a_corpus_that_is_not_there_is_named_with_the_file_and_the_folder(preset, tmp_path):
    lacking = missing(preset, tmp_path)
    assert list(lacking) == ["faces", "voices", "compare"]
    looked_for = "face-utkface/faces.csv or face-utkface.tar.gz"
    assert lacking["faces"] == [f"utkface: no {looked_for} in {tmp_path}"]
    assert lacking["voices"] == [f"voxceleb: no voxceleb/ in {tmp_path}", f"timit: no timit/ in {tmp_path}"]


def test_a_paper_that_reads_the_runs_of_another_goes_with_it(preset, tmp_path):
    for name in ("timit", "voxceleb"):  # musan may be missing
        (tmp_path / name).mkdir()
    assert missing(preset, tmp_path).keys() == {"faces", "compare"}
    assert missing(preset, tmp_path)["compare"] == ["it needs the runs of faces"]
    (tmp_path / "face-utkface.tar.gz").touch()
    assert missing(preset, tmp_path) == {}


@pytest.mark.parametrize("edit", ["a label", "a new line", "a picture more", "a picture less", "another picture"])
def test_an_edit_of_the_table_or_of_the_pictures_is_another_state(folder, edit):
    before = state(folder)
    table = folder / "faces.csv"
    if edit == "a label":
        table.write_text(table.read_text().replace("30", "31"))
    elif edit == "a new line":
        table.write_text(table.read_text() + "images/c.jpg,50\n")
    elif edit == "a picture more":
        (folder / "images/c.JPG").write_bytes(b"new")
    elif edit == "a picture less":
        (folder / "images/a.jpg").unlink()
    else:
        (folder / "images/a.jpg").write_bytes(b"another picture")
    assert state(folder) != before


def test_neither_a_copy_nor_a_note_beside_the_data_is_another_state(folder, tmp_path):
    before = state(folder)
    (folder / "README.md").write_text("mine")
    (folder / ".hidden.csv").write_text("mine")
    (folder / "faces.csv").touch()
    moved = folder.rename(tmp_path / "elsewhere")
    assert state(moved) == before


def test_pictures_behind_a_link_count_and_a_circle_of_links_ends(folder, tmp_path):
    (folder / "images").rename(tmp_path / "images")
    (folder / "images").symlink_to(tmp_path / "images")
    (tmp_path / "images/self").symlink_to(tmp_path / "images")
    before = state(folder)
    (tmp_path / "images/c.jpg").write_bytes(b"new")
    assert state(folder) != before


def test_an_archive_of_the_same_size_with_other_content_is_another_state(tmp_path):
    archive = tmp_path / "face-utkface.tar.gz"
    seen = set()
    for content in (b"30", b"31"):
        archive.write_bytes(gzip.compress(bytes(200_000) + content, compresslevel=0, mtime=0))
        seen.add((archive.stat().st_size, state_of(place_of("utkface", tmp_path))))
    assert len({size for size, _ in seen}) == 1
    assert len(seen) == 2


def test_a_stage_has_the_state_of_the_corpora_that_it_reads_and_of_no_other(preset, tmp_path):
    for name in ("timit", "voxceleb", "face-utkface"):
        (tmp_path / name).mkdir()
    (tmp_path / "face-utkface/faces.csv").write_text("file\n")
    before = states(preset, tmp_path)
    (tmp_path / "voxceleb/vox1_meta.csv").write_text("id\n")
    after = states(preset, tmp_path)
    assert state_of_stage(preset.stage("faces", "3_train"), before) != ""
    assert state_of_stage(preset.stage("faces", "3_train"), before) == state_of_stage(
        preset.stage("faces", "3_train"), after
    )
    assert state_of_stage(preset.stage("voices", "3_train"), before) != state_of_stage(
        preset.stage("voices", "3_train"), after
    )
    assert state_of_stage(preset.stage("voices", "5_results"), after) == ""


def test_every_place_of_a_pack_is_one_that_its_reader_looks_into():
    reader = (ROOT / "agegender/corpora/packs.py").read_text()
    assert all(f'"face-{corpus}"' in reader for corpus in ("fairface", "utkface"))
    assert 'PACK = "voice-svd-so762"' in reader
    assert {corpus: places[0] for corpus, places in PLACES.items() if "/" in places[0] and "-" in places[0]} == {
        "fairface": "face-fairface/faces.csv",
        "utkface": "face-utkface/faces.csv",
        "voicepack": "voice-svd-so762/clips.csv",
        "speechocean762": "voice-svd-so762/clips.csv",
    }
