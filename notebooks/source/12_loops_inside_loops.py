# %% [markdown]
# # 12 · Loops inside loops
#
# **After this notebook you will know**
# - what `asyncio.run` does in a running event loop, and where "Event loop is closed" comes from,
# - what nest-asyncio changes in your process, and when you need it,
# - whether a time-out holds in a thread, and in a run inside a run,
# - how to call a coroutine from a synchronous function without nest-asyncio.
#
# *About 34 minutes. Needs: [03](03_inside_asyncio_timeout.ipynb), [05](05_it_fails_in_silence.ipynb). This is the only notebook that
# applies nest-asyncio. Its kernel is a process of its own, so the other notebooks keep their asyncio.*

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
import sys
import time
import warnings

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from stream_deadline import ChatVllm, deadline
from stream_lab import Evidence, Lesson, nesting, observe, open_endpoint, scope, verdict
from stream_lab.experiment import pictures
from stream_lab.experiment.loops import cost_of_a_task, ended, repeated_runs, state_of_asyncio
from stream_lab.experiment.wait import Wait

evidence, lesson = Evidence("12"), Lesson("12")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## One loop per thread
#
# A cell of a notebook runs inside an event loop, the kernel's. So does the handler of an asynchronous web server. Code that works in a
# script is often pasted into one of them, with its `asyncio.run`.

# %%
question = {"question": "Tell me everything."}
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
chain = prompt | ChatVllm(**server.settings, max_tokens=2, timeout=30)

refused_prediction = lesson.predict(
    "1",
    "This cell is about to call `asyncio.run(chain.ainvoke(question))`. What happens?",
    {
        "the answer comes": "ran",
        "an error, and the model has been asked": "error, asked",
        "an error, and the model has not been asked": "error, not asked",
    },
)
refused_prediction

# %%
with warnings.catch_warnings(record=True) as heard:
    warnings.simplefilter("always")
    try:
        asyncio.run(chain.ainvoke(question))
        refused = "it ran"
    except RuntimeError as error:
        refused = str(error)
never_awaited = [str(each.message) for each in heard if "never awaited" in str(each.message)]

print("error:  ", refused)
print("warning:", *never_awaited)

# %%
tried = "ran" if refused == "it ran" else "error, not asked" if never_awaited else "error, asked"
refused_prediction.reveal(
    tried,
    why="A thread has at most one running loop. The coroutine was made and never started, as the warning says.",
)

# %% [markdown]
# If some code catches that `RuntimeError`, the warning on stderr is all that is left of the call.
#
# There are two short repairs. Where you can write `await`, write it. Where the `asyncio.run` sits in a synchronous function that is not
# yours, run that function in a thread: no loop is running there.


# %%
def their_report():
    """A library's function: synchronous, and with an asyncio.run inside."""
    return asyncio.run(chain.ainvoke(question))


answers = {
    "await": await chain.ainvoke(question),
    "asyncio.to_thread": await asyncio.to_thread(their_report),
}
for way, answer in answers.items():
    print(f"{way:18}", "answered" if answer.content else "no answer")

# %% [markdown]
# ## Time-outs, with a thread
#
# `their_work` takes 0.8 s. A *scope* is an `async with asyncio.timeout(…)`: it cancels its task when its time is over. A scope of 0.1 s can
# stand inside the thread, or around the wait for the thread.


# %%
finished = []


def their_work(seconds):
    """Another function of the library. It notes when it is done."""
    asyncio.run(asyncio.sleep(seconds))
    finished.append(seconds)


async def scope_inside():
    async with asyncio.timeout(0.1):
        await asyncio.sleep(0.8)


async def scope_around():
    async with asyncio.timeout(0.1):
        await asyncio.to_thread(their_work, 0.8)


# %%
thread_prediction = lesson.predict(
    "2",
    "`scope_around` waits for a thread with 0.8 s of work, in a scope of 0.1 s. What happens after 0.1 s?",
    {
        "a TimeoutError, and the work stops": "TimeoutError on time, stops",
        "a TimeoutError, and the work goes on": "TimeoutError on time, goes on",
        "nothing; the TimeoutError comes after 0.8 s": "TimeoutError late, is over",
    },
)
thread_prediction

