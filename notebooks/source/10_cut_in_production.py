# %% [markdown]
# # 10 · Cut in production
#
# **After this notebook you will know**
# - six ways in which a stream that works on your desk comes too late, or not whole, in production,
# - which of them a setting mends and which the application must,
# - in what order to look when you do not know which it is.
#
# *About 20 minutes. Needs: [09](09_erp_ai_gpu.ipynb), and nginx (`make parts`).*
#
# So far the trouble was a stream that does not end. This is its mirror image: a stream that ends before it should. The nginx here is a real
# one. Load balancers and serverless platforms cannot run on a desk; a small TCP proxy with their limits stands in for them, and the text
# says so each time.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import json
from itertools import pairwise

from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from sse_starlette.sse import EventSourceResponse
from stream_deadline import ChatVllm
from stream_deadline.asgi import DeadlineMiddleware
from stream_lab import Evidence, open_endpoint
from stream_lab.http import pictures
from stream_lab.http.capture import read, read_all
from stream_lab.processes import Gateway, Nginx, serve

evidence = Evidence("10")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The service
#
# A chain with a short answer, and a web application around it. Each section adds an endpoint.

# %%
model = ChatVllm(**server.settings, timeout=30, max_tokens=12)
chain = ChatPromptTemplate.from_messages([("user", "{question}")]) | model | StrOutputParser()
app = FastAPI()


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
# The commonest cause is none of the network's: the handler waits for the whole answer, then sends it. Every limit on the way now sees a
# silence as long as the answer.


# %%
@app.get("/collected")
async def collected():
    return {"text": "".join([token async for token in tokens()])}


@app.get("/streamed")
async def streamed(pause: float = 0.0):
    return StreamingResponse(tokens(pause), media_type="text/plain")


service = serve(app)
desk = read_all({path: service.url + path for path in ("/collected", "/streamed")})
for path, answer in desk.items():
    print(f"{path:12}", answer.end, "|", answer.manner)

# %% [markdown]
# ## 2. A promise of length
#
# Who copies the headers of another answer, or counts characters where HTTP counts bytes, promises a length that the stream does not keep.
#
# **Predict first.** `Grüße` has five characters. What does the client get if five are promised? If ten are?


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
complaints = [line for line in service.log if line.startswith("RuntimeError")]
print(*complaints, sep="\n")

# %% [markdown]
# The client learns of it as a broken connection; only the server's log has the reason. The repair is to promise nothing: a
# `StreamingResponse` without that header is sent in chunks, and its end is marked.
#
# ## 3. A proxy that collects
#
# "nginx buffers, so switch `proxy_buffering` off" is what every guide says. Here is the same stream through four of them.
#
# **Predict first.** Through which of the four does the client see the tokens as they are made?


# %%
@app.get("/unbuffered")
async def unbuffered():
    return StreamingResponse(tokens(), media_type="text/plain", headers={"X-Accel-Buffering": "no"})


GZIP = ("gzip on;", "gzip_types text/plain;", "gzip_min_length 0;")
as_it_comes = Nginx(service.url)
with_gzip = Nginx(service.url, *GZIP)
buffering_off = Nginx(service.url, *GZIP, "proxy_buffering off;")
proxied = read_all(
    {
        "nginx as it comes": as_it_comes.url + "/streamed",
        "gzip on": with_gzip.url + "/streamed",
        "gzip on, proxy_buffering off": buffering_off.url + "/streamed",
        "gzip on, the application says no": with_gzip.url + "/unbuffered",
    },
    headers={"Accept-Encoding": "gzip"},
)
for name, answer in proxied.items():
    print(f"{name:34}", answer.end, "|", answer.manner)

# %%
pictures.answers(
    {"straight from the application": desk["/streamed"], **proxied},
    title="It is gzip that collects the tokens, unless nginx is told not to buffer",
)

# %% [markdown]
# nginx with its buffers on passes a small chunk on as soon as it has it; they matter for clients that read slowly. What waits is the
# compression, which wants more before it gives anything out, and it does so only where buffering is on. So both repairs hold: the setting, and the
# header `X-Accel-Buffering: no`, which the application can send itself and sse-starlette always does.
#
# ## 4. A pause, and somebody who takes it for the end
#
# A model that thinks, a tool that is called, a queue: nothing comes for a while. Proxies and load balancers end connections on which
# nothing comes. nginx calls it `proxy_read_timeout`; here it is one and a half seconds, and the pause takes two. The same limit on a load balancer
# or an API gateway is played by the stand-in.
#
# **Predict first.** Which helps: a comment every second that says nothing, or a longer limit?


