# %% [markdown]
# # 11 · Cut when scaling
#
# **After this notebook you will know**
# - what one blocking handler, or one callback, does to the other streams of its server,
# - what gunicorn's `--timeout` measures, and which streams it cuts,
# - what changes when a second worker answers: memory, health probes, access logs,
# - how a worker reports that its event loop is late,
# - what the logs show when a client disconnects.
#
# *About 40 minutes. Best after [10](10_cut_in_production.ipynb).*
#
# A service streams well with one user and one worker. With many users its streams pause or break. This notebook looks for the causes,
# one at a time, with the real server programs. A *worker* is one process that runs your application. gunicorn starts several of them,
# and they share one port.

# %% tags=["parameters"]
BASE_URL = None  # not used here: this notebook needs the steady pace of the bundled fake
MODEL = None  # not used here, either
TIMEOUT = 2.0  # not used here: the time-outs are gunicorn's

# %%
from stream_lab import Evidence, Lesson, bundled
from stream_lab.relay.trials import SYNC, Trial, Trials

evidence, lesson = Evidence("11"), Lesson("11")
# The fake plays a vLLM. Only its pace matters here: twelve tokens a second, on any machine.
server = bundled("endless")
server

# %% [markdown]
# The next two cells take a moment, and on a busy machine half a minute. The first one imports LangChain.

# %%
import inspect
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from langchain_core.callbacks import AsyncCallbackHandler, StreamingStdOutCallbackHandler
from langchain_openai import ChatOpenAI
from stream_lab.experiment.evidence import Unknown
from stream_lab.http import pictures
from stream_lab.http.capture import read
from stream_lab.processes import serve
from stream_lab.relay import neighbours, scaled, who_ended_it
from stream_lab.relay.neighbours import Conversation

# %% [markdown]
# Each trial below is one gunicorn with one worker, and the requests that it gets. All of them begin now, in the background, because each
# takes seconds and mostly waits. Their gunicorns start one after the other, and a request is sent when its worker is ready and idle. You
# will see the results section by section.
#
# An answer of 55 tokens takes almost five seconds. The shortest `--timeout` is two.


# %%
text, blocking = "/text?tokens=55", "/blocking?tokens=55"  # almost five seconds
shorter = "/text?tokens=20"
UVICORN = "-k uvicorn_worker.UvicornWorker --access-logfile -"
SYNC_WORKER = "-k sync --access-logfile -"

trials = Trials(
    server,
    {
        "blocked": Trial(f"{UVICORN} --timeout 30", (shorter, "/blocking?tokens=30")),
        "in a thread": Trial(f"{UVICORN} --timeout 30", (shorter, "/in_a_thread?tokens=30")),
        "sync, 2 s": Trial(f"{SYNC_WORKER} --timeout 2", (text,), app=SYNC),
        "gthread, 2 s": Trial("-k gthread --threads 4 --timeout 2", (text, blocking), app=SYNC),
        "uvicorn, 2 s": Trial(f"{UVICORN} --timeout 2", (text,)),
        "asgi, 2 s": Trial("-k asgi --timeout 2", (text,)),
        "sync, 30 s": Trial(f"{SYNC_WORKER} --timeout 30", (text,), app=SYNC),
        "sync, 2 s, blocked": Trial(f"{SYNC_WORKER} --timeout 2", (blocking,), app=SYNC),
        "uvicorn, 2 s, blocked": Trial(f"{UVICORN} --timeout 2", (text, blocking)),
        "asgi, 2 s, blocked": Trial("-k asgi --timeout 2", (text, blocking)),
    },
)
one_worker = trials.start_soon(f"{UVICORN} --timeout 30")
four_workers = trials.start_soon(f"{UVICORN} --timeout 30 --workers 4")
sync_worker = trials.start_soon(f"{SYNC_WORKER} --log-level debug", app=SYNC)

