# %% [markdown]
# # 14 · The atlas of time-outs
#
# **After this notebook you will know**
# - which layer between a browser and a GPU gives up first on a stream that you describe,
# - what that layer's client sees, and what its log says,
# - which of the three bounds on a stream your stack sets, and which it does not,
# - what to set, and where.
#
# *About 29 minutes. Needs: [10](10_cut_in_production.ipynb), [13](13_the_doctor.ipynb), and nginx (`make parts`).*
#
# A token passes through six or seven programs before a reader sees it. Each has its own time-outs, and their names look alike: `timeout`,
# `read_timeout`, `idle_timeout`. The doctor of notebook 13 finds the limit that has already cut a stream. This notebook asks in advance: given the
# path and the stream, which limit will fire first?

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from openai import OpenAI
from stream_deadline import bounded_client
from stream_lab import Evidence, Lesson, bundled, open_endpoint, record_sync
from stream_lab.doctor.atlas import Stream, stack, what_to_set, who_fires_first
from stream_lab.doctor.atlas_form import explore, firing, limits_of, search
from stream_lab.doctor.atlas_picture import draw
from stream_lab.doctor.atlas_trial import ended_by, pieces
from stream_lab.processes import Gunicorn, Nginx

evidence, lesson = Evidence("14"), Lesson("14")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## Three bounds
#
# A limit on a stream is one of three kinds:
#
# - **first byte**: how long the answer may take to begin,
# - **silence** (documentation often says *idle*): how long nothing may arrive,
# - **total**: how long the whole answer may take, however well it flows.
#
# The atlas is a file of more than a hundred limits. Each entry has its knob, its default, what it bounds, the message that it leaves, and a proof:
# more than half of them were measured (`python tools/measure_limits.py`), and the others name their source.
# [docs/limits.md](../docs/limits.md) shows all of them.
#
# A path is a list of layers, from the reader to the model. This one is a chat page: a browser, nginx, a web application in a uvicorn worker
# under gunicorn, LangChain in it, and vLLM. Every setting is the default.

# %%
page = stack(
    "browsers, Chromium", "nginx", "gunicorn, uvicorn worker", "LangChain, astream", "vLLM"
)
tool_call = Stream(first=1, pause=90, total=200)  # seconds

# %%
tool_prediction = lesson.predict(
    "1",
    "The model pauses for 90 s in the middle, while a tool runs. Which limit ends this stream?",
    {
        "gunicorn's --timeout, 30 s": "gunicorn, --timeout, uvicorn worker",
        "nginx's proxy_read_timeout, 60 s": "nginx, proxy_read_timeout",
        "LangChain's stream_chunk_timeout, 120 s": "LangChain, ChatOpenAI stream_chunk_timeout",
        "the browser's own limit, 300 s": "browsers, fetch, Chromium",
        "none: the answer is whole after 200 s": "no limit",
    },
)
tool_prediction

# %%
silent = who_fires_first(page, tool_call)
draw(silent, f"{silent.first.words} ends the stream")

# %%
tool_prediction.reveal(
    silent.name,
    why="It is the shortest limit on silence. gunicorn's --timeout is a heartbeat of the worker, "
    "and a uvicorn worker sends it while its streams wait.",
)

# %% [markdown]
# Read the map from left to right, on an axis of time. The top row is the stream: its first byte, its longest pause, its end. The dotted lines
# carry these times into each row, and a limit fires if it stands left of the black marker of its own shape. The grey column holds what is off
# by default.
#
# The table has the same with the words to look for.

# %%
firing(silent)

# %% [markdown]
# ## A comment in the silence
#
# Server-Sent Events, the format of most streamed answers, have a remedy for a silence: a *comment*, a line that begins with a colon and that the
# reader ignores. Some frameworks send one every 15 s while the application waits (sse-starlette: `ping=15`). To a proxy it is a byte like any
# other.

# %%
commented = Stream(first=1, pause=150, total=260, comments=15)

# %%
comment_prediction = lesson.predict(
    "2",
    "The web application sends a comment every 15 s, and the tool takes 150 s. What happens?",
    {
        "the answer is whole: a comment restarts every limit on silence": "no limit",
        "nginx cuts all the same": "nginx, proxy_read_timeout",
        "LangChain gives up inside the application": "LangChain, ChatOpenAI stream_chunk_timeout",
    },
)
comment_prediction

# %%
inner = who_fires_first(page, commented)
draw(inner, f"{inner.first.words} ends the stream")

# %%
comment_prediction.reveal(
    inner.name,
    why="A comment travels outwards, from the application to the browser. The SDK inside the "
    "application never sees it, and this limit counts chunks and not bytes.",
)

