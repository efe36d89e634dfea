"""A copy of the kit's code when a run begins, which every cell imports."""

import hashlib
import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from filelock import FileLock

from stream_lab.cache import cache_folder

PACKAGES = ("stream_deadline", "stream_lab", "fake_vllm")
METADATA = ("METADATA", "entry_points.txt")
EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Snapshot:
    """The packages' files, zipped; `digest` names the content."""

    digest: str
    packed: bytes

    def folder(self) -> Path:
        """Return the folder of the files, for PYTHONPATH; unpack them if need be."""
        home = cache_folder("code")
        place = home / self.digest[:16]
        with FileLock(home / "lock"):
            if not place.exists():
                partial = Path(mkdtemp(dir=home))
                with zipfile.ZipFile(io.BytesIO(self.packed)) as archive:
                    archive.extractall(partial)
                partial.replace(place)
                _forget_the_oldest(home)
        return place


def digest() -> str:
    """Return a name for the code as it is now."""
    found = hashlib.sha256()
    for name, path in _files():
        found.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return found.hexdigest()


def take() -> Snapshot:
    """Copy the code as it is now."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in _files():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), path.read_bytes(), zipfile.ZIP_DEFLATED)
        for package in PACKAGES:
            installed = distribution(package.replace("_", "-"))
            for name in METADATA:
                text = installed.read_text(name) or ""
                folder = f"{package}-{installed.version}.dist-info"
                archive.writestr(zipfile.ZipInfo(f"{folder}/{name}", EPOCH), text)
    return Snapshot(digest(), buffer.getvalue())


def _files() -> list[tuple[str, Path]]:
    files = []
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        root = Path(spec.origin).parent
        files += [
            (f"{package}/{path.relative_to(root).as_posix()}", path)
            for path in sorted(_walk(root))
            if "__pycache__" not in path.parts
        ]
    return files


def _walk(root: Path) -> Iterator[Path]:
    """Yield the files below a folder, also those that a checkout has behind links."""
    for folder, _, names in os.walk(root, followlinks=True):
        yield from (Path(folder, name) for name in names)


def _forget_the_oldest(home: Path, keep: int = 20) -> None:
    folders = sorted(
        (path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for folder in folders[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)
