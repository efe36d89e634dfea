"""The CI recipes of docs/ci and GitHub: commands, uploads and exit statuses, without any service."""

import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from typer.main import get_command

from stream_lab.cli import app
from stream_lab.regress.config import load
from tests.stream_lab.notebooks.tiny_notebooks import BAD, GOOD, UNKNOWN, write
from tests.stream_lab.regress.recipes import (
    GITHUB,
    GITLAB,
    ROOT,
    RUN,
    body,
    gitlab_script,
    on_the_page,
    scripts,
    shell,
    steps,
)
from tests.stream_lab.regress.runs import configure


@pytest.mark.parametrize(
    ("file", "schema"), [(GITHUB, "vendor.github-workflows"), (GITLAB, "vendor.gitlab-ci")]
)
def test_a_recipe_fits_the_schema_of_its_service(file: Path, schema: str) -> None:
    from check_jsonschema import main

    done = CliRunner().invoke(main, ["--builtin-schema", schema, str(file)])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("place", sorted(scripts()))
def test_shell_is_well_formed(place: str) -> None:
    done = subprocess.run(
        ["bash", "-n"], input=scripts()[place], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_no_service_pastes_text_into_a_script() -> None:
    """Inputs reach a script through the environment; in its text they would run as code."""
    assert [place for place, script in scripts().items() if "${{" in script] == []


def test_every_target_is_in_the_makefile() -> None:
    targets = set(
        re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    called = {
        place: set(re.findall(r"\bmake (?:-s )?([a-z][a-z-]*)", text))
        for place, text in scripts().items()
    }
    called["page"] = set(re.findall(r"^make ([a-z][a-z-]*)", on_the_page(), re.MULTILINE))
    assert {"parts", "setup"} <= set().union(*called.values())
    assert {place: names - targets for place, names in called.items() if names - targets} == {}


def test_no_recipe_uses_make_where_the_status_matters(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text("regress:\n\t@exit 1\n", encoding="utf-8")
    assert (
        subprocess.run(
            ["make", "-s", "regress"], cwd=tmp_path, capture_output=True, check=False
        ).returncode
        == 2
    )
    assert [
        place
        for place, script in scripts().items()
        if re.search(r"\bmake\b[^\n;&|]*\bregress\b", script)
    ] == []


def test_every_option_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    options = {
        name: {flag for parameter in command.params for flag in parameter.opts}
        for name, command in commands.items()
    }
    called = 0
    for place, text in {**scripts(), "page": on_the_page()}.items():
        for command, rest in re.findall(r"bin/stream-lab ([a-z-]+)([^\n;|&#]*)", text):
            called += 1
            assert command in options, place
            assert {word for word in rest.split() if word.startswith("--")} <= options[command], (
                f"{place}: {command}{rest}"
            )
    assert called >= 7


def test_every_python_that_a_world_names_is_set_up() -> None:
    wanted = {
        world.python
        for world in load(ROOT / "regress.yaml").worlds.values()
        if world.python is not None
    }
    listed = next(step for name, step in steps().items() if "setup-python" in name)["with"][
        "python-version"
    ].split()
    assert wanted <= set(listed)
    assert body(GITLAB)["regress"]["image"].startswith("python:3.11-")


def test_the_recipes_cache_the_folders_that_the_kit_uses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stream_lab.cache import cache_folder

    history = load(ROOT / "regress.yaml").history
    githubs = [
        line for step in steps().values() for line in step.get("with", {}).get("path", "").split()
    ]
    gitlabs = [path for cache in body(GITLAB)["regress"]["cache"] for path in cache["paths"]]
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert "~/" + cache_folder("worlds").relative_to(tmp_path).as_posix() in githubs
    monkeypatch.setenv(
        "XDG_CACHE_HOME",
        body(GITLAB)["regress"]["variables"]["XDG_CACHE_HOME"].replace(
            "$CI_PROJECT_DIR", str(tmp_path)
        ),
    )
    assert cache_folder("worlds").relative_to(tmp_path).as_posix() in gitlabs
    assert githubs.count(history) == 2, "read before the run, kept after it"
    assert history in gitlabs


ENDS = [
    ("0", "yes", "", 0),
    ("1", "yes", "", 1),
    ("2", "yes", "", 2),
    ("1", "", "", 2),  # a crash
    ("2", "", "", 2),  # a configuration that cannot be read
    ("137", "", "", 2),  # killed
    ("0", "yes", "2", 2),  # the environment could not be made
]


@pytest.mark.parametrize(("stub", "documents", "made", "status"), ENDS)
def test_githubs_verdict_tells_a_regression_from_an_unknown_result(
    stub: str, documents: str, made: str, status: int, checkout: Path
) -> None:
    given = {"STUB": stub, "STUB_DOCUMENTS": documents, "STUB_MAKE": made}
    told = ""
    if shell(steps()["The environment"]["run"], checkout, **given).returncode == 0:
        done = shell(steps()["The run"]["run"], checkout, **given)
        assert done.returncode == 0, "the uploads come first"
        (line,) = (checkout / "output").read_text(encoding="utf-8").splitlines()
        told = line.removeprefix("status=")
    assert shell(steps()["The page's summary"]["run"], checkout).returncode == 0
    page = (checkout / "page").read_text(encoding="utf-8")
    assert ("### told" in page) == bool(documents and not made)
    assert ("Could not tell" in page) != ("### told" in page)
    verdict = steps()["The verdict"]["run"]
    done = shell(verdict, checkout, STATUS=told, WHEN_UNTOLD="fail")
    assert done.returncode == status
    assert done.stdout.startswith(
        (
            "::notice title=As expected::",
            "::error title=Regression::",
            "::warning title=Could not tell::",
        )[status]
    )
    done = shell(verdict, checkout, STATUS=told, WHEN_UNTOLD="pass")
    assert done.returncode == (1 if status == 1 else 0)


@pytest.mark.parametrize(("stub", "documents", "made", "status"), ENDS)
def test_gitlabs_script_tells_a_regression_from_an_unknown_result(
    stub: str, documents: str, made: str, status: int, checkout: Path
) -> None:
    done = shell(gitlab_script(), checkout, STUB=stub, STUB_DOCUMENTS=documents, STUB_MAKE=made)
    assert done.returncode == status
    if not made:
        assert done.stdout.startswith(
            ("As expected", "A regression", "It could not be told")[status]
        )
    assert shell("\n".join(body(GITLAB)["regress"]["after_script"]), checkout).returncode == 0
    assert body(GITLAB)["regress"]["allow_failure"] == {"exit_codes": [2]}


def test_the_steps_after_the_run_are_taken_after_a_bad_run_too() -> None:
    found = steps()
    for name in ("The page's summary", "All it made", "Keep the history", "The verdict"):
        assert found[name]["if"].startswith("always()"), name
    assert list(found)[-1] == "The verdict"
    assert body(GITLAB)["regress"]["artifacts"]["when"] == "always"
    assert all(cache["when"] == "always" for cache in body(GITLAB)["regress"]["cache"])


def test_githubs_job_may_only_read_and_every_action_has_its_version() -> None:
    workflow = body(GITHUB)
    assert workflow["permissions"] == {"contents": "read"}
    assert {name: job.get("permissions") for name, job in workflow["jobs"].items()} == {
        "regress": None,
        "comment": {"pull-requests": "write"},
    }
    used = [
        step["uses"] for job in workflow["jobs"].values() for step in job["steps"] if "uses" in step
    ]
    assert [name for name in used if not re.fullmatch(r"actions/[a-z/-]+@v\d+", name)] == []
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_a_comment_is_edited_or_added(checkout: Path) -> None:
    gh = checkout / "stubs" / "gh"
    gh.write_text(
        '#!/bin/sh\necho "$@" >>asked\ncat summary.md >>asked\ncase "$*" in *--edit-last*) exit 1;; esac\n',
        encoding="utf-8",
    )
    gh.chmod(0o755)
    script = steps("comment")["Comment on the pull request"]["run"]
    assert shell(script, checkout, NUMBER="7").returncode == 0
    asked = (checkout / "asked").read_text(encoding="utf-8").splitlines()
    sentence = "### ? Could not tell: the run did not get to its summary"
    assert asked == [
        "pr comment 7 --edit-last --body-file summary.md",
        sentence,
        "pr comment 7 --body-file summary.md",
        sentence,
    ]


@pytest.mark.parametrize(
    ("recipe", "cell", "status"),
    [
        pytest.param("github", GOOD, 0, id="github-good"),
        pytest.param("github", BAD, 1, id="github-bad"),
        pytest.param("gitlab", GOOD, 0, id="gitlab-good"),
        pytest.param("gitlab", UNKNOWN, 2, id="gitlab-unknown"),
    ],
)
def test_a_recipe_uploads_the_files_that_a_run_makes(
    recipe: str, cell: str, status: int, checkout: Path
) -> None:
    write(checkout / "notebooks", "01", cell)
    configure(checkout)
    if recipe == "github":
        done = shell(steps()["The run"]["run"], checkout, STUB="real")
        assert (checkout / "output").read_text(encoding="utf-8") == f"status={status}\n", (
            done.stderr
        )
        parts = [step.get("with", {}).get("path", "") for step in steps().values()]
        paths = [
            line.replace("${{ env.RUN }}", RUN)
            for part in parts
            for line in part.split("\n")
            if line.startswith("runs/")
        ]
        assert len(paths) == 4
    else:
        done = shell(gitlab_script(), checkout, STUB="real")
        assert done.returncode == status, done.stdout + done.stderr
        job = body(GITLAB)["regress"]
        paths = [
            *job["artifacts"]["paths"],
            job["artifacts"]["reports"]["junit"],
            *job["cache"][0]["paths"],
        ]
    assert [path for path in paths if not list(checkout.glob(path))] == []
    folder = checkout / "runs" / "regress" / RUN
    for name in ("report.html", "summary.md", "summary.json", "junit.xml", "notebooks", "cells"):
        assert (folder / name).exists(), name