# %%
inside = await ended(asyncio.to_thread(asyncio.run, scope_inside()), due=0.1)
around = await ended(scope_around(), due=0.1)
work = "is over" if finished else "goes on"
print("scope inside the thread:", inside)
print("scope around it:        ", around, "· the work then", work)

# %%
thread_prediction.reveal(
    f"{around}, {work}",
    why="The scope ends the wait. Nothing can stop a thread from outside, so it works on without a reader.",
)

# %% [markdown]
# So what runs in a thread needs a bound inside.
#
# ## "Event loop is closed"
#
# This is the other error that leads people to nest-asyncio. A script calls `asyncio.run` several times, and each call makes a loop and
# closes it at its end. The model is made once, and its HTTP client keeps its connection for the next request. (`repeated_runs` is such a
# script. It runs in a thread, where it finds what it would find in a process of its own.)

# %%
runs_prediction = lesson.predict(
    "3",
    "Four times `asyncio.run(model.ainvoke(…))` with one `ChatOpenAI`, without retries. Which runs succeed?",
    {
        "all four": "ok / ok / ok / ok",
        "only the first": "ok / failed / failed / failed",
        "the first and the third": "ok / failed / ok / failed",
    },
)
runs_prediction

# %%
plain = ChatOpenAI(**server.settings, max_tokens=2, timeout=10, max_retries=0)
shared = await asyncio.to_thread(repeated_runs, lambda: plain.ainvoke("Hi."))
print(shared.outcomes)
print(shared.cause)

# %%
runs_prediction.reveal(
    shared.outcomes,
    why="A connection belongs to the loop that opened it. The second run takes it from the pool, fails, and drops it, "
    "so the third opens a new one.",
)

# %% [markdown]
# Do retries help? In each failed run the request had left before the error, so the server was working. Here OpenAI's SDK makes the calls,
# with two retries, and `sent` counts the requests.

# %%
sent = []


async def note(request):
    sent.append(request)


sdk = AsyncOpenAI(
    base_url=server.base_url,
    api_key=server.settings["api_key"].get_secret_value(),
    timeout=10,
    max_retries=2,
    http_client=DefaultAsyncHttpxClient(event_hooks={"request": [note]}),
)
body = {"model": server.model, "messages": [{"role": "user", "content": "Hi."}], "max_tokens": 2}
retried = await asyncio.to_thread(repeated_runs, lambda: sdk.chat.completions.create(**body))
wasted = "more than answers" if len(sent) > retried.succeeded else "as many as answers"
print("requests sent:", wasted)

# %% tags=["nbval-ignore-output"]
print(f"{retried.outcomes}; {len(sent)} requests for {retried.succeeded} answers")

# %% [markdown]
# That depends on the version. The SDK of 2026 does not retry this error, so every second run fails. The SDK of the post-mortem takes it for
# a lost connection and sends the request again: there is no error, and the server generates an answer that has no reader. `ChatVllm` keeps
# a client for each loop:

# %%
ours = ChatVllm(**server.settings, max_tokens=2, timeout=10)
per_loop = await asyncio.to_thread(repeated_runs, lambda: ours.ainvoke("Hi."))
print(per_loop.outcomes)

# %% [markdown]
# The better repair is in the script: one `asyncio.run` around everything, and `await` inside.
#
# ## When you need nest-asyncio
#
# A thread needs a caller that can wait for it. Suppose a library's synchronous function calls `asyncio.run`, and the loop itself calls that
# function: as a callback, a property, an `__init__`. Then neither repair fits. nest-asyncio changes asyncio so that a loop may run inside
# itself.

# %%
before, cost_before = await state_of_asyncio(), await cost_of_a_task()
package = nesting.apply()
after, cost_after = await state_of_asyncio(), await cost_of_a_task()
unchanged = "answered" if their_report().content else "no answer"

for what in before:
    print(f"{what:30} {before[what]:8} → {after[what]}")
