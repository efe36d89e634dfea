"""Build again elsewhere, and compare the bytes."""

import hashlib
import os
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from build_packages import build, epoch

from release.checks import Check, checked
from release.distributions import ROOT

A_LONG_TIME_AGO = 1_000_000_000.0
"""The time that every file of the second tree has, in seconds since 1970."""


def rebuild(dist: Path) -> list[Check]:
    """Build from a copy with other times, permissions and paths, and compare with `dist`.

    Args:
        dist: the folder that `make packages` has filled.
    """
    with checked("build", "the same bytes, built twice") as check, TemporaryDirectory() as folder:
        tree, out = Path(folder) / "a" / "deeper folder", Path(folder) / "out"
        before = os.umask(0o077)
        try:
            copy_tree(tree)
            error = build(tree, out, seconds=epoch())
        finally:
            os.umask(before)
        if error:
            check.fail(error.strip().splitlines()[-1])
        elif differing := compare(dist, out):
            check.fail("; ".join(differing))
        else:
            check.text = f"{len(digests(dist))} archives"
    return [check]


def copy_tree(tree: Path) -> None:
    """Copy the checkout's files, with one old time and no permissions for others."""
    command = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        source, target = ROOT / name, tree / name
        if source.is_file() or source.is_symlink():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target, follow_symlinks=False)
            if not target.is_symlink():
                target.chmod(0o700 if os.access(source, os.X_OK) else 0o600)
                os.utime(target, (A_LONG_TIME_AGO, A_LONG_TIME_AGO))


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each wheel and sdist in a folder, by file name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in ("*.whl", "*.tar.gz")
        for path in sorted(folder.glob(pattern))
    }


def compare(first: Path, second: Path) -> list[str]:
    """Name the archives of two folders that differ, each with a member that does."""
    one, other = digests(first), digests(second)
    names = sorted({*one, *other})
    return [
        f"{name} differs{_where(first / name, second / name)}"
        for name in names
        if one.get(name) != other.get(name)
    ]


def _where(first: Path, second: Path) -> str:
    if not (first.exists() and second.exists()):
        return ": it is in one build only"
    one, other = _members(first), _members(second)
    return next((f" in {name}" for name in one if one[name] != other.get(name)), " in its frame")


def _members(archive: Path) -> dict[str, tuple[object, ...]]:
    """Return what the archive says of each member, and its content."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {
                each.filename: (each.date_time, each.external_attr, wheel.read(each))
                for each in wheel.infolist()
            }
    with tarfile.open(archive) as sdist:
        found: dict[str, tuple[object, ...]] = {}
        for each in sdist.getmembers():
            file = sdist.extractfile(each)
            found[each.name] = (each.mtime, each.mode, each.uid, file.read() if file else b"")
        return found
