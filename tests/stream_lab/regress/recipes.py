"""The parts of the CI recipes, and their scripts as services run them."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
RECIPES = ROOT / "docs" / "ci"
PAGE = ROOT / "docs" / "ci.md"
GITHUB = ROOT / ".github" / "workflows" / "regress.yml"
GITLAB = RECIPES / "gitlab-ci.yml"
SERVICE, TIMER = RECIPES / "stream-lab-regress.service", RECIPES / "stream-lab-regress.timer"
CHECKOUT = "/srv/stream-deadline"
FIELD = re.compile(r"(\*|\d+)(-\d+)?(/\d+)?(,\d+(-\d+)?)*")
RUN = "test-1"


def body(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def steps(job: str = "regress") -> dict[str, dict[str, Any]]:
    """Return GitHub's steps by name, or by the action that they use."""
    return {step.get("name", step.get("uses")): step for step in body(GITHUB)["jobs"][job]["steps"]}


def gitlab_script() -> str:
    return "\n".join(body(GITLAB)["regress"]["script"])


def cron_line() -> tuple[list[str], str, dict[str, str]]:
    """Return the five fields, the command, and the variables."""
    lines = [
        line
        for line in (RECIPES / "crontab").read_text(encoding="utf-8").splitlines()
        if line and line[0] != "#"
    ]
    variables = dict(line.split("=", 1) for line in lines if re.match(r"[A-Z_]+=", line))
    (line,) = [line for line in lines if not re.match(r"[A-Z_]+=", line)]
    *fields, command = line.split(maxsplit=5)
    return fields, command, variables


def service_lines(key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", SERVICE.read_text(encoding="utf-8"), re.MULTILINE)


def scripts() -> dict[str, str]:
    """Return every piece of shell in the recipes, by its place."""
    found = {
        f"github: {name}": step["run"]
        for job in body(GITHUB)["jobs"]
        for name, step in steps(job).items()
        if "run" in step
    }
    found["gitlab: script"] = gitlab_script()
    found["gitlab: after_script"] = "\n".join(body(GITLAB)["regress"]["after_script"])
    found["service"] = "\n".join(service_lines("ExecStartPre") + service_lines("ExecStart"))
    found["crontab"] = cron_line()[1]
    return found


def on_the_page() -> str:
    """Return the code on the page."""
    text = PAGE.read_text(encoding="utf-8")
    blocks = re.findall(r"^```bash\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return "\n".join(
        [
            *blocks,
            *re.findall(
                r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
            ),
        ]
    )


def shell(
    script: str, folder: Path, *flags: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a script as the services do, with its recipe's variables."""
    file = folder / "script"
    file.write_text(script, encoding="utf-8")
    given = {"CONFIG": "regress.yaml", "AGAINST": "last", "ONLY": "", "RUN": RUN}
    given |= {"GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "page")}
    environment = {
        **os.environ,
        **given,
        "PATH": f"{folder / 'stubs'}:{os.environ['PATH']}",
        **variables,
    }
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", *flags, str(file)]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
