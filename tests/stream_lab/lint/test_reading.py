"""The files that the check of code reads, skips, or reports as unreadable."""

import os
from pathlib import Path

import pytest

from stream_lab.lint import NOT_READ, check
from tests.stream_lab.lint.cases import write
from tests.stream_lab.lint.traps import TRAPS


def test_files_that_cannot_be_read_are_reported_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a_syntax.py").write_text("def f(:\n    pass\n")
    Path("b_binary.py").write_bytes(b"\x7fELF\0\0\1")
    Path("c_latin.py").write_bytes("name = 'Müller'\n".encode("latin-1"))
    Path("d_unknown.py").write_text("# -*- coding: klingon -*-\n")
    Path("e_two.py").write_text("print 'hello'\n")
    Path("f_deep.py").write_text("(" * 5000 + ")" * 5000)
    Path("g_data.ipynb").write_text("[1, 2]")
    Path("h_data.ipynb").write_text("not JSON")
    Path("i_gone.py").symlink_to("nowhere.py")
    Path("readme.md").write_text("# Read only because it is named\nno Python\n")
    Path("z.py").write_text("import nest_asyncio\nnest_asyncio.apply()\n")
    findings = check([".", "missing.py", "readme.md"])
    # The column of a syntax error depends on Python's version.
    told = {
        f"{each.path}{f':{each.line}' if each.line else ''}": each.message
        for each in findings
        if each.rule == NOT_READ
    }
    assert told == {
        "a_syntax.py:1": "Not read: it is not valid Python for this version: invalid syntax.",
        "b_binary.py": "Not read: it is binary, not text.",
        "c_latin.py": "Not read: it is not valid Python for this version: invalid or missing encoding declaration.",
        "d_unknown.py": "Not read: it is not valid Python for this version: unknown encoding: klingon.",
        "e_two.py:1": "Not read: it is not valid Python for this version: Missing parentheses in call to 'print'. Did you mean print(...)?.",
        "f_deep.py:1": "Not read: it is not valid Python for this version: too many nested parentheses.",
        "g_data.ipynb": "Not read: it is not a notebook of format 4.",
        "h_data.ipynb": "Not read: it is not a notebook of format 4.",
        "i_gone.py": "Not read: there is no such file or folder.",
        "missing.py": "Not read: there is no such file or folder.",
        "readme.md:2": "Not read: it is not valid Python for this version: invalid syntax.",
    }
    assert [each.location for each in findings if each.is_trap] == ["z.py:2:1"]


def test_code_that_is_nested_too_deeply_is_reported_and_does_not_stop_the_doctor(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.py").write_text(
        "async def f():\n    (" + " | ".join(["llm"] * 1500) + ").invoke(1)\n"
    )
    write(tmp_path / "b.py", TRAPS["blocking-in-async"][0])
    assert [each.path.name for each in check([tmp_path]) if each.rule == "blocking-in-async"] == [
        "b.py"
    ]
    assert all(
        each.message == "Not read: it is nested too deeply." for each in check([tmp_path / "a.py"])
    )


def test_an_encoding_that_a_file_names_is_understood_and_columns_count_characters(
    tmp_path: Path,
) -> None:
    text = "# coding: latin-1\nimport time\nasync def work():\n    name = 'Müller'; time.sleep(1)\n"
    (tmp_path / "app.py").write_bytes(text.encode("latin-1"))
    assert [(each.line, each.column) for each in check([tmp_path])] == [(4, 22)]


@pytest.mark.parametrize("encoding", ["rot13", "zlib", "hex", "idna", "punycode", "undefined"])
def test_an_encoding_that_is_not_of_text_is_reported_and_the_other_files_are_read(
    encoding: str, tmp_path: Path
) -> None:
    (tmp_path / "a.py").write_text(
        f"# -*- coding: {encoding} -*-\n" + "x" * 200_000 + "-" + "a" * 400_000
    )
    (tmp_path / "b.py").write_text("import nest_asyncio\nnest_asyncio.apply()\n")
    findings = check([tmp_path])
    assert {each.path.name for each in findings} == {"a.py", "b.py"}
    (first,) = (each for each in findings if each.path.name == "a.py")
    assert first.message == (
        f"Not read: it is not valid Python for this version: unknown encoding: {encoding}."
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_and_a_file_without_read_permission_are_reported(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "secret.py").touch(mode=0)
    assert (
        sorted(each.message for each in check([tmp_path])) == ["Not read: Permission denied."] * 2
    )
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_without_python_is_reported(tmp_path: Path) -> None:
    assert [each.message for each in check([tmp_path])] == [
        "Not read: no Python file (*.py, *.ipynb) is in this folder."
    ]


def test_other_peoples_code_and_hidden_folders_are_skipped_unless_they_are_named(
    tmp_path: Path,
) -> None:
    trap = "import nest_asyncio\nnest_asyncio.apply()\n"
    for folder in ("node_modules", ".venv/lib", ".hidden", "__pycache__", "mine/lib", "src"):
        write(tmp_path / folder / "a.py", trap)
    (tmp_path / "mine" / "pyvenv.cfg").touch()
    assert [each.path for each in check([tmp_path])] == [tmp_path / "src" / "a.py"]
    assert len(check([tmp_path / ".hidden"])) == 1
    assert len(check([tmp_path / "src", tmp_path / "src" / "a.py"])) == 1, "each file is read once"


def test_the_code_is_never_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    write(
        tmp_path / "app.py", f"open({str(ran)!r}, 'w')\nimport nest_asyncio\nnest_asyncio.apply()"
    )
    assert len(check([tmp_path])) == 1
    assert not ran.exists()