# %% [markdown]
# In the rows outside the application the silence now takes 15 s; inside it still takes 150 s. A comment helps only the layers outside its sender,
# and it never helps against a limit on the whole answer.
#
# ## Three paths, run here
#
# The atlas only compares numbers. Three paths show whether real programs agree:
#
# 1. A script with OpenAI's SDK, through nginx, to a model that stalls for 90 s.
# 2. A web application in a **sync** worker of gunicorn, behind nginx. The stream flows well and takes 45 s.
# 3. The script of the first path, and a model that never stops.

# %%
script = stack("openai", "nginx", "vLLM")
worker = stack("nginx", "gunicorn, sync worker", "vLLM")
paths = {
    "1. a stall": who_fires_first(script, Stream(first=1, pause=90, total=200)),
    "2. a healthy stream of 45 s": who_fires_first(worker, Stream(first=1, pause=0.1, total=45)),
    "3. a model that never stops": who_fires_first(script, Stream(first=1, pause=0.1)),
}

# %%
worker_prediction = lesson.predict(
    "3",
    "The healthy stream of the second path, with a token every 0.1 s: which limit ends it?",
    {
        "nginx's proxy_read_timeout, 60 s": "nginx, proxy_read_timeout",
        "gunicorn's --timeout, 30 s": "gunicorn, --timeout, sync worker",
        "none: it flows, so no limit has a reason to fire": "no limit",
    },
)
worker_prediction

# %%
babble_prediction = lesson.predict(
    "4",
    "And the third path: which limit ends the model that never stops?",
    {
        "nginx's proxy_read_timeout, 60 s": "nginx, proxy_read_timeout",
        "the SDK's timeout, 600 s": "openai, timeout",
        "no limit": "no limit",
    },
)
babble_prediction

# %% [markdown]
# The runs are scaled down, since 600 s is long. Paths 1 and 3 divide both limits by 60: nginx has 1 s for its 60 s, the SDK 10 s for its 600 s.
# Path 2 divides them by 15: gunicorn has 2 s for its 30 s, nginx 4 s for its 60 s. So the runs confirm the order in which limits fire. That the
# defaults are 60, 600 and 30 s was measured separately.
#
# nginx, gunicorn and the SDK are real. The stall and the pace need the bundled fake; the third path asks your server if you have named one.

# %%
stalling = bundled("stall:after=5")
patient = Nginx(stalling.root, "proxy_read_timeout 1s;")


def ask(url, endpoint, bound=None):
    """Stream an answer with OpenAI's SDK through a proxy."""
    key = endpoint.settings["api_key"].get_secret_value()
    own = ("api_key", "base_url")
    request = {name: each for name, each in endpoint.settings.items() if name not in own}
    client = OpenAI(base_url=f"{url}/v1", api_key=key, timeout=10, max_retries=0)
    if bound is not None:
        client = bounded_client(client, bound)
    messages = [{"role": "user", "content": "Why?"}]
    return client.chat.completions.create(messages=messages, stream=True, **request)


heard = record_sync(ask(patient.url, stalling), give_up_after=5)
stalled = ended_by(script, heard, patient.log)
print("ended by", stalled)

# %%
flowing = bundled("endless")
app = "stream_lab.relay.scaled_sync:app"  # an application that streams the model's answer
environment = {"BASE_URL": flowing.base_url, "MODEL": flowing.model}
gunicorn = Gunicorn(app, "--worker-class=sync", "--timeout=2", env=environment)
before_it = Nginx(gunicorn.url, "proxy_read_timeout 4s;")

heard = record_sync(pieces(f"{before_it.url}/text?tokens=60"), give_up_after=8)
killed = ended_by(worker, heard, before_it.log, gunicorn.log)
print("ended by", killed)
print(*gunicorn.said("CRITICAL"))

# %%
worker_prediction.reveal(
    killed,
    why="A sync worker sends no heartbeat while it handles a request, so the heartbeat bounds the "
    "whole request. The repair is another class of workers, not a longer time-out.",
)

# %%
through = Nginx(server.root, "proxy_read_timeout 1s;")
heard = record_sync(ask(through.url, server), give_up_after=TIMEOUT + 1)
babbled = ended_by(script, heard, through.log)
print("ended by", babbled)

# %%
babble_prediction.reveal(
    babbled,
    why="Both limits on this path bound a silence, and a model that babbles is never silent.",
)

