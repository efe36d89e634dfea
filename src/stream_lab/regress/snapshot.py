"""A copy of the kit's code when a run begins, which every cell imports."""

import hashlib
import io
import shutil
import zipfile
from dataclasses import dataclass
from importlib.metadata import distribution
from importlib.util import find_spec
from pathlib import Path
from tempfile import mkdtemp

from stream_lab.cache import alone, cache_folder
from stream_lab.data import EVIDENCE, data_folder, packaged

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
        with alone(home / "lock"):
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
        ours = distribution("stream-deadline")
        for name in METADATA:
            text = ours.read_text(name) or ""
            archive.writestr(
                zipfile.ZipInfo(f"stream_deadline-{ours.version}.dist-info/{name}", EPOCH), text
            )
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
            for path in sorted(root.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        ]
    # An editable installation reads evidence from the checkout; the snapshot carries it.
    if not packaged(EVIDENCE).is_dir():
        kept = data_folder(EVIDENCE)
        files += [
            (f"stream_lab/_{EVIDENCE}/{path.relative_to(kept).as_posix()}", path)
            for path in sorted(kept.glob("*/*.json"))
        ]
    return files


def _forget_the_oldest(home: Path, keep: int = 20) -> None:
    folders = sorted(
        (path for path in home.iterdir() if path.is_dir()), key=lambda path: path.stat().st_mtime
    )
    for folder in folders[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)
