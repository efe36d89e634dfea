"""Near misses: a few cases of each rule without a finding."""

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
        """
        import requests
        from openai import OpenAI
        def describe(image):
            client = OpenAI(timeout=60)  # its own calls do not stream
            return client.chat.completions.create(model="m", messages=[image])
        def chat(model):
            return model.stream("Why?")
        """,
        """
        import requests
        from openai import OpenAI
        client = OpenAI(timeout=60)
        page = requests.get("http://gpu/", stream=True)
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
        """
        import asyncio
        from concurrent.futures import ThreadPoolExecutor
        from langchain_core.prompts import ChatPromptTemplate
        from stream_deadline import ChatVllm
        prompt = ChatPromptTemplate.from_template("{q}")
        chain = prompt | ChatVllm(timeout=30)
        def ask(llm, question):
            with ThreadPoolExecutor() as pool:
                pool.submit(chain.invoke, question).result(timeout=60)  # bounded by itself
                pool.submit(prompt.invoke, question).result(timeout=60)  # waits for nothing
                pool.submit(read_file, question).result(timeout=60)
                future = pool.submit(llm.invoke, question)  # no time-out
                future.result(timeout=None)
            canvas.map(llm.invoke, question, timeout=60)
        async def shielded(loop, question):
            future = loop.run_in_executor(None, chain.invoke, question)
            return await asyncio.wait_for(future, 30)
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
        """
        import asyncio
        from celery import shared_task
        from openai import AsyncOpenAI
        from stream_deadline import ChatVllm
        model = ChatVllm(timeout=30)
        client = AsyncOpenAI()
        async def ask(question):
            async with AsyncOpenAI() as client:
                return await client.chat.completions.create(messages=[question], model="m")
        @shared_task
        def own_client(question):
            return asyncio.run(ask(question))
        @shared_task
        def bounded(question):
            return asyncio.run(model.ainvoke(question))
        @shared_task
        async def in_a_loop(question):
            return await client.chat.completions.create(messages=[question], model="m")
        @app.command()
        def once(question):
            return asyncio.run(client.chat.completions.create(messages=[question], model="m"))
        def one_loop(loop, question):
            for each in question:
                loop.run_until_complete(client.chat.completions.create(messages=[each]))
        """,
        """
        import asyncio
        from openai import AsyncOpenAI, OpenAI
        client: OpenAI | AsyncOpenAI = make()  # it may be either
        asyncio.run(ask(client))
        asyncio.run(ask(client))
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
        """
        from fastapi.concurrency import iterate_in_threadpool, run_in_threadpool
        from fastapi.responses import StreamingResponse
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI()
        def chunks(question):
            for chunk in brain.stream(question):
                yield chunk.content
        @app.get("/a")
        async def answer(question):
            stream = brain.stream(question)
            if question:
                return StreamingResponse(stream)
            if question is None:
                return StreamingResponse((each.content for each in brain.stream(question)))
            texts = chunks(question)
            async for chunk in iterate_in_threadpool(chunks(question)):
                await send(chunk)
            await run_in_threadpool(brain.invoke, question)
            await run_in_threadpool(list, brain.stream(question))
            return StreamingResponse(texts, media_type="text/plain")
        @app.get("/b")
        def in_a_thread(question):
            return brain.invoke(question)
        """,
        """
        import langchain
        from langchain_core.output_parsers import StrOutputParser
        from langchain_core.prompts import ChatPromptTemplate
        from transformers import AutoModel
        prompt_chain = ChatPromptTemplate.from_template("{q}")
        model = AutoModel.from_pretrained("m")
        parser_chain = StrOutputParser()
        class Agent:
            async def invoke(self, question):
                pass
        agent = Agent()
        async def answer(question, llm: "Engine", chain: "list[str] | None", graph: Agent):
            prompt_chain.invoke(question)
            parser_chain.invoke(question)
            (prompt_chain | parser_chain).invoke(question)
            agent.invoke(question)
            llm.invoke(question)
            chain.invoke(question)
            graph.invoke(question)
        """,
        """
        from langchain_openai import ChatOpenAI
        brain = ChatOpenAI()
        @in_a_thread  # nothing here says where it runs
        def whole(question):
            return brain.invoke(question)
        async def answer(questions):
            whole(questions[0])
            return StreamingResponse(brain.invoke(each) for each in questions)
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
        """
        import time
        from openai import AsyncOpenAI, OpenAI
        def slow():
            for each in range(3):
                time.sleep(1)
                yield each
        def make() -> OpenAI | AsyncOpenAI:
            return OpenAI()
        async def answer():
            await make().chat.completions.create(model="m")
            return StreamingResponse(slow())
        """,
        """
        import time
        from openai import AsyncOpenAI, OpenAI
        def pause():
            time.sleep(1)  # a plain function may be short, and is not followed
        async def answer(client: OpenAI | AsyncOpenAI):
            pause()
            return await_if_needed(client.chat.completions.create(model="m"))
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
        async def collected(question):  # not a handler: its caller wants the whole
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
