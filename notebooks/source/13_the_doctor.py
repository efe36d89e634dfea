# %% [markdown]
# # 13 · The doctor
#
# **After this notebook you will know**
# - how to find, from outside, the layer that cuts a stream or never ends it,
# - what tells a limit on silence from a limit on the whole, and both from a server that died,
# - what a diagnosis rests on, and what would refute it,
# - how far to trust a static check of your code.
#
# *About 41 minutes. Needs nginx (`make parts`). [10](10_cut_in_production.ipynb) has the causes one by one; you can read it afterwards.*
#
# You are on call, and streams break off. From the user to the model there are a browser, a load balancer, a proxy, an application, and the model's
# server. Each of them can have a limit on the wait for the first byte, on silence, and on the total time. `.venv/bin/stream-lab doctor URL` requests
# a stream from an address over a raw socket, since HTTP clients hide how a connection ended. Then it names one cause. This notebook shows how it gets
# there.
#
# The model's server of this course is `fake-vllm`, *the fake* for short: it answers as a vLLM does, and plays the faults that a notebook asks for.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse, StreamingResponse
from stream_deadline import AnswerCutShort, ChatVllm
from stream_lab import Evidence, Lesson, bundled, open_endpoint
from stream_lab.course import sample_repository
from stream_lab.doctor import Target, examine, pictures
from stream_lab.doctor.console import timelines
from stream_lab.doctor.limits import matching
from stream_lab.lint import check
from stream_lab.processes import Gateway, Nginx, serve

evidence = Evidence("13")
lesson = Lesson("13")
server = open_endpoint(BASE_URL, MODEL)
found = {}  # what the doctor finds, by patient
server

# %% [markdown]
# ## A model that does not stop
#
# The first patient is the fake, which goes on until its client disconnects. The doctor requests an answer without
# `max_tokens`, because it wants to know whether anything bounds an answer, and listens for a moment.

# %%
endless = examine(Target.of(server.base_url, model=server.model), watch=0.75 * TIMEOUT)
print(endless.diagnosis.cause)
print(endless.diagnosis.meaning)
print("-", endless.diagnosis.evidence[1])
print("Next:", endless.diagnosis.next)

# %% [markdown]
# "No limit was seen" is all it can say after so short a time: in production, listen for longer than the limit that you suspect (`--watch 90`).
#
# Does the server work for a client, or for one that has left? The second command of the [runbook](../docs/runbook.md) reads the server's metrics: how many
# requests it works on (each takes a *slot*), and how many tokens it has made. Here we read them while a client reads a stream, and after it has left.

# %%
from stream_lab.experiment.verdict import NO_METRICS
from stream_lab.experiment.witness import Witness

witness = Witness(server.root)  # reads /metrics
idle = witness.poll()
chunks = ChatVllm(**server.settings, timeout=30).stream("Why?")
next(chunks)
busy = witness.poll()
chunks.close()
time.sleep(0.5)
left = witness.poll()
working = NO_METRICS
if idle and busy and left:
    working = f"{busy.running - idle.running} more, then {left.running - idle.running}"
print("requests that the server works on:", working)

# %% [markdown]
# If `num_requests_running` stays up when no client is connected, the model works without a reader, and the runbook says what to do.
#
# ## An answer that looks complete
#
# Here the fake sends five tokens and ends its answer in good order. The status is 200, no connection breaks, and a client that just
# joins the pieces sees a short but normal answer.

# %%
with bundled("ends_early:after=5", gap=0.02) as fake:
    short = examine(Target.of(fake.base_url, model=fake.model), watch=TIMEOUT)
    try:
        pieces = [chunk.text for chunk in ChatVllm(**fake.settings, timeout=TIMEOUT).stream("Why?")]
        noticed = f"a whole answer: {''.join(pieces)!r}"
    except AnswerCutShort as error:
        noticed = type(error).__name__
print(short.diagnosis.cause)
for sentence in short.diagnosis.evidence:
    print("-", sentence)
print("ChatVllm gets", noticed)

# %% [markdown]
# A complete stream has a `finish_reason` in its last chunk and ends with `[DONE]`. An answer without them was cut.
#
# Plain text has no such sign. If a handler fails in the middle, HTTP's own end is missing, and a client that reads to the end gets an error. If the
# handler catches the failure and stops, nothing shows it. So give your stream a last event of its own, such as `event: done`.
#
# ## Two limits that look the same
#
# The next patient is an application that streams fifteen words, with a pause in the middle. In front of it is a gateway that ends
# connections: one gateway after 0.95 s of silence, another after 1.15 s in all. Both cut this stream after a little more than a second. (Load balancers
# cannot run on your desk. The gateways here are *stand-ins*, a small TCP proxy with the limits that those have.)


# %%
app = FastAPI()


