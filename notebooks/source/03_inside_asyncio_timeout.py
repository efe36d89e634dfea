# %% [markdown]
# # 03 · Inside `asyncio.timeout`
#
# The obvious repair is one line: `async with asyncio.timeout(45):` around the loop that reads the stream. Before we use it, we take it
# apart.
#
# **After this notebook you will know**
# - which states a time-out scope has, and what moves it from one to the next,
# - how it stops its body, and how it tells its own cancellation from another one,
# - which task it cancels, and what happens when another task does the work.
#
# *About 41 minutes. Needs no server, no network and no LangChain. `BASE_URL`, `MODEL` and `TIMEOUT` are here because every notebook has
# them; nothing uses them.*

# %% tags=["parameters"]
BASE_URL = None  # not used here
MODEL = None  # not used here
TIMEOUT = 2.0  # not used here

# %%
import asyncio

from stream_lab import Evidence, Lesson, scope
from stream_lab.experiment.stepped import stepped

evidence = Evidence("03")
lesson = Lesson("03")

# %% [markdown]
# > ### Task, cancel, scope
# >
# > A **task** is a coroutine that the event loop runs. The loop runs one task at a time. When the task reaches an `await` that has to
# > wait, another task gets its turn.
# >
# > To **cancel** a task is to send it a request. `task.cancel()` stops nothing at once: the next time that the task would run, the loop
# > raises `CancelledError` at the `await` where it waits. The task can clean up, and it can even catch the error and go on.
# >
# > A **scope** is a block, entered with `async with`, that puts a bound on what happens inside it. `asyncio.timeout(delay)` makes one. On
# > entry it sets a timer in the event loop. When the timer fires, it cancels a task.

# %% [markdown]
# ## The time runs out
#
# A scope allows 0.2 s, and its body sleeps for 5 s. The next cell notes three things at each step: where we are, the state of the scope, and `task.cancelling()`. That is the number of the
# task's cancellations that are still pending.

# %%
task = asyncio.current_task()


def note(moment):
    print(f"{moment:22} {scope.state(cm):10} cancelling={task.cancelling()}")


cm = asyncio.timeout(0.2)
note("made")
try:
    async with cm:
        note("entered")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            note("in the body, cancelled")
            raise
except TimeoutError:
    note("outside, TimeoutError")

# %% [markdown]
# The timer cancels the task, as any code may, and the body sees an ordinary `CancelledError`. On the way out, the scope does two things. It
# takes its own cancellation back, so that `cancelling` is 0 again, and it raises `TimeoutError` in place of the `CancelledError`.
#
# These words for the states are the ones that `repr(cm)` shows. Python's source has other names for two of them:

# %%
{state.value: state.name for state in asyncio.timeouts._State}

# %% [markdown]
# From here on the scope keeps its own log: `scope.timeout` is `asyncio.timeout` with a note at each step, and `stepped` draws the log. Step
# through it: the states on the left, then the timers of the event loop, and the tasks.

# %%
log = scope.Log()
try:
    async with scope.timeout(0.3, log):
        await asyncio.sleep(5)
except TimeoutError:
    pass

late = " → ".join(event.state for event in log.events)
stepped(log, title="Time runs out: the timer cancels the task, the exit raises TimeoutError")

# %% [markdown]
# ## The body goes on
#
# A body may catch the `CancelledError`. Some libraries do that by mistake, with an `except` that is too broad.

# %%
caught_prediction = lesson.predict(
    "1",
    "The body catches the scope's CancelledError and goes on. What happens?",
    {
        "the scope cancels it again, until it stops": "stopped",
        "the body runs to its end, and then TimeoutError is raised": "ran to its end, TimeoutError",
        "the body runs to its end, and there is no error": "ran to its end, no error",
    },
)
caught_prediction

# %%
caught = "stopped"
try:
    async with asyncio.timeout(0.1) as cm:
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            await asyncio.sleep(0.2)
        caught = "ran to its end"
    caught += ", no error"
except TimeoutError:
    caught += ", TimeoutError"
print("the scope's state:", scope.state(cm))

# %%
caught_prediction.reveal(
    caught,
    why="The timer fires once. The exit raises TimeoutError only in place of a CancelledError, and none arrives there.",
)

# %% [markdown]
# ## Left in time, and moved
#
# While a scope is active, `reschedule` moves its deadline. The second scope below allows 0.2 s. Twice its deadline is moved to 0.2 s from
# then, and its work takes 0.4 s in all.

# %%
log = scope.Log()
async with scope.timeout(5, log):
    await asyncio.sleep(0.1)

in_time = " → ".join(event.state for event in log.events)
print("left in time:    ", in_time)

