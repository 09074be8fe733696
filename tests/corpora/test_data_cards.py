"""The data cards: their counts are those that the readers find, and their Croissant files are valid."""

import json
import os
from pathlib import Path

import mlcroissant
import pytest

from agegender.cli import main
from agegender.corpora import adience, catalog, celeba, commonvoice, imdb_wiki, musan_rirs, timit, voxceleb
from agegender.corpora.cards import BEGIN, END, counts_table, write_counts
from agegender.corpora.packs import VOICE_PACK, read_fairface, read_utkface, read_voices
from agegender.miniatures import face_corpora
from agegender.miniatures.face_corpora import write_celeba
from agegender.miniatures.imdb_wiki import write_imdb
from agegender.miniatures.voice_corpora import (
    write_commonvoice,
    write_musan,
    write_rirs,
    write_timit,
    write_voicepack,
    write_voxceleb,
)

from .published_adience import write_published_folds
from .published_celeba import write_published_lists
from .published_timit import SUBJECTS, write_published_table

CARDS = Path(__file__).parents[2] / "data_cards"
VOICES = ["commonvoice", "musan", "rirs", "speechocean762", "svd", "timit", "voxceleb"]
NAMES = ["adience", "celeba", "fairface", "imdb_wiki", "utkface", "miniatures", *VOICES]
HEADINGS = [
    "Why it was made, and from what",
    "Who is in it",
    "How age and gender were labelled",
    "Counts",
    "Known faults",
    "Permitted use",
    "Who is missing, and whom it may fail",
    "How to get it",
    "Citation",
]


def counts_in(card):
    """The table between the markers of a card."""
    _, begin, rest = card.read_text(encoding="utf-8").partition(BEGIN)
    inside, end, _ = rest.partition(END)
    assert begin
    assert end
    return inside.strip()


@pytest.fixture(scope="module")
def default_miniature(tmp_path_factory):
    """The default miniature in people and labels; small pictures, on which no count depends."""
    return face_corpora.write_adience(tmp_path_factory.mktemp("default") / "adience", size_px=16)


def test_the_counts_of_the_miniature_card_are_those_of_the_default_miniature(default_miniature):
    assert counts_in(CARDS / "miniatures.md") == counts_table(adience.read(default_miniature, subset="all"))


def test_the_counts_of_the_adience_card_are_those_of_fold_files_with_the_published_labels(tmp_path):
    folds = write_published_folds(tmp_path)
    assert counts_in(CARDS / "adience.md") == counts_table(adience.read(folds, labels_only=True, subset="all"))


def test_the_counts_of_the_celeba_card_are_those_of_lists_with_the_published_labels(tmp_path):
    manifest = celeba.read(write_published_lists(tmp_path), labels_only=True)
    assert counts_in(CARDS / "celeba.md") == counts_table(manifest)


@pytest.mark.parametrize("corpus", ["fairface", "utkface"])
def test_the_counts_of_a_pack_card_are_those_of_the_pack(corpus, tmp_path):
    data = os.environ.get("AGEGENDER_DATA")
    if not data or not list(Path(data).glob(f"face-{corpus}*")):
        pytest.skip(f"AGEGENDER_DATA does not name a folder with face-{corpus}")
    assert counts_in(CARDS / f"{corpus}.md") == counts_table(catalog.read(corpus, Path(data), tmp_path))


def test_the_counts_of_the_timit_card_are_those_of_a_table_with_the_published_subjects(tmp_path):
    facts = timit.read(write_published_table(tmp_path), labels_only=True).describe()
    counts = counts_in(CARDS / "timit.md")
    assert f"| subjects | {facts['num_subjects']} |" in counts
    assert f"| examples | {10 * facts['num_subjects']:,} |" in counts
    assert f"| subjects male | {facts['genders']['male']} |" in counts
    for part, number in facts["published_splits"].items():
        assert f"| published split {part} | {10 * number:,} |" in counts
    assert f"| subjects of test, female | {SUBJECTS['TST', 'F']} |" in counts


@pytest.mark.parametrize("name", ["svd", "speechocean762"])
def test_the_counts_of_the_cards_of_the_voice_pack_are_those_of_the_pack(name, tmp_path):
    data = os.environ.get("AGEGENDER_DATA")
    if not data or not list(Path(data).glob(f"{VOICE_PACK}*")):
        pytest.skip(f"AGEGENDER_DATA does not name a folder with {VOICE_PACK}")
    manifest = read_voices(Path(data), tmp_path)
    assert counts_in(CARDS / f"{name}.md") == counts_table(manifest.select(manifest.examples["source_corpus"] == name))