print("their_report(), without a thread:", unchanged)

# %% tags=["nbval-ignore-output"]
python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
print(f"{package} on {python}: a task costs {cost_after / cost_before:.1f} times as much")

# %% [markdown]
# It replaces `asyncio.run` and the loop's own methods, in the whole process and for good. Tasks and futures, which are written in C, become
# the slower ones in Python: only those can be put aside while others run.
#
# It has two limits. nest-asyncio is no longer maintained and breaks `asyncio.timeout` on Python 3.14, so `nesting.apply` takes its successor
# nest-asyncio2 where it must. And it can change only asyncio's own loops. Many web servers run on uvloop.

# %%
import uvloop

limits = {}
another = uvloop.new_event_loop()
for what, attempt in {
    "nest-asyncio on Python 3.14": lambda: nesting.choose((3, 14), {"nest-asyncio": "1.6.0"}),
    "a loop of uvloop": lambda: nesting.apply(another),
}.items():
    try:
        attempt()
        limits[what] = "nested"
    except (nesting.NestingError, ValueError) as error:
        limits[what] = "refused"
        print(f"{what}: {error}")
another.close()

# %% [markdown]
# ## A scope around a nested run
#
# `their_work` can now be called without a thread. Again it takes 0.8 s, inside a scope of 0.1 s. `scope.timeout` is `asyncio.timeout` with
# a log.


# %%
async def scope_around_nested(*, await_after):
    log = scope.Log()
    async with scope.timeout(0.1, log) as cm:
        their_work(0.8)  # a run inside a run
        states.add(scope.state(cm))
        fired = log.find("timer fired")
        timers.add(Wait(0.1, fired.at).verdict if fired else "never")
        if await_after:
            await asyncio.sleep(0)


async def measure(*, await_after):
    left[await_after] = await ended(scope_around_nested(await_after=await_after), due=0.1)


# %%
late_prediction = lesson.predict(
    "4",
    "The scope of 0.1 s has a nested run of 0.8 s inside, and then an `await`. When does the TimeoutError come?",
    {
        "after 0.1 s": "TimeoutError on time",
        "after 0.8 s": "TimeoutError late",
        "never": "no error late",
    },
)
late_prediction

# %%
states, timers, left = set(), set(), {}
tasks = {}
for await_after in [True, False]:
    # A task of its own for each, since a cancellation may be left over in it.
    tasks[await_after] = asyncio.create_task(measure(await_after=await_after))
    await asyncio.wait({tasks[await_after]})
nested, silent = left[True], left[False]

print("the timer fires          ", *timers)
print("the scope, after the work", *states)
print("with an await after it   ", nested)
print("without                  ", silent.outcome)

# %%
late_prediction.reveal(
    str(nested),
    why="The timer is on time, but a cancellation reaches a task at an `await`, and this task is on the stack below the inner run.",
)

# %% [markdown]
# The inner run turns the same loop, so the timer fires and the scope cancels its task. The task cannot go on before the inner run has
# returned. At its next `await` it learns of the cancellation, 0.7 s too late. Without an `await` it never does, although the scope is
# *expiring*, as in notebook 05.
#
# On Python 3.11 and 3.12 there is a second part. Without an `await`, the cancellation is still pending after the scope. It hits the next
# `await`, far away, as a `CancelledError` without a reason; or, as here, the task itself, which ran to its end and counts as cancelled.
# Python 3.13 takes the cancellation back.

# %% tags=["nbval-ignore-output"]
print(f"{python}, the task without an await: {'cancelled' if tasks[False].cancelled() else 'done'}")

# %% [markdown]
# ## Two nested runs at once


# %%
async def ask(seconds):
    started = time.monotonic()
    their_work(seconds)
    return Wait(seconds, time.monotonic() - started)


async def ask_in_a_thread(seconds):
    started = time.monotonic()
    await asyncio.to_thread(their_work, seconds)
    return Wait(seconds, time.monotonic() - started)


# %%
order_prediction = lesson.predict(
    "5",
    "Two tasks start together: `ask(0.1)`, then `ask(0.8)`. When does the first get its answer?",
    {"after 0.1 s": "on time", "after 0.8 s": "late"},
)
order_prediction