# %% [markdown]
# ## A handler that blocks
#
# The application has three handlers. `text` streams. The other two wait for the same answer and return it in one piece. `blocking` waits
# as `llm.invoke` does. (`ask` and `ask_blocking` request an answer from the model, the first with `await`, the second without.) Each is
# called while a *neighbour*, another client's stream, runs on the same worker.

# %%
for handler in [scaled.text, scaled.blocking, scaled.in_a_thread]:
    print(inspect.getsource(handler))

# %%
blocked_prediction = lesson.predict(
    "1",
    "A client reads a stream from `text`. Half a second later another client calls `blocking` on the same "
    "worker, and `--timeout` is 30 s. What does the first client see?",
    {
        "nothing special: its stream goes on": "whole, flows",
        "its stream pauses until the other answer is there, then goes on": "whole, stands still",
        "its stream is cut": "cut, stands still",
    },
)
blocked_prediction


# %%
beside_call = trials.take("blocked", "in a thread")
print("beside `blocking`:   ", beside_call["blocked"].first)
print("beside `in_a_thread`:", beside_call["in a thread"].first)
complaints = beside_call["blocked"].said("WARNING", "ERROR", "CRITICAL")
print("warnings and errors in the log of `blocking`:", *complaints or ["none"])

# %%
blocked_prediction.reveal(
    beside_call["blocked"].first,
    why="All streams of a worker share one event loop, and `blocking` keeps the loop busy until it returns.",
)

# %%
pictures.answers(
    {
        f"{who} {other}": answer
        for trial, other in [("blocked", "blocking"), ("in a thread", "in_a_thread")]
        for who, answer in zip(
            ["stream beside", "the call of"], beside_call[trial].answers, strict=True
        )
    },
    title="Beside a call that blocks, a stream {}; beside a call in a thread, it {}".format(
        *(neighbours.flow(played.answers[0]) for played in beside_call.values())
    ),
    together=2,  # a stream and the call beside it share a clock
)

# %% [markdown]
# Nothing is cut, and the log has no complaint, but the first client waits for the second one's answer. The repair is short: `await` the model, or
# leave `async` out. FastAPI runs a handler without `async` in a thread.
#
# ## A callback that blocks
#
# A callback can do the same. `StreamingStdOutCallbackHandler` prints each token, and printing can be slow: a pipe whose reader lags, a log
# collector under load. Here each write takes one second. Three servers have a handler each, and each has a neighbour that streams without
# callbacks.


# %%
class Inline(StreamingStdOutCallbackHandler):
    run_inline = True  # LangChain's switch: run this handler where the stream is read


class Asynchronous(AsyncCallbackHandler):
    async def on_llm_new_token(self, token, **_):
        sys.stdout.write(token)


callbacks = [StreamingStdOutCallbackHandler, Inline, Asynchronous]

# %%
callback_prediction = lesson.predict(
    "2",
    "Which of the three callbacks stop the neighbour's stream?",
    {
        "only `StreamingStdOutCallbackHandler`": "StreamingStdOutCallbackHandler",
        "`StreamingStdOutCallbackHandler` and `Inline`": "StreamingStdOutCallbackHandler, Inline",
        "`Inline` and `Asynchronous`": "Inline, Asynchronous",
        "all three": "StreamingStdOutCallbackHandler, Inline, Asynchronous",
    },
)
callback_prediction

# %%
beside = neighbours.beside_callbacks(callbacks, server.settings)
for name, stream in beside.items():
    print(f"beside {name:31}: {neighbours.flow(stream)}")

stopped = [name for name, stream in beside.items() if neighbours.flow(stream) != neighbours.FLOWS]

# %%
callback_prediction.reveal(
    ", ".join(stopped),
    why="LangChain runs a synchronous handler in a thread. The other two run on the event loop and block it.",
)

