# %% [markdown]
# # 10 · Cut in production
#
# **After this notebook you will know**
# - several ways in which a stream that works on your desk arrives late, or not whole, in production,
# - which of them a setting repairs and which the application must repair,
# - how to choose limits that agree with each other,
# - in what order to look if you do not know which layer it is.
#
# *About 46 minutes. Needs nginx (`make parts`). It helps, but is not necessary, to know [09](09_erp_ai_gpu.ipynb).*
#
# So far the fault was a stream that does not end. This notebook is about the opposite: a stream that ends too early. The nginx here is a real
# one. Load balancers and serverless platforms cannot run on your desk. A small TCP proxy with their limits stands in for them, and is labelled as a
# stand-in each time.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds; not used here, since each section has a limit of its own

# %%
import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from sse_starlette.sse import EventSourceResponse
from stream_deadline import ChatVllm
from stream_deadline.asgi import DeadlineMiddleware
from stream_lab import Evidence, Lesson, open_endpoint
from stream_lab.http import pictures
from stream_lab.http.capture import read, read_all
from stream_lab.http.slow_reader import read_late
from stream_lab.processes import Gateway, Nginx, serve
from stream_lab.relay import Visitor

evidence = Evidence("10")
lesson = Lesson("10")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The service
#
# The service is a chain with a short answer, and a web application around it. Each section adds an endpoint.

# %%
model = ChatVllm(**server.settings, timeout=30, max_tokens=12)
chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model | StrOutputParser()
await model.ainvoke("Hi", max_tokens=1)  # the first call is slower than the others
app = FastAPI()
service = serve(app)


async def tokens(pause=0.0, callbacks=()):
    """The answer at a reader's pace, with a pause in the middle, as when a tool is called."""
    count = 0
    config = {"callbacks": list(callbacks)}
    async for token in chain.astream({"question": "Why?"}, config=config):
        yield token
        count += 1
        await asyncio.sleep(0.06 + (pause if count == 5 else 0))


# %% [markdown]
# ## 1. The endpoint does not stream
#
# The first cause is not in the network. The handler waits for the whole answer and then sends it, so every limit on the path sees a
# silence as long as the answer.


# %%
@app.get("/collected")
async def collected():
    return {"text": "".join([token async for token in tokens()])}


@app.get("/streamed")
async def streamed(pause: float = 0.0):
    return StreamingResponse(tokens(pause), media_type="text/plain")


desk = read_all({path: service.url + path for path in ("/collected", "/streamed")})
for path, answer in desk.items():
    print(f"{path:12}", answer.end, "|", answer.manner)

# %% [markdown]
# ## 2. A `Content-Length` that is wrong
#
# A handler copies the headers of another answer, or counts characters where HTTP counts bytes. Then the header `Content-Length` promises a
# length that the stream does not have.

# %%
promise = lesson.predict(
    "1",
    "`Grüße` has five characters and seven bytes. A handler streams it and promises ten. "
    "What does the client get?",
    {
        "the whole text: a length is only a hint": "whole",
        "an error: the body ends too early": "cut",
        "status 500": "refused with 500",
        "nothing: it waits for the other three bytes": "still open",
    },
)
promise


# %%
@app.get("/promised/{length}")
async def promised(length: int):
    async def greeting():
        yield "Grü"
        yield "ße"

    return StreamingResponse(greeting(), headers={"Content-Length": str(length)})


lengths = {length: read(f"{service.url}/promised/{length}") for length in (5, 7, 10)}
for length, answer in lengths.items():
    print(f"{length:2} promised:", answer.end, "|", repr(answer.text))
print(*[line for line in service.log if line.startswith("RuntimeError")], sep="\n")

# %%
promise.reveal(
    lengths[10].end,
    why="uvicorn closes the connection when the application ends too early. "
    "It closes before the promised bytes have come, which HTTP counts as an error.",
)

