"""What a release is checked for: versions, changelog, deprecations, archives, advisories, rows."""

import ast
import datetime
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import public_names  # noqa: E402
import set_version  # noqa: E402
from release import advisories, bill_of_materials, install_matrix, pythons, rebuild  # noqa: E402
from release.changelog import Release, faults, releases  # noqa: E402
from release.checks import FAILED, NOT_HERE, OK, Check, status  # noqa: E402
from release.distributions import DISTRIBUTIONS, described, version  # noqa: E402
from release.pins import locks  # noqa: E402

from tests.real_time import helpers, imported  # noqa: E402

TODAY = datetime.date(2026, 11, 27)
OPEN = Release("Unreleased", None, ())


def imported_by(file: Path, seen: set[Path]) -> set[str]:
    """The packages that a module of the tests and its helpers import."""
    seen.add(file)
    names = set(imported(ast.parse(file.read_text(encoding="utf-8")).body))
    found = {name.partition(".")[0] for name in names}
    for helper in helpers(names):
        if helper.is_file() and helper not in seen:
            found |= imported_by(helper, seen)
    return found


class TestTheRows:
    @pytest.mark.parametrize(
        ("results", "here", "everywhere"),
        [([OK], 0, 0), ([OK, NOT_HERE], 0, 1), ([OK, FAILED], 1, 1), ([FAILED, NOT_HERE], 1, 1)],
    )
    def test_a_row_that_is_not_here_fails_only_if_all_rows_are_required(
        self, results: list[str], here: int, everywhere: int
    ) -> None:
        checks = [Check("tests", "one", result) for result in results]
        assert status(checks, require_all=False) == here
        assert status(checks, require_all=True) == everywhere

    def test_the_matrix_has_the_pythons_that_each_distribution_supports(self) -> None:
        for each in DISTRIBUTIONS:
            text = each.pyproject.read_text(encoding="utf-8")
            named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', text)
            assert named == pythons.supported()
            next_one = f"3.{int(named[-1].partition('.')[2]) + 1}"
            assert f'requires-python = ">={named[0]},<{next_one}"' in text

    def test_each_distribution_is_in_the_matrix(self) -> None:
        selections = install_matrix.selections()
        assert {each.name for each in DISTRIBUTIONS} <= set(selections)
        known = {each.name for each in DISTRIBUTIONS}
        assert {each.distribution for each in selections.values()} == known
        assert {name for each in selections.values() for name in each.beside} <= known

    @pytest.mark.parametrize("name", install_matrix.selections())
    def test_no_test_imports_a_package_that_its_row_lacks(self, name: str) -> None:
        selection = install_matrix.selections()[name]
        there = {selection.distribution, *selection.beside, *selection.needs}
        (distribution,) = (each for each in DISTRIBUTIONS if each.name == selection.distribution)
        project = described(distribution)
        extras = project.get("optional-dependencies", {}).values()
        needed = [*project["dependencies"], *(each for extra in extras for each in extra)]
        depends = {re.split(r"[\[>~=!<]", each)[0] for each in needed}
        # What the project's own environment has beside the dependencies, so nothing else shows it.
        watched = {re.split(r"[\[>]", each)[0] for each in install_matrix.stated()}
        watched |= {each.name for each in DISTRIBUTIONS}
        lacking = {each.replace("-", "_") for each in watched - there - depends}
        for each in selection.tests:
            place = ROOT / "tests" / each
            files = [place] if place.is_file() else sorted(place.rglob("*.py"))
            for file in files:
                assert not imported_by(file, set()) & lacking, file

    @pytest.mark.parametrize("name", install_matrix.selections())
    def test_a_selection_names_tests_and_packages_that_exist(self, name: str) -> None:
        selection = install_matrix.selections()[name]
        assert [each for each in selection.tests if not (ROOT / "tests" / each).exists()] == []
        assert all(">=" in each for each in install_matrix.test_requirements(selection))

    def test_a_version_that_is_not_installed_is_not_found(self) -> None:
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        assert pythons.find(here) is not None
        assert pythons.find("3.99") is None


def wheel(folder: Path, content: str, year: int) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / "a-1-py3-none-any.whl", "w") as archive:
        archive.writestr(zipfile.ZipInfo("a.py", (year, 1, 1, 0, 0, 0)), content)


@pytest.mark.parametrize(
    ("content", "year", "said"),
    [
        ("x = 1", 2020, []),
        ("x = 2", 2020, ["a-1-py3-none-any.whl differs in a.py"]),
        ("x = 1", 2021, ["a-1-py3-none-any.whl differs in a.py"]),
    ],
)
def test_an_archive_with_another_content_or_time_is_named_with_its_member(
    content: str, year: int, said: list[str], tmp_path: Path
) -> None:
    wheel(tmp_path / "first", "x = 1", 2020)
    wheel(tmp_path / "second", content, year)
    assert rebuild.compare(tmp_path / "first", tmp_path / "second") == said