# %%
quick, slow = await asyncio.gather(ask(0.1), ask(0.8))
quick_in_a_thread, _ = await asyncio.gather(ask_in_a_thread(0.1), ask_in_a_thread(0.8))
print("0.1 s, nested, beside 0.8 s:", quick.verdict)
print("0.8 s:                      ", slow.verdict)
print("0.1 s, each in a thread:    ", quick_in_a_thread.verdict)

# %%
order_prediction.reveal(
    quick.verdict,
    why="Nested runs are function calls. The slow one began later, lies above the quick one on the stack, and returns first.",
)

# %%
pictures.overdue(
    {
        "scope of 0.1 s around\na nested run of 0.8 s": nested,
        "the same,\nin a thread": around,
        "0.1 s, nested,\nbeside a run of 0.8 s": quick,
        "the same,\neach in a thread": quick_in_a_thread,
    },
    title="A nested wait lasts as long as the longest run above it; in a thread it ends on time",
)

# %% [markdown]
# So one slow neighbour anywhere in the process makes every deadline below it late.
#
# ## The library's deadline
#
# What is left of `ChatVllm(timeout=…)` and of `with deadline(…)`? Each endless answer below is allowed a quarter of `TIMEOUT`. First nested
# and alone, bounded by the model, and by an *ambient* deadline, one that stands outside and reaches every call inside.

# %%
allowed = TIMEOUT / 4  # seconds
bounded_chain = prompt | ChatVllm(**server.settings, timeout=allowed)
free_chain = prompt | ChatVllm(**server.settings)


def their_question():
    # A bound of the lab's own, in case the deadline does not hold.
    return asyncio.run(asyncio.wait_for(free_chain.ainvoke(question), 2 * TIMEOUT))


async def with_deadline(work):
    with deadline(allowed):
        await work()


async def nested_question():
    their_question()


def held(wait):
    return str(wait) if wait.outcome == "TimeoutError" else verdict.BY_ITSELF


alone = asyncio.run(observe(bounded_chain.astream(question), deadline=allowed, server=server))
ambient = await ended(with_deadline(nested_question), due=allowed)
print("the model's time-out:", alone.verdict, "· the server:", alone.server)
print("an ambient deadline: ", held(ambient))

# %% [markdown]
# Then beside a neighbour whose nested run takes three quarters of `TIMEOUT`.

# %%
order = []


async def observed_ask():
    call = asyncio.run(observe(bounded_chain.astream(question), deadline=allowed, server=server))
    order.append("the caller gets its error")
    return call


async def neighbour():
    their_work(0.75 * TIMEOUT)
    order.append("the neighbour is done")


beside, _ = await asyncio.gather(observed_ask(), neighbour())
print("beside a neighbour:", beside.verdict, "· the server:", beside.server)
print("then:              ", ", then ".join(order))

# %% [markdown]
# The stream is cut on time and the GPU is free, with a neighbour and without. The deadline does not wait for a task: a timer shuts the
# connection down, whichever run turns the loop. But no library can return a function from the middle of the stack. The caller gets its
# error when the neighbour above is done.
#
# In a thread even that is in order. The ambient deadline goes along with `asyncio.to_thread`, so the work in the thread ends, too.


# %%
async def question_and_neighbour():
    await asyncio.gather(asyncio.to_thread(their_question), ask_in_a_thread(1.5 * allowed))


in_a_thread = await ended(with_deadline(question_and_neighbour), due=allowed)
print("in a thread, beside a neighbour:", held(in_a_thread))

# %% [markdown]
# So try them in this order: `await`; a thread, with the bound inside; and nest-asyncio where neither can be done, with nothing beside it that
# has to be on time.

# %% [markdown]
# ## What was shown