loop = asyncio.get_running_loop()
async with asyncio.timeout(0.2) as cm:
    for _ in range(2):
        await asyncio.sleep(0.15)
        cm.reschedule(loop.time() + 0.2)
    await asyncio.sleep(0.1)

rescheduled = scope.state(cm)
print("moved twice:     ", rescheduled)
try:
    cm.reschedule(loop.time() + 1)
except RuntimeError as error:
    print("moved once more: ", error)

# %% [markdown]
# ## A deadline that is already over

# %%
over_prediction = lesson.predict(
    "2",
    "A scope is entered when its deadline has already passed. How much of its body runs?",
    {
        "nothing: `async with` raises at once": "nothing",
        "everything up to the first `await` that waits": "up to the first await",
        "everything": "everything",
    },
)
over_prediction

# %%
ran = "nothing"
try:
    async with asyncio.timeout(-1):
        ran = "up to the first await"
        await asyncio.sleep(0)
        ran = "everything"
except TimeoutError:
    pass

async with asyncio.timeout(-1) as cm:
    total = sum(range(1000))
print("a body that never waits:", scope.state(cm), "and no error")

# %%
over_prediction.reveal(
    ran,
    why="The timer is put at the end of the loop's queue. It acts when the body gives the loop a turn, and not before.",
)

# %% [markdown]
# A body that never waits is never stopped, as the printed line shows. Keep that in mind: a cancellation is a request, and it arrives at the
# next `await` that really waits. (`asyncio.timeout(None)` is a scope without a timer. `reschedule` can set one later.)
#
# ## Two cancellations at once
#
# Suppose that the timer fires, and at the same moment other code cancels the same task: a user pressed Stop, or the server shuts down. There
# is one `CancelledError` for two requests.

# %%
both_prediction = lesson.predict(
    "3",
    "The scope's timer and other code cancel the same task at the same moment. What comes out of the scope?",
    {
        "TimeoutError: the time was over": "TimeoutError",
        "CancelledError: the other request counts": "CancelledError",
        "no error: each one takes the other back": "no error",
    },
)
both_prediction

# %%
pending = {}


async def cancelled_twice():
    task = asyncio.current_task()
    try:
        async with asyncio.timeout(10) as cm:
            cm.reschedule(loop.time() - 1)  # the scope's timer fires in the loop's next turn …
            task.cancel()  # … and other code cancels the task as well
            try:
                await asyncio.sleep(1)
            finally:
                pending["in the body"] = task.cancelling()
    finally:
        pending["outside"] = task.cancelling()


try:
    await asyncio.create_task(cancelled_twice())
    both = "no error"
except (TimeoutError, asyncio.CancelledError) as error:
    both = type(error).__name__
print("pending cancellations:", pending)

# %%
both_prediction.reveal(
    both,
    why="On the way out one cancellation is still pending, and it is not the scope's own.",
)

# %% [markdown]
# That is what the counter is for. `cancel()` adds one, and `uncancel()` takes one away. A scope notes the count on entry. On exit, it takes
# its own cancellation back and compares. If the count is higher than on entry, other code wants the task to end, and the
# `CancelledError` goes on. Had it become a `TimeoutError`, the other request would be lost.

# %% [markdown]
# ## All of it, in Python's own words
#
# This is the class from the Python that runs this notebook, in pieces. First, what a scope knows: its state, its timer, the task that it
# may cancel, and its deadline.

# %% tags=["nbval-ignore-output"]
import inspect
from textwrap import dedent

shown = set()


def source(*names):
    shown.update(names)
    for name in names:
        print(dedent(inspect.getsource(getattr(asyncio.Timeout, name))))


source("__init__", "when")

# %% [markdown]
# `reschedule` sets the timer. If the deadline is over, `call_soon` appends it to the queue of what the loop does next. That is why the body
# of a late scope still begins.

# %% tags=["nbval-ignore-output"]
source("reschedule")

# %% [markdown]
# The entry asks which task is running, and keeps it in `_task`. It also keeps that task's count of pending cancellations.

# %% tags=["nbval-ignore-output"]
source("__aenter__")

# %% [markdown]
# The timer calls this method. It runs in the loop, and not in any task.

# %% tags=["nbval-ignore-output"]
source("_on_timeout")

# %% [markdown]
# The exit drops the timer. If the timer has fired, it takes the cancellation back, compares the counts, and makes the `TimeoutError`.

# %% tags=["nbval-ignore-output"]
source("__aexit__")

# %% [markdown]
# The rest of the class in this version of Python. (From 3.13 on, there is a helper for errors that arise while a cancelled body cleans up:
# it puts the `TimeoutError` into their context.)

