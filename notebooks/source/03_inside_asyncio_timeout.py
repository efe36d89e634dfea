# %% [markdown]
# # 03 · Inside `asyncio.timeout`
#
# The obvious repair is `async with asyncio.timeout(45):` around the loop that reads the stream. Before we use it, we take it apart.
#
# **After this notebook you will know**
# - the five states of a time-out scope, and what moves it from one to the next,
# - how it cancels, how it takes that back, and how it tells its own cancellation from somebody else's,
# - the one line on which everything later depends: the scope remembers *a task*.
#
# *About 20 minutes. Needs no server and no LangChain: `BASE_URL`, `MODEL` and `TIMEOUT` are there because every notebook has them,
# and play no part.*

# %% tags=["parameters"]
BASE_URL = None  # not used here
MODEL = None  # not used here
TIMEOUT = 2.0  # not used here

# %%
import asyncio

from stream_lab import Evidence, scope
from stream_lab.experiment import pictures

evidence = Evidence("03")

# %% [markdown]
# ## Five states
#
# A *task* is what asyncio runs: a coroutine with a place in the event loop's queue. `asyncio.timeout(delay)` makes a *scope*. The
# scope starts a timer when it is entered, and the timer cancels a task.
#
# `scope.state` reads the scope's state; `task.cancelling()` counts the cancellations a task has been asked for and not yet got
# over with. Follow one scope whose time runs out.

# %%
task = asyncio.current_task()
steps = []


def note(moment):
    steps.append((moment, scope.state(cm), task.cancelling()))


cm = asyncio.timeout(0.2)
note("made")
try:
    async with cm:
        note("entered")
        try:
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            note("inside the body, cancelled")
            raise
except TimeoutError:
    note("outside, TimeoutError")

for moment, state, cancelling in steps:
    print(f"{moment:28} {state:10} cancelling={cancelling}")

# %% [markdown]
# Read it downwards. The timer *cancels the task*, as anybody might; the body sees a plain `CancelledError`. On the way out the scope
# takes its own cancellation back (`cancelling` is 0 again) and turns the error into a `TimeoutError`.
#
# From here on we let the scope keep its own log. `scope.timeout` is `asyncio.timeout` with a note at each of its steps.

# %%
log = scope.Log()
try:
    async with scope.timeout(0.3, log):
        await asyncio.sleep(5)
except TimeoutError:
    pass

pictures.scope_states(
    log.events,
    title="Time runs out: the timer cancels the task, the exit turns that into TimeoutError",
)

# %%
late = [event.state for event in log.events]
print(" → ".join(late))

# %% [markdown]
# ## Left in time
#
# **Predict first.** Which state does a scope end in when its body is done before the time is?

# %%
log = scope.Log()
async with scope.timeout(5, log):
    await asyncio.sleep(0.1)

in_time = [event.state for event in log.events]
print(" → ".join(in_time))

# %% [markdown]
# ## Moving the deadline: `reschedule`
#
# The scope can be given more time, or less, while it is active. Here a scope of 0.2 s is moved on by 0.2 s twice, by work that takes
# 0.15 s at a time. Once it has been left, it can no longer be moved.

# %%
loop = asyncio.get_running_loop()
log = scope.Log()
async with scope.timeout(0.2, log) as cm:
    for _ in range(2):
        await asyncio.sleep(0.15)
        cm.reschedule(loop.time() + 0.2)
    await asyncio.sleep(0.1)

rescheduled = log.events[-1].state
try:
    cm.reschedule(loop.time() + 1)
except RuntimeError as error:
    print(f"{rescheduled}; then: {error}")

# %%
pictures.scope_states(log.events, title="Rescheduled twice, and left in time")

# %% [markdown]
# ## No deadline, and one that is already over
#
# `None` means no timer at all. A deadline in the past is not an error: the timer is put at the head of the queue, and acts as soon
# as the body waits for something for the first time. A body that never waits is never stopped.

# %%
order = []
async with asyncio.timeout(None) as cm:
    order.append(f"None: when() is {cm.when()}, the state is {scope.state(cm)}")

try:
    async with asyncio.timeout(-1):
        order.append("already late: the body begins all the same")
        await asyncio.sleep(0)
        order.append("this line is never reached")
except TimeoutError:
    order.append("already late: stopped at the first await")

async with asyncio.timeout(-1) as cm:
    total = sum(range(1000))
order.append(f"already late, but nothing awaited: no error, the state is {scope.state(cm)}")

print("\n".join(order))

# %% [markdown]
# Keep that last line in mind. A cancellation is a request; it is delivered at the next `await` that really waits. No such `await`,
# no time-out.
#
# ## What the counter is for
#
# Suppose that the scope's timer fires and somebody else cancels the same task in the same moment: a user pressed Stop, or a server
# is shutting down. There is one `CancelledError` and there are two reasons. Were the scope to turn it into a `TimeoutError`, the
# other cancellation would be lost.
#
# Hence the counter. `cancel()` adds one, `uncancel()` takes one away. At the exit, the scope takes its own away, and looks whether
# the count is back to what it was at the entry. If it is not, somebody else wants the task gone, and that wish wins.

