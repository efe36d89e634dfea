# %% [markdown]
# # 11 · Cut when scaling
#
# **After this notebook you will know**
# - what gunicorn's `--timeout` measures for each class of workers, and what it kills,
# - how one handler or one callback stops everybody's stream,
# - what a browser does that leaves, and one that comes back by itself,
# - what is lost when a second worker answers, and when the first one is replaced.
#
# *About 25 minutes. Needs: [09](09_erp_ai_gpu.ipynb), [10](10_cut_in_production.ipynb), and Chromium (`make parts`).*
#
# A stream that is whole with one user and one worker, and cut with many: this is that story, a cause at a time, each with the real part.
# One worker first, then several. Much of what is told about it is half true; what is claimed at the end was measured here.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import inspect
import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from functools import partial

from stream_lab import Evidence, bundled, open_endpoint
from stream_lab.experiment.evidence import Unknown
from stream_lab.experiment.pictures import left_alone
from stream_lab.http import pictures
from stream_lab.http.capture import read, side_by_side
from stream_lab.processes import Browser, Gunicorn, serve

evidence = Evidence("11")
server = open_endpoint(BASE_URL, MODEL)
paced = bundled("endless")  # where the pace is the subject: twelve tokens a second, on any machine
server

# %% [markdown]
# The trials with gunicorn take some seconds each, and most of that is waiting. So all of them begin now, side by side, and each is looked
# at in its section below; even so this notebook takes most of a minute, which a dozen servers and a browser need to start. A trial is an
# application, gunicorn's options, the requests that are made at the same time, and perhaps signals, each while they are answered anew.
# A long answer takes more than twice as long as the shortest time-out, two seconds.

# %%
LONG = 55  # tokens, 4.7 seconds
ASYNC, SYNC = "stream_lab.relay.scaled:app", "stream_lab.relay.scaled_sync:app"
UVICORN = "-k uvicorn_worker.UvicornWorker"
text, blocking, in_a_thread = (
    f"/{name}?tokens={LONG}" for name in ["text", "blocking", "in_a_thread"]
)
events = f"/events?tokens={LONG}"

TRIALS = {
    "sync": (SYNC, "-k sync --timeout 2", [text], [None]),
    "sync, patient": (SYNC, "-k sync --timeout 30", [text], [None]),
    "gthread": (SYNC, "-k gthread --threads 4 --timeout 2", [text, blocking], [None]),
    "uvicorn": (ASYNC, f"{UVICORN} --timeout 2", [text, in_a_thread], [None]),
    "uvicorn, blocked": (ASYNC, f"{UVICORN} --timeout 2", [text, blocking], [None]),
    "uvicorn, blocked, patient": (ASYNC, f"{UVICORN} --timeout 30", [text, blocking], [None]),
    "asgi, blocked": (ASYNC, "-k asgi --timeout 2", [text, blocking], [None]),
    "restart": (
        ASYNC,
        f"{UVICORN} --timeout 30 --graceful-timeout 1",
        [text],
        [Gunicorn.restart, Gunicorn.stop],
    ),
    "restart, hasty": (
        ASYNC,
        f"{UVICORN} --timeout 2 --graceful-timeout 1",
        [text],
        [Gunicorn.restart],
    ),
    "restart, events": (
        ASYNC,
        f"{UVICORN} --timeout 30 --graceful-timeout 30",
        [events, f"{events}&grace=25"],
        [Gunicorn.restart],
    ),
}


def start(app, options):
    # --preload: the application is imported once, and a new worker is there at once.
    env = {"BASE_URL": paced.base_url, "MODEL": paced.model}
    return Gunicorn(app, "--preload", *options.split(), env=env)


def play(trial):
    app, options, paths, signals = trial
    answers = []
    with start(app, options) as gunicorn:
        urls = [gunicorn.url + path for path in paths]
        for signal in signals:
            meanwhile = signal and partial(signal, gunicorn)
            answers += side_by_side(*urls, apart=0.5, meanwhile=meanwhile)
        time.sleep(1.5)  # gunicorn looks after its workers once a second
    return answers, gunicorn


aside = ThreadPoolExecutor(4)  # at a time
playing = {name: aside.submit(play, trial) for name, trial in TRIALS.items()}
four = aside.submit(start, ASYNC, f"{UVICORN} --workers 4")
tab = ThreadPoolExecutor(1)  # Playwright wants all of its calls from one thread
opening = tab.submit(Browser)

