"""The traps, as people write them: a few cases of each rule."""

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
        """
        import asyncio, anyio
        async def answer(question):
            async def chunks():  # read by the function that defines it
                async with «asyncio.timeout_at(later):
                    yield await first(question)
            async for chunk in chunks():
                print(chunk)
        async def passed_on(question):
            limit = «anyio.fail_after(5)
            with limit:
                async for chunk in source(question):
                    yield chunk
        """,
        """
        import asyncio
        from contextlib import AsyncExitStack, asynccontextmanager
        @asynccontextmanager
        async def limited(seconds):
            async with asyncio.timeout(seconds):
                yield
        async def chunks(stream):
            async with «limited(5):
                async for chunk in stream:
                    yield chunk
        async def stacked(stream):
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(«asyncio.timeout(5))
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
        """
        from langchain_openai import ChatOpenAI
        from openai import OpenAI
        def chat(messages):
            client = «OpenAI(timeout=60)
            yield from client.chat.completions.create(messages=messages, stream=True)
        def make():
            model = «ChatOpenAI(timeout=60)
            return prompt | model
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
        """
        from concurrent.futures import ThreadPoolExecutor, as_completed, wait
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI()
        def ask(questions):
            with ThreadPoolExecutor(2) as workers:
                return «workers.submit(brain.invoke, questions[0]).result(timeout=60)
        def later(questions):
            workers = ThreadPoolExecutor()
            futures = [«workers.submit(brain.invoke, each) for each in questions]
            for future in as_completed(futures, timeout=30):
                print(future.result())
        def every(questions):
            workers = ThreadPoolExecutor()
            futures = {}
            for each in questions:
                futures[each] = «workers.submit(lambda: brain.invoke(each))
            wait(futures.values(), timeout=3)
        def mapped(questions):
            with ThreadPoolExecutor() as workers:
                return list(«workers.map(brain.invoke, questions, timeout=60))
        class Service:
            def __init__(self):
                self.workers = ThreadPoolExecutor()
            def ask(self, question):
                future = «self.workers.submit(self._ask, question)
                return future.result(30)
            def _ask(self, question):
                return [chunk for chunk in brain.stream(question)]
        """,
        """
        import asyncio, anyio, functools, threading
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI()
        async def ask(question):
            loop = asyncio.get_running_loop()
            future = «loop.run_in_executor(None, functools.partial(brain.invoke, question))
            return await asyncio.wait_for(asyncio.shield(future), timeout=30)
        async def every(questions):
            work = [«asyncio.to_thread(brain.invoke, each) for each in questions]
            return await asyncio.wait_for(asyncio.gather(*work), 30)
        async def scoped(question):
            with anyio.fail_after(5):
                return await «anyio.to_thread.run_sync(brain.invoke, question)
        async def helper(question):
            return await «asyncio.to_thread(brain.invoke, question)
        async def bounded_by_its_caller(question):
            async with asyncio.timeout(3):
                return await helper(question)
        def threaded(question):
            thread = «threading.Thread(target=brain.invoke, args=(question,))
            thread.start()
            thread.join(5)
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
        """
        import asyncio, dramatiq
        from celery import shared_task
        from openai import AsyncOpenAI
        from huey import RedisHuey
        client = AsyncOpenAI()
        huey = RedisHuey()
        async def ask(question):
            return await client.chat.completions.create(messages=[question], model="m")
        @shared_task(bind=True)
        def celery(self, question):
            return «asyncio.run(ask(question))
        @dramatiq.actor
        def dramatic(question):
            async def inner():
                return await ask(question)
            return «asyncio.run(inner())
        @huey.task(retries=2)
        def hooey(question):
            loop = asyncio.new_event_loop()
            try:
                return «loop.run_until_complete(ask(question))
            finally:
                loop.close()
        """,
        """
        import asyncio
        from functools import lru_cache
        from asgiref.sync import async_to_sync
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI()
        @lru_cache
        def get_model():
            return ChatOpenAI()
        def queued(question):
            return «asyncio.run(brain.ainvoke(question))
        queue.enqueue(queued, "Why?")
        def run(question):
            return «asyncio.run(get_model().ainvoke(question))
        @app.get("/")
        def handler_of_flask(question):
            return run(question)
        @app.post("/sync")
        def handler_of_fastapi(question):
            return «async_to_sync(brain.ainvoke)(question)
        class Answer(APIView):
            def post(self, request):
                with asyncio.Runner() as runner:
                    return «runner.run(brain.ainvoke(request.data))
        def lambda_handler(event, context):
            return «asyncio.run(brain.ainvoke(event["question"]))
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
        """
        from langchain.agents import create_react_agent
        from langchain_core.runnables import Runnable
        from langchain_core.retrievers import BaseRetriever
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI().with_retry().bind(stop=["."])
        helper = create_react_agent(brain, [])
        robust = brain if helper else brain.with_fallbacks([brain])
        class Service:
            finder: BaseRetriever
            def __init__(self, thinker: "Runnable | None" = None):
                self.thinker = thinker
                self.other: Runnable = make()
            async def answer(self, question):
                «self.finder.invoke(question)
                «self.thinker.invoke(question)
                «self.other.batch([question])
                «robust.invoke(question)
                return «helper.invoke(question)
        def make_brain() -> Runnable:
            return build()
        class Mine(ChatOpenAI):
            pass
        async def made(question):
            first = «make_brain().invoke(question)
            return first, «Mine().invoke(question)
        """,
        """
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_openai import ChatOpenAI
        thinker = ChatPromptTemplate.from_template("{q}") | ChatOpenAI()
        def chunks(question):
            for chunk in thinker.stream(question):
                yield chunk.content
        def whole(question):
            return thinker.invoke(question)
        async def answer(question):
            for chunk in «chunks(question):
                print(chunk)
            stream = «thinker.stream(question)
            print(next(stream))
            text = "".join(chunk.content for chunk in «thinker.stream(question))
            numbered = list(enumerate(«thinker.stream(question)))
            return «whole(question), text, numbered
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
        """
        import time
        def slow():
            for each in range(3):
                time.sleep(1)
                yield each
        async def answer():
            return [each for each in «slow()]
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