# %% tags=["nbval-ignore-output"]
rest = [
    name for name in vars(asyncio.Timeout) if inspect.isfunction(getattr(asyncio.Timeout, name))
]
source(*(name for name in rest if name not in shown))

# %% [markdown]
# ## Three tasks
#
# So far one task did everything. Now one task enters the scope and ends. A second task runs the body, for longer than the scope allows. A
# third task leaves the scope.

# %%
three_prediction = lesson.predict(
    "4",
    "Entered by one task, run by a second, left by a third. The time runs out while the second is at work. What happens?",
    {
        "the second task is stopped, and the third gets TimeoutError": "stopped, TimeoutError",
        "the second task runs to its end, and the third gets TimeoutError": "ran to its end, TimeoutError",
        "the second task runs to its end, and there is no error": "ran to its end, no error",
    },
)
three_prediction

# %%
log = scope.Log()
cm = scope.timeout(0.1, log)


async def body():
    await asyncio.sleep(0.3)
    log.mark("the body runs to its end")


await asyncio.create_task(cm.__aenter__())
try:
    await asyncio.create_task(body())
    outcome = "ran to its end"
except asyncio.CancelledError:
    outcome = "stopped"
try:
    await asyncio.create_task(cm.__aexit__(None, None, None))
    outcome += ", no error"
except TimeoutError:
    outcome += ", TimeoutError"

print("the scope's state:", scope.state(cm))
print("expired():        ", cm.expired())

# %%
three_prediction.reveal(
    outcome,
    why="The scope cancels the task that entered it. That task has ended, so cancelling it has no effect and is not an error.",
)

# %%
stepped(
    log,
    title="Entered, run and left by three tasks: the scope expires, and the body runs to its end",
)

# %% [markdown]
# `expired()` is true. **The scope knows that its time is over, and nothing reports it.** There is no error, no warning and no line in a
# log.
#
# Look at `__aenter__` again: `self._task = task`. The scope does not cancel the task that runs the body now. It cancels the one that was
# running at the entry. As long as one task does everything, there is no difference.
#
# Hardly any code does this on purpose. In [notebook 05](05_it_fails_in_silence.ipynb) a library does it for us.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "A scope whose time runs out passes through four states",
    expected="created → active → expiring → expired",
    found=late,
)
evidence.claim(
    "A body that catches its cancellation runs to its end, and no error comes",
    expected="ran to its end, no error",
    found=caught,
)
evidence.claim(
    "A scope that is left in time has finished",
    expected="created → active → finished",
    found=in_time,
)
evidence.claim(
    "A scope that is moved in time has finished, too", expected="finished", found=rescheduled
)
evidence.claim(
    "The body of a late scope runs up to its first await",
    expected="up to the first await",
    found=ran,
)
evidence.claim(
    "Another cancellation wins over the scope's own", expected="CancelledError", found=both
)
evidence.claim("Used by three tasks, the scope expires", expected=True, found=cm.expired())
evidence.claim(
    "Used by three tasks, it stops nothing", expected="ran to its end, no error", found=outcome
)
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1. What the timer ignores.** `task.cancel()` returns a value. What is it for a task that has ended, and what for a task that is waiting?
# Try both, and answer with a pair. The timer of a scope gets such a value and does not look at it.

# %% tags=["exercise"]
returned = ...  # (for a task that has ended, for a task that is waiting)

# %%
await lesson.check("1", returned)

# %% [markdown]
# **2. The right task.** Below, `cm` is an `asyncio.timeout(…)` that another task has made, and `work` is a coroutine function that may take
# too long. Write `bounded` so that the scope stops the work when the time is over, and so that it returns what `work()` returns
# otherwise.


# %% tags=["exercise"]
async def bounded(cm, work):
    raise NotImplementedError  # your code


# %%
await lesson.check("2", bounded)

# %% [markdown]
# **3. Your own scope.** Write a small `asyncio.timeout` without using the real one. It needs about fifteen lines. The check tries it with a
# body that takes too long, one that is done in time, one that fails, with other code that cancels the task, and nested.


# %% tags=["exercise"]
class MiniTimeout:
    def __init__(self, delay):
        self.delay = delay

    async def __aenter__(self):
        # Remember the running task and its count, and let the loop call self.fire after self.delay.
        raise NotImplementedError  # your code

    def fire(self):
        # The time is over: note that, and cancel the task.
        ...

    async def __aexit__(self, kind, error, trace):
        # Drop the timer. If it has fired, take your cancellation back. Raise TimeoutError only in
        # place of a CancelledError, and only if no other cancellation has come since the entry.
        ...


# %%
await lesson.check("3", MiniTimeout)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [02 · What `timeout=45` means](02_what_timeout_means.ipynb) · Next: [04 · It works](04_it_works.ipynb)
