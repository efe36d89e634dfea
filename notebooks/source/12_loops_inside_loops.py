# %% [markdown]
# # 12 · Loops inside loops
#
# **After this notebook you will know**
# - what `asyncio.run` does in a running event loop, and where "Event loop is closed" comes from,
# - what nest-asyncio changes in your process, and when nothing else is left,
# - how a run inside a run makes a time-out late or lose it, and two ways that do not.
#
# *About 15 minutes. Needs: [03](03_inside_asyncio_timeout.ipynb), [05](05_it_fails_in_silence.ipynb). This is the only notebook that
# applies nest-asyncio. Each notebook has a kernel, and so a process, of its own; what is done to asyncio here stays here.*

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
from stream_lab import Evidence, nesting, observe, open_endpoint, scope, verdict
from stream_lab.experiment import pictures
from stream_lab.experiment.wait import Wait

evidence = Evidence("12")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## One loop per thread
#
# A cell of a notebook runs inside an event loop, the kernel's. So does the handler of an asynchronous web server. Code that works in a
# script is often pasted into one of the two, `asyncio.run` and all.
#
# **Predict first.** What does `asyncio.run` say here? And does the server get the question?

# %%
question = {"question": "Tell me everything."}
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
chain = prompt | ChatVllm(**server.settings, max_tokens=2, timeout=30)

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

# %% [markdown]
# A thread has at most one running loop. The error is clear. The warning beside it says what it costs: the coroutine was made, and nobody
# ever ran it. Where somebody catches the `RuntimeError`, that line on stderr is all that is left of the call. No server saw it.
#
# There are two ways, and both are short. Where you can write `await`, write it. Where the `asyncio.run` is somebody else's, inside a
# function that is not asynchronous, give that function a thread: there, no loop is running.


# %%
def their_report():
    """Somebody else's: synchronous, and with an asyncio.run inside."""
    return asyncio.run(chain.ainvoke(question))


awaited = await chain.ainvoke(question)
threaded = await asyncio.to_thread(their_report)

ways = {"await": awaited, "asyncio.to_thread": threaded}
for way, answer in ways.items():
    print(f"{way:18}", "answered" if answer.content else "no answer")

# %% [markdown]
# ## Time-outs, with a thread
#
# The thread's loop has tasks of its own, so a scope inside works as in a script. A scope outside bounds the *wait* for the thread.
#
# **Predict first.** `their_work` takes 0.8 s. A scope of 0.1 s goes inside first, then around it. When does each wait end? And the work?

# %%
finished = []


def their_work(seconds):
    """Somebody else's too. It says when it is done."""
    asyncio.run(asyncio.sleep(seconds))
    finished.append(seconds)


async def scope_inside():
    async with asyncio.timeout(0.1):
        await asyncio.sleep(0.8)


async def time_out(waiting):
    """Wait for what should take 0.1 s, and see how long it does."""
    started = time.monotonic()
    try:
        await waiting
        outcome = "no error"
    except TimeoutError:
        outcome = "TimeoutError"
    return outcome, Wait(0.1, time.monotonic() - started)


async def scope_outside():
    async with asyncio.timeout(0.1):
        await asyncio.to_thread(their_work, 0.8)


inside = await time_out(asyncio.to_thread(asyncio.run, scope_inside()))
outside = await time_out(scope_outside())
left_running = not finished
print("scope inside: ", inside[0], inside[1].verdict)
print("scope outside:", outside[0], outside[1].verdict)
print("the work then:", "goes on" if left_running else "is over")

# %% [markdown]
# Both are on time. But nobody can stop a thread from outside; whoever waited has left, and the work goes on for nobody. What runs in the
# thread needs a bound of its own. We come back to that.
#
# ## "Event loop is closed"
#
# The other error that leads people to nest-asyncio. A script calls `asyncio.run` several times, and each call makes a loop and closes it
# at its end. The model is made once. Its HTTP client keeps connections open for the next request, as it should. (Here the script
# is a function in a thread, where it finds what it would find in a process of its own.)
#
# **Predict first.** Four times `asyncio.run`, one model. Which of the four succeed?


