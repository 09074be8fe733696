import hashlib
import os
import signal
import subprocess
import sys

import pytest

from agegender.files import replaced_atomically, sha256_of, write_text


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_sha256_is_that_of_the_bytes(tmp_path):
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_text_is_written_as_utf_8_into_folders_that_did_not_exist(tmp_path):
    write_text(tmp_path / "new" / "folder" / "a.txt", "zwölf Jahre\n")
    assert (tmp_path / "new" / "folder" / "a.txt").read_bytes() == "zwölf Jahre\n".encode()


def test_the_old_content_stands_until_the_block_has_ended(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with replaced_atomically(target) as temporary:
        temporary.write_text("new and longer")
        assert target.read_text() == "old"
    assert target.read_text() == "new and longer"


def test_the_temporary_file_lies_beside_its_target_hidden_and_with_its_suffix(tmp_path):
    """On one file system, so that it can take its place; np.save and others look at the suffix."""
    with replaced_atomically(tmp_path / "a.npy") as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".a.npy.")
        assert temporary.suffix == ".npy"


def test_others_may_read_what_was_written(tmp_path):
    write_text(tmp_path / "a", "x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError("x")])
def test_nothing_of_a_block_that_raised_stays_behind(tmp_path, error):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    with pytest.raises(type(error)), replaced_atomically(target) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_file_that_cannot_take_its_place_is_removed(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "a", "x")
    assert names_in(tmp_path) == ["a"]


def test_a_process_killed_while_writing_leaves_the_old_content(tmp_path):
    target = tmp_path / "a.txt"
    write_text(target, "old")
    program = (
        "import os, signal, sys\n"
        "from agegender.files import replaced_atomically\n"
        "with replaced_atomically(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, target], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert [name for name in names_in(tmp_path) if not name.startswith(".")] == ["a.txt"]


def test_the_content_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    """A crash of the machine right after the renaming must not leave an empty file under the right name."""
    events = []
    monkeypatch.setattr(os, "fsync", lambda handle: events.append("fsync"))
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda *paths: (events.append("replace"), replace(*paths)))
    write_text(tmp_path / "a", "x")
    assert events == ["fsync", "replace"]


def test_a_folder_that_is_a_file_is_an_error(tmp_path):
    write_text(tmp_path / "a", "x")
    with pytest.raises((FileExistsError, NotADirectoryError)):
        write_text(tmp_path / "a" / "b", "y")