class TestTheChangelog:
    def test_it_has_the_form_of_keep_a_changelog_and_the_version(self) -> None:
        assert faults(releases(), version()) == []

    @pytest.mark.parametrize(
        ("found", "said"),
        [
            ([Release("0.1.0", "2026-11-27", ())], "the first heading is not"),
            ([OPEN, Release("0.1", "2026-11-27", ())], "not a version of three numbers"),
            ([OPEN, Release("0.1.0", None, ())], "no date"),
            ([OPEN, Release("0.1.0", "27.11.2026", ())], "no date"),
            ([OPEN, Release("0.1.0", "2026-11-27", ("News",))], "the section News"),
            ([OPEN, Release("0.1.0", "2026-11-27", ("Fixed", "Added"))], "in another order"),
            ([OPEN, Release("0.1.0", "2026-11-27", ("Added", "Added"))], "its sections twice"),
            ([OPEN, Release("0.2.0", "2026-11-27", ())], "newest heading is 0.2.0"),
            (
                [OPEN, Release("0.1.0", "2026-11-27", ()), Release("0.9.0", "2026-11-26", ())],
                "do not fall",
            ),
            ([OPEN], "nothing is written about 0.1.0"),
        ],
    )
    def test_a_fault_is_named(self, found: list[Release], said: str) -> None:
        assert any(said in each for each in faults(found, "0.1.0")), faults(found, "0.1.0")