# %%
def four_runs(ask):
    """A script: four times asyncio.run, with one client. What came of each, and the root of what went wrong."""
    outcomes, roots = [], set()
    for _ in range(4):
        try:
            asyncio.run(ask())
            outcomes.append("ok")
        except Exception as error:
            while error.__cause__ or error.__context__:  # SDKs wrap it
                error = error.__cause__ or error.__context__
            roots.add(str(error))
            outcomes.append("failed")
    return " / ".join(outcomes), " ".join(roots)


plain = ChatOpenAI(**server.settings, max_tokens=2, timeout=10, max_retries=0)
shared, why = await asyncio.to_thread(four_runs, lambda: plain.ainvoke("Hi."))
print("ChatOpenAI:", shared)
print("reason:    ", why)

# %% [markdown]
# Every second one. A connection belongs to the loop in which it was opened. The second run takes it from the pool, and it is dead: its
# loop is closed. The failure drops it from the pool, so that the third run opens a new one, which is there for the fourth to fail with.
#
# Do retries help? The request had gone out before the failure, so the server is working. `sent` counts the requests that left, this time
# from OpenAI's SDK itself, on which LangChain stands.

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
hi = [{"role": "user", "content": "Hi."}]
create = sdk.chat.completions.create
retried, _ = await asyncio.to_thread(
    four_runs, lambda: create(model=server.model, messages=hi, max_tokens=2)
)
answers = retried.split(" / ").count("ok")
wasted = "more than answers" if len(sent) > answers else "as many as answers"
print("requests sent:", wasted)

# %% tags=["nbval-ignore-output"]
print(f"OpenAI's SDK, two retries: {retried}; {len(sent)} requests for {answers} answers")

# %% [markdown]
# That depends on the version, and neither way is good. The OpenAI SDK of 2026 does not retry this error: still every second run fails.
# That of the post-mortem takes it for a lost connection and sends the request again: no error to be seen, and a generation for nobody in
# every run but the first.
#
# `ChatVllm` keeps a client for each loop.

# %%
ours = ChatVllm(**server.settings, max_tokens=2, timeout=10)
per_loop, _ = await asyncio.to_thread(four_runs, lambda: ours.ainvoke("Hi."))
print("ChatVllm:  ", per_loop)

# %% [markdown]
# The better repair is in the script: one `asyncio.run` around everything, and `await` inside.
#
# ## When nothing else is left
#
# A thread needs somebody who can wait for it. Suppose that a synchronous function of a library calls `asyncio.run`, another
# synchronous function calls that, and the outermost one is called by the loop: a callback, a property, a `__init__`. None of it is yours.
# Then nest-asyncio is the way: it changes asyncio so that a loop may be run from inside itself.
#
# **Predict first.** On which loop will `asyncio.run` run its coroutine then?


# %%
async def which_loop():
    return asyncio.get_running_loop()


async def nothing():
    pass


async def cost_of_a_task():
    """Microseconds to create a task and await it, the best of five."""
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(2000):
            await asyncio.create_task(nothing())
        best = min(best, time.perf_counter() - started)
    return best / 2000 * 1e6


def run_in_a_cell():
    coroutine = which_loop()
    try:
        loop = asyncio.run(coroutine)
    except RuntimeError:
        coroutine.close()
        return "refused"
    return "on the kernel's loop" if loop is asyncio.get_running_loop() else "on another loop"


async def state_of_asyncio():
    return {
        "asyncio.run in a cell": run_in_a_cell(),
        "asyncio.Task is written in": "C" if asyncio.Task.__module__ == "_asyncio" else "Python",
        "asyncio.Future is written in": "C"
        if asyncio.Future.__module__ == "_asyncio"
        else "Python",
    }