# %%
answered = ", ".join(way for way, answer in answers.items() if answer.content)
claims = {
    "In a running loop asyncio.run raises an error and asks no model": ("error, not asked", tried),
    "`await` and a thread both answer": ("await, asyncio.to_thread", answered),
    "A scope inside a thread fires on time": ("TimeoutError on time", inside),
    "A scope around a thread fires on time": ("TimeoutError on time", around),
    "The work in that thread goes on": ("goes on", work),
    "With one ChatOpenAI every second run fails": ("ok / failed / ok / failed", shared.outcomes),
    "The cause is a connection of a closed loop": ("Event loop is closed", shared.cause),
    "With retries there are more requests than answers": ("more than answers", wasted),
    "With one ChatVllm each asyncio.run succeeds": ("ok / ok / ok / ok", per_loop.outcomes),
}
for text, (expected, found) in claims.items():
    evidence.claim(text, expected=expected, found=found)

# %%
nested_run, task = after["asyncio.run in a running loop"], after["asyncio.Task is written in"]
claims = {
    "With nest-asyncio a coroutine runs on the kernel's loop": ("on the kernel's loop", nested_run),
    "With nest-asyncio tasks are written in Python": ("Python", task),
    "With nest-asyncio the library's asyncio.run works unchanged": ("answered", unchanged),
    "On Python 3.14 nest-asyncio is refused": ("refused", limits["nest-asyncio on Python 3.14"]),
    "A loop of uvloop cannot be nested": ("refused", limits["a loop of uvloop"]),
    "A scope around a nested run fires late": ("TimeoutError late", nested),
    "Its timer was on time": ("on time", ", ".join(timers)),
    "The scope was expiring meanwhile": ("expiring", ", ".join(states)),
    "Without a later `await` there is no error": ("no error", silent.outcome),
    "A quick nested run beside a slow one is late": ("late", quick.verdict),
    "The same two in threads are on time": ("on time", quick_in_a_thread.verdict),
}
for text, (expected, found) in claims.items():
    evidence.claim(text, expected=expected, found=found)

# %%
last = "the neighbour is done, the caller gets its error"
claims = {
    "ChatVllm's time-out holds in a nested run": ("stopped at the deadline", alone.verdict),
    "An ambient deadline holds around a nested run": ("TimeoutError on time", held(ambient)),
    "ChatVllm's time-out holds beside a neighbour": ("stopped at the deadline", beside.verdict),
    "The server stops generating meanwhile": ("stopped generating", beside.server),
    "The caller gets its error after the neighbour": (last, ", ".join(order)),
    "In a thread the caller gets it on time": ("TimeoutError on time", held(in_a_thread)),
}
for text, (expected, found) in claims.items():
    evidence.claim(text, expected=expected, found=found)

# %%
evidence.number("task_cost_ratio", cost_after / cost_before)
evidence.number("nested_timeout_late_by_s", nested.over - nested.due)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** Write `run_sync`: a synchronous function that runs a coroutine and returns its result, wherever it is called: in a script, and
# in a thread whose loop is running. No nest-asyncio. Errors come out of it, a time-out inside the coroutine holds, and the coroutine sees
# the caller's context variables (that is how an ambient deadline travels). The check runs this cell in a fresh process.


# %% tags=["exercise"]
def run_sync(coroutine):
    raise NotImplementedError  # your code


# %%
await lesson.check("1", run_sync)

# %% [markdown]
# **2.** Each function below waits for `inner(n)`: half a second of work in a scope of n seconds. Around it stands an outer scope.
# Does the caller's `TimeoutError` come from the `"outer"` scope or from the `"inner"` one? (nest-asyncio is still applied.)


# %%
async def a(inner):
    async with asyncio.timeout(0.1):
        await inner(0.3)


async def b(inner):
    async with asyncio.timeout(0.3):
        await asyncio.to_thread(asyncio.run, inner(0.1))


async def c(inner):
    async with asyncio.timeout(0.1):
        asyncio.run(inner(0.3))


# %% tags=["exercise"]
fires = {"a": ..., "b": ..., "c": ...}

# %%
await lesson.check("2", fires, {"a": a, "b": b, "c": c})

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [11b · Browsers and restarts](11b_browsers_and_restarts.ipynb) · Next: [13 · The doctor](13_the_doctor.ipynb)