# %% [markdown]
# The client sees a broken connection. A piece beyond the promised length is refused as a whole, so of seven bytes under a promise of five only the
# first piece arrives. Only the server's log has the reason. Leave the header out: a `StreamingResponse` is then sent in chunks
# (pieces, each with its own length), and its end is marked.
#
# ## 3. A proxy that collects
#
# "nginx buffers, so switch `proxy_buffering` off," says every guide. Here is the same stream through four nginx configurations.

# %%
flows = lesson.predict(
    "2",
    "Through which of the four configurations does the client see the tokens as they are made?",
    {
        "only the two in which buffering is off": (
            "gzip on, proxy_buffering off; gzip on, the application says no"
        ),
        "only the one with proxy_buffering off": "gzip on, proxy_buffering off",
        "all but the one with gzip and nothing else": (
            "nginx by default; gzip on, proxy_buffering off; gzip on, the application says no"
        ),
        "all four": "nginx by default; gzip on; gzip on, proxy_buffering off; "
        "gzip on, the application says no",
    },
)
flows


# %%
@app.get("/unbuffered")
async def unbuffered():
    return StreamingResponse(tokens(), media_type="text/plain", headers={"X-Accel-Buffering": "no"})


GZIP = ("gzip on;", "gzip_types text/plain;", "gzip_min_length 0;")
by_default = Nginx(service.url)
with_gzip = Nginx(service.url, *GZIP)
buffering_off = Nginx(service.url, *GZIP, "proxy_buffering off;")
proxied = read_all(
    {
        "nginx by default": by_default.url + "/streamed",
        "gzip on": with_gzip.url + "/streamed",
        "gzip on, proxy_buffering off": buffering_off.url + "/streamed",
        "gzip on, the application says no": with_gzip.url + "/unbuffered",
    },
    headers={"Accept-Encoding": "gzip"},
)
for name, answer in proxied.items():
    print(f"{name:34}", answer.end, "|", answer.manner)

# %%
flows.reveal(
    "; ".join(name for name, answer in proxied.items() if answer.manner == "token by token"),
    why="With its default buffers nginx passes a chunk on as soon as it has it. "
    "gzip waits for more data before it gives anything out, and only while buffering is on.",
)

# %%
pictures.answers(
    {"straight from the application": desk["/streamed"], **proxied},
    title="gzip collects the tokens unless nginx is told not to buffer",
)

# %% [markdown]
# In the last two rows the first dot is gzip's own header of ten bytes. nginx's buffers matter for clients that read slowly (section 7). Two repairs help
# against gzip: the setting, or the header `X-Accel-Buffering: no`. The application can send the header itself; sse-starlette always does. `gzip off;` for
# the location is a third, as the second row shows: it has no gzip.
#
# ## 4. A limit on silence
#
# A model thinks, a tool is called, a request is in a queue: for a while nothing arrives. Proxies and load balancers close connections on which
# nothing arrives. nginx calls that limit `proxy_read_timeout`. Here it is one and a half seconds, and the pause takes two. The stand-in plays the same limit of
# a load balancer or an API gateway.
#
# There are two repairs to try: a longer limit, and a *comment line* every half second. That is a line of Server-Sent Events that begins with a colon and
# that every client skips. In two more streams a comment is due every 0.7 s, so that two fit into the limit. But the event loop is busy when the second is
# due, for 0.5 s in one and for 1.2 s in the other.


# %%
@app.get("/events")
async def events(pause: float = 0.0, ping: float = 15.0, busy_at: float = 0.0, busy: float = 0.0):
    async def parts():
        async for token in tokens(pause):
            yield {"event": "token", "data": json.dumps(token)}
        yield {"event": "done", "data": "[DONE]"}

    if busy:  # a step that cannot be interrupted holds up the whole event loop
        asyncio.get_running_loop().call_later(busy_at, time.sleep, busy)
    return EventSourceResponse(parts(), ping=ping)  # seconds between two comment lines


