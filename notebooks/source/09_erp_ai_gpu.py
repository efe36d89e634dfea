# %% [markdown]
# # 09 · ERP → AI → GPU
#
# **After this notebook you will know**
# - which web handlers notice that their caller has disconnected, and which go on,
# - what an access log and a health probe show of that,
# - the two lines that repair all of these handlers,
# - how a caller's deadline travels with its request, and what the caller gets when it has passed.
#
# *About 39 minutes. Needs: [01](01_the_incident.ipynb), [07](07_where_it_stops.ipynb).*
#
# In notebook 01 a cell played the AI server. Here it is a process of its own between a caller and the GPU server, as in the incident. Such a
# server in the middle is called a *relay*.
#
# ```text
#  ERP server  ──X-Timeout-Ms──▶  AI server  ──stream──▶  GPU server
#  this notebook                  FastAPI, LangChain      vLLM, or the fake
#  disconnects in mid-answer      before / after          its metrics are the witness
# ```

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import inspect
import time
from concurrent.futures import ThreadPoolExecutor

import httpx2
from fastapi import FastAPI, WebSocket
from fastapi.responses import StreamingResponse
from langchain_core.output_parsers import StrOutputParser
from langchain_openai import ChatOpenAI
from stream_deadline import deadline, propagate_deadline
from stream_lab import Evidence, Lesson, open_endpoint
from stream_lab.experiment import pictures
from stream_lab.processes import serve
from stream_lab.relay import Relay, app, leave, leave_handler

evidence = Evidence("09")
lesson = Lesson("09")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Before and after the repair
#
# Both AI servers run the same chain and answer in five ways:
#
# | path | the answer |
# |---|---|
# | `/answer` | one body of JSON, as in the incident |
# | `/blocking` | the same from a handler without `async`, which blocks a thread |
# | `/text` | plain text, in pieces |
# | `/sse` | Server-Sent Events, written by hand |
# | `/events` | Server-Sent Events by sse-starlette |
#
# This is all that differs between the two (`hides` comes later):

# %%
print(inspect.getsource(app.before), inspect.getsource(app.after), sep="\n")

# %%
kinds = {"before": False, "before, hiding": True, "after": True}
with ThreadPoolExecutor() as pool:
    before, hiding, after = pool.map(
        lambda kind, hides: Relay(kind.partition(",")[0], server, hides=hides),
        kinds,
        kinds.values(),
    )

# %% [markdown]
# ## The caller disconnects
#
# The caller waits a moment, then closes its connection. The AI server gets no other sign.

# %%
ways = {
    "one body of JSON": "/answer",
    "the same, blocking": "/blocking",
    "plain text": "/text",
    "events by hand": "/sse",
    "events, sse-starlette": "/events",
}
goes_on = lesson.predict(
    "1",
    "Before the repair: for which of the five does the GPU go on after the disconnect?",
    {
        "only for the blocking one: a thread cannot be cancelled": "the same, blocking",
        "for both that answer in one piece": "one body of JSON, the same, blocking",
        "for all five": ", ".join(ways),
        "for none: the web server cancels a handler whose client has gone": "",
    },
)
goes_on

# %%
patience = TIMEOUT / 8


def leave_each(relay, watch):
    return {
        name: leave(relay, server, path, after=patience, watch=watch) for name, path in ways.items()
    }


broken = leave_each(before, watch=TIMEOUT / 4)
in_one_piece = ["one body of JSON", "the same, blocking"]
for name in in_one_piece:
    print(f"{name:22}", broken[name].server)

# %% tags=["nbval-ignore-output"]
for name in [way for way in ways if way not in in_one_piece]:
    print(f"{name:22}", broken[name].server)

goes_on.reveal(
    ", ".join(name for name in ways if broken[name].freed is None),
    why="A handler that collects its answer does not listen for its caller. "
    "It would notice when it sends, and that is at the end.",
)

# %% [markdown]
# The incident's AI server answered in one piece. A `StreamingResponse` listens while it sends, and cancels the generator under it when
# the caller disconnects. Whether that closes the connection to the GPU depends on every layer in between. With the LangChain and OpenAI
# SDK of 2026 it does; with those of the post-mortem the connection stayed open.

# %%
repaired = leave_each(after, watch=TIMEOUT / 2)
for name, request in repaired.items():
    print(f"{name:22}", request.server)

# %%
pictures.left_alone(
    {
        f"{name}, {when}": request
        for name in ways
        for when, request in (("before", broken[name]), ("after", repaired[name]))
    },
    title="After the repair the GPU stops with the caller, however the answer is made",
)

# %% [markdown]
# The middleware listens all the time, so no handler has to. When the caller disconnects, it closes the connections of all calls that were made for
# that caller, including those that block a thread. Then it cancels the handler.
#
# ## Three more kinds of handlers
#
# Without the repair, do two other kinds behave differently: a stream over `astream_events`, and a WebSocket?