# %% [markdown]
# The common advice "this handler blocks the event loop" is wrong for LangChain's own handler: only the stream that has it gets slower.
# An `async` method that never awaits blocks every stream of the worker. Write a synchronous handler, or put the tokens into a queue.
#
# ## What `--timeout` measures
#
# gunicorn's default `--timeout` is 30 s, and many guides advise 180 for LLM streams. The next trials send one healthy stream of almost
# five seconds to one worker. The classes of workers differ: `sync` answers one request at a time, `gthread` gives each request a thread,
# and `uvicorn_worker` and gunicorn's own `asgi` run an event loop.

# %%
timeout_prediction = lesson.predict(
    "3",
    "Tokens flow all the time, and `--timeout` is 2 s. Whose stream is cut?",
    {
        "none: `--timeout` is about silence, and tokens flow": "",
        "that of `sync`": "sync",
        "those of `sync` and `gthread`": "sync, gthread",
        "those of all four classes": "sync, gthread, uvicorn, asgi",
    },
)
timeout_prediction

# %%
classes = ["sync", "gthread", "uvicorn", "asgi"]
healthy = trials.take(*(f"{worker}, 2 s" for worker in classes), "sync, 30 s")
healthy_ends = {name: played.end_of_first for name, played in healthy.items()}
for name, end in healthy_ends.items():
    print(f"{name:13}", end)

unclear = [end for end in healthy_ends.values() if isinstance(end, Unknown)]
cut = [worker for worker in classes if healthy_ends[f"{worker}, 2 s"] == "cut"]

# %%
timeout_prediction.reveal(
    unclear[0] if unclear else ", ".join(cut),
    why="`--timeout` bounds the time between two heartbeats of a worker, and a `sync` worker sends none while it answers.",
)

# %%
whole = [worker for worker in classes if healthy_ends[f"{worker}, 2 s"] == "whole"]
pictures.answers(
    {name: played.answers[0] for name, played in healthy.items()},
    title=f"With --timeout 2, a healthy stream is cut in {', '.join(cut) or 'no class'}, "
    f"and whole in {', '.join(whole) or 'no class'}",
)

# %%
print(*healthy["sync, 2 s"].said("TIMEOUT", "Error handling", "SystemExit"), sep="\n")

# %% [markdown]
# The *heartbeat* is a sign of life that each worker sends to gunicorn, and gunicorn counts from the last one. It looks once a second, so the
# cut comes `--timeout` to `--timeout` + 1 s after that, and in the picture after more than two seconds. Allow for that second when you match
# a cut to a setting. (A worker that is still starting has sent no heartbeat, and is not killed.)
#
# A `sync` worker cannot send it during a request. For this class, and only for this class, `--timeout` limits a request, so it must be longer
# than your longest answer. Threads and event loops send it beside the requests, and a healthy stream may last for hours. There a longer
# `--timeout` changes nothing.
#
# With `--timeout 2`, uvicorn's worker has little slack. It sends the heartbeat after ten sleeps of 0.1 s, and each sleep that is late
# adds to that second. If each one takes 0.25 s, because the machine is overloaded or because the code blocks the loop a little at each
# token, the worker is killed although no pause was long and the tokens flowed. If the machine was that late, the trial is repeated. If it
# never succeeds, the table at the end shows a question mark.
#
# ## A blocked worker
#
# For a worker whose loop is blocked, `--timeout` does matter. Back to `blocking` and its neighbour, now with `--timeout 2`.

# %%
watchdog_prediction = lesson.predict(
    "4",
    "The call of `blocking` now takes almost five seconds, and `--timeout` is 2 s. What becomes of the two requests?",
    {
        "the blocking one fails, the neighbour's stream goes on": "whole, refused",
        "both fail": "cut, refused",
        "both are answered, the neighbour after a pause": "whole, whole",
    },
)
watchdog_prediction

