# %% [markdown]
# # 11b · Browsers and restarts
#
# **After this notebook you will know**
# - whether the GPU stops when a browser leaves,
# - what `EventSource` and a WebSocket do when an answer ends, is cut, or its server restarts,
# - which of gunicorn's limits cuts a stream at a restart,
# - what a sticky balancer keeps, and where a sudden 502 comes from.
#
# *About 41 minutes. Needs: [11](11_cut_when_scaling.ipynb); Chromium, HAProxy and nginx (`make parts`).*
#
# An answer can be cut at both ends. At one end is a browser, which leaves and comes back as it likes. At the other end is a service, which
# you restart with every deploy. Chromium, gunicorn, nginx and HAProxy are the real ones.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from stream_lab import Evidence, Lesson, bundled, open_endpoint
from stream_lab.processes.gunicorn import Gunicorn
from stream_lab.relay.browsers import Tab, abort, navigate
from stream_lab.relay.trials import Trial, Trials

evidence, lesson = Evidence("11b"), Lesson("11b")
server = open_endpoint(BASE_URL, MODEL)
paced = bundled("endless")  # where only the pace matters: twelve tokens a second, on any machine
server

# %% [markdown]
# The restarts of the fourth section take seconds, so they begin now, in the background, and so does the browser. HUP tells gunicorn to
# replace its workers, as a rolling restart does. TERM tells it to end. Both come half a second into a stream of almost five seconds.
# The two limits are `--timeout`, and `--graceful-timeout`: how long a worker may take to end.

# %%
UVICORN = "-k uvicorn_worker.UvicornWorker"
hup, term = (Gunicorn.restart,), (Gunicorn.stop,)
text, events = ("/text?tokens=55",), ("/events?tokens=55", "/events?tokens=55&grace=25")

trials = Trials(
    paced,
    {
        "HUP": Trial(f"{UVICORN} --timeout 30 --graceful-timeout 1", text, hup),
        "HUP, short": Trial(f"{UVICORN} --timeout 2 --graceful-timeout 1", text, hup),
        "TERM": Trial(f"{UVICORN} --timeout 30 --graceful-timeout 1", text, term),
        "events": Trial(f"{UVICORN} --timeout 30 --graceful-timeout 30", events, hup),
    },
)
tab = Tab()

# %%
import asyncio
import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI, Request, Response, WebSocket
from langchain_openai import ChatOpenAI
from sse_starlette.sse import EventSourceResponse
from stream_lab.experiment.pictures import left_alone
from stream_lab.http import pictures
from stream_lab.http.client import direct_client
from stream_lab.processes import Gateway, Haproxy, Nginx, serve
from stream_lab.relay.app import after, before
from stream_lab.relay.neighbours import Conversation

# %% [markdown]
# ## A browser that leaves
#
# The page calls `fetch` with an `AbortController`, and aborts after a moment. The relay is the one of
# [notebook 09](09_erp_ai_gpu.ipynb): *before* its repair, and *after* it with `ChatVllm` and `DeadlineMiddleware`. Its handler `/answer`
# collects the whole answer, and `/events` streams it as *Server-Sent Events*: lines of text over one long response.

# %%
leave_prediction = lesson.predict(
    "1",
    "The page aborts its request to `/answer` before the repair, and gets its `AbortError`. What does the GPU do?",
    {
        "it stops: the connection is closed": "stopped",
        "it goes on: the handler does not notice": "still generating",
    },
)
leave_prediction

# %%
relays = {"before": before(server.settings), "after": after(server.settings)}
ways = {
    "/answer, before, aborted": ("before", "/answer", abort),
    "/answer, after, aborted": ("after", "/answer", abort),
    "/answer, after, another page": ("after", "/answer", navigate),
    "/events, after, aborted": ("after", "/events", abort),
}
left = {
    name: tab.leave(relays[relay], path, leave, gpu=server)
    for name, (relay, path, leave) in ways.items()
}
for name, request in left.items():
    print(f"{name:29}", request.server)

# %%
leave_prediction.reveal(
    left["/answer, before, aborted"].server,
    why="`abort()` closes the browser's connection, but a handler that collects never looks at it.",
)

# %%
left_alone(left, title="Without the repair, the GPU works on for a page that has gone")

# %% [markdown]
# To the page, all four look the same. Only the server can turn a closed connection into the end of the work.
#
# ## A browser that reads a feed
#
# `EventSource` is the browser's own reader of Server-Sent Events. The feed below sends five tokens and an event `done`. A request may ask
# it to fail after three tokens, to fail at once with status 503, or to answer 204 (no content) to a browser that has read a part before.