before, cost_before = await state_of_asyncio(), await cost_of_a_task()
package = nesting.apply()
after, cost_after = await state_of_asyncio(), await cost_of_a_task()
unchanged = "answered" if their_report().content else "no answer"

for what in before:
    print(f"{what:29} {before[what]:8} → {after[what]}")
print("their_report(), without a thread:", unchanged)

# %% tags=["nbval-ignore-output"]
python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
print(f"{package} on {python}: a task costs {cost_after / cost_before:.1f} times as much")

# %% [markdown]
# It replaces `asyncio.run` and the methods that turn the loop, in the whole process; and the tasks and futures, which are written in C,
# by slower ones in Python, since only with those can the current task be put aside while others run. There is no function to take it
# back. In return `their_report` works as it is, called from a cell.
#
# `nesting.apply` takes whichever is installed: nest-asyncio, which is no longer maintained, or its successor nest-asyncio2. On
# Python 3.14 the former breaks `asyncio.timeout`, so there it is refused:

# %%
try:
    chosen = nesting.choose(python=(3, 14), installed={"nest-asyncio": "1.6.0"})
except nesting.NestingError as error:
    chosen = "refused"
    print(error)

# %% [markdown]
# And only loops of asyncio's own can be changed. Many a web server runs on uvloop:

# %%
import uvloop

another = uvloop.new_event_loop()
try:
    nesting.apply(another)
    uvloops = "nested"
except ValueError as error:
    uvloops = "refused"
    print(error)
another.close()

# %% [markdown]
# ## A late time-out
#
# `their_work` can now be called without a thread. It takes 0.8 s, inside a scope of 0.1 s.
#
# **Predict first.** When does the `TimeoutError` come? What is the scope's state when `their_work` returns? What if there is no `await`
# after it?


# %%
async def scope_around(*, await_after):
    """A scope of 0.1 s around a run inside a run: what it raises, and when."""
    started, outcome, log = time.monotonic(), "no error", scope.Log()
    try:
        async with scope.timeout(0.1, log) as cm:  # asyncio.timeout, with a log
            their_work(0.8)
            states.add(scope.state(cm))
            if await_after:
                await asyncio.sleep(0)
    except TimeoutError:
        outcome = "TimeoutError"
    left[await_after] = outcome, Wait(0.1, time.monotonic() - started)
    fired = log.find("timer fired")
    timers.add(Wait(0.1, fired.at).verdict if fired else "never")


states, timers, left = set(), set(), {}
# Each in a task of its own, since what becomes of that is a story of its own.
heard_of_it = asyncio.create_task(scope_around(await_after=True))
await asyncio.wait({heard_of_it})
not_a_word = asyncio.create_task(scope_around(await_after=False))
await asyncio.wait({not_a_word})
nested, silent = left[True], left[False]

print("the timer fires:                 ", *sorted(timers))
print("the scope, when the work returns:", *sorted(states))
print("with an await after it:          ", nested[0], nested[1].verdict)
print("without:                         ", silent[0], silent[1].verdict)

# %% [markdown]
# The timer is on time: the inner run turns the same loop, timers and all. It cancels the task that opened the scope, and a
# cancellation is delivered where a task waits. This one does not wait. It is on the stack, below the run inside it, and cannot go on
# before that is over. With the next `await` it learns of it, 0.7 s too late; without one, never. The scope knew, as in notebook 05.
#
# And the second case is not over when its block is. On Python 3.11 and 3.12 the cancellation is still pending then. It hits the next `await`
# *after* the scope, as a `CancelledError` that nobody can explain; or where there is none, as here, the task itself: it ran to its end,
# and yet counts as cancelled, and its result is lost. Python 3.13 takes the cancellation back.

# %% tags=["nbval-ignore-output"]
print(f"{python}, the task without an await: {'cancelled' if not_a_word.cancelled() else 'done'}")

