"""The doctor for code: each trap is found where it stands, and what only looks like it is left alone."""

import json
import os
import re
from collections import Counter
from pathlib import Path
from textwrap import dedent

import pytest

from stream_lab.lint import NOT_READ, RULES, Finding, check, render, survey
from stream_lab.lint.documentation import rules_table

ROOT = Path(__file__).parents[3]

# «: here a finding is expected, of the rule that the cases are for.
TRAPS = {
    "scope-across-yield": [
        """
        import asyncio
        async def chunks(self):
            async with «asyncio.timeout(self.timeout):
                async for chunk in super()._astream():
                    yield chunk
        """,
        """
        from anyio import fail_after as limit
        async def chunks(stream):
            yield "first"
            with open("log") as log, «limit(3):
                yield "second"
        """,
        """
        import async_timeout, stream_deadline
        async def chunks(stream):
            async with «async_timeout.timeout(5):
                while True:
                    yield await anext(stream)
        async def budget(stream):
            with «stream_deadline.deadline(30) as due:
                for each in stream:
                    if each:
                        yield each
        """,
        """
        import asyncio
        @traceable(name="chunks")
        async def chunks(stream):
            async with «asyncio.timeout(5):
                async for chunk in stream:
                    yield chunk
        """,
    ],
    "timeout-per-read": [
        """
        from langchain_openai import ChatOpenAI
        model = «ChatOpenAI(model="m", timeout=45)
        async def answer(question):
            async for chunk in model.astream(question):
                print(chunk)
        """,
        """
        import openai
        client = «openai.AsyncOpenAI(timeout=settings.timeout)
        async def answer(messages):
            return await client.chat.completions.create(model="m", messages=messages, stream=True)
        """,
        """
        from langchain_openai import AzureChatOpenAI as Azure
        def make():
            return «Azure(request_timeout=45, streaming=True)
        """,
    ],
    "thread-outlives-timeout": [
        """
        import asyncio
        async def answer(chain, question):
            return await asyncio.wait_for(«asyncio.to_thread(chain.invoke, question), 45)
        """,
        """
        import asyncio
        async def answer(loop, question):
            async with asyncio.timeout(45):
                return await «loop.run_in_executor(None, lambda: rag_chain.invoke(question))
        """,
        """
        import asyncio
        from openai import OpenAI
        client = OpenAI()
        async def answer():
            async with asyncio.timeout(45):
                return await «asyncio.to_thread(client.chat.completions.create, model="m")
        """,
        """
        import asyncio, openai
        class Service:
            def __init__(self):
                self.client = openai.OpenAI()
            async def answer(self):
                return await asyncio.wait_for(«asyncio.to_thread(self.client.chat.completions.create, model="m"), 5)
        """,
    ],
    "run-in-running-loop": [
        """
        import asyncio
        async def answer():
            return «asyncio.run(chain.ainvoke("Why?"))
        """,
        """
        async def answer(loop):
            with span():
                if loop:
                    «loop.run_until_complete(work())
        """,
        """
        import asyncio
        from anyio import run
        await asyncio.sleep(0)
        «run(main)
        """,
    ],
    "nest-asyncio": [
        """
        import nest_asyncio
        «nest_asyncio.apply()
        """,
        """
        def patch():
            from nest_asyncio2 import apply
            «apply()
        """,
    ],
    "client-across-loops": [
        """
        import asyncio
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI()
        asyncio.run(model.ainvoke("One."))
        «asyncio.run(model.ainvoke("Two."))
        """,
        """
        import asyncio
        from openai import AsyncOpenAI
        client = AsyncOpenAI()
        async def ask(question):
            return await client.chat.completions.create(messages=[question], model="m")
        async def both(question):
            return await ask(question)
        def main():
            for question in questions:
                «asyncio.run(both(question))
        """,
    ],
    "invoke-in-async": [
        """
        async def node(state):
            return {"messages": [«llm.invoke(state["messages"])]}
        """,
        """
        async def node(self, question):
            result = «self.rag_chain.invoke(question)
            other = await self.ask(question)
            return result, other
        """,
        """
        import langchain_openai
        async def node(self, question):
            await self.save({"answer": «agent.invoke(question)})
            with «self.model.stream(question) as chunks:
                return list(chunks)
        """,
        """
        from langchain_openai import ChatOpenAI
        class Service:
            def __init__(self):
                self.brain = prompt | ChatOpenAI()
            async def answer(self, question):
                for chunk in «self.brain.with_config(tags=["a"]).stream(question):
                    self.show(chunk)
        """,
        """
        from langchain_core.language_models import BaseChatModel
        async def answer(brain: BaseChatModel, questions):
            if questions:
                return «(prompt | brain).batch(questions)
        """,
        """
        from app.upload import ingest_runnable
        @app.post("/ingest")
        async def ingest(files):
            return «ingest_runnable.batch(files)
        """,
        """
        from langchain_core.prompts import ChatPromptTemplate
        brain = ChatPromptTemplate.from_messages([]) | parser
        async def answer(question):
            return «brain.invoke(question)
        """,
        """
        from langgraph.graph import StateGraph
        app = StateGraph(State).compile()
        async def answer(question):
            return «app.invoke(question)
        """,
    ],
    "blocking-in-async": [
        """
        import time
        async def answer():
            «time.sleep(1)
        """,
        """
        from requests import post as send
        @app.post("/")
        async def answer():
            return «send("http://gpu/", timeout=3).json()
        """,
        """
        from openai import OpenAI
        class Service:
            def __init__(self):
                self.client = OpenAI()
            async def answer(self):
                return «self.client.chat.completions.create(model="m")
        """,
        """
        import openai
        async def answer():
            return «openai.ChatCompletion.create(model="m")
        """,
    ],
    "callback-blocks": [
        """
        import requests
        from langchain_core.callbacks import AsyncCallbackHandler
        class Metrics(AsyncCallbackHandler):
            async def on_llm_end(self, response, **kwargs):
                «requests.post("http://metrics/", json={})
        """,
        """
        import time
        from langchain_core.callbacks import base
        class Slow(base.BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                if token:
                    «time.sleep(0.1)
        """,
    ],
    "callback-can-cut": [
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Metrics(BaseCallbackHandler):
            «raise_error = True
            def on_llm_new_token(self, token, **kwargs):
                self.count[token] += 1
        """,
        """
        from langchain_core.callbacks import AsyncCallbackHandler
        class Metrics(AsyncCallbackHandler):
            def __init__(self):
                «self.raise_error: bool = True
            async def on_llm_end(self, response, **kwargs):
                try:
                    self.send(response)
                except ValueError:
                    pass
        """,
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Metrics(BaseCallbackHandler):
            «raise_error = True
            def on_llm_end(self, response, **kwargs):
                self.count += response.count
                try:
                    self.send()
                except Exception:
                    pass
        class Again(BaseCallbackHandler):
            «raise_error = True
            def on_llm_end(self, response, **kwargs):
                try:
                    self.send()
                except Exception:
                    raise
        class Empty(BaseCallbackHandler):
            «raise_error = True
        """,
    ],
    "callback-unheard": [
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Stop(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                if time.monotonic() > self.until:
                    «raise TimeoutError("too long")
        """,
        """
        from langchain_core.callbacks import AsyncCallbackHandler
        class Stop(AsyncCallbackHandler):
            async def on_chain_end(self, outputs, **kwargs):
                try:
                    self.check(outputs)
                except ValueError:
                    «raise
        """,
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Stop(BaseCallbackHandler):
            def on_llm_new_token(self, token, **kwargs):
                try:
                    «raise ValueError
                finally:
                    self.close()
        """,
    ],
    "stream-collected": [
        """
        @app.post("/chat")
        async def chat(question):
            chunks = «[chunk async for chunk in chain.astream(question)]
            return {"text": chunks}
        """,
        """
        @router.get("/chat")
        async def chat(question):
            text = ""
            «async for chunk in chain.astream(question):
                text += chunk.content
            return text
        """,
        """
        @app.get("/chat")
        def chat(question):
            return StreamingResponse(iter(«list(chain.stream(question))))
        """,
        """
        async def events(question):
            text = "".join(«[chunk.text async for chunk in model.astream(question)])
            yield f"data: {text}"
        """,
        """
        @app.get("/chat")
        def chat(question):
            return "".join(«(chunk.text for chunk in chain.stream(question)))
        @app.get("/chunks")
        def chunks(question):
            return list(«(chunk.text for chunk in chain.stream(question)))
        @app.get("/file")
        async def file(question):
            «async for chunk in chain.astream(question):
                buffer.write(chunk)
            return buffer
        """,
    ],
    "length-promised": [
        """
        @app.get("/chat")
        async def chat():
            return StreamingResponse(events(), media_type="text/event-stream", headers={«"Content-Length": "1000"})
        """,
        """
        from sse_starlette.sse import EventSourceResponse
        def chat():
            headers = {}
            return EventSourceResponse(events(), headers={"x-a": "b", «"content-length": str(length)})
        """,
    ],
    "disconnect-hidden": [
        """
        @app.middleware("http")
        async def log(request, call_next):
            return await call_next(request)
        @app.get("/chat")
        async def chat(request):
            while not await «request.is_disconnected():
                pass
        """,
        """
        from starlette.middleware.base import BaseHTTPMiddleware
        class Log(BaseHTTPMiddleware):
            pass
        async def gone(request):
            return await «request.is_disconnected()
        """,
    ],
}

NEAR_MISSES = {
    "scope-across-yield": [
        """
        import asyncio
        async def chunks(stream):  # left before each yield
            while True:
                async with asyncio.timeout(5):
                    chunk = await anext(stream)
                yield chunk
        """,
        """
        import asyncio
        from contextlib import asynccontextmanager
        import pytest_asyncio
        @asynccontextmanager
        async def limited():
            async with asyncio.timeout(5):
                yield "one"
                yield "two"
        @pytest_asyncio.fixture(scope="module")
        async def limited_too():
            async with asyncio.timeout(5):
                for each in "ab":
                    yield each
        """,
        """
        import asyncio
        async def database():  # a dependency of FastAPI
            async with asyncio.timeout(5):
                yield connect()
        """,
        """
        import asyncio
        async def consume(stream):
            async with asyncio.timeout(5):
                def inner():
                    yield 1
                    yield 2
                return [chunk async for chunk in stream]
        async def no_limit(stream):
            async with asyncio.timeout(None):
                async for chunk in stream:
                    yield chunk
        async def of_their_own(stream):
            async with timeout(5):
                async for chunk in stream:
                    yield chunk
        """,
    ],
    "timeout-per-read": [
        """
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI(timeout=45)  # nothing streams
        answer = model.invoke("Why?")
        """,
        """
        import httpx
        from langchain_openai import ChatOpenAI
        phases = ChatOpenAI(timeout=httpx.Timeout(45, connect=3), streaming=True)
        none = ChatOpenAI(timeout=None, streaming=True)
        """,
        """
        from langchain_openai import ChatOpenAI
        from stream_deadline import bounded
        chunks = bounded(ChatOpenAI(timeout=45).astream("Why?"), 45)
        """,
        """
        import mine, openai
        mine.OpenAI(timeout=45)
        openai.Other(timeout=45)
        openai.OpenAI(max_retries=1)
        chunks = client.create(stream=True)
        """,
    ],
    "thread-outlives-timeout": [
        """
        import asyncio
        from stream_deadline import ChatVllm
        model = ChatVllm(timeout=45)
        async def answer(question):
            return await asyncio.wait_for(asyncio.to_thread(model.invoke, question), 50)
        """,
        """
        import asyncio
        async def answer(chain, question):
            first = await asyncio.to_thread(chain.invoke, question)
            async with asyncio.timeout(3):
                return await asyncio.to_thread(read_file, first)
        """,
        """
        import asyncio, stream_deadline
        async def answer(chain, question):
            await asyncio.gather(asyncio.to_thread(chain.invoke, question))
            await asyncio.wait_for(asyncio.to_thread(database.invoke, question), 5)
            async with lock:
                await asyncio.to_thread(chain.invoke, question)
            with stream_deadline.deadline(5):
                await asyncio.to_thread(chain.invoke, question)
            async with asyncio.timeout(5):
                async def later():
                    await asyncio.to_thread(chain.invoke, question)
        """,
    ],
    "run-in-running-loop": [
        """
        import asyncio
        def main():
            asyncio.run(work())
        async def threaded():
            await asyncio.to_thread(asyncio.run, work())
            await asyncio.to_thread(lambda: asyncio.run(work()))
        asyncio.run(work())
        """,
        """
        import subprocess, trio
        async def answer(app):
            app.run(work())
            def in_a_thread(loop):
                loop.run_until_complete(work())
        """,
    ],
    "nest-asyncio": [
        """
        import nest_asyncio
        apply = nest_asyncio.__version__
        """,
        """
        def apply(patch):
            "nest_asyncio.apply()"
            patch.apply()
        """,
    ],
    "client-across-loops": [
        """
        import asyncio, sys
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI()
        if sys.argv:
            asyncio.run(model.ainvoke("One."))
        else:
            asyncio.run(model.ainvoke("Two."))
        """,
        """
        import asyncio
        from stream_deadline import ChatVllm
        model = ChatVllm()
        asyncio.run(model.ainvoke("One."))
        asyncio.run(model.ainvoke("Two."))
        """,
        """
        import asyncio
        from openai import AsyncOpenAI
        client = AsyncOpenAI()
        async def ask():
            async with AsyncOpenAI() as client:
                pass
        async def other():
            pass
        asyncio.run(other())
        asyncio.run(other())
        """,
        """
        import asyncio
        from langchain_openai import ChatOpenAI
        model = ChatOpenAI()
        print(model)
        print(model)
        for each in "ab":
            def later():
                asyncio.run(model.ainvoke(each))
        """,
    ],
    "invoke-in-async": [
        """
        async def answer(question):
            await agent.invoke(question)
            async for message in agent.invoke(question):
                pass
            async with model.stream(question) as stream:
                pass
            later = llm.invoke(question)
            await later
            return await asyncio.gather(*[chain.invoke(each) for each in question])
        """,
        """
        async def answer(question):
            await asyncio.to_thread(chain.invoke, question)
            await asyncio.to_thread(lambda: chain.invoke(question))
            def work():
                return chain.invoke(question)
        def synchronous(question):
            return chain.invoke(question)
        """,
        """
        import httpx
        async def others():
            paragraph.invoke("a")
            client.stream("GET", "/")
            self.model.stream("frames")  # nothing of LangChain near
            model = {"a": 1}
            model.invoke("b")
        """,
        """
        from langchain_community.chat_message_histories import ChatMessageHistory
        thing, history, built, parsed = Thing(), ChatMessageHistory(), builder.compile(), 0
        history = ChatMessageHistory()
        built = builder.compile()
        parsed = llm.parse()
        async def answer(question, brain: Brain, kept: ChatMessageHistory):
            thing.invoke(question)
            history.invoke(question)
            built.invoke(question)
            parsed.invoke(question)
            brain.invoke(question)
            kept.invoke(question)
        """,
    ],
    "blocking-in-async": [
        """
        import asyncio, time, requests
        from openai import AsyncOpenAI
        client = AsyncOpenAI()
        def answer():
            time.sleep(1)
        async def elsewhere():
            await asyncio.sleep(1)
            await asyncio.to_thread(time.sleep, 1)
            await client.chat.completions.create(model="m")
            await asyncio.to_thread(lambda: requests.get("http://gpu/"))
            return requests.Session
        """,
        """
        async def answer(requests, sleep, store):
            sleep(1)
            store.requests.get("a")
            store.create("b")
        """,
        """
        import time
        from openai import OpenAI
        class Blocks:
            def __init__(self):
                self.client = OpenAI()
        class Other:
            async def answer(self):
                return self.client.messages.create()
        @retry(time.sleep(1))
        async def once(seconds=time.sleep(1)):
            pass
        """,
    ],
    "callback-blocks": [
        """
        import time
        from langchain_core.callbacks import BaseCallbackHandler, AsyncCallbackHandler
        class Metrics(BaseCallbackHandler):
            def on_llm_end(self, response, **kwargs):
                time.sleep(1)  # once, in a thread
            def flush(self):
                time.sleep(1)
        class Quick(AsyncCallbackHandler):
            async def on_llm_new_token(self, token, **kwargs):
                await asyncio.sleep(0)
        """,
        """
        import time
        class CallbackHandlerFactory:
            def on_llm_new_token(self, token):
                time.sleep(1)
        """,
    ],
    "callback-can-cut": [
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Metrics(BaseCallbackHandler):
            raise_error = False
        class Careful(BaseCallbackHandler):
            raise_error = True
            def on_llm_end(self, response, **kwargs):
                "Counts."
                try:
                    self.count += 1
                except Exception:
                    log.exception("metrics")
            def on_chain_end(self, outputs, **kwargs):
                "Nothing to count."
                pass
        """,
        """
        from langchain.callbacks import AsyncIteratorCallbackHandler
        class Answer(AsyncIteratorCallbackHandler):
            raise_error = True
            async def on_llm_end(self, response, **kwargs):
                self.done.set()
        class Client:
            raise_error = True
        """,
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Metrics(BaseCallbackHandler):
            def __init__(self, other):
                other.raise_error = True
                raise_error = True
        class Bare(BaseCallbackHandler):
            raise_error = True
            def on_llm_end(self, response, **kwargs):
                try:
                    self.count += 1
                except:
                    pass
        """,
    ],
    "callback-unheard": [
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Heard(BaseCallbackHandler):
            raise_error = True
            def on_llm_new_token(self, token, **kwargs):
                raise TimeoutError
        """,
        """
        from langchain_core.callbacks import BaseCallbackHandler
        class Quiet(BaseCallbackHandler):
            def on_chat_model_start(self, *args, **kwargs):
                raise NotImplementedError("on_llm_start will do")
            def on_llm_end(self, response, **kwargs):
                try:
                    raise ValueError
                except ValueError:
                    pass
            def close(self):
                raise RuntimeError
        class Inherited(Mine, BaseCallbackHandler):
            def on_llm_end(self, response, **kwargs):
                raise ValueError
        """,
        """
        from mine import MyCallbackHandler
        from langchain_core.callbacks import BaseCallbackHandler
        class Mine(MyCallbackHandler):
            def on_llm_end(self, response, **kwargs):
                raise ValueError
        class Both(Mixin, BaseCallbackHandler):
            def on_llm_end(self, response, **kwargs):
                raise ValueError
        """,
    ],
    "stream-collected": [
        """
        @app.post("/chat")
        async def chat(question, socket):
            async for chunk in chain.astream(question):
                await socket.send(chunk)
            async for chunk in chain.astream(question):
                seen.append(chunk)
                if len(seen) > 3:
                    break
            async def events():
                async for chunk in chain.astream(question):
                    yield chunk
            return StreamingResponse(events())
        """,
        """
        async def collected(question):  # no handler: whoever calls it wants the whole
            return [chunk async for chunk in chain.astream(question)]
        @app.get("/rows")
        async def rows():
            return [row async for row in database.rows()]
        async def paired(question):
            yield "first"
            last = [chunk async for chunk in chain.astream(question)]
        """,
        """
        from stream_deadline.asgi import DeadlineMiddleware
        @app.post("/answer")
        async def answer(question):
            return [chunk async for chunk in chain.astream(question)]
        """,
        """
        @limits(5)
        async def limited(question):
            return [chunk async for chunk in chain.astream(question)]
        @app.get("/lazy")
        async def lazy(question):
            return StreamingResponse(chunk.text async for chunk in chain.astream(question))
        @app.get("/rows")
        def rows(question):
            every = list(question)
            text = [row for row in database.stream(question)]
            for row in text:
                every.append(row)
            return StreamingResponse(chain.stream(question))
        """,
        """
        async def collects(question):
            text = ""
            async for chunk in chain.astream(question):
                text += chunk
            return text
        @app.post("/told")
        async def told(question, socket):
            text, count = "", 0
            async for chunk in chain.astream(question):
                text += chunk
                await socket.send(chunk)
            async for chunk in chain.astream(question):
                count += 1
            async for chunk in chain.astream(question):
                text += chunk
                yield chunk
        """,
    ],
    "length-promised": [
        """
        def file():
            return StreamingResponse(open("a.mp4", "rb"), media_type="video/mp4", headers={"Content-Length": "1000"})
        """,
        """
        def chat():
            return StreamingResponse(events(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        """,
    ],
    "disconnect-hidden": [
        """
        async def gone(request):
            return await request.is_disconnected()
        """,
        """
        @app.middleware("websocket")
        async def log(request, call_next):
            return await call_next(request)
        async def gone(request):
            return await request.is_disconnected()
        """,
        """
        class Log(PlainMiddleware):
            "Not BaseHTTPMiddleware."
        @app.on_event("http")
        async def gone(request):
            return await request.is_disconnected()
        """,
    ],
}


def write(path: Path, text: str) -> list[tuple[int, int]]:
    """Write the file without its marks, and tell where they were: line and column."""
    lines = dedent(text).strip("\n").split("\n")
    places = [
        (number, line.index("«") + 1) for number, line in enumerate(lines, start=1) if "«" in line
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(line.replace("«", "") for line in lines), encoding="utf-8")
    return places


def found(findings: list[Finding], rule: str) -> list[tuple[int, int]]:
    return [(each.line, each.column) for each in findings if each.rule == rule]


def cases(of: dict[str, list[str]]) -> list[object]:
    return [
        pytest.param(rule, text, id=f"{rule}-{number}")
        for rule, texts in of.items()
        for number, text in enumerate(texts, 1)
    ]


@pytest.mark.parametrize(("rule", "text"), cases(TRAPS))
def test_a_trap_is_found_where_it_stands(rule: str, text: str, tmp_path: Path) -> None:
    expected = write(tmp_path / "app.py", text)
    findings = check([tmp_path])
    assert expected
    assert found(findings, rule) == expected
    assert {each.rule for each in findings} == {rule}, "and nothing else is said of it"


@pytest.mark.parametrize(("rule", "text"), cases(NEAR_MISSES))
def test_what_only_looks_like_it_is_left_alone(rule: str, text: str, tmp_path: Path) -> None:
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
def test_what_blocks_in_a_test_keeps_nobody_waiting(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path(name), TRAPS["invoke-in-async"][0])
    write(Path("src/app.py"), TRAPS["invoke-in-async"][0])
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


@pytest.mark.parametrize(
    ("comment", "silent"),
    [
        ("# doctor: ignore[blocking-in-async]", True),
        ("# why not  # doctor: ignore[nest-asyncio, blocking-in-async]", True),
        ("# doctor: ignore[nest-asyncio]", False),
        ("# doctor: ignore", False),
    ],
)
def test_a_comment_on_the_line_silences_the_rule_that_it_names(
    comment: str, silent: bool, tmp_path: Path
) -> None:
    write(
        tmp_path / "app.py",
        f"import time\nasync def work():\n    time.sleep(1)  {comment}\n    time.sleep(2)",
    )
    result = survey([tmp_path])
    assert [each.line for each in result.findings] == ([4] if silent else [3, 4])
    assert result.silenced == silent


def test_a_comment_may_stand_on_the_first_line_of_the_statement(tmp_path: Path) -> None:
    text = "import time\nasync def work():\n    wait(  # doctor: ignore[blocking-in-async]\n        time.sleep(1),\n    )"
    write(tmp_path / "app.py", text)
    assert check([tmp_path]) == []


def test_a_comment_silences_what_several_files_make(tmp_path: Path) -> None:
    text = TRAPS["disconnect-hidden"][1].rstrip() + "  # doctor: ignore[disconnect-hidden]"
    write(tmp_path / "app.py", text)
    assert check([tmp_path]) == []


def test_what_cannot_be_read_is_told_and_the_rest_is_read(
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
    # Where on its line a syntax error is told depends on Python's version.
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


def test_code_that_is_nested_very_deeply_is_told_and_does_not_stop_the_doctor(
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


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_and_a_file_that_may_not_be_read_are_told(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "secret.py").touch(mode=0)
    assert (
        sorted(each.message for each in check([tmp_path])) == ["Not read: Permission denied."] * 2
    )
    (tmp_path / "closed").chmod(0o700)


def test_a_folder_without_python_is_told(tmp_path: Path) -> None:
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


def notebook(path: Path, *cells: str | list[str], language: str = "python") -> None:
    markdown = {"cell_type": "markdown", "source": ["asyncio.run(text)"]}
    code = [{"cell_type": "code", "source": cell} for cell in cells]
    path.write_text(
        json.dumps({"cells": [markdown, *code], "metadata": {"kernelspec": {"language": language}}})
    )


def test_the_cells_of_a_notebook_are_one_module_and_run_in_a_loop(tmp_path: Path) -> None:
    path = tmp_path / "story.ipynb"
    notebook(
        path,
        ["import asyncio as aio\n", "import time"],
        "%%bash\nasyncio.run(not python",
        "!pip install x\npip install y==1\n%matplotlib inline\nname = !ls\n\naio.run(main())\ntime.sleep(1)",
        "if True:\n    %time x = 1\n  broken",
        "%%time\n\nasync def work():\n    time.sleep(1)\n    thing?",
    )
    findings = check([path])
    assert [(each.cell, each.line, each.rule) for each in findings] == [
        (3, 6, "run-in-running-loop"),
        (4, 3, NOT_READ),
        (5, 4, "blocking-in-async"),
    ]
    assert findings[0].location == f"{path}:cell 3:6:1"


def test_a_cell_is_read_as_ipython_runs_it(tmp_path: Path) -> None:
    shell = '!curl http://gpu/ \\\n  -H "Accept: */*" \\\n  -d \'{"a": 1}\'\nimport nest_asyncio'
    notebook(
        tmp_path / "a.ipynb",
        shell,
        "\n    import asyncio\n\n    if asyncio:\n        asyncio.run(x)",
    )
    assert [(each.cell, each.line, each.column, each.rule) for each in check([tmp_path])] == [
        (2, 5, 9, "run-in-running-loop")
    ]


def test_where_loops_have_been_patched_only_the_patch_is_told(tmp_path: Path) -> None:
    notebook(
        tmp_path / "a.ipynb",
        "import asyncio, nest_asyncio\nasyncio.run(x)",
        "nest_asyncio.apply()",
        "asyncio.run(x)",
    )
    assert [(each.cell, each.rule) for each in check([tmp_path])] == [
        (1, "run-in-running-loop"),
        (2, "nest-asyncio"),
    ]


def test_a_notebook_in_another_language_is_told(tmp_path: Path) -> None:
    notebook(tmp_path / "a.ipynb", "x <- 1", language="R")
    assert [each.message for each in check([tmp_path])] == ["Not read: it is a notebook in R."]


def test_nothing_is_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    write(
        tmp_path / "app.py", f"open({str(ran)!r}, 'w')\nimport nest_asyncio\nnest_asyncio.apply()"
    )
    assert len(check([tmp_path])) == 1
    assert not ran.exists()


def test_findings_are_rendered_as_a_place_a_sentence_and_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(Path("app.py"), TRAPS["blocking-in-async"][0])
    text = render(check(["app.py", "nowhere"]))
    first, remedy, missing = text.split("\n")
    assert first.startswith("app.py:3:5: blocking-in-async `time.sleep(…)` blocks the event loop")
    assert remedy.startswith("    → `await asyncio.sleep(…)`")
    assert missing == "nowhere: Not read: there is no such file or folder."
    assert render([]) == ""


def test_findings_can_be_written_as_json(tmp_path: Path) -> None:
    write(tmp_path / "app.py", TRAPS["blocking-in-async"][0])
    (finding,) = check([str(tmp_path)])
    again = json.loads(json.dumps(finding.as_dict()))
    assert (again["path"], again["line"], again["rule"]) == (
        str(tmp_path / "app.py"),
        3,
        "blocking-in-async",
    )


def test_the_documentation_has_the_rules_of_the_code() -> None:
    text = (ROOT / "docs" / "doctor_code.md").read_text(encoding="utf-8")
    assert rules_table() in text, "python -m stream_lab.lint.documentation prints the table"


def test_the_exhibits_of_the_story_are_the_ones_that_the_documentation_lists() -> None:
    text = (ROOT / "docs" / "doctor_code.md").read_text(encoding="utf-8")
    listed = re.findall(
        r"^\| `((?:src|notebooks)/\S+)` \| `([\w-]+)` \| (\d+) \|", text, re.MULTILINE
    )
    findings = check([ROOT / "src", ROOT / "notebooks" / "source"])
    counted = Counter((each.path.relative_to(ROOT).as_posix(), each.rule) for each in findings)
    assert {(path, rule): int(number) for path, rule, number in listed} == counted