LIMIT = "proxy_buffering off;", "proxy_read_timeout 1500ms;"
strict = Nginx(service.url, *LIMIT)
patient = Nginx(service.url, "proxy_buffering off;", "proxy_read_timeout 300s;")
gateway = Gateway(service.url, idle=1.5)
busy_loops = {busy: serve(app) for busy in (0.5, 1.2)}  # each has an event loop of its own
strict_ones = {busy: Nginx(each.url, *LIMIT) for busy, each in busy_loops.items()}
quiet, kept_alive = "/events?pause=2", "/events?pause=2&ping=0.5"
late = "/events?pause=2&ping=0.7&busy_at=1.3&busy="
paused = read_all(
    {
        "nginx, limit shorter than the pause": strict.url + quiet,
        "nginx, a comment every 0.5 s": strict.url + kept_alive,
        "nginx, a longer limit": patient.url + quiet,
        "gateway (stand-in)": gateway.url + quiet,
        "gateway, a comment every 0.5 s": gateway.url + kept_alive,
        "nginx, every 0.7 s, busy for 0.5 s": strict_ones[0.5].url + late + "0.5",
        "nginx, every 0.7 s, busy for 1.2 s": strict_ones[1.2].url + late + "1.2",
    }
)
for name, answer in paused.items():
    print(f"{name:36}", answer.end)
print(strict.log.partition("[error] ")[2].partition(": *")[2].partition(" ")[2].partition(",")[0])

# %%
pictures.answers(
    paused, title="A pause longer than the limit ends the stream unless a comment comes in between"
)

# %% [markdown]
# Both repairs help against your own proxy. Where the limit is not yours to change, only the comment helps. (A deadline must not take
# it for progress; see notebook 07.) A comment is late by as long as the loop is busy: 0.7 s and 0.5 s fit into the limit of 1.5 s, and 0.7 s and 1.2 s
# do not.
#
# ## 5. A limit on the whole
#
# A serverless platform ends a function after a fixed time, whatever the stream sends. The stand-in allows 1.4 s. Have a deadline of your own
# that comes first: then the client gets a last event that says what happened, instead of a broken connection. `DeadlineMiddleware`, from the library of
# this project, does that around any application (its `max_timeout` is in seconds). The other streams have that deadline
# too, and the last two a step that cannot be interrupted, of 0.3 s and of one second.

# %%
served = [service, *(serve(DeadlineMiddleware(app, max_timeout=0.7)) for _ in range(3))]
platforms = [Gateway(each.url, longest=1.4) for each in served]
alone, below, briefly, delayed = (each.url + "/events?pause=1" for each in platforms)
limited = read_all(
    {
        "the platform's limit alone": alone,
        "a deadline of 0.7 s below it": below,
        "the same, and a step of 0.3 s": briefly + "&busy_at=0.6&busy=0.3",
        "the same, and a step of 1 s": delayed + "&busy_at=0.6&busy=1",
    }
)
last_events = {
    name: answer.text.replace("\r\n", "\n").strip().rpartition("\n\n")[2].partition("\n")[0]
    for name, answer in limited.items()
}
for name, answer in limited.items():
    print(f"{name:30} {answer.end:6} last: {last_events[name]}")

# %% [markdown]
# In the last row the deadline passes while the loop is busy, so its event would come after the platform's cut: the step is longer than the margin of
# 0.7 s. The step of 0.3 s fits into it.
#
# ## 6. A callback that raises
#
# "A callback that raises in `on_llm_new_token` stops the stream." Does it?


# %%
class Metrics(BaseCallbackHandler):
    """Counts tokens, until its database is down."""

    def __init__(self, raise_error):
        self.raise_error = raise_error  # every handler has it; LangChain's default is False
        self.count = 0

    def on_llm_new_token(self, token, **kwargs):
        self.count += 1
        if self.count == 3:
            raise ConnectionError("the metrics' database is down")


