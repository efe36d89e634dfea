"""Planted regressions in the real notebooks: a LangChain and a server with a fault."""

import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from zipfile import ZipInfo

import pytest

from stream_lab.regress.summary import Kind
from tests.stream_lab.regress.runs import configure, run, summary

pytestmark = pytest.mark.usefixtures("kept_workers")

ROOT = Path(__file__).parents[3]
LOCK = ROOT / "requirements" / ("seed.txt" if sys.prefix.endswith("-seed") else "latest.txt")
PLANTED = """

def _planted(cls: type, **_: object) -> None:
    # Streams no longer go through the hook that a subclass, or a class mixed into it, defines.
    for each in cls.__mro__:
        if not each.__module__.startswith(("langchain", "pydantic", "builtins", "typing", "abc")):
            for name in ("_astream", "_stream"):
                if name in each.__dict__:
                    delattr(each, name)


BaseChatOpenAI.__pydantic_init_subclass__ = classmethod(_planted)
"""


def planted_wheel(folder: Path) -> Path:
    """Pack the installed langchain-openai as a wheel, with a change that breaks the fix.

    The files have no time, so the wheel is the same each time, and so is the world that it makes.
    """
    original = distribution("langchain-openai")
    version = f"{original.version}+planted"
    wheel = folder / f"langchain_openai-{version}-py3-none-any.whl"
    info = f"langchain_openai-{version}.dist-info"
    metadata = (original.read_text("METADATA") or "").replace(
        f"Version: {original.version}", f"Version: {version}", 1
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in original.files or []:
            if file.parts[0] == "langchain_openai" and file.suffix != ".pyc":
                text = Path(str(file.locate())).read_text(encoding="utf-8")
                archive.writestr(
                    ZipInfo(str(file)),
                    text + (PLANTED if str(file).endswith("chat_models/base.py") else ""),
                )
        archive.writestr(ZipInfo(f"{info}/METADATA"), metadata)
        archive.writestr(
            ZipInfo(f"{info}/WHEEL"),
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(ZipInfo(f"{info}/RECORD"), "")
    return wheel


ENDPOINT = {"scenario": "endless", "options": {"gap": 0.085}}


def regressions(folder: Path) -> dict[str, str]:
    """Return the present state of each claim that got worse."""
    return {change.claim: change.now for change in summary(folder).of(Kind.REGRESSION)}


@pytest.mark.timeout(300)
def test_a_langchain_that_breaks_the_fix_is_a_regression_of_named_claims(tmp_path: Path) -> None:
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    world = {"requirements": str(LOCK)}
    configure(tmp_path, notebooks=["06"], worlds={"newest": world}, endpoints={"fake": ENDPOINT})
    good = run(tmp_path)
    assert good.returncode == 0, good.stdout
    changed = {**world, "on_top": [str(planted_wheel(tmp_path))]}
    configure(tmp_path, notebooks=["06"], worlds={"newest": changed}, endpoints={"fake": ENDPOINT})
    bad = run(tmp_path)
    assert bad.returncode == 1, bad.stdout
    assert (
        regressions(tmp_path)["The library's `ChatVllm` in a chain is cut on time"]
        == "ran past the deadline"
    )
    assert (
        regressions(tmp_path)["The library's `ChatVllm` in a chain frees the server when it is cut"]
        == "still generating"
    )
    assert (
        "The library's `ChatVllm` in a chain is cut on time: ran past the deadline (was stopped at the deadline)"
        in bad.stdout
    )
    assert summary(tmp_path).worlds["newest"]["langchain-openai"].endswith("+planted")
    assert summary(tmp_path).rows[0].imported["langchain-openai"].endswith("+planted")


def test_a_server_that_ignores_disconnects_is_a_regression_of_a_named_claim(
    tmp_path: Path,
) -> None:
    (tmp_path / "notebooks").symlink_to(ROOT / "notebooks")
    deaf = {"scenario": "endless", "options": {"gap": 0.085, "on_disconnect": "keep"}}
    configure(tmp_path, notebooks=["04"], endpoints={"fake": deaf})
    bad = run(tmp_path)
    assert bad.returncode == 1, bad.stdout
    assert regressions(tmp_path) == {
        "The server stopped generating when it was cut": "still generating"
    }
