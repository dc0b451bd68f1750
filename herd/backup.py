"""All that herd knows, as one file: saved while it runs, restored anywhere.

What was changed, pinned and learned are events, so the log is all there is beside the secrets and
the settings file, which may hold some. The files are linked first, which takes no time and holds
them, whatever is taken away meanwhile; the order does the rest: what is made of something comes
before it where it may be missing (snapshots, then the journal), and after it where it may not (the
journal, sealed segments, totals). So an event that moves is found twice, which every reader
expects, and never not at all. The database is left out: it is made from these.
"""

import contextlib
import io
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec

from actors.core.state import SCHEMA
from herd.clock import wall_s
from herd.errors import HerdError
from herd.journal.files import RESERVE, segments
from herd.journal.reader import load_for_restart
from herd.paths import DataDir
from herd.version import version

FORMAT: Final = 2
"""1 had no settings file, and is read."""
MANIFEST: Final = "herd-backup.json"
LONGEST_MANIFEST_BYTES: Final = 1 << 16
TRIES: Final = 10
"""A folder is listed again if one of its files went while they were linked."""
_MODE: Final = 0o600
_MEMBER: Final = re.compile(
    r"(log/(journal|sealed|totals|snapshots)/[\w-][\w.-]*|(admin|join)\.token|herd-balancer\.env)",
    re.ASCII,
)
_KEPT: Final = {".ndjson", ".parquet", ".tags", ".json", ""}
_BLOCK_BYTES: Final = 1 << 20

Shown = Callable[[Iterable[Path], int], Iterable[Path]]
"""Passes on what is being written, so many, and may show how far it has come."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup says of itself."""

    format: int = FORMAT
    version: str
    made_at: float
    """Seconds since the epoch."""
    files: int
    size_bytes: int


def save(directory: DataDir, file: Path, shown: Shown = lambda paths, _total: paths) -> Manifest:
    """Write all of a data directory into one file, readable by its owner only.

    Raises `HerdError` if there is nothing to save, or if it cannot be written.
    """
    if not segments(directory.journal):
        raise HerdError(f"there is no log in {directory.root}", "name another with --data-dir")
    unfinished = file.with_name(file.name + ".unfinished")
    try:
        with tempfile.TemporaryDirectory(prefix=".backup-", dir=directory.root) as name:
            staged = _stage(directory, Path(name))
            manifest = Manifest(
                version=version(),
                made_at=wall_s(),
                files=len(staged),
                size_bytes=sum(path.stat().st_size for path in staged),
            )
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _MODE)
            with (
                os.fdopen(descriptor, "wb") as out,
                tarfile.open(fileobj=out, mode="w:gz", compresslevel=3) as archive,
            ):
                _add_bytes(archive, MANIFEST, msgspec.json.encode(manifest))
                for path in shown(staged, len(staged)):
                    _add(archive, path, str(path.relative_to(name).as_posix()))
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise HerdError(
            f"the backup cannot be written: {error.strerror or error}",
            "look for room, and for leave to write, there and in the data directory",
        ) from error
    return manifest


def restore(file: Path, directory: DataDir) -> Manifest:
    """Write a backup into a data directory where nothing is yet.

    Raises `HerdError` if it is no backup, or not a whole one, or that of a newer herd, or if
    something is there already.
    """
    root = directory.root
    if directory.journal.parent.exists():
        raise HerdError(
            f"{root} has a log already: nothing was changed",
            "restore into another directory with --data-dir, or move that one away",
        )
    made = [folder for folder in (root, *root.parents) if not folder.exists()]
    place = _room(root)
    try:
        with tarfile.open(file, "r:gz") as archive:
            manifest = _manifest(archive, file)
            count = sum(_extract(archive, member, place) for member in archive)
            _read_on(archive)
        if count != manifest.files:
            raise _broken(file, f"{count} of {manifest.files} files are in it")
        found = DataDir(place)
        if found.settings_file.exists() and directory.settings_file.exists():
            raise HerdError(
                f"{root} has a settings file already ({directory.settings_file.name}), and so has "
                "the backup: nothing was changed",
                "move that one away, or restore into another directory with --data-dir",
            )
        load_for_restart(found.journal, found.snapshots, schema=SCHEMA)
        for path in place.iterdir():
            path.replace(root / path.name)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise _broken(file, str(error)) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
        with contextlib.suppress(OSError):  # what was restored is in it
            for folder in made:
                folder.rmdir()
    return manifest


