# %% [markdown]
# # 16 · Solutions
#
# You change the files in an editor. Here cells do it, so that each repair can be read beside its ticket: `edit` replaces a text of a
# file, and `redefine` a function of `relay.py`. The repairs build on each other.

# %% exercise 1
# The middleware joined the body before it passed anything on. nginx's access log has the sizes, too.
service.redefine("log_size")
# gzip collects while nginx buffers. In `server` the setting holds for both locations.
service.edit(
    "nginx.conf", "    proxy_read_timeout", "    proxy_buffering off;\n    proxy_read_timeout"
)

note_1 = "A middleware joined the body, and behind it gzip in nginx collected the events, too."

# %% exercise 2
service.edit("nginx.conf", "proxy_read_timeout 2s", "proxy_read_timeout 10s")
service.edit(
    "relay.py",
    "from pydantic import BaseModel\n",
    "from pydantic import BaseModel\nfrom sse_starlette.sse import EventSourceResponse\n",
)
service.redefine(
    "chat",
    """
@app.post("/chat")
async def chat(asked: Question) -> EventSourceResponse:
    queue: asyncio.Queue[str | None] = asyncio.Queue()
    producer = asyncio.create_task(produce(asked.question, queue))

    async def events() -> AsyncIterator[dict[str, str]]:
        while (token := await queue.get()) is not None:
            yield {"data": json.dumps(token)}
        await producer
        yield {"event": "done", "data": "{}"}

    return EventSourceResponse(events(), ping=1)  # a comment each second, from the beginning
""",
)

note_2 = "Nothing came while the model was thinking, for longer than nginx and the balancer wait."

# %% exercise 3
# The deadline is in the call, whichever task pulls it.
service.redefine("LimitedChat")
service.edit("relay.py", "LimitedChat(", "ChatVllm(")
service.edit("relay.py", "timeout=60", "timeout=ANSWER_SECONDS")
# The middleware closes the model's calls when the user of their request has left.
service.edit(
    "relay.py",
    "app = FastAPI()\n",
    "app = FastAPI()\napp.add_middleware(DeadlineMiddleware, max_timeout=ANSWER_SECONDS)\n",
)
service.edit(
    "relay.py",
    "from langchain_openai import ChatOpenAI\n",
    "from stream_deadline import ChatVllm\nfrom stream_deadline.asgi import DeadlineMiddleware\n",
)

note_3 = (
    "The scope fired at a task that had ended, and a disconnect did not reach the model's call."
)

# %% exercise 4
service.edit("relay.py", "chain.invoke(", "await chain.ainvoke(")

note_4 = "A synchronous call held the event loop, and all streams of the process with it."

# %% exercise 5
# No queue: an error of the model comes out of the generator, and the middleware makes it an event `error`.
service.redefine("produce")
service.redefine(
    "chat",
    """
@app.post("/chat")
async def chat(asked: Question) -> EventSourceResponse:
    async def events() -> AsyncIterator[dict[str, str]]:
        async for token in chain.astream(asked.model_dump()):
            yield {"data": json.dumps(token)}
        yield {"event": "done", "data": "{}"}

    return EventSourceResponse(events(), ping=1)
""",
)

note_5 = "An except around the model turned every failure into an ordinary end of the queue."

# %% exercise 6
service.redefine(
    "models",
    """
@app.get("/models")
async def models() -> list[str]:
    async with httpx2.AsyncClient() as client:
        listed = await client.get(f"{BASE_URL}/models")
    return [card["id"] for card in listed.json()["data"]]
""",
)

note_6 = "The Content-Length of the model's server was promised for a body that is shorter."

# %% exercise 7
service.edit("relay.env", "GRACEFUL_SHUTDOWN=1", "GRACEFUL_SHUTDOWN=10")  # longer than an answer
# sse-starlette ends its streams at a shutdown unless it gets an event of its own and a grace period.
service.edit("relay.py", "import httpx2\n", "import anyio\nimport httpx2\n")
service.edit(
    "relay.py",
    "ping=1",
    "ping=1, shutdown_event=anyio.Event(), shutdown_grace_period=ANSWER_SECONDS",
)

note_7 = "At a deployment uvicorn waited one second, and sse-starlette not at all."

# %% exercise 8
note_8 = "Whether each answer has a bound on the whole, and ends when its user has left."