# %%
counts = {}


async def cancelled_twice():
    task = asyncio.current_task()
    async with asyncio.timeout(10) as cm:
        cm.reschedule(loop.time() - 1)  # the scope's own timer will fire at once …
        task.cancel()  # … and somebody else cancels as well
        try:
            await asyncio.sleep(1)
        finally:
            counts["in the body"] = task.cancelling()
            counts["scope"] = cm


victim = asyncio.create_task(cancelled_twice())
try:
    await victim
    both = "no error"
except TimeoutError:
    both = "TimeoutError"
except asyncio.CancelledError:
    both = "CancelledError"

print("cancelling() in the body:", counts["in the body"])
print("what comes out:          ", both)
print("the scope had expired:   ", counts["scope"].expired())

# %% [markdown]
# ## The line that matters
#
# Here is how a scope is entered, from your own Python. Look for `_task`.

# %% tags=["nbval-ignore-output"]
import inspect

print(inspect.getsource(asyncio.Timeout.__aenter__))
print(inspect.getsource(asyncio.Timeout._on_timeout))

# %% [markdown]
# The scope asks once, at the entry, which task is running, and remembers it. When the timer fires, it cancels *that* task: not the
# one that is running the body now, not the one that waits. As long as one task does it all, there is no difference.
#
# ## Three tasks
#
# **Predict first.** One task enters the scope and ends. A second runs the body, for longer than the scope allows. A third leaves the
# scope. What happens when the time is over? Who is told?

# %%
log = scope.Log()
cm = scope.timeout(0.1, log)


async def body():
    await asyncio.sleep(0.3)
    return "the body ran to its end"


await asyncio.create_task(cm.__aenter__())
outcome = await asyncio.create_task(body())
state_then = scope.state(cm)
swallowed = await asyncio.create_task(cm.__aexit__(None, None, None))

print(outcome)
print("state when the body was done:", state_then)
print("expired():                   ", cm.expired())
print("__aexit__ returned:          ", swallowed)

# %%
fired = log.find("timer fired")
print("the timer fired, and cancelled task", fired.remembered)
print("that task had already finished:", fired.remembered_done)
pictures.scope_states(
    log.events,
    title="Entered, run and left by three tasks: the scope expires and nobody is told",
)

# %% [markdown]
# `expired()` is true. **The scope knows that its time is over, and says nothing.** There is no error, no warning, no log line:
# cancelling a task that has finished does nothing and is not an error.
#
# Nobody writes code like this on purpose. In notebook 05 a library does it for us.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "time runs out",
    expected="created → active → expiring → expired",
    found=" → ".join(late),
)
evidence.claim("left in time", expected="created → active → finished", found=" → ".join(in_time))
evidence.claim("reschedule gives more time", expected="finished", found=rescheduled)
evidence.claim(
    "already late: stopped at the first await",
    expected="already late: stopped at the first await",
    found=order[2],
)
evidence.claim(
    "somebody else's cancellation wins over the time-out",
    expected="CancelledError",
    found=both,
)
evidence.claim("in three tasks the scope expires", expected=True, found=cm.expired())
evidence.claim("and the body is not stopped", expected="the body ran to its end", found=outcome)
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** What does `task.cancel()` return for a task that has finished? That value is all the notice the timer gets. Put it in place
# of the dots.

# %%
from stream_lab.experiment.exercise import check

returned = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
finished = asyncio.create_task(asyncio.sleep(0))
await finished
check(
    returned,
    finished.cancel(),
    hint="Make a task, await it, then call cancel() on it and look at the value.",
)

# %% [markdown]
# **2.** Write `stopped_in_time`: a coroutine that runs `work()` under a bound of 0.1 s such that it holds even though the scope is
# *made* in another task. (Hint: where is it entered?) Replace the dots.


# %%
async def work():
    await asyncio.sleep(1)


async def stopped_in_time(cm): ...


# %% jupyter={"source_hidden": true} tags=["solution"]
async def solution(cm):
    async with cm:
        await work()


async def outcome_of(attempt):
    try:
        await asyncio.create_task(attempt(asyncio.timeout(0.1)))
        return "it was not stopped"
    except TimeoutError:
        return "it was stopped"


answer = (
    ...
    if stopped_in_time.__code__.co_code == (lambda cm: None).__code__.co_code
    else await outcome_of(stopped_in_time)
)
check(
    answer,
    await outcome_of(solution),
    hint="Enter the scope with `async with` in the task that does the work.",
)

# %% [markdown]
# ---
# Before: [02 · What `timeout=45` means](02_what_timeout_means.ipynb) · Next: [04 · It works](04_it_works.ipynb)