def _room(root: Path) -> Path:
    """Make an empty folder there, of the same file system as what it becomes."""
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=".restore-", dir=root))
    except OSError as error:
        why = "it is no directory" if isinstance(error, FileExistsError) else error.strerror
        raise HerdError(
            f"{root} cannot be used: {why}",
            "nothing was changed; name another directory with --data-dir",
        ) from error


def _stage(directory: DataDir, place: Path) -> list[Path]:
    """Link everything into a folder of the same file system; return it in order."""
    found: list[Path] = []
    for folder in (directory.snapshots, directory.journal, directory.sealed, directory.totals):
        found += _linked(folder, place / folder.relative_to(directory.root))
    for path in (directory.admin_token, directory.join_token, directory.settings_file):
        if path.exists():
            shutil.copyfile(path, place / path.name)
            found.append(place / path.name)
    return found


def _linked(folder: Path, place: Path) -> list[Path]:
    for left in reversed(range(TRIES)):
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        try:
            for path in _kept(folder):
                _link(path, place / path.name)
        except FileNotFoundError:
            if not left:
                raise
        else:
            break
    return sorted(place.iterdir())


def _kept(folder: Path) -> Iterator[Path]:
    """Yield what is worth keeping: no room that is only held, nothing half written."""
    for path in sorted(folder.iterdir()) if folder.exists() else ():
        if path.is_file() and path.suffix in _KEPT and path.name != RESERVE:
            yield path


def _link(path: Path, link: Path) -> None:
    try:
        link.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # a file system without links
        shutil.copyfile(path, link)


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """Add a file as it is now; the newest segment of the journal grows on, and ends with a line."""
    with path.open("rb") as source:
        size = os.fstat(source.fileno()).st_size
        if path.suffix == ".ndjson":
            size = _whole_lines(source, size)
            source.seek(0)
        member = tarfile.TarInfo(name)
        member.size, member.mode = size, _MODE
        archive.addfile(member, source)


def _whole_lines(source: io.BufferedReader, size: int) -> int:
    """Return how long the file is up to its last line break."""
    end = size
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        source.seek(begin)
        found = source.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), _MODE
    archive.addfile(member, io.BytesIO(content))


def _manifest(archive: tarfile.TarFile, file: Path) -> Manifest:
    first = archive.next()
    content = None
    if first is not None and first.name == MANIFEST and first.size <= LONGEST_MANIFEST_BYTES:
        content = archive.extractfile(first)
    if content is None:
        raise _broken(file, "it is not a backup of herd")
    try:
        manifest = msgspec.json.decode(content.read(), type=Manifest)
    except msgspec.MsgspecError as error:
        raise _broken(file, str(error)) from error
    if manifest.format > FORMAT:
        raise HerdError(
            f"{file} was made by herd {manifest.version}, in a format that this herd does not know",
            f"restore it with herd {manifest.version} or newer; this is {version()}",
        )
    return manifest


def _read_on(archive: tarfile.TarFile) -> None:
    """Read what is behind the last file: only there does gzip compare its checksum."""
    while archive.fileobj.read(_BLOCK_BYTES):
        pass


def _extract(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> bool:
    """Write one file; return whether it counts. Only names that herd has itself are written."""
    if member.name == MANIFEST:
        return False
    if not member.isfile() or _MEMBER.fullmatch(member.name) is None:
        raise tarfile.TarError(f"{member.name!r} is no file of herd")
    content = archive.extractfile(member)
    assert content is not None  # noqa: S101 (it is a file)
    target = place / member.name
    for folder in reversed(target.relative_to(place).parents):
        (place / folder).mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    with os.fdopen(descriptor, "wb") as out:
        shutil.copyfileobj(content, out, _BLOCK_BYTES)
    return True


def _broken(file: Path, why: str) -> HerdError:
    return HerdError(
        f"{file} cannot be restored: {why}",
        "nothing was changed; try another backup",
    )