class Safe(BaseCallbackHandler):
    """Calls another handler, and keeps its failures to itself."""

    def __init__(self, inner):
        self.inner = inner
        self.failure = None

    def on_llm_new_token(self, token, **kwargs):
        if self.failure is None:  # once is enough
            try:
                self.inner.on_llm_new_token(token, **kwargs)
            except Exception as error:
                self.failure = error  # write yours to the log


# %%
raises = lesson.predict(
    "3",
    "`Metrics` is used as LangChain makes handlers, with `raise_error=False`, and raises at the third token. "
    "What does the client get?",
    {
        "the stream up to the third token": "cut",
        "the whole stream": "whole",
        "status 500": "refused with 500",
    },
)
raises

# %%
handlers = {
    "as LangChain has it": lambda: Metrics(raise_error=False),
    "raise_error = True": lambda: Metrics(raise_error=True),
    "raise_error = True, wrapped": lambda: Safe(Metrics(raise_error=True)),
}


@app.get("/watched/{name}")
async def watched(name: str):
    return StreamingResponse(tokens(callbacks=[handlers[name]()]), media_type="text/plain")


service.log.clear()
called_back = read_all({name: f"{service.url}/watched/{name}" for name in handlers})
for name, answer in called_back.items():
    print(f"{name:28}", answer.end)
print(*sorted({line for line in service.log if "callback" in line}), sep="\n")

# %%
raises.reveal(
    called_back["as LangChain has it"].end,
    why="LangChain logs a warning and goes on. Only a handler with raise_error = True cuts the stream.",
)

# %% [markdown]
# Handlers with `raise_error = True` exist, and so do subclasses that inherit it. Wrap a handler that is not part of the answer, and it cannot do harm.
#
# ## 7. A client that does not read
#
# A phone in a tunnel keeps its connection and reads nothing. The answer fills the buffers on the path, and then nginx waits for the client. Three
# directives of nginx have a time-out in their name that could apply. Each is set to half a second in an nginx of its own. The client reads nothing for
# a second, then everything.

# %%
unread = lesson.predict(
    "4",
    "Which directive ends the connection of a client that does not read?",
    {
        "proxy_send_timeout": "proxy_send_timeout",
        "send_timeout": "send_timeout",
        "proxy_read_timeout": "proxy_read_timeout",
        "both send_timeout and proxy_send_timeout": "send_timeout, proxy_send_timeout",
    },
)
unread


# %%
@app.get("/large")
async def large():
    async def pieces():
        for _ in range(256):
            yield b"x" * 65536

    return StreamingResponse(pieces(), media_type="application/octet-stream")


directives = ("send_timeout", "proxy_send_timeout", "proxy_read_timeout")
impatient = {
    name: Nginx(service.url, "proxy_buffering off;", f"{name} 500ms;") for name in directives
}
with ThreadPoolExecutor() as pool:
    urls = [each.url + "/large" for each in impatient.values()]
    slow = dict(
        zip(directives, pool.map(lambda url: read_late(url, silent=1.0), urls), strict=True)
    )
for name, end in slow.items():
    print(f"{name:20}", end)

# %%
unread.reveal(
    ", ".join(name for name, end in slow.items() if end == "cut"),
    why="proxy_send_timeout is about the request on its way to your application. "
    "proxy_read_timeout is about your application's answer. Only send_timeout is about the client.",
)

# %% [markdown]
# `send_timeout` is 60 s by default. It bounds each wait for a client that takes nothing, and not the whole answer.
#
# ## Limits that agree
#
# A request passes many limits, from the model's deadline inside to the load balancer outside. They agree if two rules hold.
#
# - **Limits on the whole: the inner one is shorter, with a margin.** The inner layer must have time to end its work and say what happened. A step that
#   cannot be interrupted (a tool call, a database query) can delay it by its own length, so make the margin longer than the longest such step (section 5).
#   With 60 s in both layers, chance decides which error the client sees.
# - **Limits on silence: the time between two comments, and the longest step that blocks the loop, together stay below the shortest limit** (section 4). A
#   comment every 59 s under a limit of 60 s works until the loop is busy for a second.
#
# Keep-alive and graceful shutdowns have limits, too: [11b](11b_browsers_and_restarts.ipynb).
#
# ## What the logs show
#
# Three requests end badly at the strict nginx, and others do not. What do the logs say about them? First the access logs, of nginx and of uvicorn.

