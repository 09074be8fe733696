import pandas as pd
import pytest

from agegender.cli import main
from agegender.data.manifest import Manifest


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "adience"
    assert main(["miniature", "adience", str(folder), "--num-subjects", "8", "--seed", "1"]) == 0
    return folder


def test_a_manifest_is_written_and_its_counts_are_printed(tree, tmp_path, capsys):
    assert main(["manifest", "adience", str(tree), "-o", str(tmp_path / "a.parquet")]) == 0
    manifest = Manifest.load(tmp_path / "a.parquet")
    printed = capsys.readouterr().out
    facts = manifest.describe()
    assert f"{facts['num_examples']} examples of 8 subjects" in printed
    assert f"(male: {facts['genders']['male']}, female: {facts['genders']['female']}, unknown: " in printed
    assert "set aside: 0" in printed


def test_labels_only_needs_no_pictures_and_a_subset_keeps_only_its_rows(tree, tmp_path):
    for path in tree.glob("fold_*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    output = tmp_path / "a.parquet"
    assert main(["manifest", "adience", str(tmp_path), "-o", str(output)]) == 2
    assert main(["manifest", "adience", str(tmp_path), "--labels-only", "--subset", "joint", "-o", str(output)]) == 0
    examples = Manifest.load(output).examples
    assert examples[["age_group", "gender"]].notna().all(axis=None)


def test_what_was_set_aside_is_printed_with_its_reason(tree, tmp_path, capsys):
    for path in tree.glob("fold_*.txt"):
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(b"(25, 32)", b"(25, 33)"))
    command = ["manifest", "adience", str(tmp_path), "--labels-only", "-o", str(tmp_path / "a.parquet")]
    assert main([*command, "--max-quarantined", "0.9"]) == 0
    count = len(Manifest.load(tmp_path / "a.parquet").quarantine)
    assert count > 0
    assert f"{count} x unknown age label '(25, 33)'" in capsys.readouterr().out
    assert main(command) == 2
    assert "rows were set aside, more than the 5% allowed" in capsys.readouterr().err


@pytest.mark.parametrize("corpus", ["celeba", "fairface", "utkface", "folder", "imdb", "wiki"])
def test_every_layout_that_can_be_drawn_can_be_read(corpus, tmp_path, capsys):
    folder = tmp_path / "data"
    assert main(["miniature", corpus, str(folder), "--num-subjects", "6"]) == 0
    assert main(["manifest", corpus, str(folder), "-o", str(tmp_path / "m.parquet")]) == 0
    assert "of 6 subjects" in capsys.readouterr().out


@pytest.mark.parametrize("corpus", ["commonvoice", "timit", "voicepack", "voxceleb"])
def test_every_corpus_of_voices_that_can_be_drawn_can_be_read_with_clips_and_without(corpus, tmp_path, capsys):
    folder = tmp_path / "data"
    assert main(["miniature", corpus, str(folder), "--num-subjects", "4"]) == 0
    command = ["manifest", corpus, str(folder), "-o", str(tmp_path / "m.parquet")]
    for options in ([], ["--labels-only"]):
        assert main([*command, *options]) == 0
        assert "of 4 subjects" in capsys.readouterr().out


def test_a_source_of_the_pack_of_voices_is_read_as_a_corpus_of_its_own(tmp_path, capsys):
    assert main(["miniature", "voicepack", str(tmp_path / "data"), "--num-subjects", "9"]) == 0
    output = ["-o", str(tmp_path / "m.parquet"), "--labels-only"]
    assert main(["manifest", "speechocean762", str(tmp_path / "data"), *output]) == 0
    assert "speechocean762 (voice)" in capsys.readouterr().out
    assert Manifest.load(tmp_path / "m.parquet").examples["subject"].nunique() == 3


@pytest.mark.parametrize("corpus", ["musan", "rirs"])
def test_what_clips_are_spoilt_with_can_be_listed(corpus, tmp_path, capsys):
    folder = tmp_path / "data"
    assert main(["miniature", corpus, str(folder), "--num-subjects", "3"]) == 0
    assert main(["manifest", corpus, str(folder), "-o", str(tmp_path / "m.parquet")]) == 0
    assert f"{corpus} (voice)" in capsys.readouterr().out


def test_faces_with_a_low_score_are_left_out_and_ages_are_of_mid_year_on_request(tmp_path, capsys):
    main(["miniature", "imdb", str(tmp_path / "data"), "--num-subjects", "8"])
    command = ["manifest", "imdb", str(tmp_path / "data"), "-o", str(tmp_path / "m.parquet")]
    assert main(command) == 0
    plain = Manifest.load(tmp_path / "m.parquet").examples
    assert main([*command, "--age-of", "mid_year", "--min-face-score", "1"]) == 0
    better = Manifest.load(tmp_path / "m.parquet").examples
    assert "x face score not above 1" in capsys.readouterr().out
    assert len(better) < len(plain)
    assert (plain["age"] % 1 == 0).all()
    assert (better["age"] % 1 > 0).any()