# %%
chain = app.PROMPT | ChatOpenAI(**server.settings, timeout=45) | StrOutputParser()
question = {"question": "Why?"}
more = FastAPI()


@more.get("/steps")
async def steps():
    async def lines():
        async for event in chain.astream_events(question):
            yield f"data: {event['event']}\n\n"

    return StreamingResponse(lines(), media_type="text/event-stream")


@more.websocket("/socket/tokens")
async def tokens(socket: WebSocket):
    await socket.accept()
    async for token in chain.astream(question):
        await socket.send_text(token)  # raises when the client has disconnected


@more.websocket("/socket/collected")
async def collected(socket: WebSocket):
    await socket.accept()
    await socket.send_text("".join([token async for token in chain.astream(question)]))


# %%
service = serve(more)
others = {
    path: leave_handler(
        service.url + path, server, after=patience, watch=TIMEOUT / 4, websocket="socket" in path
    )
    for path in ("/steps", "/socket/tokens", "/socket/collected")
}
for path, request in others.items():
    print(f"{path:18}", request.server)

# %% [markdown]
# They follow the same rule. `astream_events` under a `StreamingResponse` is cancelled like any other generator. A WebSocket's handler is never
# cancelled: it notices the disconnect when it next sends or receives. One that collects first does neither, and the GPU goes on.
#
# ## What the access log says
#
# The same two requests, a stream and an answer in one piece, in the words of uvicorn's access log:

# %%
print(*service.access_log, sep="\n")

# %% [markdown]
# The stream has status 200, although its caller got only a part: uvicorn writes the line when the answer begins. `/socket/collected` has its
# handshake, and nothing shows that its work goes on. A request to `/answer` whose caller has gone has no line at all until its work ends. vLLM's
# own access log is uvicorn's, too, and shows 200 for a generation that was cut. So an access log cannot find the incident. What nginx
# writes in such a case is in notebook 10.
#
# ## What a health probe says
#
# An orchestrator asks `/health` every few seconds and restarts a server that does not answer. Kubernetes waits one second for the answer
# unless you set `timeoutSeconds`. Here a handler without `await` holds the event loop for a second; the probe waits for half a second.


# %%
def slow_query():  # stands for chain.invoke, requests.post, a database
    time.sleep(1)


@more.get("/health")
async def health():
    return "ok"


@more.get("/blocks/loop")
async def blocks_the_loop():
    slow_query()  # no await


@more.get("/blocks/thread")
def blocks_a_thread():  # without async: FastAPI runs it in a thread
    slow_query()


def probe_during(path):
    """Ask /health while another request is being handled."""
    with ThreadPoolExecutor() as pool, httpx2.Client(trust_env=False) as client:
        pool.submit(client.get, service.url + path)
        time.sleep(0.2)
        try:
            return client.get(service.url + "/health", timeout=0.5).json()
        except httpx2.TimeoutException:
            return "no answer in time"


probed = {path: probe_during(path) for path in ("/blocks/loop", "/blocks/thread")}
for path, found in probed.items():
    print(f"{path:15} /health: {found}")

# %% [markdown]
# A blocked event loop fails its probe, and after a few failures the orchestrator restarts the server and cuts every stream in it. The
# repair is `await`, or a handler without `async`. The reverse does not hold. The probe was "ok" in all the cases above in
# which the GPU worked for a caller that had gone.
#
# ## A handler that asks
#
# Many handlers ask after each token whether their caller is still there. Then a colleague adds a middleware for a log line:
#
# ```python
# @app.middleware("http")
# async def nothing(request, call_next):
#     return await call_next(request)
# ```

# %%
handlers = inspect.getsource(app._application)
print(handlers.partition('@app.post("/polite")')[2].partition("if hides")[0].strip())

# %%
hidden = lesson.predict(
    "2",
    "The handler asks `request.is_disconnected()` after each token, behind that middleware. "
    "The caller disconnects. What does the GPU server do?",
    {
        "it stops: the middleware only passes the request on": "stopped",
        "it goes on: the handler does not get to know": "still generating",
        "neither: the handler fails at its first question": "it was not running",
    },
)
hidden

# %%
asked = {
    "before": leave(before, server, "/polite", after=patience, watch=TIMEOUT / 2),
    "before, with that middleware": leave(
        hiding, server, "/polite", after=patience, watch=TIMEOUT / 4
    ),
    "after, with that middleware": leave(
        after, server, "/polite", after=patience, watch=TIMEOUT / 2
    ),
}
for name, request in asked.items():
    print(f"{name:30}", request.server)

# %%
hidden.reveal(
    asked["before, with that middleware"].server,
    why="The decorator makes a BaseHTTPMiddleware, which hands the handler a request of its own. "
    "That one does not report the disconnect.",
)