# %% [markdown]
# ## A handler that collects
#
# First, one worker, in this process. The two handlers ask the same model for the same answer.

# %%
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from langchain_openai import ChatOpenAI
from sse_starlette.sse import EventSourceResponse
from stream_deadline import ChatVllm
from stream_deadline.asgi import DeadlineMiddleware


def application(model):
    app = FastAPI()

    def ask(tokens):
        return (model.bind(max_tokens=tokens) if tokens else model).astream("Why?")

    @app.get("/buffered")
    async def buffered(tokens: int = 0):
        return {"text": "".join([chunk.text async for chunk in ask(tokens)])}

    @app.get("/events")
    async def events(tokens: int = 0):
        async def each():
            async for chunk in ask(tokens):
                yield {"event": "token", "data": json.dumps(chunk.text)}
            yield {"event": "done", "data": "[DONE]"}

        return EventSourceResponse(each())

    @app.get("/")
    async def page():
        return HTMLResponse("<title>a page</title>")

    return app


before = application(ChatOpenAI(**server.settings))
with serve(before) as served:
    collected, streamed = (
        read(f"{served.url}/{path}?tokens=30") for path in ["buffered", "events"]
    )

print("buffered:           ", collected.end, "·", collected.manner)
print("EventSourceResponse:", streamed.end, "·", streamed.manner)
print(streamed.text.replace("\r", "").strip().rpartition("\n\n")[2])

# %% [markdown]
# The handler that collects is silent until its end, and whatever stands between it and the user may take the silence for death: a proxy
# (notebook 10), a balancer, a user. The event `done` is worth its line: an end of the connection alone does not say that the answer is
# whole.
#
# ## A callback that waits
#
# It is often told that `StreamingStdOutCallbackHandler` blocks the event loop. Standard output can indeed be slow: a pipe that nobody
# reads, a log collector under load. Here every write takes a second. While one request has the handler, a neighbour's stream runs on the
# same loop.
#
# **Predict first.** Whose stream stands still: with LangChain's own handler, which is synchronous; with the same, and `run_inline`; with
# one whose method is `async`, and which writes to the same output?

# %%
from langchain_core.callbacks import AsyncCallbackHandler, StreamingStdOutCallbackHandler

STALL = 1.0  # seconds


class SlowOutput(io.StringIO):
    def write(self, words):
        time.sleep(STALL)
        return super().write(words)


class Inline(StreamingStdOutCallbackHandler):
    run_inline = True


class Asynchronous(AsyncCallbackHandler):
    async def on_llm_new_token(self, token, **_):
        sys.stdout.write(token)


def with_callback(handler):
    app = FastAPI()
    model = ChatOpenAI(**paced.settings)

    @app.get("/text")
    async def text(tokens: int, told: bool = False):
        callbacks = {"callbacks": [handler()] if told else []}
        stream = model.bind(max_tokens=tokens).astream("Why?", config=callbacks)
        return StreamingResponse((chunk.text async for chunk in stream), media_type="text/plain")

    with serve(app) as served:
        neighbour, own = (
            f"{served.url}/text?{query}" for query in ["tokens=45", "tokens=2&told=1"]
        )
        return side_by_side(neighbour, own)


def flow(answer):
    return "stands still" if answer.pause > 0.8 * STALL else "flows"


handlers = [StreamingStdOutCallbackHandler, Inline, Asynchronous]
with redirect_stdout(SlowOutput()), ThreadPoolExecutor() as pool:
    told = dict(zip(handlers, pool.map(with_callback, handlers), strict=True))
for handler, (neighbour, own) in told.items():
    print(f"{handler.__name__:30} its own stream {flow(own)}, the neighbour's {flow(neighbour)}")

# %% [markdown]
# LangChain runs a synchronous handler in a thread and waits for it without blocking the loop: the stream that has the handler pays, token
# by token, and nobody else. What starves everybody is a handler that is *on* the loop and waits there: an `async` method that does not
# `await`, or `run_inline`. The repair is to write synchronous handlers as synchronous ones, and asynchronous ones to a queue.
#
# ## A browser that leaves
#
# A page asks with `fetch` and an `AbortController`, then aborts; the browser is a real Chromium, the GPU's own metrics tell what becomes of
# the generation.
#
# **Predict first.** When the page has its `AbortError`, does the GPU stop?

