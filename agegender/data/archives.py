"""Unpacking a downloaded archive once, after checking its hash and every member."""

import shutil
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from agegender.files import sha256_of


class UnsafeArchiveError(ValueError):
    """An archive holds something that could be written outside its folder, or is not what it should be."""


def unpack(archive: Path, cache: Path) -> Path:
    """Unpack ``archive`` below ``cache`` unless that has been done before, and return the folder it became.

    The folder is named after the archive and its SHA-256, and is there only when it is complete, also when two
    processes unpack at the same time. Raises ``UnsafeArchiveError`` naming the archive and the member that is a link, a
    device or outside the folder, or the hash that ``SHA256SUMS`` beside the archive does not list.
    """
    archive = Path(archive)
    digest = sha256_of(archive)
    check_listed_hash(archive, digest)
    folder = Path(cache) / f"{archive.name.split('.')[0]}-{digest[:12]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        _extract(archive, temporary)
        temporary.chmod(0o755)
        temporary.rename(folder)
    except OSError:
        if not folder.is_dir():  # not another process that was quicker
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def check_listed_hash(archive: Path, digest: str) -> None:
    """Raise ``UnsafeArchiveError`` if there is a ``SHA256SUMS`` beside ``archive`` that does not list ``digest``."""
    sums = archive.parent / "SHA256SUMS"
    if not sums.is_file():
        return
    listed = {}
    for line in sums.read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition(" ")
        listed[name.strip().lstrip("*")] = expected.lower()
    if archive.name not in listed:
        raise UnsafeArchiveError(f"{sums} has no line for {archive.name}: add it, or get the archive again")
    if listed[archive.name] != digest:
        raise UnsafeArchiveError(
            f"{archive}: its SHA-256 is {digest}, {sums} says {listed[archive.name]}. "
            "The download is damaged or is another file: get it again"
        )


def _extract(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            members = tar.getmembers()
            for member in members:
                _check_member(archive, member)
            tar.extractall(folder, members=members, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # a full disk or a missing file, not a bad archive
            raise
        raise UnsafeArchiveError(f"{archive} cannot be unpacked ({error}): get it again") from error


def _check_member(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()):
        raise UnsafeArchiveError(f"{archive}: member {member.name!r} is neither file nor folder (a link?)")
    if path.is_absolute() or ".." in path.parts or "\\" in member.name or ":" in path.parts[0]:
        raise UnsafeArchiveError(f"{archive}: member {member.name!r} would be written outside the folder")
