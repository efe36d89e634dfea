"""The exercises of notebook 03, with the answers that readers give."""

import subprocess
import sys

import pytest

from stream_lab.course.exercises import notebook_03
from tests.stream_lab.course.written import RIGHT, check, untouched

VALUES = [
    ("answer = (False, True)", RIGHT),
    ("answer = [False, True]", RIGHT),
    ("answer = (True, False)", "wrong order"),
    ("answer = (True, True)", "no effect"),
    ("answer = False", "a pair"),
    ("answer = ('False', 'True')", "without quotes"),
    ("answer = ('CancelledError', True)", "No error is raised"),
    ("answer = (None, None)", "what the task returns"),
]
TASKS = [
    (
        """
        async def answer(cm, work):
            async with cm:
                return await work()
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(cm, work):
            async with cm:
                return await asyncio.create_task(work())
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(cm, work):
            async def all_of_it():
                async with cm:
                    return await work()
            return await asyncio.create_task(all_of_it())
        """,
        RIGHT,
    ),
    (
        """
        import asyncio
        async def answer(cm, work):
            await asyncio.create_task(cm.__aenter__())
            result = await work()
            await cm.__aexit__(None, None, None)
            return result
        """,
        "Which task did the scope remember",
    ),
    ("async def answer(cm, work):\n    return await work()", "the work went on"),
    (
        """
        async def answer(cm, work):
            await cm.__aenter__()
            return await work()
        """,
        "has to be left",
    ),
    (
        """
        async def answer(cm, work):
            try:
                async with cm:
                    return await work()
            except TimeoutError:
                return None
        """,
        "no error came out",
    ),
    (
        """
        import asyncio
        kept = []
        async def answer(cm, work):
            task = asyncio.create_task(work())
            kept.append(task)
            async with cm:
                return await asyncio.shield(task)
        """,
        "goes on in its own task",
    ),
    (
        """
        import asyncio
        async def answer(cm, work):
            return await asyncio.wait_for(work(), 0.1)
        """,
        "no other bound",
    ),
    (
        """
        async def answer(cm, work):
            async with cm:
                await work()
        """,
        "returned None",
    ),
    (
        """
        async def answer(cm, work):
            async with cm:
                return work()
        """,
        "no error came out",
    ),
    ("def answer(cm, work):\n    return None", "async def"),
    (
        """
        async def answer(cm, work):
            with cm:
                return await work()
        """,
        "TypeError",
    ),
]
MINI = """
    import asyncio
    class answer:
        def __init__(self, delay):
            self.delay = delay
            self.fired = False

        async def __aenter__(self):
            self.task = asyncio.current_task()
            self.pending = self.task.cancelling()
            self.timer = asyncio.get_running_loop().call_later(self.delay, self.fire)
            return self

        def fire(self):
            self.fired = True
            self.task.cancel()

        async def __aexit__(self, kind, error, trace):
            self.timer.cancel()
            if self.fired and self.task.uncancel() <= self.pending and kind is asyncio.CancelledError:
                raise TimeoutError from error
"""
EXIT = MINI[MINI.index("            self.timer.cancel()") :]
WATCHDOG = """
    import asyncio
    class answer:
        def __init__(self, delay):
            self.delay = delay

        async def __aenter__(self):
            self.fired, self.task = False, asyncio.current_task()
            self.pending = self.task.cancelling()
            self.watchdog = asyncio.create_task(self.fire())

        async def fire(self):
            await asyncio.sleep(self.delay)
            self.fired = True
            self.task.cancel()

        async def __aexit__(self, kind, error, trace):
            self.watchdog.cancel()
            if self.fired:
                others = self.task.uncancel() > self.pending
                if not others and kind is not None and issubclass(kind, asyncio.CancelledError):
                    raise TimeoutError
            return False
"""
FUNCTION = """
    import asyncio
    from contextlib import asynccontextmanager
    @asynccontextmanager
    async def answer(delay):
        task, fired = asyncio.current_task(), []
        pending = task.cancelling()
        def fire():
            fired.append(True)
            task.cancel()
        timer = asyncio.get_running_loop().call_later(delay, fire)
        try:
            yield
        except asyncio.CancelledError as error:
            if fired and task.uncancel() <= pending:
                raise TimeoutError from error
            raise
        finally:
            timer.cancel()
"""
SUBCLASS = """
    import asyncio
    class answer(asyncio.Timeout):
        def __init__(self, delay):
            super().__init__(asyncio.get_running_loop().time() + delay)
"""
SCOPES = [
    (MINI, RIGHT),
    (WATCHDOG, RIGHT),
    (FUNCTION, RIGHT),
    (
        MINI.replace("kind is asyncio.C", "isinstance(error, asyncio.C").replace("ror:", "ror):"),
        RIGHT,
    ),
    (SUBCLASS, "the real one"),
    (MINI.replace("self.task.cancel()", "pass"), "not stopped"),
    (MINI.replace("self.task.cancel()", "raise TimeoutError"), "not stopped"),
    (MINI.replace(EXIT, "            self.timer.cancel()\n"), "Raise TimeoutError instead"),
    (MINI.replace(EXIT, "            return True\n"), "no TimeoutError came out"),
    (
        MINI.replace("self.task.uncancel() <= self.pending and ", ""),
        "Call `uncancel()`",
    ),
    (MINI.replace("            self.timer.cancel()\n", ""), "after the scope had been left"),
    (
        MINI.replace(
            EXIT,
            """            self.timer.cancel()
            self.task.uncancel()
            raise TimeoutError
""",
        ),
        "done in time, and TimeoutError",
    ),
    (
        MINI.replace(
            EXIT,
            """            self.timer.cancel()
            if self.fired:
                self.task.uncancel()
                raise TimeoutError
""",
        ),
        "while it cleaned up",
    ),
    (
        MINI.replace(
            EXIT,
            """            self.timer.cancel()
            if kind is asyncio.CancelledError:
                self.task.uncancel()
                raise TimeoutError
""",
        ),
        "was not the scope's own",
    ),
    (
        MINI.replace(
            EXIT,
            """            self.timer.cancel()
            if self.fired and kind is asyncio.CancelledError:
                self.task.uncancel()
                raise TimeoutError
""",
        ),
        "must not get lost",
    ),
    (
        MINI.replace("self.task.uncancel() <= self.pending", "self.task.cancelling() == 1").replace(
            "raise TimeoutError from", "self.task.uncancel(); raise TimeoutError from"
        ),
        "Take back your own",
    ),
    (MINI.replace("<= self.pending", "== 0"), "at the entry, and not with 0"),
    (MINI.replace("async def __aexit__", "def __aexit__"), "TypeError"),
    (MINI.replace("async def __aenter__", "async def __enter__"), "TypeError"),
    (MINI + "    answer = answer(1)\n", "the class"),
]