# %%
from stream_lab.experiment.release import watch_release

after = application(ChatVllm(**server.settings))
after.add_middleware(DeadlineMiddleware, default_timeout=60)

ASK = """url => { window.controller = new AbortController();
                  fetch(url, {signal: controller.signal}).catch(error => window.ended = error.name); }"""


def leaves(app, path, leave):
    with serve(app) as served:
        page = opening.result().page(served.url)

        def ask():
            page.evaluate(ASK, path)
            return lambda: leave(page)

        return watch_release(server, ask, after=TIMEOUT / 4, watch=TIMEOUT / 2)


def aborts(page):
    page.evaluate("controller.abort()")


def goes_on(page):
    page.goto("about:blank")


ways = {
    "buffered, before, aborted": (before, "/buffered", aborts),
    "buffered, after, aborted": (after, "/buffered", aborts),
    "buffered, after, navigated": (after, "/buffered", goes_on),
    "events, after, aborted": (after, "/events", aborts),
}
left = {name: tab.submit(leaves, *way).result() for name, way in ways.items()}
for name, request in left.items():
    print(f"{name:26}", request.server)

# %%
left_alone(left, title="An aborted fetch ends the work only where somebody listens")

# %% [markdown]
# `abort()` ends the page's wait and closes the connection. To the page it looks the same in all cases; only the server can make it an end
# of the work. That is the middleware of [notebook 09](09_erp_ai_gpu.ipynb).
#
# ## A browser that comes back
#
# `EventSource` is made for feeds that never end: when a stream ends, however it ends, the browser asks again after a while, by itself. (The
# while is three seconds or so, or what the server says in `retry`; here 0.2.) For a feed that is right. For an answer it is a second
# generation that nobody has asked for.
#
# **Predict first.** How often is the model asked when the answer is whole, with its `done`? And when it is cut in the middle?

# %%
asked = []


def feed():
    app = FastAPI()
    model = ChatOpenAI(**server.settings)

    @app.get("/")
    async def page():
        return HTMLResponse("<title>a page</title>")

    @app.get("/events")
    async def events(request: Request, name: str, cut: bool = False, once: bool = False):
        if once and "last-event-id" in request.headers:
            return Response(status_code=204)  # by the standard: do not ask again
        asked.append(name)

        async def each():
            number = 0
            async for chunk in model.bind(max_tokens=5).astream("Why?"):
                number += 1
                yield {"event": "token", "data": chunk.text, "id": str(number), "retry": 200}
                if cut and number == 3:
                    await asyncio.sleep(0.2)  # an id that the browser has not read is not sent back
                    raise RuntimeError("the model's server went away")
            yield {"event": "done", "data": "[DONE]"}

        return EventSourceResponse(each())

    return app


LISTEN = """([url, closes]) => {
    window.source = new EventSource(url);
    source.addEventListener("done", () => { if (closes) source.close(); });
}"""
CLOSED = "source.readyState == EventSource.CLOSED"

feeds = {
    "whole": ("", False),
    "whole, closed at `done`": ("", True),
    "cut": ("&cut=1", True),
    "cut, 204 for the second": ("&cut=1&once=1", True),
}


def listen():
    with serve(feed()) as served:
        pages = {}
        for name, (query, closes) in feeds.items():
            pages[name] = opening.result().page(served.url)
            pages[name].evaluate(LISTEN, [f"/events?name={name}{query}", closes])
        end = time.monotonic() + 15
        while time.monotonic() < end:
            closed = {name for name, page in pages.items() if page.evaluate(CLOSED)}
            if all(name in closed or asked.count(name) > 1 for name in feeds):
                break
            time.sleep(0.05)
        return closed


closed = tab.submit(listen).result()
came_back = {}
for name in feeds:
    times = "once" if asked.count(name) == 1 else "again and again"
    came_back[name] = f"asked {times}" + (", then closed" if name in closed else "")
    print(f"{name:26}", came_back[name])

# %% [markdown]
# `done` is a word like any other to the browser: somebody has to say `source.close()`. That does not help when the answer is cut before it,
# and there the second answer is written behind the half of the first. Events with an `id` repair that: the browser says with
# `Last-Event-ID` how far it had come, and status 204 tells it to stay away. Reading with `fetch` avoids all of it; `fetch` never asks
# twice.
#
# ## A worker that is killed
#
# Now gunicorn, one worker each, `--timeout 2`, and a stream of almost five seconds. The advice is to raise the time-out to 180 for LLM
# streams. What does it measure? These are the handlers, asynchronous ones first:

# %%
from stream_lab.relay import scaled, scaled_sync

for handler in [scaled.text, scaled.blocking, scaled.in_a_thread, scaled_sync.app]:
    print(inspect.getsource(handler))

# %% [markdown]
# **Predict first.** Which of the four healthy streams is cut?

# %%
trials = {name: each.result() for name, each in playing.items()}
healthy = {name: trials[name][0][0] for name in ["sync", "sync, patient", "gthread", "uvicorn"]}
for name, answer in healthy.items():
    print(f"{name:14} {TRIALS[name][1].replace('-k ', ''):45} {answer.end}")

# %%
pictures.answers(
    {
        f"{name}, {TRIALS[name][1].partition('--t')[2].split()[-1]} s": answer
        for name, answer in healthy.items()
    },
    title="Of four healthy streams, the time-out cuts the one of a synchronous worker",
)

# %%
killed = trials["sync"][1]
print(*killed.said("TIMEOUT", "Error handling", "SystemExit"), sep="\n")

# %% [markdown]
# The time-out is for a sign of life that every worker gives, and has nothing to do with requests. A synchronous worker gives none while it
# answers, so for it, and for it alone, it *is* a limit for a request, however well its stream flows; it should be longer than the longest
# answer. Workers with threads or a loop give their sign beside the requests, and a stream may last for hours. There, raising the time-out
# changes nothing for healthy streams.
#
# ## A loop that waits
#
# It changes something for unhealthy ones. `/blocking` calls the model as `llm.invoke` does in an `async def`. A neighbour is streaming on
# the same worker.
#
# **Predict first.** What becomes of the neighbour with `--timeout 2`, what with `--timeout 30`?

# %%
neighbours = {
    "--timeout 2": trials["uvicorn, blocked"][0],
    "--timeout 30": trials["uvicorn, blocked, patient"][0],
    "in a thread": trials["uvicorn"][0],
}
became = {
    name: f"{neighbour.end}, {flow(neighbour)}" for name, (neighbour, _) in neighbours.items()
}
for name, (_, blocked) in neighbours.items():
    print(f"{name:14} the one that waits: {blocked.end:8} its neighbour: {became[name]}")

# %%
pictures.answers(
    {
        f"{who}, {name}": answer
        for name, both in neighbours.items()
        for who, answer in zip(["neighbour", "waiting"], both, strict=True)
    },
    title="A call that waits on the loop stops its neighbour, or has both killed",
)

# %%
uvicorn_words = trials["uvicorn, blocked"][1].said("TIMEOUT", "sent SIGABRT", "sent SIGKILL")
asgi_words = trials["asgi, blocked"][1].said("TIMEOUT", "sent SIGABRT", "sent SIGKILL")
print("uvicorn_worker:", *uvicorn_words, sep="\n")
print("asgi:", *asgi_words, sep="\n")

# %% [markdown]
# Here the time-out is a watchdog that found a real fault, and it ends the worker with all its streams. With more patience nobody is killed
# and everybody waits: that treats the symptom. The repair is to leave the loop alone: `await`, or a handler without `async`, which gets a
# thread.
#
# Mind the last line. The worker class `asgi`, gunicorn's own, hears SIGABRT on its loop, which is blocked, so that a second later it is
# killed for good; and gunicorn guesses, in its log, at a lack of memory. Nobody was short of any.
#
# ## Four workers, four memories
#
# A conversation is counted in the worker's memory, and then the same by the client, who brings along what has been said:

# %%
print(inspect.getsource(scaled.talk), inspect.getsource(scaled.talk_with), sep="\n")


# %%
def converse(url, path, others):
    """Five turns, and on until so many other workers have answered; is a turn ever lost?"""
    turn, workers = 0, set()
    for number in range(1, 101):
        answer = json.loads(read(url + path.format(turn=turn)).text)
        turn = answer["turn"]
        workers.add(answer["worker"])
        if turn != number:
            return "forgets"
        if number >= 5 and len(workers) > others:
            return "remembers"
    return Unknown("no other worker answered")