# %%
def feed(model):
    app = FastAPI()
    app.state.asked = []  # the names of the feeds, each time one is requested

    @app.get("/events")
    async def events(request: Request, name: str, fault: str = "", stays_away: bool = False):
        if stays_away and "last-event-id" in request.headers:
            return Response(status_code=204)
        app.state.asked.append(name)
        if fault == "503":
            return Response(status_code=503)

        async def each():
            number = 0
            async for chunk in model.astream("Why?"):
                number += 1
                yield {"event": "token", "data": chunk.text, "id": str(number), "retry": 200}
                if fault == "cut" and number == 3:
                    await asyncio.sleep(0.2)  # until the browser has read the events
                    raise RuntimeError("the model's server went away")
            yield {"event": "done", "data": "[DONE]"}

        return EventSourceResponse(each())

    return app


# %%
feed_prediction = lesson.predict(
    "2",
    "The answer arrives whole, with its event `done`. The page does nothing about it. How often is the model asked?",
    {
        "once": "requested once",
        "once, and the browser closes the feed at `done`": "requested once, then closed",
        "again and again": "requested again and again",
    },
)
feed_prediction

# %%
feeds = {  # the path, and whether the page calls source.close() at `done`
    "whole": ("/events?name=whole", False),
    "whole, closed at `done`": ("/events?name=whole, closed at `done`", True),
    "cut": ("/events?name=cut&fault=cut", True),
    "cut, then 204": ("/events?name=cut, then 204&fault=cut&stays_away=1", True),
    "503 at once": ("/events?name=503 at once&fault=503", True),
}
app = feed(ChatOpenAI(**server.settings).bind(max_tokens=5))
closed = tab.listen(app, feeds)
came_back = {}
for name in feeds:
    times = "once" if app.state.asked.count(name) == 1 else "again and again"
    came_back[name] = f"requested {times}" + (", then closed" if name in closed else "")
    print(f"{name:24}", came_back[name])

# %%
feed_prediction.reveal(
    came_back["whole"],
    why="To `EventSource`, `done` is an event like any other, and the end of the response is a lost connection.",
)

# %% [markdown]
# `EventSource` was made for feeds that never end. When its connection ends, it sends the request again, after three seconds or so (here 0.2,
# since each event carries `retry: 200`). For an answer, that is another generation, and the page writes it behind the first one. There are
# three repairs:
#
# - The page calls `source.close()` at `done`. That does not help when the answer is cut before.
# - Each event has an `id`. The browser repeats the last one in the header `Last-Event-ID`, and the server goes on from there, or answers
#   204: do not come back. Exercise 1 is about that.
# - The page reads the stream with `fetch`, which never asks twice.
#
# Note the last row. After a *status* such as 502 or 503 `EventSource` gives up for good. A proxy that answers so during a restart ends the
# feed.
#
# ## A WebSocket at a restart
#
# A *WebSocket* is one connection for messages in both directions. It starts as an HTTP request and then leaves HTTP. The page below reads
# one answer with `EventSource` and one over a WebSocket. In the middle of both, the server is replaced by a new one on the same port.


# %%
def both(model):
    app = FastAPI()
    app.state.asked = []

    @app.get("/events")
    async def events():
        app.state.asked.append("EventSource")
        return EventSourceResponse(
            {"data": chunk.text, "retry": 200} async for chunk in model.astream("Why?")
        )

    @app.websocket("/socket")
    async def talk(socket: WebSocket):
        await socket.accept()
        app.state.asked.append("WebSocket")
        async for chunk in model.astream("Why?"):
            await socket.send_text(chunk.text)
        await socket.close()

    return app


# %%
restart_prediction = lesson.predict(
    "3",
    "The new server is up. Which of the two asks it for the answer, without any code in the page?",
    {
        "both": "EventSource, WebSocket",
        "only `EventSource`": "EventSource",
        "only the WebSocket": "WebSocket",
        "neither": "",
    },
)
restart_prediction

# %%
restarted = tab.restart(both(ChatOpenAI(**paced.settings)), events="/events", socket="/socket")
print("asked the new server:", *restarted.asked_again)
print("the WebSocket's close code:", restarted.close_code)

# %%
restart_prediction.reveal(
    ", ".join(sorted(restarted.asked_again)),
    why="Only `EventSource` reconnects by itself. A WebSocket tells the page that it is closed, and that is all.",
)