# %%
service.access_log.clear()
earlier = len(strict.access_log)  # lines of the sections above
with ThreadPoolExecutor() as pool, Visitor(strict.url + "/collected") as early:
    pool.submit(read, strict.url + "/collected?stays")  # this client stays
    pool.submit(read, strict.url + quiet)  # nginx cuts this one
    time.sleep(0.2)
    early.leave()  # before the first byte
    read(strict.url + "/streamed?leaves", leave_after=0.0)  # in mid-stream, after the first piece
time.sleep(0.2)
accesses = {
    "nginx": sorted(strict.access_log[earlier:]),
    "uvicorn": sorted(service.access_log),
}
for who, lines in accesses.items():
    print(f"{who}:", *lines, sep="\n    ")

# %% [markdown]
# | what happened | nginx | uvicorn |
# |---|---|---|
# | the client disconnected before the first byte (`/collected`) | 499, its own status for that | no line: uvicorn writes it when an answer begins |
# | the client disconnected in mid-stream (`?leaves`) | 200: that had been sent | 200 |
# | nginx cut the stream (`/events?pause=2`) | 200 | 200 |
# | a whole answer (`?stays`) | 200 | 200 |
#
# A search for 499 and 504 finds only what happened before the first byte. For streams, read the *error* logs. (nginx can also add a request's time and
# size to its access log; that is not played here.) These are the lines of the strict nginx, and of the one from section 7 with a short `send_timeout`:

# %%
causes = ("upstream timed out", "client prematurely closed connection", "client timed out")
levels = {
    cause: line.partition("[")[2].partition("]")[0]
    for line in (strict.log + impatient["send_timeout"].log).splitlines()
    for cause in causes
    if cause in line
}
for cause in causes:
    print(f"[{levels.get(cause)}] {cause}")

# %% [markdown]
# The nginx here writes all levels from `info` up. By default it writes only `error` and above, so the lines about clients are missing. Set
# `error_log /var/log/nginx/error.log info;` to see them.
#
# A health probe through the same nginx shows nothing of this either:


# %%
@app.get("/health")
async def health():
    return "ok"


probe = read(strict.url + "/health")
print("/health through the strict nginx:", probe.status, probe.text)

# %% [markdown]
# It asks for a short answer, and no limit above concerns those. If you probe a path on which streams travel, request a stream: the first token within some
# seconds, a pause, and the last event.
#
# ## In what order to look
#
# Most of these causes look the same from outside: the connection broke. Ask every layer, from the model's chain outwards. The first one that cuts is the cause.
# The times of the last chunks then tell a limit on silence from a failure.


# %%
async def in_a_script(pause, callbacks):
    """The chain without any HTTP around it."""
    try:
        return "whole" if [token async for token in tokens(pause, callbacks)] else "empty"
    except Exception as error:
        return f"cut by {type(error).__name__}"


def kind_of(answer):
    """What the times of arrival say about a cut."""
    if len(answer.pieces) < 2:
        return "before it began"
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(answer.pieces)]
    before_the_cut = answer.ended - answer.pieces[-1][0]
    return "after a silence" if before_the_cut > 2 * max(pauses) else "in full flow"