# %% [markdown]
# ## Last in, first out
#
# Runs inside runs are function calls, and those return in the reverse order of their beginning.
#
# **Predict first.** Two tasks, at the same time: one asks for 0.1 s of `their_work`, the other for 0.8 s. When does each get its answer?


# %%
async def ask(seconds):
    started = time.monotonic()
    their_work(seconds)
    return Wait(seconds, time.monotonic() - started)


async def ask_in_a_thread(seconds):
    started = time.monotonic()
    await asyncio.to_thread(their_work, seconds)
    return Wait(seconds, time.monotonic() - started)


quick, slow = await asyncio.gather(ask(0.1), ask(0.8))
quick_in_a_thread, _ = await asyncio.gather(ask_in_a_thread(0.1), ask_in_a_thread(0.8))
print("0.1 s, nested, beside 0.8 s:", quick.verdict)
print("0.8 s:                      ", slow.verdict)
print("0.1 s, each in a thread:    ", quick_in_a_thread.verdict)

# %%
pictures.overdue(
    {
        "scope of 0.1 s around\na nested run of 0.8 s": nested[1],
        "the same,\nin a thread": outside[1],
        "0.1 s, nested,\nbeside a run of 0.8 s": quick,
        "the same,\neach in a thread": quick_in_a_thread,
    },
    title="Nested, a wait lasts as long as what runs inside it; in a thread, as long as it should",
)

# %% [markdown]
# The quick one was done after 0.1 s. But the slow one had begun later, so it lies above it on the stack, and has to return first. One slow
# neighbour, which may be anybody's in this process, and every deadline below it is as late as that neighbour.
#
# ## The library's deadline
#
# What is left of `ChatVllm(timeout=…)` and of `with deadline(…)`, when they are called through a run inside a run?
#
# **Predict first.** Three endless answers, each allowed a quarter of `TIMEOUT`: one by the model, one by an ambient deadline outside of the
# nested run, one beside a neighbour that takes three quarters. Which is cut on time? When is the server free?

# %%
allowed = TIMEOUT / 4
bounded_chain = prompt | ChatVllm(**server.settings, timeout=allowed)
free_chain = prompt | ChatVllm(**server.settings)


def their_question():
    # A bound of the lab's own, in case the deadline does not hold.
    return asyncio.run(asyncio.wait_for(free_chain.ainvoke(question), 2 * TIMEOUT))


def judged(started, error):
    if error is None:
        return verdict.BY_ITSELF
    return Wait(allowed, time.monotonic() - started).verdict


alone = asyncio.run(observe(bounded_chain.astream(question), deadline=allowed, server=server))

started, error = time.monotonic(), None
try:
    with deadline(allowed):
        their_question()
except TimeoutError as raised:
    error = raised
ambient = judged(started, error)

print("model's time-out: ", alone.verdict, "· the server:", alone.server)
print("ambient deadline: ", ambient)

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
# It holds, as far as anything can. The deadline does not wait for a task to be resumed: a timer shuts the connection down, whichever run is
# turning the loop, and a task of its own reads the stream. So the stream is cut on time and the GPU is free, with a neighbour and without.
# What no library can do is return a function out of the middle of the stack: with a slow neighbour above, the caller gets
# its error when the neighbour is done.
#
# In a thread even that is in order; and the ambient deadline goes along with `asyncio.to_thread`, so that the work there does not go on
# for nobody, as it did above.

# %%
started, error = time.monotonic(), None
try:
    with deadline(allowed):
        await asyncio.gather(asyncio.to_thread(their_question), ask_in_a_thread(1.5 * allowed))
except TimeoutError as raised:
    error = raised
in_a_thread = judged(started, error)
print("in a thread, beside a neighbour:", in_a_thread)