def wait_less(monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    """Shorten the wait for wrong answers; right ones may need it on a busy machine."""
    if said != RIGHT:
        monkeypatch.setattr(notebook_03, "PATIENCE", 0.4)


@pytest.mark.parametrize(("code", "said"), VALUES)
def test_values_of_cancel(code: str, said: str) -> None:
    check("03.1", code, said)


@pytest.mark.parametrize(("code", "said"), TASKS)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_the_right_task(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_less(monkeypatch, said)
    check("03.2", code, said)


@pytest.mark.parametrize(("code", "said"), SCOPES)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_a_scope_of_ones_own(code: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    wait_less(monkeypatch, said)
    check("03.3", code, said)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("03.1", "answer = ..."),
        ("03.2", "async def answer(cm, work):\n    raise NotImplementedError"),
        (
            "03.3",
            """
            class answer:
                def __init__(self, delay): self.delay = delay
                async def __aenter__(self): raise NotImplementedError
                def fire(self): ...
                async def __aexit__(self, kind, error, trace): ...
            """,
        ),
    ],
)
def test_an_untouched_cell_is_no_answer(name: str, code: str) -> None:
    assert untouched(name, code)


def test_the_notebook_needs_no_network_and_no_langchain() -> None:
    """It may run in a browser, where these packages are missing or slow to load."""
    code = (
        "import asyncio, sys; from stream_lab import Evidence, Lesson, scope; "
        "from stream_lab.experiment.stepped import stepped; "
        "import stream_lab.course.exercises.notebook_03; "
        "print([name for name in ('langchain_core', 'openai', 'httpx2', 'psutil', 'pydantic')"
        " if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
