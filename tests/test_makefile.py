"""The Makefile in its own checkout, with stubs of the programs that it calls."""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TOOLS = "bash cat cp dirname env mkdir rm touch"
PARTS = {"nginx": "nginx-light", "haproxy": "haproxy", "chromium": "chromium"}
NO_PACKAGES = "The packages could not be installed. Is there a network? The installer's words are in .venv/setup.log."


class Checkout:
    """A folder with what `make` reads, on a machine whose every program is a stub.

    Attributes:
        folder: the folder.
        calls: the commands that the stubs were called with, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self._programs, self._calls = folder / "programs", folder / "calls"
        self._programs.mkdir()
        files = ["Makefile", "pyproject.toml", "tools/install_parts.sh"]
        files += [f"{each}/pyproject.toml" for each in ("src/stream_deadline", "fake_vllm")]
        files += ["src/stream_lab/pyproject.toml", "tests/clients/programs/package.json"]
        files += [f"requirements/{path.name}" for path in (ROOT / "requirements").iterdir()]
        for name in files:
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.folder / name)
        for name in TOOLS.split():
            (self._programs / name).symlink_to(shutil.which(name) or name)

    @property
    def calls(self) -> list[str]:
        return self._calls.read_text(encoding="utf-8").splitlines() if self._calls.exists() else []

    def stub(self, name: str | Path, script: str = "") -> None:
        """Make a program that notes its calls, in the checkout if it is a path."""
        file = self.folder / name if isinstance(name, Path) else self._programs / name
        file.parent.mkdir(parents=True, exist_ok=True)
        note = f'echo "{file.name} $*" >>"{self._calls}"'
        file.write_text(f"#!/bin/bash\n{note}\n{script}\n", encoding="utf-8")
        file.chmod(0o755)

    def set_up(self) -> None:
        """Let the environment be there, with programs that succeed."""
        for name in ("stream-lab", "pytest", "ruff", "lint-imports", "mypy"):
            self.stub(Path(".venv/bin") / name)
        (self.folder / ".venv" / ".ready").touch()

    def make(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        make = shutil.which("make")
        assert make is not None
        return subprocess.run(
            [make, "--no-print-directory", *arguments],
            cwd=self.folder,
            env={"PATH": str(self._programs)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def debian(tmp_path: Path) -> Checkout:
    """A set-up checkout on a Debian without the parts, for root."""
    checkout = Checkout(tmp_path)
    checkout.set_up()
    checkout.stub("apt-get")
    checkout.stub("id", "echo 0")
    return checkout


def installed(calls: Iterable[str]) -> list[str]:
    """Return the packages that apt-get was to install."""
    return [
        word
        for call in calls
        if call.startswith("apt-get install ")
        for word in call.split()[2:]
        if not word.startswith("-")
    ]


TARGETS = pytest.mark.parametrize(
    ("target", "last"), [("run", "stream-lab run"), ("test", "pytest")]
)


class TestTheParts:
    @TARGETS
    def test_they_are_installed_before_the_work_begins(
        self, target: str, last: str, debian: Checkout
    ) -> None:
        done = debian.make(target)
        assert done.returncode == 0, done.stderr
        assert installed(debian.calls) == list(PARTS.values())
        assert debian.calls.index("apt-get update -qq") < len(debian.calls) - 2
        assert debian.calls[-1].strip() == last
        assert "Installing nginx-light haproxy chromium with apt-get" in done.stdout

    @TARGETS
    def test_parts_no_does_without(self, target: str, last: str, debian: Checkout) -> None:
        done = debian.make(target, "PARTS=no")
        assert done.returncode == 0, done.stderr
        assert [call for call in debian.calls if call.startswith("apt-get")] == []
        assert debian.calls[-1].strip() == last

    @pytest.mark.parametrize("there", PARTS)
    def test_one_that_is_there_is_not_installed(self, there: str, debian: Checkout) -> None:
        debian.stub(there)
        assert debian.make("run").returncode == 0
        assert installed(debian.calls) == [PARTS[part] for part in PARTS if part != there]

    def test_nothing_is_done_when_all_are_there(self, debian: Checkout) -> None:
        for part in PARTS:
            debian.stub(part)
        assert debian.make("run").returncode == 0
        assert [call.strip() for call in debian.calls] == ["stream-lab run"]

    def test_a_failure_to_install_them_is_one_sentence_and_the_work_goes_on(
        self, debian: Checkout
    ) -> None:
        debian.stub("apt-get", "exit 100")
        done = debian.make("run")
        assert done.returncode == 0
        assert done.stderr == (
            "apt-get could not install nginx-light haproxy chromium. "
            "What needs nginx-light haproxy chromium is left out.\n"
        )
        assert debian.calls[-1].strip() == "stream-lab run"

    def test_no_password_is_requested(self, debian: Checkout) -> None:
        debian.stub("id", "echo 1000")
        debian.stub("sudo", "exit 1")
        done = debian.make("run")
        assert done.returncode == 0
        assert "run: make parts (it asks for your password)." in done.stderr
        assert installed(debian.calls) == []
        assert debian.calls[-1].strip() == "stream-lab run"

    def test_make_parts_fails_when_they_cannot_be_installed(self, debian: Checkout) -> None:
        debian.stub("apt-get", "exit 100")
        assert debian.make("parts").returncode == 2


def said(done: "subprocess.CompletedProcess[str]") -> list[str]:
    """Return what was said on standard error, but for make's own last line."""
    return [line for line in done.stderr.splitlines() if not line.startswith("make")]


class TestASetUpWithoutANetwork:
    def test_a_pip_that_fails_is_one_sentence(self, tmp_path: Path) -> None:
        checkout = Checkout(tmp_path)
        checkout.stub("fails", "echo 'No route to host' >&2; exit 1")
        venv = 'if [ "$2" = venv ]; then mkdir -p "$3/bin"; cp "${0%/*}/fails" "$3/bin/python"; fi'
        checkout.stub("python3", venv)
        self.check(checkout, "fails -m pip install")

    def test_a_uv_that_fails_is_one_sentence(self, tmp_path: Path) -> None:
        checkout = Checkout(tmp_path)
        checkout.stub("python3")
        checkout.stub(Path(".venv/bin/python"))
        checkout.stub(Path(".venv/bin/uv"), "echo 'No route to host' >&2; exit 1")
        self.check(checkout, "uv pip install")

    @pytest.mark.parametrize(
        ("target", "fails"),
        [
            ("clients", ".venv/bin/uv"),
            ("clients", ".venv-clients/bin/npm"),
            ("book", ".venv/bin/uv"),
        ],
    )
    def test_a_target_that_lacks_something_says_so_in_one_sentence(
        self, target: str, fails: str, tmp_path: Path
    ) -> None:
        checkout = Checkout(tmp_path)
        checkout.set_up()
        for program in (".venv/bin/uv", ".venv-clients/bin/npm"):
            script = "echo 'No route to host' >&2; exit 1" if program == fails else ""
            checkout.stub(Path(program), script)
        done = checkout.make(target)
        assert done.returncode == 2
        assert said(done) == [NO_PACKAGES]
        assert not [call for call in checkout.calls if call.startswith("pytest")]

    def check(self, checkout: Checkout, last: str) -> None:
        done = checkout.make("setup")
        assert done.returncode == 2
        assert said(done) == [NO_PACKAGES]
        assert "Traceback" not in done.stdout
        assert checkout.calls[-1].startswith(last), checkout.calls
        log = checkout.folder / ".venv" / "setup.log"
        assert log.read_text(encoding="utf-8") == "No route to host\n"
        assert not (checkout.folder / ".venv" / ".ready").exists()
