import hashlib
import io
import tarfile

import pytest

from agegender.data.archives import UnsafeArchiveError, unpack


def make_archive(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for member, content in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def link(kind, target):
    info = tarfile.TarInfo("pack/link")
    info.type, info.linkname = kind, target
    return info


def test_a_plain_archive_comes_out_as_it_went_in(tmp_path):
    archive = make_archive(tmp_path / "pack.tar.gz", [("pack/a b.txt", b"one"), ("pack/ü.txt", b"two")])
    folder = unpack(archive, tmp_path / "cache")
    assert (folder / "pack/a b.txt").read_bytes() == b"one"
    assert (folder / "pack/ü.txt").read_bytes() == b"two"


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path):
    first = unpack(make_archive(tmp_path / "pack.tar.gz", [("a", b"one")]), tmp_path / "cache")
    second = unpack(make_archive(tmp_path / "pack.tar.gz", [("a", b"two")]), tmp_path / "cache")
    assert (first / "a").read_bytes() == b"one"
    assert (second / "a").read_bytes() == b"two"


@pytest.mark.parametrize(
    "member",
    [
        "../evil",
        "/evil",
        "pack/../../evil",
        "pack\\..\\evil",
        "C:/evil",
        link(tarfile.SYMTYPE, "/etc/passwd"),
        link(tarfile.SYMTYPE, "a"),
        link(tarfile.LNKTYPE, "pack/a"),
        link(tarfile.FIFOTYPE, ""),
        link(tarfile.CHRTYPE, ""),
    ],
)
def test_links_devices_and_paths_that_lead_out_are_refused_before_anything_is_written(tmp_path, member):
    archive = make_archive(tmp_path / "pack.tar.gz", [("pack/a", b"good"), (member, b"")])
    with pytest.raises(UnsafeArchiveError, match="member"):
        unpack(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize("share", [0.3, 0.9])
def test_half_an_archive_is_refused_and_leaves_nothing_behind(tmp_path, share):
    noise = bytes(range(256)) * 40
    archive = make_archive(tmp_path / "pack.tar.gz", [(f"pack/{i}", noise[i:] + noise[:i]) for i in range(20)])
    content = archive.read_bytes()
    archive.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UnsafeArchiveError, match="cannot be unpacked"):
        unpack(archive, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_something_that_is_no_archive_is_refused(tmp_path):
    path = tmp_path / "pack.tar.gz"
    path.write_text("<html>404</html>")
    with pytest.raises(UnsafeArchiveError, match="cannot be unpacked"):
        unpack(path, tmp_path / "cache")


def test_an_archive_is_refused_if_the_list_of_hashes_does_not_name_it_or_has_another_hash(tmp_path):
    archive = make_archive(tmp_path / "pack.tar.gz", [("a", b"one")])
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  other.tar.gz\n")
    with pytest.raises(UnsafeArchiveError, match=r"has no line for pack\.tar\.gz"):
        unpack(archive, tmp_path / "cache")
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64} *{archive.name}\n")
    with pytest.raises(UnsafeArchiveError, match="its SHA-256 is"):
        unpack(archive, tmp_path / "cache")
    (tmp_path / "SHA256SUMS").write_text(f"{hashlib.sha256(archive.read_bytes()).hexdigest()} *{archive.name}\n")
    assert unpack(archive, tmp_path / "cache").is_dir()


def test_what_another_process_unpacked_meanwhile_is_used(tmp_path, monkeypatch):
    archive = make_archive(tmp_path / "pack.tar.gz", [("a", b"one")])
    original = tarfile.TarFile.extractall

    def slow_extractall(self, path, **options):
        monkeypatch.setattr(tarfile.TarFile, "extractall", original)
        (unpack(archive, tmp_path / "cache") / "first").touch()  # the other process is quicker
        original(self, path, **options)

    monkeypatch.setattr(tarfile.TarFile, "extractall", slow_extractall)
    folder = unpack(archive, tmp_path / "cache")
    assert (folder / "first").exists()
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [folder.name]