# %%
@app.get("/events")
async def events(pause: float = 0.0, ping: int = 15):
    async def told():
        async for token in tokens(pause):
            yield {"event": "token", "data": json.dumps(token)}
        yield {"event": "done", "data": "[DONE]"}

    return EventSourceResponse(told(), ping=ping)  # a comment every so many seconds


strict = Nginx(service.url, "proxy_buffering off;", "proxy_read_timeout 1500ms;")
patient = Nginx(service.url, "proxy_buffering off;", "proxy_read_timeout 300s;")
gateway = Gateway(service.url, idle=1.5)
quiet, kept_alive = "/events?pause=2", "/events?pause=2&ping=1"
paused = read_all(
    {
        "nginx, limit shorter than the pause": strict.url + quiet,
        "nginx, a comment every second": strict.url + kept_alive,
        "nginx, a longer limit": patient.url + quiet,
        "gateway (stand-in)": gateway.url + quiet,
        "gateway, a comment every second": gateway.url + kept_alive,
    }
)
for name, answer in paused.items():
    print(f"{name:36}", answer.end)
print(strict.log.partition("[error] ")[2].partition(": *")[2].partition(" ")[2].partition(",")[0])

# %%
pictures.answers(paused, title="A pause is taken for the end, unless something comes meanwhile")

# %% [markdown]
# Both help against a proxy of your own. Where the limit is somebody else's only the comment does. It costs nothing, it is part of
# Server-Sent Events, and every client skips it. (That is also why a deadline must not be fooled by it: see notebook 07.)
#
# ## 5. A platform that ends everything after so long
#
# A serverless platform ends a function after a set time, whatever it is doing. Nothing the stream sends changes that. The stand-in
# allows one second.
#
# What helps is to be first: a deadline of your own below the platform's. The client then gets a last event that says what happened,
# in place of a connection that breaks off.

# %%
first = serve(DeadlineMiddleware(app, max_timeout=0.7))
with Gateway(service.url, longest=1.0) as platform, Gateway(first.url, longest=1.0) as same:
    limited = read_all(
        {"cut": platform.url + "/events?pause=1", "told": same.url + "/events?pause=1"}
    )
last_event = limited["told"].text.replace("\r\n", "\n").strip().rpartition("\n\n")[2]
print("platform alone:            ", limited["cut"].end)
print("a deadline below its limit:", limited["told"].end + ",", last_event.partition("\n")[0])

# %% [markdown]
# ## 6. A callback that raises
#
# "A callback that raises in `on_llm_new_token` stops the stream." Does it?


# %%
class Metrics(BaseCallbackHandler):
    """Counts tokens, until its database is down."""

    def __init__(self, raise_error):
        self.raise_error = (
            raise_error  # an attribute of every handler; LangChain's default is False
        )
        self.count = 0

    def on_llm_new_token(self, token, **kwargs):
        self.count += 1
        if self.count == 3:
            raise ConnectionError("the metrics' database is down")


class Safe(BaseCallbackHandler):
    """Passes on to another handler, whose failures end here."""

    def __init__(self, inner):
        self.inner = inner
        self.failure = None

    def on_llm_new_token(self, token, **kwargs):
        if self.failure is None:  # once is enough
            try:
                self.inner.on_llm_new_token(token, **kwargs)
            except Exception as error:
                self.failure = error  # yours goes to the log


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

# %% [markdown]
# Only if it asks for that. As LangChain has it, a handler's failure is a warning in the log. Handlers that set `raise_error = True` exist, and
# so do subclasses that inherit it; wrapped, they cannot hurt.
#
# ## In what order to look
#
# Four of the six look the same from outside: the connection broke. The field guide's order finds the layer: begin next to the
# model, add one layer at a time, and stop at the first that cuts. The arrival times then tell what kind it is.


