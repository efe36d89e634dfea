# %% [markdown]
# # 01 · The incident
#
# **After this notebook you will know**
# - what the AI server does when its caller disconnects,
# - when the GPU server stops making tokens, and what makes it stop,
# - how you can see from outside that a GPU server works for a caller that has left.
#
# *About 29 minutes. Needs: [00](00_start_here.ipynb).*
#
# Three servers stand in a row:
#
# ```text
#  ERP server  ──POST /answer──▶  AI server  ──stream──▶  GPU server
#  has a time-out                 FastAPI, LangChain       vLLM: makes tokens,
#  of its own                     ChatOpenAI(timeout=45)   sends each one at once
# ```
#
# On the day of the incident, the model did not stop: it went on writing for ten minutes. The ERP server waited for as long as its own
# time-out allowed, closed its connection and showed its users an error. So far, everything worked. The question is what the other two
# servers did after that.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from typing import Annotated, Any

import httpx2
from fastapi import Body, FastAPI
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from stream_lab import Evidence, Lesson, open_endpoint
from stream_lab.experiment import pictures
from stream_lab.experiment.abandoned import state_now, watch_request
from stream_lab.processes import serve

evidence = Evidence("01")
lesson = Lesson("01")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The AI server
#
# This is the incident's model class before anyone repaired it. `timeout` is given once, where the model is made, and the class hands it
# to the HTTP client. In production the value was 45 seconds. Here it is `TIMEOUT`.


# %%
class PlainChatVllm(ChatOpenAI):
    """Attempt 0: the time-out is given where the model is made, and handed on to the HTTP client."""

    stream_timeout: float | None = None
    stream_chunk_timeout: float | None = None  # newer than the incident: see notebook 04

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("stream_timeout", kwargs.get("timeout"))
        super().__init__(**kwargs)


# %% [markdown]
# The application is short. A *chain* puts a prompt in front of the model. The handler reads the model's answer as a stream of *chunks*
# (small pieces of text), joins them, and returns the whole text as JSON when the stream has ended.

# %%
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
chain = prompt | PlainChatVllm(**server.settings, timeout=TIMEOUT)
ai_app = FastAPI()


@ai_app.post("/answer")
async def answer(question: Annotated[str, Body(embed=True)]) -> dict[str, str]:
    pieces = []
    async for chunk in chain.astream({"question": question}):
        pieces.append(chunk.text)
    return {"text": "".join(pieces)}


ai = serve(ai_app)  # uvicorn, on a free port of this machine

# %% [markdown]
# ## The ERP server
#
# The ERP server is an ordinary HTTP client. It is less patient than the AI server: it gives up after half of `TIMEOUT`. The time-out
# makes the client raise an error and close its connection to the AI server.

# %%
PATIENCE = TIMEOUT / 2


def erp_server():
    question = {"question": "Why is my order late?"}
    return httpx2.post(f"{ai.url}/answer", json=question, timeout=PATIENCE)


# %%
stop_prediction = lesson.predict(
    "1",
    "The ERP server closes its connection. When does the GPU server stop generating?",
    {
        "at once: the web framework cancels a handler whose client has disconnected": "at once",
        "a little later: the AI server's model has timeout=TIMEOUT": "at the model's time-out",
        "neither ends it: the GPU server goes on": "still generating",
    },
)
stop_prediction

# %% [markdown]
# `watch_request` runs the ERP server's request and reads the GPU server's metrics meanwhile. It keeps watching until `TIMEOUT`, too, has
# long passed.

# %%
gpu = watch_request(erp_server, server=server, afterwards=TIMEOUT - PATIENCE + 1.5)
print("ERP server:", gpu.recording.error or "got its answer")
print("GPU server:", gpu.server)

# %%
if gpu.freed is None:
    stopped = gpu.server
else:
    stopped = "at once" if gpu.freed < TIMEOUT else "at the model's time-out"