with serve(scaled.app) as one, four.result() as gunicorn:
    end = time.monotonic() + 10
    while gunicorn.log.count("startup complete") < 4 and time.monotonic() < end:
        time.sleep(0.05)
    remembered = {
        (workers, kept): converse(url, path, others)
        for workers, url, others in [("one worker", one.url, 0), ("four workers", gunicorn.url, 1)]
        for kept, path in [("by the worker", "/talk/mine"), ("by the client", "/talk_with/{turn}")]
    }
for (workers, kept), found in remembered.items():
    print(f"{workers:13} kept {kept}: {found}")

# %% [markdown]
# gunicorn's workers share one socket, and whichever is free takes the next connection; there is no affinity to be had. So a request must
# bring along, or find outside, all that it needs. And one worker is no excuse: a list that two requests share has both answers in it.


# %%
def accumulating():
    app = FastAPI()
    model = ChatOpenAI(**paced.settings).bind(max_tokens=10)
    collected = []

    @app.get("/{name}")
    async def answer(name: str):
        collected.clear()
        async for _ in model.astream("Why?"):
            collected.append(name)
        return sorted(set(collected))

    return app


with serve(accumulating()) as served, ThreadPoolExecutor() as pool:
    mixed = list(pool.map(lambda name: json.loads(read(f"{served.url}/{name}").text), "ab"))
print(mixed)

# %% [markdown]
# ## A rolling restart
#
# `kill -HUP` has gunicorn start new workers and end the old ones. In this trial it comes half a second into a stream of almost five.
#
# **Predict first.** With `--graceful-timeout 1`, is the stream cut? With 30, is a stream of `EventSourceResponse` whole?

# %%
(hup, term), (hasty,), (hup_events, graceful) = (
    trials[name][0] for name in ["restart", "restart, hasty", "restart, events"]
)
replaced = {
    "HUP, limits 30 and 1": hup,
    "HUP, limits 2 and 1": hasty,
    "HUP, limits 30 and 30, events": hup_events,
    "the same, and a grace of 25": graceful,
    "TERM, limits 30 and 1": term,
}
for name, answer in replaced.items():
    print(f"{name:30}", answer.end)
print()
print(*trials["restart, hasty"][1].said("signal: hup", "TIMEOUT", "sent SIGABRT"), sep="\n")
print(*trials["restart, events"][1].said("signal: hup", "ASGI callable"), sep="\n")

# %%
pictures.answers(
    replaced,
    title="--timeout cuts at a restart, the graceful limit at an end",
)

# %% [markdown]
# (Limits: `--timeout` and `--graceful-timeout`.) Three things that the manual does not prepare for:
#
# - At a restart gunicorn waits for the graceful limit and then goes on with its work; it kills nobody. A stream goes on beyond it.
# - uvicorn's worker gives no sign of life while it ends. So it is `--timeout` that cuts, as WORKER TIMEOUT, once the graceful wait is over:
#   **this** is where a long one is worth having. At an end of the whole (`TERM`) the graceful limit counts, and what it kills is not in the
#   log.
# - sse-starlette ends its streams half a second after the signal at the latest, whatever gunicorn allows, unless each response has a
#   `shutdown_grace_period`.
#
# ## Who ended it, by the log
#
# The words one looks for, and what is really there. A caller leaves a stream; a caller leaves while it sends; the server ends in the
# middle; a caller leaves a synchronous worker.

# %%
import socket


def telling(seen):
    app = FastAPI()
    model = ChatOpenAI(**paced.settings)

    @app.get("/text")
    async def text():
        async def each():
            try:
                async for chunk in model.astream("Why?"):
                    yield chunk.text
            except BaseException as error:
                seen.append(type(error).__name__)
                raise

        return StreamingResponse(each(), media_type="text/plain")

    @app.post("/upload")
    async def upload(request: Request):
        try:
            return len(await request.body())
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    return app


def leave_stream(served):
    read(f"{served.url}/text", leave_after=0.2)