# %%
async def in_a_script(pause, callbacks):
    """The chain without any HTTP around it."""
    try:
        return "whole" if [token async for token in tokens(pause, callbacks)] else "empty"
    except Exception as error:
        return f"cut by {type(error).__name__}"


def kind_of(answer):
    """What the arrival times say about a cut."""
    pauses = [later - earlier for (earlier, _), (later, _) in pairwise(answer.pieces)]
    before_the_cut = answer.ended - answer.pieces[-1][0]
    return "after a silence" if before_the_cut > 2 * max(pauses) else "in full flow"


async def investigate(callbacks, pause, proxy):
    """Where is it cut? `callbacks`: makes them; `pause`: of the answer; `proxy`: what stands before the application.

    All layers are asked at once; the first that cuts is the one.
    """
    handler = callbacks()

    @app.get(f"/case/{id(handler)}")
    async def case():
        return StreamingResponse(tokens(pause, [callbacks()]), media_type="text/plain")

    alone, called_back, served, answer = await asyncio.gather(
        in_a_script(pause, []),
        in_a_script(pause, [handler]),
        asyncio.to_thread(read, f"{service.url}/case/{id(handler)}"),
        asyncio.to_thread(read, f"{proxy.url}/case/{id(handler)}"),
    )
    if alone != "whole":
        return "the chain itself"
    if called_back != "whole":
        return "a callback"
    if served.end != "whole":
        return "the application"
    return "nothing" if answer.end == "whole" else f"the proxy, {kind_of(answer)}"


impatient = Nginx(service.url, "proxy_read_timeout 700ms;")
cases = {
    "first case": (lambda: Metrics(raise_error=True), 0.0, impatient),
    "second case": (lambda: Metrics(raise_error=False), 1.0, impatient),
    "third case": (lambda: Metrics(raise_error=False), 0.0, impatient),
}
found = await asyncio.gather(*(investigate(*case) for case in cases.values()))
for name, culprit in zip(cases, found, strict=True):
    print(f"{name:12}", culprit)

# %% [markdown]
# ## What was shown

# %%
evidence.claim("a handler that collects", expected="all at once", found=desk["/collected"].manner)
evidence.claim("a StreamingResponse", expected="as it is made", found=desk["/streamed"].manner)
evidence.claim(
    "a promised length that is not kept",
    expected="cut, whole, cut",
    found=", ".join(answer.end for answer in lengths.values()),
)
for name, expected in {
    "nginx as it comes": "as it is made",
    "gzip on": "all at once",
    "gzip on, proxy_buffering off": "as it is made",
    "gzip on, the application says no": "as it is made",
}.items():
    evidence.claim(name, expected=expected, found=proxied[name].manner)
for name, expected in {
    "nginx, limit shorter than the pause": "cut",
    "nginx, a comment every second": "whole",
    "nginx, a longer limit": "whole",
    "gateway (stand-in)": "cut",
    "gateway, a comment every second": "whole",
}.items():
    evidence.claim(f"a pause; {name}", expected=expected, found=paused[name].end)
evidence.claim("a platform's limit", expected="cut", found=limited["cut"].end)
evidence.claim(
    "a deadline below the platform's limit",
    expected="event: error",
    found=last_event.partition("\n")[0],
)
for name, expected in zip(handlers, ["whole", "cut", "whole"], strict=True):
    evidence.claim(f"a callback raises; {name}", expected=expected, found=called_back[name].end)
evidence.claim(
    "the order of looking finds",
    expected="a callback / the proxy, after a silence / nothing",
    found=" / ".join(found),
)
for part in (as_it_comes, with_gzip, buffering_off, strict, patient, impatient, gateway):
    part.close()
first.close()
service.close()
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# Your load balancer ends a connection after 60 silent seconds; your model may think for 90. Which is the largest whole number of seconds
# between two comments that keeps the stream alive?

# %%
from stream_lab.experiment.exercise import check

seconds_between_comments = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
check(
    seconds_between_comments,
    59,
    hint="At 60 the limit and the comment race; how long the model thinks does not matter.",
)

# %% [markdown]
# ---
# Before: [09 · ERP → AI → GPU](09_erp_ai_gpu.ipynb) · Next: [11 · Cut when scaling](11_cut_when_scaling.ipynb)