# %%
blocked = trials.take("uvicorn, 2 s, blocked", "asgi, 2 s, blocked", "sync, 2 s, blocked")
watchdog = blocked["uvicorn, 2 s, blocked"].ends
print("the neighbour's stream, the blocking request:", watchdog)

# %%
watchdog_prediction.reveal(
    watchdog,
    why="A blocked loop sends no heartbeat. gunicorn kills the whole worker, with every stream in it.",
)

# %%
killed = {
    worker: blocked[f"{worker}, 2 s, blocked"].said("TIMEOUT", "sent SIGABRT", "sent SIGKILL")
    for worker in ["uvicorn", "asgi"]
}
for worker, lines in killed.items():
    print(f"{worker}:", *lines, sep="\n  ")

# %% [markdown]
# Here `--timeout` is a watchdog that has found a real fault. With 30 s it stays quiet, and the neighbour waits. Neither setting repairs
# the handler.
#
# Look at the last line. gunicorn's own class `asgi` handles SIGABRT, a signal that a process may handle, on its event loop, which is blocked.
# A second later gunicorn sends SIGKILL, which ends a process at once, and its log guesses at a lack of memory. There was enough memory.
#
# So what does `WORKER TIMEOUT` kill? Here are all four classes, each with a request that blocks for almost five seconds. `gthread` had
# one beside its healthy stream.

# %%
blocking_ends = {
    worker: (blocked.get(f"{worker}, 2 s, blocked") or healthy[f"{worker}, 2 s"]).end_of_last
    for worker in classes
}
print(f"{'class':9}{'a healthy stream':18}a request that blocks")
for worker in classes:
    print(f"{worker:9}{healthy_ends[f'{worker}, 2 s']:18}{blocking_ends[worker]}")

# %% [markdown]
# Where a request is not whole, gunicorn killed its worker: with `sync` the one request that it had, with an event loop all of its streams.
# “Refused” without a status means that the connection closed before an answer began.
#
# | class | what `WORKER TIMEOUT` means | what to set |
# |---|---|---|
# | `sync` | one request took longer than `--timeout` | `--timeout` above your longest answer, or another class |
# | `gthread` | not a long request: the main thread was held up, for instance by a library that keeps Python's lock, the GIL, which only one thread can have | the default; move that work to a process of its own |
# | `uvicorn`, `asgi` | the event loop was blocked, or late at each turn | the default; unblock the code, and give the machine more CPU if it is late |
# | `gevent` | a request computed, or blocked where gevent has not replaced the call | the default; move that work to a process of its own |
#
# The rows of `gthread` and `gevent` are not played here (`gevent` is not installed). [What each class of workers does](../docs/cutoffs.md#what-each-class-of-workers-does) has
# measurements of both, and the lines of each log. Recent versions of gunicorn have no class `eventlet`.
#
# ## From one worker to four: memory
#
# `talk` counts the turns of a conversation in its worker's memory. For `talk_with` the client brings the count along.

# %%
print(inspect.getsource(scaled.talk), inspect.getsource(scaled.talk_with), sep="\n")

# %%
one, four = one_worker.result(), four_workers.result()
remembered = {
    "one worker and state in its memory": Conversation(one.url, "/talk/{name}").go_on(),
    "four workers and state in their memory": Conversation(four.url, "/talk/{name}").go_on(
        workers=2
    ),
    "four workers and state with the client": Conversation(four.url, "/talk_with/{turn}").go_on(
        workers=2
    ),
}
for name, found in remembered.items():
    print(f"{name:39}", found)

# %% [markdown]
# The workers share one socket, and whichever is free takes the next connection. A client cannot choose. So a request must bring its
# state along, or the workers must find it in a store outside, such as Redis.
#
# One worker does not make shared state safe either. This handler has one list for all its requests:


# %%
def application(model):
    app, collected = FastAPI(), []

    @app.get("/{name}")
    async def answer(name: str):
        collected.clear()
        async for _ in model.astream("Why?"):
            collected.append(name)
        return sorted(set(collected))

    return app


