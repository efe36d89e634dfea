"""The recipes for systemd and cron, and `make parts`, which a runner calls once."""

import fcntl
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.stream_lab.regress.recipes import (
    CHECKOUT,
    FIELD,
    ROOT,
    SERVICE,
    TIMER,
    cron_line,
    service_lines,
)


@pytest.fixture
def units(tmp_path: Path, checkout: Path) -> Path:
    """Copy the units into a folder, for a checkout that exists."""
    folder = tmp_path / "units"
    folder.mkdir()
    for file in (SERVICE, TIMER):
        (folder / file.name).write_text(
            file.read_text(encoding="utf-8").replace(CHECKOUT, str(checkout)), encoding="utf-8"
        )
    return folder


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None,
    reason="systemd-analyze is not installed; on Debian: apt-get install systemd",
)
def test_systemd_accepts_the_units(units: Path) -> None:
    files = [str(units / file.name) for file in (SERVICE, TIMER)]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *files],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    told = [
        line
        for line in done.stderr.splitlines()
        if "stream-lab-regress" in line or str(units) in line
    ]
    assert (done.returncode, told) == (0, []), done.stderr


def test_the_units_belong_together_and_no_failure_counts_as_success() -> None:
    assert SERVICE.stem == TIMER.stem
    assert service_lines("WorkingDirectory") == service_lines("ReadWritePaths") == [CHECKOUT]
    assert service_lines("ExecStart") == [f"{CHECKOUT}/.venv/bin/stream-lab regress"]
    assert service_lines("SuccessExitStatus") == []
    assert not service_lines("ExecStart")[0].startswith("-")
    assert {"Persistent=yes", "WantedBy=timers.target"} <= set(
        TIMER.read_text(encoding="utf-8").splitlines()
    )


def cron(checkout: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the crontab's command as cron does: by sh, in an almost empty environment."""
    home = checkout.parent
    if not (home / "stream-deadline").exists():
        (home / "stream-deadline").symlink_to(checkout)
    environment = {
        **cron_line()[2],
        "HOME": str(home),
        "PATH": f"{checkout / 'stubs'}:/usr/bin:/bin",
        **variables,
    }
    return subprocess.run(
        ["/bin/sh", "-c", cron_line()[1]],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_crontab_has_five_fields_and_a_command_that_cron_reads_whole() -> None:
    fields, command, _ = cron_line()
    assert len(fields) == 5
    assert all(FIELD.fullmatch(field) for field in fields), fields
    assert "flock -n " in command
    assert "%" not in command, "cron would end the command there"


@pytest.mark.skipif(
    shutil.which("flock") is None,
    reason="flock is not installed; on Debian: apt-get install util-linux",
)
@pytest.mark.parametrize(("stub", "made"), [("0", "0"), ("1", "0"), ("2", "0"), ("0", "2")])
def test_cron_mails_only_if_not_all_is_as_expected(stub: str, made: str, checkout: Path) -> None:
    done = cron(checkout, STUB=stub, STUB_MAKE=made)
    status = made if made != "0" else stub
    assert done.stdout.startswith(
        f"stream-lab regress: exit status {status};" if status != "0" else ""
    )
    assert bool(done.stdout) == (status != "0")
    assert done.stderr == ""
    assert (checkout / "runs" / "cron.log").exists()


@pytest.mark.skipif(
    shutil.which("flock") is None,
    reason="flock is not installed; on Debian: apt-get install util-linux",
)
def test_cron_does_not_run_two_at_once_and_reads_the_keys(checkout: Path) -> None:
    keys = checkout.parent / cron_line()[2]["KEYS"]
    keys.parent.mkdir()
    keys.write_text("STUB=1\n", encoding="utf-8")
    assert "exit status 1;" in cron(checkout).stdout, "STUB comes from the file alone"
    with (checkout / "runs" / ".cron.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "exit status 75;" in cron(checkout).stdout
    assert (checkout / "called").read_text(encoding="utf-8") == "regress\n"


@pytest.mark.parametrize(
    ("browser", "wanted"), [("google-chrome", False), ("chromium", False), ("another", True)]
)
def test_make_parts_accepts_an_installed_browser(
    browser: str, wanted: bool, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    for name, text in {
        "sudo": 'exec "$@"',
        "apt-get": f'echo "$@" >>{shlex.quote(str(asked))}',
        browser: "",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    for name in ("id", "env"):
        (tmp_path / name).symlink_to(shutil.which(name) or name)
    make = shutil.which("make") or "make"
    done = subprocess.run(
        [make, "parts"],
        cwd=ROOT,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    update, install = asked.read_text(encoding="utf-8").splitlines()
    assert update == "update -qq"
    assert install.endswith("nginx-light haproxy chromium" if wanted else "nginx-light haproxy")