# %% [markdown]
# So, in this order: `await`; a thread, with the bound inside it; and nest-asyncio where neither can be done, with nothing beside it
# that has to be on time.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "asyncio.run in a running loop",
    expected="asyncio.run() cannot be called from a running event loop",
    found=refused,
)
evidence.claim("its coroutine is never awaited", expected=1, found=len(never_awaited))
evidence.claim(
    "the ways that answer",
    expected="await, asyncio.to_thread",
    found=", ".join(way for way, answer in ways.items() if answer.content),
)
evidence.claim(
    "a scope inside what runs in a thread",
    expected="TimeoutError on time",
    found=f"{inside[0]} {inside[1].verdict}",
)
evidence.claim(
    "a scope around a thread",
    expected="TimeoutError on time",
    found=f"{outside[0]} {outside[1].verdict}",
)
evidence.claim(
    "but the thread's work", expected="goes on", found="goes on" if left_running else "is over"
)
evidence.claim(
    "ChatOpenAI, four times asyncio.run",
    expected="ok / failed / ok / failed",
    found=shared,
)
evidence.claim("the reason", expected="Event loop is closed", found=why)
evidence.claim("with retries, the requests sent are", expected="more than answers", found=wasted)
evidence.claim("ChatVllm, four times asyncio.run", expected="ok / ok / ok / ok", found=per_loop)
evidence.claim(
    "nest-asyncio runs a coroutine",
    expected="on the kernel's loop",
    found=after["asyncio.run in a cell"],
)
evidence.claim(
    "and its tasks are written in", expected="Python", found=after["asyncio.Task is written in"]
)
evidence.claim(
    "somebody else's asyncio.run, unchanged, in a cell", expected="answered", found=unchanged
)
evidence.claim("nest-asyncio 1.6.0 alone, on Python 3.14", expected="refused", found=chosen)
evidence.claim("a loop of uvloop's", expected="refused", found=uvloops)
evidence.claim(
    "a scope around a nested run",
    expected="TimeoutError late",
    found=f"{nested[0]} {nested[1].verdict}",
)
evidence.claim("its timer", expected="on time", found=" ".join(sorted(timers)))
evidence.claim("its state meanwhile", expected="expiring", found=" ".join(sorted(states)))
evidence.claim("without a later await", expected="no error", found=silent[0])
evidence.claim("a quick nested run beside a slow one", expected="late", found=quick.verdict)
evidence.claim("the same two in threads", expected="on time", found=quick_in_a_thread.verdict)
evidence.claim(
    "ChatVllm's time-out in a nested run",
    expected="stopped at the deadline",
    found=alone.verdict,
)
evidence.claim("an ambient deadline around one", expected="on time", found=ambient)
evidence.claim(
    "ChatVllm's time-out beside a slow neighbour",
    expected="stopped at the deadline",
    found=beside.verdict,
)
evidence.claim("the server meanwhile", expected="stopped generating", found=beside.server)
evidence.claim(
    "but the caller hears of it last",
    expected="the neighbour is done, the caller gets its error",
    found=", ".join(order),
)
evidence.claim("in a thread, in time too", expected="on time", found=in_a_thread)
evidence.number("task_cost_ratio", cost_after / cost_before)
evidence.number("nested_timeout_late_by_s", nested[1].over - nested[1].due)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# Three tasks begin one after the other, and each nests a run: A takes 0.1 s, B 0.3 s, C 0.2 s. In which order do they get their
# answers? Write three letters, as `"ABC"`.

# %%
from stream_lab.experiment.exercise import check

returned = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
letters = []


async def nest(letter, seconds):
    their_work(seconds)
    letters.append(letter)


await asyncio.gather(nest("A", 0.1), nest("B", 0.3), nest("C", 0.2))
check(returned, "".join(letters), hint="Which of the three lies on top of the stack?")

# %% [markdown]
# ---
# Before: [11 · Cut when scaling](11_cut_when_scaling.ipynb) · Next: [13 · The doctor](13_the_doctor.ipynb)