# %%
async def investigate(callbacks, pause, proxy):
    """Ask every layer, all at once, and name the one nearest to the model that cuts."""
    handler, path = callbacks(), f"/case/{len(app.routes)}"

    @app.get(path)
    async def case():
        return StreamingResponse(tokens(pause, [callbacks()]), media_type="text/plain")

    alone, called_back, served, answer = await asyncio.gather(
        in_a_script(pause, []),
        in_a_script(pause, [handler]),
        asyncio.to_thread(read, service.url + path),
        asyncio.to_thread(read, proxy.url + path),
    )
    if alone != "whole":
        return "the chain itself"
    if called_back != "whole":
        return "a callback"
    if served.end != "whole":
        return "the application"
    return "nothing" if answer.end == "whole" else f"the proxy, {kind_of(answer)}"


cases = {
    "first case": (lambda: Metrics(raise_error=True), 0.0, strict),
    "second case": (lambda: Metrics(raise_error=False), 2.0, strict),
    "third case": (lambda: Metrics(raise_error=False), 0.0, strict),
}
found = await asyncio.gather(*(investigate(*case) for case in cases.values()))
for name, culprit in zip(cases, found, strict=True):
    print(f"{name:12}", culprit)

# %% [markdown]
# ## What was shown

# %%
ALL, EACH = "all at once", "token by token"
for claim, expected, found_here in (
    ("A handler that collects sends everything at once", ALL, desk["/collected"].manner),
    ("A StreamingResponse sends the tokens as they are made", EACH, desk["/streamed"].manner),
    ("A stream shorter than its Content-Length is cut", "cut", lengths[10].end),
    ("A stream longer than its Content-Length is cut", "cut", lengths[5].end),
    ("By default nginx passes each token on at once", EACH, proxied["nginx by default"].manner),
    ("With gzip nginx holds the tokens back", ALL, proxied["gzip on"].manner),
    (
        "Without proxy_buffering gzip passes the tokens on",
        EACH,
        proxied["gzip on, proxy_buffering off"].manner,
    ),
    (
        "The header X-Accel-Buffering has the same effect",
        EACH,
        proxied["gzip on, the application says no"].manner,
    ),
):
    evidence.claim(claim, expected=expected, found=found_here)

# %%
for claim, expected, found_here in (
    (
        "A pause longer than proxy_read_timeout ends the stream",
        "cut",
        paused["nginx, limit shorter than the pause"].end,
    ),
    (
        "A comment every half second keeps the stream open at nginx",
        "whole",
        paused["nginx, a comment every 0.5 s"].end,
    ),
    (
        "A longer proxy_read_timeout keeps the stream open",
        "whole",
        paused["nginx, a longer limit"].end,
    ),
    (
        "The idle limit of a gateway (stand-in) ends the stream",
        "cut",
        paused["gateway (stand-in)"].end,
    ),
    (
        "A comment every half second keeps the stream open at the gateway",
        "whole",
        paused["gateway, a comment every 0.5 s"].end,
    ),
    (
        "A comment that comes later than the limit, since the loop was busy, ends the stream",
        "cut",
        paused["nginx, every 0.7 s, busy for 1.2 s"].end,
    ),
    (
        "If the comments' interval and the busy time fit into the limit, the stream goes on",
        "whole",
        paused["nginx, every 0.7 s, busy for 0.5 s"].end,
    ),
    ("A client that does not read is cut off by send_timeout", "cut", slow["send_timeout"]),
    ("`proxy_send_timeout` does not cut it off", "whole", slow["proxy_send_timeout"]),
):
    evidence.claim(claim, expected=expected, found=found_here)

# %%
logged = {
    who: [line.rpartition(" ")[2] for line in lines if "?leaves" in line] or ["no line"]
    for who, lines in accesses.items()
}
unanswered = [line for line in accesses["uvicorn"] if "/collected HTTP" in line] or ["no line"]
for claim, expected, found_here in (
    (
        "A platform's total limit (stand-in) cuts the stream",
        "cut",
        limited["the platform's limit alone"].end,
    ),
    (
        "A deadline below that limit ends it with an event",
        "event: error",
        last_events["a deadline of 0.7 s below it"],
    ),
    (
        "If a step is shorter than the margin, the event still comes first",
        "event: error",
        last_events["the same, and a step of 0.3 s"],
    ),
    (
        "If a step takes longer than the margin, the platform is first",
        "cut",
        limited["the same, and a step of 1 s"].end,
    ),
):
    evidence.claim(claim, expected=expected, found=found_here)