def leave_upload(served):
    port = int(served.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as caller:
        caller.sendall(b"POST /upload HTTP/1.1\r\nhost: ai\r\ncontent-length: 100\r\n\r\nhalf")
        time.sleep(0.2)


def end_server(served):
    side_by_side(f"{served.url}/text", meanwhile=served.close)


def told_by(act):
    seen = []
    with serve(telling(seen)) as served:
        act(served)
        end = time.monotonic() + 5
        while not seen and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(0.2)
        return ", ".join(seen), [line.strip() for line in served.log]


def leave_sync():
    with start(SYNC, "-k sync --log-level debug") as gunicorn:
        read(gunicorn.url + text, leave_after=0.2)
        end = time.monotonic() + 5
        while not (words := gunicorn.said("EPIPE")) and time.monotonic() < end:
            time.sleep(0.05)
    return words


with ThreadPoolExecutor() as pool:
    pipe = pool.submit(leave_sync)
    stream, upload, ended = (told_by(act) for act in [leave_stream, leave_upload, end_server])
acts = {"a stream is left": stream, "an upload is left": upload, "the server ends": ended}
for name, (saw, log) in acts.items():
    print(f"{name:18} the code sees {saw}; the log: {' / '.join(log).rstrip(': ') or 'nothing'}")
print(
    f"a sync worker's stream is left; the log: {' / '.join(pipe.result())}, at the level debug only"
)

# %% [markdown]
# A caller who leaves a stream leaves no trace unless one logs the `CancelledError` in the generator. `ClientDisconnect` is about reading a
# request, not about a stream. And the `BrokenPipeError` of a synchronous worker is there, but swallowed.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "a handler that collects: the answer comes", expected="all at once", found=collected.manner
)
evidence.claim(
    "EventSourceResponse: the answer comes", expected="as it is made", found=streamed.manner
)
for handler, expected in zip(handlers, ["flows", "stands still", "stands still"], strict=True):
    kind = handler.__name__
    evidence.claim(
        f"callback {kind}, slow output: the neighbour's stream",
        expected=expected,
        found=flow(told[handler][0]),
    )
for name, expected in zip(ways, ["still generating", "stopped", "stopped", "stopped"], strict=True):
    evidence.claim(f"browser; {name}: the GPU", expected=expected, found=left[name].server)
for name, expected in zip(
    feeds,
    [
        "asked again and again",
        "asked once, then closed",
        "asked again and again",
        "asked once, then closed",
    ],
    strict=True,
):
    evidence.claim(f"EventSource; {name}: the model is", expected=expected, found=came_back[name])
for name, expected in zip(healthy, ["cut", "whole", "whole", "whole"], strict=True):
    evidence.claim(
        f"healthy long stream; {TRIALS[name][1]}", expected=expected, found=healthy[name].end
    )
for name, expected in zip(
    neighbours, ["cut, stands still", "whole, stands still", "whole, flows"], strict=True
):
    evidence.claim(f"neighbour of a call that waits; {name}", expected=expected, found=became[name])
evidence.claim(
    "the log of a blocked asgi worker guesses at memory",
    expected="True",
    found=any("SIGKILL! Perhaps out of memory?" in line for line in asgi_words),
)
for (workers, kept), expected in zip(
    remembered, ["remembers", "remembers", "forgets", "remembers"], strict=True
):
    found = remembered[workers, kept]
    evidence.claim(f"a conversation; {workers}, kept {kept}", expected=expected, found=found)
evidence.claim(
    "two requests and one list: answers hold parts of both", expected=[["a", "b"]] * 2, found=mixed
)
for name, expected in zip(replaced, ["whole", "cut", "cut", "whole", "cut"], strict=True):
    evidence.claim(f"a stream; {name}", expected=expected, found=replaced[name].end)
evidence.claim("who leaves a stream: in the code", expected="CancelledError", found=stream[0])
evidence.claim("who leaves a stream: in the log", expected="nothing", found=stream[1] or "nothing")
evidence.claim("who leaves an upload: in the code", expected="ClientDisconnect", found=upload[0])
evidence.claim(
    "who leaves a sync worker: in the log",
    expected="[DEBUG] Ignoring EPIPE",
    found=", ".join(pipe.result()),
)
evidence.number("neighbour_waited", neighbours["--timeout 30"][0].pause)
tab.submit(opening.result().close).result()
tab.shutdown()
aside.shutdown()
paced.close()
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# For how many seconds, in whole ones, did the neighbour's stream stand still at most while the call waited and nobody was killed?
# `neighbours` has two answers for each limit, the neighbour's first; an answer's `pause` is its longest.

# %%
from stream_lab.experiment.exercise import check

stood_still = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
check(
    stood_still,
    int(neighbours["--timeout 30"][0].pause),
    hint="Take the first answer of '--timeout 30', and int() of its pause.",
)

# %% [markdown]
# ---
# Before: [10 · Cut in production](10_cut_in_production.ipynb) · Next: [12 · Loops inside loops](12_loops_inside_loops.ipynb)