class TestTheVersion:
    def test_one_command_changes_every_place_that_has_it(self) -> None:
        texts = set_version.changes("0.2.0", TODAY)
        names = {path.relative_to(ROOT).as_posix() for path in texts}
        assert names == {
            "src/stream_deadline/__init__.py",
            "fake_vllm/__init__.py",
            "src/stream_lab/__init__.py",
            "src/stream_lab/pyproject.toml",
            "CITATION.cff",
            "CHANGELOG.md",
        }
        pyproject = texts[ROOT / "src/stream_lab/pyproject.toml"]
        assert '"stream-deadline>=0.2,<0.3"' in pyproject
        assert '"fake-vllm>=0.2,<0.3"' in pyproject
        assert "## [Unreleased]\n\n## [0.2.0] - 2026-11-27\n" in texts[ROOT / "CHANGELOG.md"]
        assert "date-released: 2026-11-27" in texts[ROOT / "CITATION.cff"]

    @pytest.mark.parametrize("new", ["", "0.2", "v0.2.0", "0.2.0rc1", "00.2.0", "0.0.1"])
    def test_a_version_that_cannot_be_the_next_one_is_refused(self, new: str) -> None:
        assert set_version.refusal(new)

    def test_no_test_of_the_packages_and_no_tool_has_it_as_a_constant(self) -> None:
        files = [*(ROOT / "tests" / "packages").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
        quoted = re.compile(rf"(?<![\w.]){re.escape(version())}(?!\.?\d)")
        assert [path.name for path in files if quoted.search(path.read_text("utf-8"))] == []

    def test_the_first_release_may_have_the_version_that_is_there(self) -> None:
        published = version() in [each.name for each in releases()]
        assert bool(set_version.refusal(version())) == published


def deprecations() -> list[tuple[str, str]]:
    """Return each warning of a deprecation in the packages: its place, and its constant words."""
    found = []
    for distribution in DISTRIBUTIONS:
        for path in (ROOT / distribution.folder).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            if "DeprecationWarning" not in text or "_templates" in path.parts:
                continue
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and any(
                    isinstance(each, ast.Name) and each.id == "DeprecationWarning"
                    for each in [*node.args, *(word.value for word in node.keywords)]
                ):
                    words = [
                        each.value
                        for each in ast.walk(node.args[0])
                        if isinstance(each, ast.Constant) and isinstance(each.value, str)
                    ]
                    found.append((f"{path.relative_to(ROOT)}:{node.lineno}", "".join(words)))
    return found


def test_a_deprecation_names_the_version_that_removes_it_and_that_is_still_to_come() -> None:
    assert len(deprecations()) >= 3
    for place, words in deprecations():
        removal = re.search(r"is removed in (\d+\.\d+\.\d+)\.$", words)
        assert removal, f"{place}: {words!r} does not end with 'is removed in X.Y.Z.'"
        assert Version(removal[1]) > Version(version()), f"{place}: it is time to remove it"
        assert re.search(r"\bis now\b", words), f"{place}: say what the new name is"


def test_the_file_of_public_names_is_current() -> None:
    kept = public_names.FILE.read_text(encoding="utf-8").splitlines()
    assert list(public_names.lines()) == kept, "python tools/public_names.py, and note the change"


def test_the_old_names_are_in_the_upgrade_notes() -> None:
    import stream_deadline
    from stream_deadline import asgi

    notes = (ROOT / "docs" / "upgrading.md").read_text(encoding="utf-8")
    old: dict[str, str] = {**stream_deadline._RENAMED, **asgi._RENAMED}
    names = [name for pair in old.items() for name in pair]
    assert [name for name in names if not re.search(rf"`[^`|]*\b{name}\b", notes)] == []


ADVISORY: dict[str, Any] = {
    "id": "PYSEC-2030-1",
    "affected": [
        {
            "package": {"name": "Some_Package"},
            "ranges": [
                {
                    "type": "ECOSYSTEM",
                    "events": [
                        {"introduced": "1.2"},
                        {"fixed": "1.10"},
                        {"introduced": "2.0"},
                        {"last_affected": "2.3"},
                    ],
                },
                {"type": "GIT", "events": [{"introduced": "0"}]},
            ],
            "versions": ["0.9"],
        }
    ],
}


class TestTheAudit:
    @pytest.mark.parametrize(
        ("given", "affected"),
        [
            ("0.9", True),
            ("1.1", False),
            ("1.2", True),
            ("1.9.1", True),
            ("1.10", False),
            ("1.11", False),
            ("2.0", True),
            ("2.3", True),
            ("2.3.1", False),
        ],
    )
    def test_an_advisory_names_the_versions_of_its_list_and_ranges(
        self, given: str, affected: bool
    ) -> None:
        assert advisories.affects(ADVISORY, "some-package", given) is affected

    def test_a_withdrawn_advisory_and_another_package_name_none(self) -> None:
        withdrawn = {**ADVISORY, "withdrawn": "2030-01-01T00:00:00Z"}
        assert not advisories.affects(withdrawn, "some-package", "1.2")
        assert not advisories.affects(ADVISORY, "other", "1.2")

    @pytest.mark.parametrize(
        ("listed", "pinned"), [("1.0", "1.0.0"), ("1.0.0", "1.0"), ("1.0RC1", "1.0rc1")]
    )
    def test_a_listed_version_and_a_name_count_in_each_spelling(
        self, listed: str, pinned: str
    ) -> None:
        package = {"name": "ruamel.yaml"}
        advisory = {"affected": [{"package": package, "versions": ["1.0-final-2", listed]}]}
        assert advisories.affects(advisory, "ruamel-yaml", pinned)
        assert not advisories.affects(advisory, "ruamel-yaml", "1.1")

    def test_a_folder_of_the_database_is_found_in_each_spelling(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        folder = tmp_path / "vulns" / "Ruamel.Yaml"
        folder.mkdir(parents=True)
        advisory = {
            "id": "PYSEC-2030-2",
            "affected": [{"package": {"name": "ruamel.yaml"}, "versions": ["1.0"]}],
        }
        (folder / "PYSEC-2030-2.yaml").write_text(yaml.safe_dump(advisory), encoding="utf-8")
        monkeypatch.setattr(advisories, "_state", lambda database: ("0" * 40, "2030-01-01"))
        monkeypatch.setattr(advisories, "pins", lambda lock: {("ruamel-yaml", "1.0")})
        assert [each.advisory for each in advisories.audit(tmp_path)] == ["PYSEC-2030-2"]

    def test_the_record_has_a_date_and_every_finding_is_explained(self) -> None:
        [check] = advisories.recorded(datetime.date.today())
        assert check.result != FAILED, check.text
        assert re.search(r'"date": "\d{4}-\d\d-\d\d"', advisories.RECORD.read_text("utf-8"))

    @pytest.mark.parametrize(("days", "result"), [(0, OK), (30, OK), (31, NOT_HERE)])
    def test_old_advisories_are_no_audit(
        self, days: int, result: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        content = json.loads(advisories.RECORD.read_text(encoding="utf-8"))
        content["locks"] = {lock.name: advisories.digest(lock) for lock in locks()}
        monkeypatch.setattr(advisories, "RECORD", tmp_path / "audit.json")
        advisories.RECORD.write_text(json.dumps(content), encoding="utf-8")
        date = datetime.date.fromisoformat(content["database"]["date"])
        [check] = advisories.recorded(date + datetime.timedelta(days=days))
        assert check.result == result, check.text
        assert (f"{days} days old" in check.text) is (result == NOT_HERE)

    def test_a_finding_without_a_row_in_the_table_is_open(self) -> None:
        found = advisories.Finding("a", "1", "PYSEC-2030-1", ("CVE-2030-1",), (), ("latest.txt",))
        assert advisories.unexplained([found]) == [found]
        assert "not mended yet" in found.sentence

    def test_a_folder_that_is_no_database_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="no checkout of the advisory database"):
            advisories.audit(tmp_path)


@pytest.mark.parametrize(
    ("component", "said"),
    [
        ({"name": "openai", "version": "3"}, ""),
        ({"name": "openai"}, "no version of openai"),
        ({"name": "stranger", "version": "1"}, "not in requirements/latest.txt: stranger"),
    ],
)
def test_a_bill_of_materials_has_only_pins_and_their_versions(
    component: dict[str, str], said: str
) -> None:
    library = DISTRIBUTIONS[0]
    subject = {"name": library.name, "version": version()}
    bill = {"metadata": {"component": subject}, "components": [component]}
    assert bill_of_materials.faults(bill, library) == said
    bill["metadata"]["component"] = {"name": library.name}  # type: ignore[index]
    assert "bill of stream-deadline None" in bill_of_materials.faults(bill, library)