def test_an_audit_of_the_folds_finds_nothing_and_one_of_a_random_split_finds_the_subjects(tree, tmp_path, capsys):
    path = tmp_path / "a.parquet"
    main(["manifest", "adience", str(tree), "-o", str(path)])
    assert main(["audit", str(path), "--keys", "subject", "user", "photo"]) == 0
    assert "the parts share nothing" in capsys.readouterr().out
    manifest = Manifest.load(path)
    manifest.examples["part"] = pd.Series(["train", "test"] * len(manifest))[: len(manifest)].to_numpy()
    manifest.save(path)
    assert main(["audit", str(path), "--split-column", "part"]) == 1
    printed = capsys.readouterr().out
    assert "1 of 1 comparisons share something" in printed
    both = manifest.examples.groupby("subject")["part"].nunique().eq(2).sum()
    assert f" {both} " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["manifest", "adience", "nowhere", "-o", "a.parquet"], "does not exist"),
        (["manifest", "fairface", "nowhere", "-o", "a.parquet"], "no pack here"),
        (["manifest", "folder", "nowhere", "-o", "a.parquet"], "does not exist"),
        (
            ["manifest", "fairface", "nowhere", "--labels-only", "-o", "a.parquet"],
            "adience, celeba, commonvoice, folder, imdb, speechocean762, timit, voicepack, voxceleb, wiki, not for",
        ),
        (
            ["manifest", "adience", "nowhere", "--age-of", "mid_year", "-o", "a.parquet"],
            "is for imdb, wiki, not for adience",
        ),
        (["manifest", "folder", "x", "--min-face-score", "1", "-o", "a.parquet"], "is for imdb, wiki, not for folder"),
        (["manifest", "wiki", "nowhere", "-o", "a.parquet"], "unpack wiki_crop.tar there"),
        (["manifest", "celeba", "nowhere", "--subset", "age", "-o", "a.parquet"], "is for adience, not for celeba"),
        (["manifest", "celeba", "nowhere", "--labels-only", "-o", "a.parquet"], "list_attr_celeba.txt is neither in"),
        (["manifest", "adience", "nowhere", "--aligned", "-o", "a.parquet"], "is for a table of your own"),
        (["miniature", "adience", "m", "--num-subjects", "2"], "at least 5 subjects, got 2"),
        (["audit", "nothing.parquet"], "nothing.parquet does not exist"),
        (["audit", "text.parquet"], "text.parquet"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line_without_a_traceback(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.parquet").write_text("not parquet")
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("agegender: error: ")
    assert message in lines[0]
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--keys", "nobody"], "nobody"),
        (["--split-column", "nothing"], "no column 'nothing'"),
        (["--split-column", "corpus"], "has 1 parts: an audit needs at least two"),
    ],
)
def test_an_audit_that_cannot_be_done_says_why(options, message, tree, tmp_path, capsys):
    path = tmp_path / "a.parquet"
    main(["manifest", "adience", str(tree), "-o", str(path)])
    assert main(["audit", str(path), *options]) == 2
    assert message in capsys.readouterr().err


def test_help_names_the_commands_and_a_misspelt_one_is_refused(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("manifest", "miniature", "audit"))
    with pytest.raises(SystemExit) as ended:
        main(["manifests"])
    assert ended.value.code == 2


@pytest.mark.parametrize(
    ("table", "option"),
    [
        ("path,subject,age\na.jpg,1,30\nb.jpg,2,40\n", ["--max-quarantined", "0.5"]),
        ("path,subject,age_group\na.jpg,1,20-29\n", ["--scheme", "fairface-9"]),
    ],
)
def test_the_options_that_a_message_advises_exist_and_help(tmp_path, capsys, table, option):
    (tmp_path / "faces.csv").write_text(table)
    (tmp_path / "a.jpg").touch()  # b.jpg is missing
    command = ["manifest", "folder", str(tmp_path), "-o", str(tmp_path / "mine.parquet")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert option[0] in said
    if option[0] == "--scheme":
        assert option[1] in said
    assert main([*command, *option]) == 0


@pytest.mark.parametrize("corpus", ["adience", "celeba", "timit", "commonvoice"])
def test_without_its_files_a_corpus_names_the_option_that_needs_only_its_tables(tmp_path, capsys, corpus):
    main(["miniature", corpus, str(tmp_path / corpus), "--num-subjects", "8"])
    for kind in ("*.jpg", "*.wav", "*.mp3", "*.WAV"):
        for path in (tmp_path / corpus).rglob(kind):
            path.unlink()
    for _ in range(6):  # the folders too, from the leaves
        for folder in [path for path in (tmp_path / corpus).rglob("*") if path.is_dir() and not any(path.iterdir())]:
            folder.rmdir()
    command = ["manifest", corpus, str(tmp_path / corpus), "-o", str(tmp_path / "mine.parquet")]
    assert main(command) == 2
    assert "--labels-only" in capsys.readouterr().err
    assert main([*command, "--labels-only"]) == 0
