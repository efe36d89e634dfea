"""The check of code finds each trap at its place, and reports no near miss."""

from pathlib import Path
from textwrap import dedent

import pytest

from stream_lab.lint import RULES, check
from tests.stream_lab.lint.cases import cases, found, write
from tests.stream_lab.lint.near_misses import NEAR_MISSES
from tests.stream_lab.lint.traps import TRAPS


@pytest.mark.parametrize(("rule", "text"), cases(TRAPS))
def test_a_trap_is_found_at_its_place(rule: str, text: str, tmp_path: Path) -> None:
    expected = write(tmp_path / "app.py", text)
    findings = check([tmp_path])
    assert expected
    assert found(findings, rule) == expected
    assert {each.rule for each in findings} == {rule}, "and nothing else is said of it"


@pytest.mark.parametrize(("rule", "text"), cases(NEAR_MISSES))
def test_a_near_miss_is_not_reported(rule: str, text: str, tmp_path: Path) -> None:
    write(tmp_path / "app.py", text)
    findings = check([tmp_path])
    assert found(findings, rule) == []
    assert not [each for each in findings if not each.is_trap], "the case itself has to be Python"


def test_every_rule_has_its_cases_and_its_words() -> None:
    assert set(TRAPS) == set(NEAR_MISSES) == {rule.id for rule in RULES}
    for rule in RULES:
        assert len(TRAPS[rule.id]) >= 2
        assert len(NEAR_MISSES[rule.id]) >= 2
        assert rule.says.endswith(".")
        assert rule.remedy.endswith(".")
        assert rule.reason
        assert (rule.look is None) != (rule.across is None)


@pytest.mark.parametrize("name", ["test_app.py", "app_test.py", "conftest.py", "tests/helpers.py"])
def test_a_blocking_call_in_a_test_is_not_reported(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for rule in ("invoke-in-async", "thread-outlives-timeout"):
        write(Path(name), TRAPS[rule][0])
        write(Path("src/app.py"), TRAPS[rule][0])
        assert [each.path for each in check(["."])] == [Path("src/app.py")]


def test_a_middleware_in_another_file_of_the_same_package_hides_too(tmp_path: Path) -> None:
    middleware, handler = TRAPS["disconnect-hidden"][0].split('@app.get("/chat")')
    write(tmp_path / "app" / "__init__.py", "")
    write(tmp_path / "app" / "web" / "__init__.py", "")
    write(tmp_path / "app" / "web" / "log.py", middleware)
    expected = write(tmp_path / "app" / "chat.py", dedent(handler))
    write(tmp_path / "another" / "chat.py", dedent(handler))
    findings = check([tmp_path])
    assert [(each.path, each.line, each.column) for each in findings] == [
        (tmp_path / "app" / "chat.py", *expected[0])
    ]
    assert "log.py:1" in findings[0].message


ELSEWHERE = {
    "app/models.py": """
        from langchain_openai import ChatOpenAI
        from openai import AsyncOpenAI
        brain = ChatOpenAI()
        client = AsyncOpenAI()
        model = {"name": "m"}
        class Service:
            def __init__(self):
                self.thinker = ChatOpenAI()
        def make():
            return ChatOpenAI()
        async def ask(question):
            return await client.chat.completions.create(messages=[question], model="m")
        def whole(question):
            return brain.invoke(question)
    """,
    "app/__init__.py": "from .models import brain as thinker",
    "elsewhere/chains.py": "chain = {}",
    "app/web.py": """
        from app import thinker
        from .chains import chain
        from app.models import Service, make, model
        from . import models
        made, service = make(), Service()
        async def answer(question):
            «thinker.invoke(question)
            «models.brain.invoke(question)
            «make().invoke(question)
            «service.thinker.invoke(question)
            «chain.invoke(question)
            return model.invoke(question)
    """,
    "app/tasks.py": """
        import asyncio
        from celery import shared_task
        from .models import ask, whole
        @shared_task
        def task(question):
            return «asyncio.run(ask(question))
        async def bounded(question):
            return await asyncio.wait_for(«asyncio.to_thread(whole, question), 30)
    """,
}


def test_a_name_is_followed_into_the_file_that_it_is_imported_from(tmp_path: Path) -> None:
    expected = [
        (name, *place)
        for name, text in sorted(ELSEWHERE.items())
        for place in write(tmp_path / name, text)
    ]
    found = [
        (each.path.relative_to(tmp_path).as_posix(), each.line, each.column)
        for each in check([tmp_path])
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (
            "with ThreadPoolExecutor(2) as pool:\n    pool.submit(llm.invoke, 1).result(timeout=3)",
            "leaving `with ThreadPoolExecutor(2)` waits for the thread",
        ),
        (
            "pool = ThreadPoolExecutor(2)\npool.submit(llm.invoke, 1).result(timeout=3)",
            "the GPU.",
        ),
        (
            "with anyio.fail_after(1):\n    anyio.to_thread.run_sync(llm.invoke, 1)",
            "`run_sync` waits for its thread",
        ),
        (
            "with anyio.fail_after(1):\n    anyio.to_thread.run_sync(llm.invoke, abandon_on_cancel=True)",
            "the GPU.",
        ),
    ],
)
def test_a_finding_says_where_the_error_comes_late_as_well(
    code: str, says: str, tmp_path: Path
) -> None:
    imports = "import anyio\nfrom concurrent.futures import ThreadPoolExecutor\n"
    (tmp_path / "app.py").write_text(imports + code, encoding="utf-8")
    (finding,) = check([tmp_path])
    assert finding.rule == "thread-outlives-timeout"
    assert says in finding.message
    assert ("waits for" in finding.message) == ("waits for" in says)
