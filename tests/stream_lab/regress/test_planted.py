"""Planted regressions, in the real notebooks: a LangChain that breaks the fix, and a server that does not hear who leaves."""

import os
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

from stream_lab.regress.summary import Kind
from tests.stream_lab.regress.runs import configure, folders, run, summary

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / ("seed.txt" if "seed" in os.environ.get("VIRTUAL_ENV", "") else "latest.txt")
PLANTED = """

def _planted(cls: type, **_: object) -> None:
    # The hook that streams goes through is no longer what a subclass says it is.
    if not cls.__module__.startswith("langchain"):
        for name in ("_astream", "_stream"):
            if name in cls.__dict__:
                delattr(cls, name)


BaseChatOpenAI.__pydantic_init_subclass__ = classmethod(_planted)
"""


def planted_wheel(folder: Path) -> Path:
    """The langchain-openai that is installed here as a wheel of a version of its own, with a change that breaks the fix."""
    original = distribution("langchain-openai")
    version = f"{original.version}+planted"
    wheel = folder / f"langchain_openai-{version}-py3-none-any.whl"
    info = f"langchain_openai-{version}.dist-info"
    metadata = (original.read_text("METADATA") or "").replace(f"Version: {original.version}", f"Version: {version}", 1)
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in original.files or []:
            if file.parts[0] == "langchain_openai" and file.suffix != ".pyc":
                text = Path(str(file.locate())).read_text(encoding="utf-8")
                archive.writestr(str(file), text + (PLANTED if str(file).endswith("chat_models/base.py") else ""))
        archive.writestr(f"{info}/METADATA", metadata)
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


def changes(folder: Path) -> list[tuple[Kind, str, str]]:
    return [(change.kind, change.claim, change.now) for change in summary(folder).changes]


@pytest.mark.timeout(400)
def test_a_langchain_that_breaks_the_fix_and_a_deaf_server_are_caught_with_the_claim_named(tmp_path: Path) -> None:
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    world = {"requirements": str(LOCK)}
    endpoint = {"scenario": "endless", "options": {"gap": 0.085}}
    configure(tmp_path, notebooks=["04"], worlds={"newest": world}, endpoints={"fake": endpoint})
    first = run(tmp_path)
    assert first.returncode == 0, first.stdout

    deaf = {"scenario": "endless", "options": {"gap": 0.085, "on_disconnect": "keep"}}
    configure(tmp_path, notebooks=["04"], worlds={"newest": world}, endpoints={"fake": deaf})
    told = run(tmp_path)
    assert told.returncode == 1
    assert changes(tmp_path) == [(Kind.REGRESSION, "the server stopped generating when it was cut", "still generating")]
    assert "the server stopped generating when it was cut: still generating (was" in told.stdout

    configure(
        tmp_path,
        notebooks=["04"],
        worlds={"newest": {**world, "on_top": [str(planted_wheel(tmp_path))]}},
        endpoints={"fake": endpoint},
    )
    told = run(tmp_path)
    assert told.returncode == 1
    assert changes(tmp_path) == [], folders(tmp_path)
    assert summary(tmp_path).worlds["newest"]["langchain-openai"].endswith("+planted")