@app.get("/answer")
async def answer(pause: float = 1.2):
    async def words():
        for number in range(15):
            yield f"word {number} "
            await asyncio.sleep(0.04 + (pause if number == 5 else 0))

    return StreamingResponse(words(), media_type="text/plain")


service = serve(app)
gateways = {
    "a limit on silence": Gateway(service.url, idle=0.95),
    "a limit on the whole": Gateway(service.url, longest=1.15),
}

# %% [markdown]
# The doctor asks each of them three times. The third time it opens the connection, waits for 0.7 s, and only then sends its request. Its
# times count from the request.

# %%
earlier = lesson.predict(
    "1",
    "Which of the two limits cuts that third stream 0.7 s earlier than the others?",
    {
        "both": "a limit on silence, a limit on the whole",
        "only the limit on silence": "a limit on silence",
        "only the limit on the whole": "a limit on the whole",
        "neither": "",
    },
)
earlier


# %%
def ask(gateway):
    return examine(Target.of(gateway.url + "/answer"), watch=5)


with ThreadPoolExecutor() as pool:  # side by side, to save time
    limited = dict(zip(gateways, pool.map(ask, gateways.values()), strict=True))
for name, examination in limited.items():
    print(f"{name:21}", examination.diagnosis.cause)
found |= limited

# %% tags=["nbval-ignore-output"]
for name, examination in limited.items():
    print(f"\n{name}. Tokens over time since each request; the last request was held back:")
    heard = examination.heard[""]
    for stream, row in zip(heard, timelines(heard), strict=True):
        print(f"    {stream.ended:.2f} s  {row}")
    print("    Refuted by:", examination.diagnosis.refuted_by)

# %%
moved = [
    name
    for name, examination in limited.items()
    if examination.heard[""][1].ended - examination.heard[""][2].ended > 0.35
]
earlier.reveal(
    ", ".join(moved),
    why="A limit on the whole counts from the connection, so a late request has less of it. "
    "A limit on silence counts from the last byte.",
)

# %% [markdown]
# Each row is one stream. The height of a block is the number of tokens in that moment; `·` means none, `✖` a cut, and `┤` the end of a whole answer. With
# each diagnosis the doctor says what would refute it.
#
# ## "It always stops after 60 s, and the log says 200"
#
# The status 200 was sent with the head of the answer. So the time to the first byte is not the cause, and a limit on silence or on the whole is left. The
# doctor knows the defaults of many products ([docs/limits.md](../docs/limits.md)). Which of them are 60 s?

# %%
by_default = {
    kind: [f"{limit.product}, {limit.knob}" for limit in matching(60, kind) if limit.bounds == kind]
    for kind in ("idle", "total")
}
for kind, names in by_default.items():
    print(f"{kind}:", *names, sep="\n    ")

# %% [markdown]
# If tokens came until the cut, look at the limits on the whole, and at your own settings. If nothing came for a minute, look at the limits on silence. The
# first command to run is the doctor, with a watch that is longer than the limit, the model's own address, and the proxy's log:
#
# ```text
# .venv/bin/stream-lab doctor http://host/chat --post '{"question": "Why?"}' --watch 90 \
#     --direct http://host:8000/v1 --logs /var/log/nginx/error.log
# ```
#
# `--post` is the JSON that your clients send; without it, the doctor sends GET. With `--watch 90` it can take four and a half minutes: it requests a stream that was cut again, and asks one address after the other.
#
# ## A server that dies, and a server that blocks
#
# The next two have no limit at all. One handler raises an error in mid-stream. The other calls something that waits without `await`.


# %%
def slow_query():
    time.sleep(0.85)


@app.get("/dies")
async def dies():
    async def words():
        for number in range(6):
            yield f"word {number} "
            await asyncio.sleep(0.04)
        raise ConnectionError("the vector store is down")

    return StreamingResponse(words(), media_type="text/plain")


@app.get("/blocks")
async def blocks():
    async def words():
        for number in range(16):
            yield f"word {number} "
            await asyncio.sleep(0.04)
            if number == 12:
                slow_query()  # no await

    return StreamingResponse(words(), media_type="text/plain")


# %% [markdown]
# A pause by itself is not a fault, since the model may have called a tool. If a stream stands still, the doctor listens to three more that begin 0.35 s
# after one another.

# %%
together = lesson.predict(
    "2",
    "Each of the three streams calls the slow query after its 13th word. When do they stand still?",
    {
        "each at its own 13th word only, 0.35 s after the one before": "healthy",
        "at the same times: each query stops all streams that run": "loop_blocked",
        "none of them: uvicorn serves each request in its own thread": "not_blocked",
    },
)
together


# %%
def ask_alone(name):
    with serve(app) as alone:  # an event loop for each
        return examine(Target.of(f"{alone.url}/{name}"), watch=8)


