"""The workflows: their schema, rights, pins, and the commands that they call."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
WRITERS = {
    ("images.yml", "push"): {"packages": "write"},
    ("regress.yml", "comment"): {"pull-requests": "write"},
    ("release.yml", "images"): {"contents": "read", "packages": "write"},
    ("release.yml", "page"): {"contents": "write"},
    ("release.yml", "publish"): {"attestations": "write", "id-token": "write"},
}
"""The jobs with rights of their own, and these rights; every other job reads."""

each_workflow = pytest.mark.parametrize("file", WORKFLOWS, ids=lambda path: path.name)


def body(file: Path) -> dict[Any, Any]:
    found: dict[Any, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return found


def steps(file: Path) -> list[dict[str, Any]]:
    return [step for job in body(file)["jobs"].values() for step in job.get("steps", [])]


def test_there_is_one_for_each_occasion() -> None:
    names = [path.stem for path in WORKFLOWS]
    assert names == ["audit", "images", "regress", "release", "test", "weekly"]


@each_workflow
def test_it_fits_the_schema(file: Path) -> None:
    from check_jsonschema import main

    done = CliRunner().invoke(main, ["--builtin-schema", "vendor.github-workflows", str(file)])
    assert done.exit_code == 0, done.output


@each_workflow
def test_it_reads_and_only_the_jobs_that_must_write(file: Path) -> None:
    workflow = body(file)
    assert workflow["permissions"] == {"contents": "read"}
    own = {
        name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job
    }
    assert own == {job: rights for (where, job), rights in WRITERS.items() if where == file.name}


@each_workflow
def test_a_job_with_rights_runs_no_code_of_the_checkout(file: Path) -> None:
    for name, job in body(file)["jobs"].items():
        if "permissions" in job:
            used = [step.get("uses", "") for step in job.get("steps", [])]
            assert not [each for each in used if each.startswith("actions/checkout")], name
            assert not [step for step in job.get("steps", []) if "make " in step.get("run", "")]


@each_workflow
def test_every_job_ends_by_itself(file: Path) -> None:
    assert [
        name
        for name, job in body(file)["jobs"].items()
        if "uses" not in job and not 0 < job["timeout-minutes"] <= 90  # a called one has its own
    ] == []


@each_workflow
def test_every_action_has_a_major_version_and_all_have_the_same(file: Path) -> None:
    uses = [step["uses"] for step in steps(file) if "uses" in step]
    pinned = re.compile(r"[\w-]+/[\w/-]+@(v\d+|release/v\d+|[0-9a-f]{40})")
    assert [each for each in uses if not pinned.fullmatch(each)] == []
    everywhere = {step["uses"] for path in WORKFLOWS for step in steps(path) if "uses" in step}
    assert len({each.partition("@")[0] for each in everywhere}) == len(everywhere)


@each_workflow
def test_a_checkout_keeps_no_credentials(file: Path) -> None:
    for step in steps(file):
        if step.get("uses", "").startswith("actions/checkout"):
            assert step["with"]["persist-credentials"] is False


@each_workflow
def test_a_download_names_its_artifacts(file: Path) -> None:
    """Without a name it takes all of the run, those of a called workflow too."""
    downloads = [
        step for step in steps(file) if step.get("uses", "").startswith("actions/download-artifact")
    ]
    assert [step for step in downloads if not {"name", "pattern"} & step["with"].keys()] == []


@each_workflow
def test_nothing_is_pasted_into_a_script(file: Path) -> None:
    assert [step for step in steps(file) if "${{" in step.get("run", "")] == []


@each_workflow
def test_every_target_is_in_the_makefile(file: Path) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    called = re.findall(r"\bmake (?:-s )?([a-z][a-z-]*)", str(body(file)["jobs"]))
    assert set(called) <= targets


def test_nothing_is_published_that_was_not_checked() -> None:
    release = body(ROOT / ".github" / "workflows" / "release.yml")
    jobs = release["jobs"]
    assert release[True] == {"push": {"tags": ["v*"]}}  # YAML 1.1 reads `on` as true
    assert (jobs["publish"]["needs"], jobs["page"]["needs"]) == ("check", "publish")
    assert jobs["images"]["needs"] == "publish"
    assert jobs["publish"]["environment"] == "pypi"
    [check] = [step for step in jobs["check"]["steps"] if "release-check" in step.get("run", "")]
    assert check["env"] == {"REQUIRE_ALL": "1", "RELEASE_TAG": "${{ github.ref_name }}"}
    assert not [step for step in jobs["publish"]["steps"] if "password" in str(step)]


def test_every_supported_python_is_there_for_the_matrix() -> None:
    pyproject = (ROOT / "src" / "stream_deadline" / "pyproject.toml").read_text(encoding="utf-8")
    supported = set(re.findall(r"Python :: (3\.\d+)", pyproject))
    for name, job in (("test.yml", "packages"), ("release.yml", "check")):
        listed = body(ROOT / ".github" / "workflows" / name)["jobs"][job]["steps"][1]["with"]
        assert set(listed["python-version"].split()) == supported


def test_only_the_python_that_is_not_supported_yet_may_fail() -> None:
    may_fail = {
        (path.name, name)
        for path in WORKFLOWS
        for name, job in body(path)["jobs"].items()
        if job.get("continue-on-error")
    }
    assert may_fail == {("test.yml", "next-python")}


def test_the_long_commands_run_every_week() -> None:
    weekly = body(ROOT / ".github" / "workflows" / "weekly.yml")
    [job] = weekly["jobs"].values()
    commands = job["strategy"]["matrix"]["command"]
    assert [each.split()[1] for each in commands] == [
        "soak", "drills", "planted", "coverage", "mutants", "canary", "fuzz",
    ]  # fmt: skip
    assert not job.get("continue-on-error")
    assert job["strategy"]["fail-fast"] is False
    assert [step["run"] for step in job["steps"] if "run" in step][-1] == "$COMMAND"


def test_images_are_pushed_only_by_the_release_and_for_a_tag() -> None:
    workflow = body(ROOT / ".github" / "workflows" / "images.yml")
    assert "tags" not in str(workflow[True])
    jobs = workflow["jobs"]
    assert "docker push" not in str(jobs["build"])
    assert (
        jobs["push"]["if"] == "startsWith(github.ref, 'refs/tags/v') && vars.IMAGE_REGISTRY != ''"
    )
    files = [each["file"] for each in jobs["build"]["strategy"]["matrix"]["include"]]
    assert sorted(files) == sorted(
        str(path.relative_to(ROOT)) for path in (ROOT / "Dockerfile", ROOT / "fake_vllm/Dockerfile")
    )