def test_no_card_is_without_tests():
    assert sorted(NAMES) == sorted(path.stem for path in CARDS.glob("*.md"))


@pytest.mark.parametrize("name", NAMES)
def test_a_card_answers_every_question_in_order_and_has_counts(name):
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert headings == HEADINGS
    assert "| examples | " in counts_in(CARDS / f"{name}.md")
    assert f"({name}.json)" in text


@pytest.mark.parametrize("name", ["commonvoice", "musan", "rirs", "timit", "voxceleb"])
def test_counts_that_nobody_could_make_here_name_their_source(name):
    before_the_counts = (CARDS / f"{name}.md").read_text(encoding="utf-8").split("## Counts\n")[1].split(BEGIN)[0]
    assert "Source: the " in before_the_counts
    assert "agegender manifest" in before_the_counts  # whoever has the corpus counts again


@pytest.mark.parametrize("name", NAMES)
def test_a_croissant_file_is_valid_without_a_warning(name, caplog):
    description = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
    dataset = mlcroissant.Dataset(jsonld=description)
    assert dataset.metadata.name == name
    assert dataset.metadata.license
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert not issues.warnings


@pytest.mark.parametrize("name", NAMES)
def test_the_fields_of_a_croissant_file_are_the_columns_of_the_manifest(name, adience_miniature, packs, tmp_path):
    read = {
        "adience": lambda: adience.read(adience_miniature),
        "celeba": lambda: celeba.read(write_celeba(tmp_path / "celeba", num_subjects=3, size_px=16)),
        "imdb_wiki": lambda: imdb_wiki.read(write_imdb(tmp_path / "imdb", num_subjects=5, size_px=16)),
        "miniatures": lambda: adience.read(adience_miniature),
        "fairface": lambda: read_fairface(packs),
        "utkface": lambda: read_utkface(packs),
        "commonvoice": lambda: commonvoice.read(write_commonvoice(tmp_path / "cv", num_subjects=2)),
        "musan": lambda: musan_rirs.read(write_musan(tmp_path / "musan", num_subjects=1), "musan"),
        "rirs": lambda: musan_rirs.read(write_rirs(tmp_path / "rirs", num_subjects=3), "rirs"),
        "timit": lambda: timit.read(write_timit(tmp_path / "timit", num_subjects=4), labels_only=True),
        "voxceleb": lambda: voxceleb.read(write_voxceleb(tmp_path / "vox", num_subjects=4)),
        **dict.fromkeys(
            ("svd", "speechocean762"),
            lambda: read_voices(write_voicepack(tmp_path / "pack", num_subjects=4)),
        ),
    }[name]
    fields = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))["recordSet"][0]["field"]
    examples = read().examples
    assert [field["name"] for field in fields] == list(examples.columns)
    kinds = {"sc:Text": "str", "sc:Float": "float64", "sc:Integer": "Int64", "sc:Boolean": "boolean"}
    assert {field["name"]: kinds[field["dataType"]] for field in fields} == examples.dtypes.astype(str).to_dict()


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("celeba", "non-commercial research only"),
        ("imdb_wiki", "academic research only"),
        ("utkface", "non-commercial research only"),
    ],
)
def test_a_licence_for_research_only_is_said_in_title_and_licence_line(name, licence):
    text = (CARDS / f"{name}.md").read_text(encoding="utf-8")
    assert licence in text.splitlines()[0]
    assert f"| Licence | **{licence}**" in text


def test_counts_are_renewed_between_the_markers_and_nothing_else_changes(default_miniature, tmp_path):
    card = tmp_path / "card.md"
    card.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    output = str(tmp_path / "m.parquet")
    assert main(["manifest", "adience", str(default_miniature), "-o", output, "--card", str(card)]) == 0
    text = card.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert counts_in(card) == counts_table(adience.read(default_miniature, subset="all"))


def test_a_card_without_a_place_for_counts_is_refused(default_miniature, tmp_path):
    card = tmp_path / "card.md"
    card.write_text("no markers", encoding="utf-8")
    with pytest.raises(ValueError, match="has no place for counts"):
        write_counts(card, adience.read(default_miniature))
    assert card.read_text(encoding="utf-8") == "no markers"