with ThreadPoolExecutor() as pool:
    found |= zip(["dies", "blocks"], pool.map(ask_alone, ["dies", "blocks"]), strict=True)
for name in ("dies", "blocks"):
    print(f"{name:7}", found[name].diagnosis.cause)

# %% tags=["nbval-ignore-output"]
beside = found["blocks"].heard[""][1:]
print("The three streams on one clock:")
print(*timelines(beside, one_clock=True), sep="\n")

# %%
together.reveal(
    found["blocks"].diagnosis.cause,
    why="All streams of a process share one event loop, so each query stops every stream that runs. "
    "A pause of a stream's own would come at the same place in each, and not at the same time.",
)

# %% [markdown]
# ## Which layer?
#
# Up to here the doctor knew one address for each patient. If only one layer lies behind it, that is enough. At a gateway's address there are two, the
# gateway and the application, and the doctor could not say which. So it accepts a second address past the proxies, `direct`. It asks both, and blames the
# first layer, seen from the model, that shows the fault: `direct` if the server shows it by itself, `proxied` if it shows only through the proxy.
#
# Here are five patients with both addresses. Two gateways get cut streams: behind one is a model's server that breaks off after 30 tokens, and the other
# one cuts the answers of a sound server. The other three answers come through nginx, once with compression, and once from a handler that waits for the
# whole text.

# %%
breaks_off = bundled("close:after=30", gap=0.02)
sound = bundled("finite:tokens=60", gap=0.02)
models = {
    "the server breaks off": (breaks_off, Gateway(breaks_off.root)),
    "the gateway cuts": (sound, Gateway(sound.root, longest=0.9)),
}
applications = {
    "nginx with gzip": Nginx(
        service.url, "gzip on;", "gzip_types text/plain;", "gzip_min_length 0;"
    ),
    "nginx": Nginx(service.url),
}


@app.get("/collected")
async def collected():
    response = await answer(pause=0)
    return PlainTextResponse("".join([word async for word in response.body_iterator]))


unpaused = Target.of(service.url + "/answer?pause=0")
addresses = {
    name: (Target.of(fake.base_url, model=fake.model), gateway)
    for name, (fake, gateway) in models.items()
}
addresses |= {name: (unpaused, nginx) for name, nginx in applications.items()}
whole_text = Target.of(service.url + "/collected")
addresses["a handler that collects"] = (whole_text, applications["nginx"])


# %%
def ask_both(name):
    direct, proxy = addresses[name]
    return examine(direct.at(proxy.url), direct=direct, watch=5)


with ThreadPoolExecutor() as pool:
    found |= zip(addresses, pool.map(ask_both, addresses), strict=True)
for name in addresses:
    diagnosis = found[name].diagnosis
    comparison = diagnosis.evidence[-1] if diagnosis.layer else ""
    print(f"{name:23} {diagnosis.cause:13} {diagnosis.layer or 'no layer':9} {comparison}")

# %% [markdown]
# The user of either gateway sees the same, an answer that is cut within a second. What the second address shows decides.

# %%
Case = pictures.Case
pictures.layers(
    {
        "a model that goes on": Case(["model"], endless),
        "a limit on silence": Case(["gateway", "application"], found["a limit on silence"]),
        "a limit on the whole": Case(["gateway", "application"], found["a limit on the whole"]),
        "a handler that raises": Case(["application"], found["dies"]),
        "a handler that blocks": Case(["application"], found["blocks"]),
        "the server breaks off, two addresses": Case(
            ["gateway", "model"], found["the server breaks off"]
        ),
        "the gateway cuts, two addresses": Case(["gateway", "model"], found["the gateway cuts"]),
        "gzip, two addresses": Case(["nginx", "application"], found["nginx with gzip"]),
        "a handler that collects, two addresses": Case(
            ["nginx", "application"], found["a handler that collects"]
        ),
        "no fault, two addresses": Case(["nginx", "application"], found["nginx"]),
    },
    title="One address is enough for the cause; two tell layers apart",
)

# %% [markdown]
# On the command line:
#
# ```text
# .venv/bin/stream-lab doctor http://host/chat --post '{"question": "Why?"}' --direct http://host:8000/v1
# .venv/bin/stream-lab doctor http://host:8000/v1 --logs error.log --json
# ```
#
# The exit status is 0 for a healthy stream, 1 for a cause, and 2 if the doctor could not ask. [docs/doctor.md](../docs/doctor.md) has the results on
# stacks whose fault is known.
#
# ## Faults in code
#
# Some faults can be seen before anything runs. `.venv/bin/stream-lab lint` reads Python files and reports streaming traps. Here it reads a sample of four
# small files.

# %%
with chdir(sample_repository.write()):
    findings = check(["."])
