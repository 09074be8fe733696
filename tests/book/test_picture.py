import pytest
from picture import KEY, PICTURE, RECORDS, checksum
from PIL import Image


@pytest.mark.skipif(not RECORDS.exists(), reason="no records of real runs are committed")
def test_the_picture_of_the_readme_was_drawn_from_the_committed_records():
    assert Image.open(PICTURE).text[KEY] == checksum(RECORDS)


def test_another_record_is_another_checksum(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "record.json").write_text("{}")
    before = checksum(tmp_path)
    (tmp_path / "run" / "record.json").write_text("{ }")
    assert checksum(tmp_path) != before