model = ChatOpenAI(**server.settings).bind(max_tokens=10)
with serve(application(model)) as served, ThreadPoolExecutor() as pool:
    urls = [f"{served.url}/{name}" for name in "ab"]
    mixed = [json.loads(answer.text) for answer in pool.map(read, urls)]
print("tokens in a's answer:", *mixed[0], "· in b's answer:", *mixed[1])

# %% [markdown]
# ## From one worker to four: health probes
#
# A platform asks `/health` every few seconds and restarts what does not answer. Here one request blocks one worker for two seconds,
# and a probe waits one second for its answer.

# %%
probe_prediction = lesson.predict(
    "5",
    "One of four workers is blocked, and the streams of its clients stand still. What do eight probes in a row say?",
    {
        "no answer": "no answer",
        "sometimes healthy, sometimes no answer": "healthy or no answer",
        "healthy, all eight": "healthy",
    },
)
probe_prediction

# %%
neighbours.lateness(four.url, workers=4)  # for later: what was until now does not count
with neighbours.blocked(one.url, seconds=2), neighbours.blocked(four.url, seconds=2):
    probes = {
        "one of one blocked": neighbours.probe(one.url, times=1),
        "one of four blocked": neighbours.probe(four.url, times=8),
    }
late = neighbours.lateness(four.url, workers=4)
for name, found in probes.items():
    print(f"{name:20}", found)
# %%
probe_prediction.reveal(
    probes["one of four blocked"],
    why="Each probe opens a connection. A blocked worker accepts none, so another one answers every probe.",
)

# %% [markdown]
# With one worker the probe fails, and the platform restarts the service with all its streams. With four it reports good health while a
# quarter of the streams stand still. (A prober that keeps its connection open stays with one worker. That is not played here.) What shows the fault is a number from inside each worker: how late its event loop runs.
#
# ## How late an event loop is
#
# Each worker of this service measures that. A task sleeps for 0.1 s again and again, and notes how much longer that took. `/health` reports
# the greatest lateness since the last probe. The task begins in the application's *lifespan*, which is code that each worker runs at its
# start.

# %%
for function in [scaled.watch, scaled.watched, scaled.health]:
    print(inspect.getsource(function))

# %% tags=["nbval-ignore-output"]
for number, seconds in enumerate(late, 1):
    print(f"worker {number}: late by {seconds:.2f} s")

# %% [markdown]
# These are the four workers after the two seconds. One was late, and its next probe says so. In production, let each worker export the number as a
# metric under its process id, and raise an alarm above half a second. It also shows a loop that is a little late at each turn.
#
# ## What the access log says
#
# Two of the trials whose streams were cut had an access log. Which status does it have for them?

# %%
access = {
    worker: trials[name].statuses(text)
    for worker, name in [("uvicorn", "uvicorn, 2 s, blocked"), ("sync", "sync, 2 s")]
}
for worker, statuses in access.items():
    print(f"{worker:8}", *statuses)

# %% [markdown]
# Both say status 200. Neither line says which of four workers it came from. When is such a line written? Here is a whole answer of each, with
# its line and the moment at which the log had it.

# %% tags=["nbval-ignore-output"]
reached = {"uvicorn": one, "sync": sync_worker.result()}
brief = "/text?tokens=12"
whole_answers = who_ended_it.logged(reached, brief)
for worker, (moment, line) in whole_answers.items():
    print(f"{worker:8}{moment:18}{line}")

# %% [markdown]
# uvicorn writes its line when the answer *begins*, so it knows neither the end nor the size. A `sync` worker writes it at the end, with the
# number of bytes. A cut stream is found in the error log, or in your own log line at the end of the generator.
#
# And if the client disconnects from the same answer in mid-stream? These are all lines that such a request leaves, with uvicorn's worker at
# gunicorn's usual level *info*, and with a `sync` worker at the level *debug*:

# %% tags=["nbval-ignore-output"]
left = who_ended_it.left(reached, brief)
for worker, lines in left.items():
    print(f"{worker}:", *lines, sep="\n  ")

# %% [markdown]
# Status 200 again, for an answer of which a part was sent. uvicorn's line is the same as for the whole answer, and no other line follows. The
# `sync` worker's line has fewer bytes. The broken pipe (`EPIPE`, the system's error for a write to a closed connection) is mentioned only at
# the level *debug*. nginx also writes 200 for a client that left in mid-stream, and for a stream that it cut; 499 is for a client that left
# before the first byte ([notebook 10](10_cut_in_production.ipynb) shows its lines).
#
# ## Who ended it
#
# People look for `ClientDisconnect`, `BrokenPipeError` and `CancelledError`. Here is what a handler sees, and what uvicorn logs, when a
# client disconnects from a stream, when it disconnects while it sends its request, and when the server ends in the middle.

# %%
ends = {
    "a client leaves a stream": who_ended_it.leave_stream,
    "a client leaves its upload": who_ended_it.leave_upload,
    "the server ends": who_ended_it.end_server,
}
seen = who_ended_it.seen_after(ends, server.settings)
for name, each in seen.items():
    print(f"{name:26} the code sees {each.in_the_code}; warnings and errors: {each.in_the_log}")

# %% [markdown]
# A client that disconnects from a stream leaves no trace but a usual access line, unless the generator logs its `CancelledError`.
# `ClientDisconnect` is about reading a request. A synchronous worker swallows the broken pipe.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "A call that blocks the loop stops its neighbour's stream",
    expected="whole, stands still",
    found=beside_call["blocked"].first,
)
evidence.claim(
    "The same call in a thread does not",
    expected="whole, flows",
    found=beside_call["in a thread"].first,
)
evidence.claim(
    "The log has no complaint about the blocked loop",
    expected="none",
    found=", ".join(complaints) or "none",
)
evidence.claim(
    "Only callbacks that run on the loop stop the neighbour's stream",
    expected="Inline, Asynchronous",
    found=", ".join(stopped),
)

# %%
evidence.claim(
    "A short --timeout kills a blocked worker with all its streams",
    expected="cut, refused",
    found=watchdog,
)
evidence.claim(
    "The log of a blocked asgi worker guesses at memory",
    expected=True,
    found=any("SIGKILL! Perhaps out of memory?" in line for line in killed["asgi"]),
)
for name, expected in zip(healthy_ends, ["cut", "whole", "whole", "whole", "whole"], strict=True):
    worker, limit = name.split(", ")
    evidence.claim(
        f"With --timeout {limit}, a healthy stream of {worker} is {expected}",
        expected=expected,
        found=healthy_ends[name],
    )
for worker, expected in zip(
    classes, ["refused with 500", "whole", "refused", "refused"], strict=True
):
    evidence.claim(
        f"With --timeout 2 s, a request that blocks {worker} is {expected}",
        expected=expected,
        found=blocking_ends[worker],
    )

# %%
for name, expected in zip(remembered, ["remembers", "forgets", "remembers"], strict=True):
    evidence.claim(f"A service {expected} with {name}", expected=expected, found=remembered[name])
evidence.claim(
    "Two requests that share a list get parts of both", expected=[["a", "b"]] * 2, found=mixed
)
for name, expected in zip(probes, ["no answer", "healthy"], strict=True):
    evidence.claim(
        f"The probe says “{expected}” with {name}", expected=expected, found=probes[name]
    )
evidence.claim(
    "After a block, one of four workers reports that its loop was late",
    expected="1 of 4 late",
    found=neighbours.how_many_late(late),
)

# %%
for worker, statuses in access.items():
    evidence.claim(
        f"The access log of a {worker} worker says 200 for a cut stream",
        expected="200",
        found=", ".join(statuses),
    )
