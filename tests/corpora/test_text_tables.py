import pandas as pd
import pytest

from agegender.corpora.tables import first_reason, is_present, parse_rows, read_table, set_aside


@pytest.fixture
def table(tmp_path):
    def write(content):
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def test_line_numbers_are_those_of_the_file_also_after_empty_and_quoted_lines(table):
    read = read_table(table('a,b\n1,2\n\n"x\ny",3\n4,5\n'), ("a", "b"))
    assert read.index.tolist() == [2, 5, 6]
    assert read["a"].tolist() == ["1", "x\ny", "4"]


def test_text_stays_text(table):
    read = read_table(table("a,b\nNA,007\nnull,1.50\n"), ("a", "b"))
    assert read[["a", "b"]].to_numpy().tolist() == [["NA", "007"], ["null", "1.50"]]


def test_a_quote_in_a_tab_separated_file_is_an_ordinary_character(table):
    assert read_table(table('a\tb\n"x\ty\n'), ("a", "b"), "\t")["a"].tolist() == ['"x']


def test_further_columns_are_kept_only_if_allowed(table):
    path = table("b,more,a\n1,2,3\n")
    assert read_table(path, ("a", "b"), other_columns=True)["more"].tolist() == ["2"]
    with pytest.raises(ValueError, match="expected the columns a, b; found b, more, a"):
        read_table(path, ("a", "b"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("a,b\n", "has a header and no rows"),
        ("a\n1\n", "expected the columns a, b; found a"),
        ("a,b,a\n1,2,3\n", "expected the columns a, b"),
        ("a,b\n1,2\n(0, 2),x\n", r"line 3: expected 2 columns, found 3: .* needs quotes"),
        ("a,b\n1\n", "line 2: expected 2 columns, found 1"),
        (b"a,b\n\xff\xfe,2\n", "is not UTF-8"),
    ],
)
def test_a_broken_table_is_refused_with_its_place(table, content, message):
    with pytest.raises(ValueError, match=rf"table\.csv.*{message}"):
        read_table(table(content), ("a", "b"))


def test_a_column_that_stands_twice_is_refused(table):
    with pytest.raises(ValueError, match="a column stands twice"):
        read_table(table("a,b,a\n1,2,3\n"), ("a", "b"), other_columns=True)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv does not exist"):
        read_table(tmp_path / "nothing.csv", ("a",))


def test_of_several_faults_a_row_is_set_aside_for_the_first_with_its_line():
    rows = pd.DataFrame({"path": ["a", "b", "c"]}, index=[2, 3, 5])
    is_wrong, is_missing = (pd.Series(flags, index=rows.index) for flags in ([False, True, True], [False, False, True]))
    good, aside = set_aside(rows, first_reason((is_wrong, "wrong " + rows["path"]), (is_missing, "missing")))
    assert good["path"].tolist() == ["a"]
    assert aside.to_dict("records") == [
        {"path": "b", "row": 3, "reason": "wrong b"}, {"path": "c", "row": 5, "reason": "wrong c"},
    ]  # fmt: skip


def test_a_row_that_cannot_be_parsed_keeps_the_message_as_its_reason():
    found = parse_rows(lambda text: {"number": float(text)}, pd.Series(["1.5", "x"], index=[2, 4]))
    assert found["number"].tolist()[0] == 1.5
    assert found["reason"].isna().tolist() == [True, False]
    assert found.loc[4, "reason"] == "could not convert string to float: 'x'"


def test_only_a_file_inside_the_folder_is_present(tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    for name in ("in/deep/a.jpg", "in/b c.jpg", "d.jpg"):
        (tmp_path / name).touch()
    paths = ["deep/a.jpg", "b c.jpg", "deep", "deep/x.jpg", "../d.jpg", str(tmp_path / "d.jpg"), ""]
    assert is_present(tmp_path / "in", pd.Series(paths)).tolist() == [True, True, False, False, False, False, False]