for number, finding in enumerate(findings, 1):
    print(f"{number}. {finding.path}:{finding.line} {finding.rule}")
    print(f"   {finding.message}")

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "The doctor sees no limit on a model that does not stop, as long as it listens",
    expected="never_ends",
    found=endless.diagnosis.cause,
)
evidence.claim(
    "The server's metrics show a request while its client reads, and none after the client has left",
    expected="1 more, then 0",
    found=working,
)
evidence.claim(
    "It tells an answer that ended early from a complete one, although both look whole",
    expected="server_ended",
    found=short.diagnosis.cause,
)
evidence.claim(
    "For that answer the library raises an error",
    expected="AnswerCutShort",
    found=noticed,
)

# %%
for name, cause, sentence in (
    ("a limit on silence", "idle_cut", "It recognises a limit on silence"),
    ("a limit on the whole", "total_cut", "It recognises a limit on the whole"),
    ("dies", "server_ended", "If a handler raises, it finds that the server ended the answer"),
    ("blocks", "loop_blocked", "If a handler blocks, it finds the blocked event loop"),
    ("nginx with gzip", "buffered", "Behind an nginx with gzip it finds the buffering"),
    (
        "a handler that collects",
        "not_streaming",
        "It tells a handler that collects from a proxy that does",
    ),
    ("nginx", "healthy", "Behind an nginx without gzip it finds no fault"),
):
    evidence.claim(sentence, expected=cause, found=found[name].diagnosis.cause)
for name, layer, sentence in (
    ("nginx with gzip", "proxied", "With a second address it blames the proxy for the buffering"),
    ("a limit on silence", "no layer", "With one address it blames no layer for the silence"),
    (
        "the server breaks off",
        "direct",
        "With a second address it blames a server that breaks off by itself",
    ),
    ("the gateway cuts", "proxied", "With a second address it blames a gateway that cuts"),
):
    layer_found = found[name].diagnosis.layer or "no layer"
    evidence.claim(sentence, expected=layer, found=layer_found)

# %%
evidence.table()

# %% [markdown]
# The last column has what the versions of the incident showed (langchain 1.0.8, langchain-openai 0.3.34). The servers end with this kernel, so you can run
# any cell again.

# %% [markdown]
# ## Exercises
#
# **1.** Judge the six findings above. These are the possible judgements, and these are the files:

# %%
for letter, reason in sample_repository.REASONS.items():
    print(f"{letter}: {reason}")
for name, text in sample_repository.FILES.items():
    print(f"\n──── {name}")
    for number, line in enumerate(text.splitlines(), 1):
        print(f"{number:3} {line}")

# %% tags=["exercise"]
judged = ...  # a letter for each finding, as {1: "a", 2: "f", …}

# %%
await lesson.check("1", judged, findings)

# %% [markdown]
# Then do the same with a repository of yours, in a terminal: `.venv/bin/stream-lab lint PATH`. Judge each finding in the same way. If one is false or harmless,
# say so on its line: `# stream-lab: ignore[rule]`, with the reason.
#
# **2.** Name the layer as the doctor does. A report has the streams that came directly from the application (`direct`), and those that came through a proxy
# (`proxied`). For each stream it says whether it was `whole`, when its `first` token came, and when it `ended`, in seconds. These are three of the reports that the checker uses:

# %%
reports = [
    {
        "direct": [{"whole": True, "first": 0.4, "ended": 6.0}],
        "proxied": [{"whole": False, "first": 0.4, "ended": 3.1}],
    },
    {
        "direct": [{"whole": False, "first": 0.4, "ended": 3.1}],
        "proxied": [{"whole": False, "first": 0.4, "ended": 3.1}],
    },
    {
        "direct": [{"whole": True, "first": 0.4, "ended": 6.0}],
        "proxied": [{"whole": True, "first": 5.9, "ended": 6.0}],
    },
]


# %% tags=["exercise"]
def name_layer(report):
    """Return "application", "proxy", or None if no stream has a fault."""
    raise NotImplementedError  # your code


# %%
await lesson.check("2", name_layer)

# %% [markdown]
# **3.** Tell the two limits apart. Three streams were cut. For each there is `ended` (seconds from the request to the cut), `silence` (seconds without a token before the
# cut), `held` (seconds between the connection and the request), and `gap` (the usual seconds between two tokens). A limit on the whole counts from the connection.
# Values that differ by less than 0.3 s are the same.


# %% tags=["exercise"]
def limit(streams):
    """Return "silence", "whole", or None if neither limit explains the cuts."""
    raise NotImplementedError  # your code


# %%
await lesson.check("3", limit)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [12 · Loops inside loops](12_loops_inside_loops.ipynb) · Next: [14 · The atlas of time-outs](14_the_atlas_of_timeouts.ipynb)