stop_prediction.reveal(
    stopped,
    why="The handler reads a stream and never looks at its own client's connection, "
    "and the model's time-out does not end a stream that keeps sending.",
)

# %% tags=["nbval-ignore-output"]
print(f"{gpu.tokens_after_deadline} tokens for a caller that had left")

# %%
pictures.server_load(
    {"the ERP server disconnects at its deadline": gpu},
    title="The ERP server has left; the GPU server goes on making tokens",
)

# %% [markdown]
# Two things had to go wrong.
#
# First, the AI server did not react. uvicorn noticed that the connection was closed, and put a message about it where the application
# can read it. A plain handler never reads it, and Starlette, the framework under FastAPI, does not cancel such a handler. (A
# `StreamingResponse` is another matter. [Notebook 09](09_erp_ai_gpu.ipynb) compares five ways to answer.)
#
# Second, the time-out of the AI server's model did not fire either. [Notebook 02](02_what_timeout_means.ipynb) shows what it bounds.

# %% [markdown]
# ## The AI server shuts down
#
# The handler is still running. Now the AI server itself is shut down, as in a deployment. Its process ends, or here its thread, and all
# its connections are closed.

# %%
deploy_prediction = lesson.predict(
    "2",
    "The AI server shuts down. What does the GPU server do?",
    {
        "it goes on: it did not stop when the ERP server left, either": "still generating",
        "it stops generating": "stopped generating",
    },
)
deploy_prediction

# %%
ai.close()
after_deployment = state_now(server, after=gpu)
deploy_prediction.reveal(
    after_deployment,
    why="The GPU server's client is the AI server. "
    "vLLM aborts a request when the connection that it came over is closed.",
)

# %% [markdown]
# That is the lever for the rest of the course. A GPU server needs no special message: it stops when the connection to it is closed. Each
# repair has to close that connection at the right moment.

# %% [markdown]
# ## How to see it from outside
#
# The two numbers in the picture come from the GPU server's `/metrics`. `vllm:num_requests_running` stays at 1, and
# `vllm:generation_tokens_total` keeps growing, while no user waits. Compare them with the number of callers that wait at the front.
#
# One metric looks as if it would help and does not. vLLM counts finished requests by reason, and one reason is called `abort`. A request
# whose client disconnects does not show up there.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "The ERP server gives up when its own time-out has passed",
    expected="ReadTimeout",
    found=gpu.recording.error or gpu.server,
)
evidence.claim(
    "The GPU server goes on after the ERP server has left and the model's timeout= has passed",
    expected="still generating",
    found=stopped,
)
evidence.claim(
    "The GPU server stops when the AI server's connection to it is closed",
    expected="stopped generating",
    found=after_deployment,
)
evidence.number("tokens_for_nobody", gpu.tokens_after_deadline)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1. What it costs.** Write the function that an alert could use: how many tokens a minute does the GPU server make for a caller that
# has left? `samples` is a list like `gpu.samples`. Each sample has `at` (seconds since the request) and `tokens` (all tokens that the
# server has made since it started). `left` is the moment at which the caller disconnected.


# %% tags=["exercise"]
def tokens_a_minute(samples, left):
    # Count only what was made after `left`.
    raise NotImplementedError  # your code


# %%
await lesson.check("1", tokens_a_minute)

# %% [markdown]
# **2. A handler that asks.** Starlette's `request.is_disconnected()` tells a handler whether its client has disconnected. Write the
# handler's loop so that it uses this. `chunks` is the stream, an asynchronous iterator of strings. `is_disconnected` is that method: call
# it, and `await` the result. When the client has disconnected, stop reading and return the text so far.


# %% tags=["exercise"]
async def collect(chunks, is_disconnected):
    # Return the joined text of the chunks.
    raise NotImplementedError  # your code


# %%
await lesson.check("2", collect)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [00 · Start here](00_start_here.ipynb) · Next: [02 · What `timeout=45` means](02_what_timeout_means.ipynb)