# %% [markdown]
# Code 1012 means *service restart*; uvicorn sends it when it ends. With a WebSocket, all of this is yours to write: reconnecting, waiting a
# while before it, and saying where to go on. A proxy between the two must pass the `Upgrade` request on, which nginx does only if it is
# configured to, and its idle limit counts for a silent WebSocket, too.
#
# ## A rolling restart
#
# Now gunicorn, in the middle of a stream of almost five seconds. A rolling restart (HUP) starts new workers and ends the old ones.

# %%
rolling_prediction = lesson.predict(
    "4",
    "The restart comes after half a second. `--graceful-timeout` is 1 s and `--timeout` 30 s. What becomes of the stream?",
    {
        "it is cut after the graceful second": "cut",
        "it is whole": "whole",
    },
)
rolling_prediction

# %%
(hup_events, graceful_events) = trials["events"].answers
replaced = {
    "HUP, --timeout 30, graceful 1": trials["HUP"].answers[0],
    "HUP, --timeout 2, graceful 1": trials["HUP, short"].answers[0],
    "TERM, --timeout 30, graceful 1": trials["TERM"].answers[0],
    "HUP, 30 and 30, events": hup_events,
    "HUP, 30 and 30, events with grace": graceful_events,
}
for name, answer in replaced.items():
    print(f"{name:34}", answer.end)

# %%
rolling_prediction.reveal(
    replaced["HUP, --timeout 30, graceful 1"].end,
    why="At HUP gunicorn waits for the graceful second and then goes on with its own work. It kills nothing.",
)

# %%
pictures.answers(
    {name: answer for name, answer in replaced.items() if "events" not in name},
    title="At HUP --timeout cuts a stream, at TERM --graceful-timeout",
)

# %%
print(*trials["HUP, short"].said("signal: hup", "TIMEOUT", "sent SIGABRT"), sep="\n")
print(*trials["events"].said("ASGI callable"), sep="\n")

# %% [markdown]
# Three things that gunicorn's manual does not prepare you for:
#
# - **HUP:** the worker finishes its streams, whatever `--graceful-timeout` says. But uvicorn's worker sends no heartbeat meanwhile. So
#   `--timeout` cuts the stream, as WORKER TIMEOUT. Here a long `--timeout` is worth having.
# - **TERM:** the whole service ends, and `--graceful-timeout` limits the streams. What it kills is not in the log.
# - **sse-starlette** ends its own streams within half a second after the signal. An `EventSourceResponse` with a
#   `shutdown_grace_period` (*grace*, above) may go on.
#
# ## A sticky balancer
#
# In notebook 11 the second worker did not know the conversation. A common repair is a *sticky* balancer: it gives each browser a cookie with
# the name of a server, and sends it there from then on. HAProxy stands before two servers that count turns in their memory.


# %%
def counting(worker):
    app, turns = FastAPI(), Counter()

    @app.api_route("/talk/{name}", methods=["GET", "POST"])
    async def talk(name: str):
        turns[name] += 1
        return {"turn": turns[name], "worker": worker}

    return app


ROUND_ROBIN = ["balance roundrobin"]
STICKY = [*ROUND_ROBIN, "dynamic-cookie-key secret", "cookie SERVER insert indirect dynamic"]

# %%
sticky_prediction = lesson.predict(
    "5",
    "The balancer is sticky. After five turns the server of this browser is restarted. Does the conversation go on?",
    {
        "yes: the cookie leads back to the same server": "remembers",
        "no: it starts again": "forgets",
    },
)
sticky_prediction

# %%
kept = {}
servers = {worker: serve(counting(worker)) for worker in "AB"}
addresses = [each.url for each in servers.values()]
with Haproxy(addresses, backend=ROUND_ROBIN) as balancer:
    kept["each request to the next server"] = Conversation(balancer.url, "/talk/one").go_on()
with Haproxy(addresses, backend=STICKY) as balancer:
    conversation = Conversation(balancer.url, "/talk/two")
    kept["sticky"] = conversation.go_on()
    own = conversation.worker
    servers[own].close()
    servers[own] = serve(counting(own), port=int(servers[own].url.rpartition(":")[2]))
    kept["sticky, after a restart"] = conversation.go_on()
for each in servers.values():
    each.close()
for name, found in kept.items():
    print(f"{name:32}", found)

# %%
sticky_prediction.reveal(
    kept["sticky, after a restart"],
    why="The cookie names a server. What the server knew was in the memory of a process that has ended.",
)