# %%
for claim, expected, found_here in (
    ("The log of nginx has 200 for a client that left in mid-stream", "200", logged["nginx"][0]),
    ("The log of uvicorn has 200 for it, too", "200", logged["uvicorn"][0]),
    (
        "The log of uvicorn has no line for a client that left before the answer",
        "no line",
        unanswered[0],
    ),
    (
        "The log of nginx mentions clients that leave or do not read at the level info",
        "info, info",
        ", ".join(levels.get(cause, "no line") for cause in causes[1:]),
    ),
    ("A health probe passes while streams are cut", 200, probe.status),
):
    evidence.claim(claim, expected=expected, found=found_here)

# %%
for claim, expected, found_here in (
    (
        "A callback that raises does not cut the stream by default",
        "whole",
        called_back["as LangChain has it"].end,
    ),
    (
        "With raise_error it cuts the stream",
        "cut",
        called_back["raise_error = True"].end,
    ),
    (
        "Wrapped, it does not cut the stream",
        "whole",
        called_back["raise_error = True, wrapped"].end,
    ),
    (
        "Looking layer by layer finds the cause of three cases",
        "a callback / the proxy, after a silence / nothing",
        " / ".join(found),
    ),
):
    evidence.claim(claim, expected=expected, found=found_here)

# %%
evidence.table()

# %% [markdown]
# The last column has what the versions of the incident showed (langchain 1.0.8, langchain-openai 0.3.34). The servers end with this kernel, so you can run
# any cell again. If you change a handler, run the cells from “The service” on: an application keeps the first handler of a path.

# %% [markdown]
# ## Exercises
#
# **1.** An nginx has these lines in its `http` block, and you cannot change them:
#
# ```nginx
# gzip on;
# gzip_types text/plain text/event-stream application/json;
# gzip_min_length 0;
# proxy_read_timeout 700ms;
# ```
#
# Behind it, an application streams plain text and pauses for 1.3 s in the middle, as when a tool is called. Write the directives for its `location`, so that the
# stream arrives whole, and token by token. The checker starts a real nginx with them.

# %% tags=["exercise"]
location = ...  # a string, such as "expires 1h; etag off;"

# %%
await lesson.check("1", location)

# %% [markdown]
# **2.** This handler is meant for `EventSource` in a browser, behind the same nginx. Its headers were copied from another one:
#
# ```python
# headers = {
#     "Content-Type": "application/json",
#     "Content-Length": "64",
#     "Cache-Control": "public, max-age=60",
# }
# return StreamingResponse(events(), headers=headers)
# ```
#
# Write the right headers. The events must pass nginx as they are made, and no shared cache may
# answer with them. The checker serves a stream with them.

# %% tags=["exercise"]
headers = ...  # a dictionary from names to texts

# %%
await lesson.check("2", headers)

# %% [markdown]
# **3.** Choose limits that agree. The load balancer in front is not yours: it closes a connection after 60 s of silence, and any connection after 300 s. The
# longest step that cannot be interrupted takes 20 s. Your relay calls the model with `ChatVllm(timeout=model)`, has a `DeadlineMiddleware(app, max_timeout=application)`,
# and an nginx before it. An answer may take two minutes.

# %% tags=["exercise"]
limits = (
    ...
)  # {"model": …, "application": …, "proxy_read_timeout": …, "comment_every": …}, in seconds

# %%
await lesson.check("3", limits)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [09 · ERP → AI → GPU](09_erp_ai_gpu.ipynb) · Next: [11 · Cut when scaling](11_cut_when_scaling.ipynb)