# %% [markdown]
# Here are the three together, as the atlas has them with the real defaults. In a copy of the course (`make learn`) the cell is a form: choose a
# client, a platform, a proxy, a worker, an SDK and a stream, and the map follows.

# %%
explore(paths, live=lesson.interactive)

# %% [markdown]
# The last column is the point of this notebook. In two of the three paths, no layer bounds the whole answer. A proxy bounds silences, since it
# cannot know how long an answer may take. The SDK bounds silences, since it waits for a socket. Only the code that asks for the answer knows how
# long the answer is worth waiting for.
#
# ## What to set

# %%
for sentence in what_to_set(silent):
    print("-", sentence)

# %% [markdown]
# Two rules follow from the maps.
#
# **The inner limit fires first.** The layer next to the model knows which request it was, can end it, and can say so to the layers outside. If an
# outer layer fires first, its client sees a broken connection, and the layers inside go on working for a reader that is no longer there. So each
# limit is a little longer than the one inside it.
#
# **The total is set by the caller.** `stream_deadline` bounds the call where the model is called. The same babbling model, once more, with a
# deadline in the script:

# %%
bounded = stack("stream-deadline", "openai", "nginx", "vLLM")
bounded = bounded.with_settings({"stream-deadline, timeout": TIMEOUT})
planned = who_fires_first(bounded, Stream(first=0.5, pause=0.1))
heard = record_sync(ask(through.url, server, bound=TIMEOUT), give_up_after=TIMEOUT + 3)
ended = ended_by(bounded, heard)
print("planned:", planned.name)
print("ended by", ended)

# %% [markdown]
# ## Search the atlas
#
# You have a line of a log, a status or a number of seconds, and want to know what it can be. `search` takes words that an entry must have, in
# any of its fields. Try words of your own.

# %%
search("504", "first_byte")

# %%
search("cannot be set", "total")

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "A chat page with all defaults is cut by its proxy when a tool takes 90 s.",
    expected="nginx, proxy_read_timeout",
    found=silent.name,
)
evidence.claim(
    "Comments of the application do not reach the limit inside the application.",
    expected="LangChain, ChatOpenAI stream_chunk_timeout",
    found=inner.name,
)
runs = {"a stall": stalled, "a healthy stream": killed, "an endless answer": babbled}
for (name, found), verdict in zip(runs.items(), paths.values(), strict=True):
    evidence.claim(
        f"The run of {name} is ended by the limit that the atlas names.",
        expected=verdict.name,
        found=found,
    )
evidence.claim(
    "A deadline in the caller ends the endless answer.",
    expected=planned.name,
    found=ended,
)
for part in (patient, before_it, through, gunicorn, stalling, flowing, server):
    part.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** A product runs behind a load balancer of AWS and an nginx whose `proxy_read_timeout` has been set to 30 s. A healthy answer takes up to
# 100 s, with pauses of up to 40 s, and must pass. A stream that stalls, one that never begins, and one that never stops must all be ended by the
# deadline in the application (`stream-deadline, timeout`), before any other layer does.
#
# Choose the limits. The table shows their names; leave out what you don't change.

# %%
product = stack(
    "browsers, Chromium",
    "AWS ALB",
    "nginx",
    "gunicorn, uvicorn worker",
    "stream-deadline",
    "LangChain, astream",
    "vLLM",
).with_settings({"nginx, proxy_read_timeout": 30})
streams = {
    "healthy": Stream(first=2, pause=40, total=100),
    "stalled": Stream(first=2, pause=900, total=1000),
    "silent": Stream(first=900, total=1000),
    "endless": Stream(first=2, pause=1),
}
limits_of(product)

# %% tags=["exercise"]
settings = ...  # a dict, as {"nginx, proxy_read_timeout": seconds, …}

# %%
await lesson.check("1", settings, product, streams, who_fires_first)

# %% [markdown]
# **2.** Three streams were cut, and each left a line. Which knob was it? Write the names of the knobs as the atlas has them; `search` helps.

# %%
logs = {
    "a": "error: upstream timed out (110: Connection timed out) while reading response header "
    'from upstream, request: "POST /chat HTTP/1.1"',
    "b": 'at=error code=H15 desc="Idle connection" method=POST path="/chat" service=71003ms',
    "c": "StreamChunkTimeoutError: No streaming chunk received for 120.0s "
    "(model=m, chunks_received=41)",
}

# %% tags=["exercise"]
knobs = ...  # {"a": "…", "b": "…", "c": "…"}

# %%
await lesson.check("2", knobs)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [13 · The doctor](13_the_doctor.ipynb) · Next: [15 · Who stops a babbling model](15_who_stops_a_babbling_model.ipynb)