# %% [markdown]
# The repaired server had that middleware all along. Its own middleware stands outside of it and hears of the disconnect first.
#
# ## The caller's deadline
#
# A caller that knows its deadline can send it along, so that the server need not wait for the disconnect. The header `X-Timeout-Ms` has the
# milliseconds that are left. It is a duration and not a time of day, as in gRPC, so the two clocks need not agree. A hook of the caller's HTTP
# client writes what is left of `deadline` there. In the AI server it becomes the ambient `deadline` of everything that the handler does.

# %%
half = lesson.predict(
    "3",
    "The deadline passes in the middle of a plain text. "
    "How does the server keep the caller from taking the half for the whole?",
    {
        "with status 504": "status 504, deadline_exceeded",
        "with an error as the last line": "its last event is an error",
        "it closes the connection before the end that HTTP promises": "cut short, and the client sees it",
        "it cannot: the caller gets a text that ends early": "looks whole",
    },
)
half


# %%
def ask(way):
    hooks = {"request": [propagate_deadline]}
    try:
        with deadline(TIMEOUT / 4), httpx2.Client(event_hooks=hooks, trust_env=False) as client:
            answer = client.post(after.url + ways[way], json=question)
    except httpx2.RemoteProtocolError:
        return "cut short, and the client sees it"
    if answer.status_code != 200:
        return f"status {answer.status_code}, {answer.json()['error']['type']}"
    return "its last event is an error" if "event: error" in answer.text else "looks whole"


told = {way: ask(way) for way in ("one body of JSON", "events by hand", "plain text")}
for way, words in told.items():
    print(f"{way:18}", words)

# %%
half.reveal(
    told["plain text"],
    why="A text that has begun has its status already, and no place for an error. "
    "Every HTTP client raises if the end is missing.",
)

# %% [markdown]
# ## What was shown

# %%
for way in in_one_piece:
    evidence.claim(
        f"Before the repair the GPU goes on for a caller that has gone ({way})",
        expected="still generating",
        found=broken[way].server,
    )
for way in ways:
    evidence.claim(
        f"After the repair the GPU stops with its caller ({way})",
        expected="stopped",
        found=repaired[way].server,
    )
evidence.claim(
    "A handler that asks after each token notices the disconnect",
    expected="stopped",
    found=asked["before"].server,
)
evidence.claim(
    "A BaseHTTPMiddleware hides the disconnect from that handler",
    expected="still generating",
    found=asked["before, with that middleware"].server,
)
evidence.claim(
    "DeadlineMiddleware outside of it ends the work all the same",
    expected="stopped",
    found=asked["after, with that middleware"].server,
)
evidence.number("tokens_for_nobody", broken["one body of JSON"].tokens)

# %%
evidence.claim(
    "A WebSocket's handler that collects its answer goes on after the disconnect",
    expected="still generating",
    found=others["/socket/collected"].server,
)
evidence.claim(
    "The access log has status 200 for a stream whose caller has gone",
    expected='"GET /steps HTTP/1.1" 200',
    found=service.access_log[0],
)
evidence.claim(
    "A blocked event loop fails its health probe",
    expected="no answer in time",
    found=probed["/blocks/loop"],
)
evidence.claim(
    "A deadline that passes before the first byte becomes a status",
    expected="status 504, deadline_exceeded",
    found=told["one body of JSON"],
)
evidence.claim(
    "In a stream of events the passed deadline is the last event",
    expected="its last event is an error",
    found=told["events by hand"],
)
evidence.claim(
    "A text that has begun is cut so that its client sees it",
    expected="cut short, and the client sees it",
    found=told["plain text"],
)
with ThreadPoolExecutor() as pool:
    list(pool.map(lambda part: part.close(), [before, hiding, after, service]))
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Write the handler that notices its caller by itself, without the middleware. `await work()` makes the whole answer. A caller that stays gets
# all of it. If the caller disconnects, the work must have ended half a second later. If the work fails, so does your function. The checker plays the caller.


# %% tags=["exercise"]
async def answer(request, work):
    """Return what `await work()` returns; end it when the client disconnects."""
    # await request.is_disconnected(): whether the client has gone
    # await request.receive(): the request's next message; the first one is the request itself
    raise NotImplementedError  # your code


# %%
await lesson.check("1", answer)

# %% [markdown]
# **2.** Repair an application in two lines: the work ends when the client disconnects, and at the caller's `X-Timeout-Ms`; a request without
# that header has half a second. The application has a BaseHTTPMiddleware already.


# %% tags=["exercise"]
def repair(app):
    """Add the middleware to the FastAPI application `app`."""
    raise NotImplementedError  # your two lines


# %%
await lesson.check("2", repair)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [08 · On a real server](08_a_real_server.ipynb) · Next: [10 · Cut in production](10_cut_in_production.ipynb)