# %% [markdown]
# A sticky balancer hides the fault until the next deploy. It also spreads the load badly: new users go to a new server, and the long streams
# stay on the old ones. State that must outlive a process belongs to the client or to a store.
#
# ## A sudden 502
#
# The last cut belongs to no stream. A proxy can keep its connections to the service open and use them again. The service closes a connection
# that has been idle for a while: uvicorn after 5 s (`--timeout-keep-alive`), gunicorn's `gthread` after 2 s (`--keep-alive`). Sometimes a
# request is on its way at that very moment. Here the way takes 0.4 s, longer than in life, so that it happens each time: uvicorn closes
# after one second, and the second request comes a little later, before nginx knows.


# %%
def status_of_the_second(keep_alive):
    with (
        serve(counting("C"), timeout_keep_alive=keep_alive) as served,
        Gateway(served.url, delay=0.4) as way,
        Nginx(
            "http://host",
            'proxy_set_header Connection "";',
            http=(f"upstream host {{ server {way.url[7:]}; keepalive 4; }}",),
        ) as nginx,
        direct_client(timeout=10) as client,
    ):
        client.post(f"{nginx.url}/talk/one")
        time.sleep(0.6)  # the answer took 0.4 s to come, and the next request takes as long
        return client.post(f"{nginx.url}/talk/one").status_code, nginx.log


with ThreadPoolExecutor() as pool:
    (early, log), (late, _) = pool.map(status_of_the_second, [1, 75])
print("uvicorn closes idle connections after  1 s:", early)
print("uvicorn closes idle connections after 75 s:", late)
print(*re.findall("upstream prematurely[^,]*", log))

# %% [markdown]
# nginx does not repeat a POST, since the service may have begun to work. The rule: **the side that sends requests must close first.** The
# service's keep-alive must be longer than the proxy's (nginx: 60 s, an AWS load balancer: 60 s), so start uvicorn with
# `--timeout-keep-alive 75`.

# %% [markdown]
# ## What was shown

# %%
for name, expected in zip(ways, ["still generating", "stopped", "stopped", "stopped"], strict=True):
    evidence.claim(
        f"The GPU is {expected} after its page has left: {name}",
        expected=expected,
        found=left[name].server,
    )
again, once = "requested again and again", "requested once, then closed"
for name, expected in zip(feeds, [again, once, again, once, once], strict=True):
    evidence.claim(
        f"A feed of EventSource is {expected}: {name}",
        expected=expected,
        found=came_back[name],
    )
evidence.claim(
    "After a restart only EventSource asks again",
    expected=["EventSource"],
    found=restarted.asked_again,
)
evidence.claim(
    "A WebSocket is closed with 1012 at a restart", expected=1012, found=restarted.close_code
)
for name, expected in zip(replaced, ["whole", "cut", "cut", "cut", "whole"], strict=True):
    evidence.claim(
        f"A stream is {expected} at a restart or an end: {name}",
        expected=expected,
        found=replaced[name].end,
    )

# %%
for name, expected in zip(kept, ["forgets", "remembers", "forgets"], strict=True):
    evidence.claim(
        f"A service behind a balancer {expected} the conversation: {name}",
        expected=expected,
        found=kept[name],
    )
for seconds, status, expected in [(1, early, 502), (75, late, 200)]:
    evidence.claim(
        f"With a keep-alive of {seconds} s the second request gets {expected}",
        expected=expected,
        found=status,
    )

# %%
tab.close()
trials.close()
paced.close()
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Make a feed that a browser can resume. The pieces of the answer are stored: `stored(after)` is an asynchronous generator of
# `(number, text)`, from the piece after that number on. The first piece has number 1, so `stored(0)` is the whole answer. Send each piece as
# an event, then an event `done`. After a cut, the browser must get the rest, without a piece missing or twice.


# %% tags=["exercise"]
async def resumable(request, stored):
    # request.headers is a dict of strings. Return an EventSourceResponse of a generator, as in `feed` above.
    raise NotImplementedError  # your code


# %%
await lesson.check("1", resumable)

# %% [markdown]
# **2.** Your platform has sent TERM. Write the shutdown. These are its facts: the balancer sends requests until five seconds after the
# health probe has failed. A stream takes 15 s at most, but now and then one never ends. 30 s after TERM the platform sends SIGKILL.


# %% tags=["exercise"]
async def shut_down(service):
    # service.fail_health_probe()             the balancer notices within five seconds
    # await service.sleep(seconds)            wait; streams go on, and requests come
    # service.stop_accepting()                refuse new requests from now on
    # await service.wait_for_streams(seconds) wait until all streams have ended, or for this many seconds
    # service.exit()                          end the process; what still streams is cut
    raise NotImplementedError  # your code


# %%
await lesson.check("2", shut_down)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [11 · Cut when scaling](11_cut_when_scaling.ipynb) · Next: [12 · Loops inside loops](12_loops_inside_loops.ipynb)