for worker, lines in left.items():
    evidence.claim(
        f"The access log of a {worker} worker says 200 for a client that left in mid-stream",
        expected="200",
        found=who_ended_it.status(lines, brief),
    )
for worker, moment in [("uvicorn", who_ended_it.BEGINS), ("sync", who_ended_it.ENDS)]:
    evidence.claim(
        f"The access line of a {worker} worker is there {moment}",
        expected=moment,
        found=whole_answers[worker][0],
    )
evidence.claim(
    "At the level info, a uvicorn worker logs one line for a client that left in mid-stream",
    expected=1,
    found=len(left["uvicorn"]),
)
for name, error in zip(ends, ["CancelledError", "ClientDisconnect", "CancelledError"], strict=True):
    evidence.claim(
        f"The code sees {error} when {name}", expected=error, found=seen[name].in_the_code
    )
evidence.claim(
    "The log has no warning about a client that leaves a stream",
    expected="nothing",
    found=seen["a client leaves a stream"].in_the_log,
)
evidence.claim(
    "A sync worker mentions the broken pipe at the level debug",
    expected="[DEBUG] Ignoring EPIPE",
    found=next((line for line in left["sync"] if "EPIPE" in line), "nothing"),
)
evidence.number("neighbour_waited", beside_call["blocked"].answers[0].pause)

# %%
evidence.table()

# %% [markdown]
# The last column has what the versions of the incident showed (langchain 1.0.8, langchain-openai 0.3.34). The servers end with this kernel,
# so you can run any cell again. A cell that shows trials plays them anew when it runs again.

# %% [markdown]
# ## Exercises
#
# **1.** `ask(tokens)` is a client library that you cannot change. It is a plain generator: it blocks while it waits for the next piece.
# Repair the handler, so that other streams go on meanwhile. It must still answer `{"text": …}`.


# %% tags=["exercise"]
def repaired(ask):
    app = FastAPI()

    @app.get("/answer")
    async def answer(tokens: int):
        # return {"text": "".join(ask(tokens))} blocks the loop. Write another body, or another handler.
        raise NotImplementedError  # your code

    return app


# %%
await lesson.check("1", repaired)

# %% [markdown]
# **2.** Four services with four symptoms. Choose one repair for each: `"longer timeout"`, `"other worker class"`, `"unblock the code"`,
# `"more memory"`, `"state outside the workers"` or `"more workers"`. Where two of them repair a service (A), either is right.
#
# - A: class `sync`. Answers that take longer than 30 s are cut. The log: `WORKER TIMEOUT`, `SystemExit: 1`.
# - B: `uvicorn_worker`. Twice a day all streams of a worker are cut. The log: `WORKER TIMEOUT`, `was sent SIGABRT!`.
# - C: `asgi`. The log: `was sent SIGKILL! Perhaps out of memory?`; the machine uses half of its memory.
# - D: `uvicorn_worker`, since yesterday with four workers. Users say that the assistant forgets what they wrote a minute ago.

# %% tags=["exercise"]
repairs = {"A": ..., "B": ..., "C": ..., "D": ...}

# %%
await lesson.check("2", repairs)

# %%
lesson.progress()

# %% [markdown]
# ## After an incident
#
# Close it by [the runbook's checklist](../docs/runbook.md#before-you-close-it): the doctor says `healthy` on the clients' address, no request is left on the
# model's server, and the changed limit is in the repository. Add a test that is red without the repair ([how](../docs/testing.md)), and run `make regress`
# [before each upgrade](../docs/regress.md). Then write [the post-mortem](../docs/postmortem_template.md). On the tour,
# [the next steps](../docs/tours/on_call.md#next) are on its page.

# %% [markdown]
# ---
# Before: [10 · Cut in production](10_cut_in_production.ipynb) · Next: [11b · Browsers and restarts](11b_browsers_and_restarts.ipynb)
