# %% [markdown]
# # 01 · The incident
#
# **After this notebook you will know**
# - who called whom, and who left,
# - what the GPU was doing meanwhile, and how one can tell from outside.
#
# *About 5 minutes. Needs: [00](00_start_here.ipynb).*
#
# Three servers in a row:
#
# ```text
#  ERP server  ──request──▶  AI server  ──stream──▶  GPU server
#  gives up after            Python, LangChain        vLLM, makes tokens
#  its own time-out          ChatOpenAI(timeout=45)   until told to stop
# ```
#
# The model had lost its end token and went on talking. The ERP server waited as long as it was told to, gave up, and showed its
# users an error. That much is right. The question is what the other two did then.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
import asyncio
from typing import Any

from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from stream_lab import Evidence, observe, open_endpoint
from stream_lab.experiment import pictures

evidence = Evidence("01")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## The AI server's part
#
# This is the model class of the incident, at its start. `timeout` is given where the model is made, so that nobody who uses the
# model has to think of it; it is handed on to the HTTP client. The real value was 45 seconds. Here it is `TIMEOUT`.


# %%
class PlainChatVllm(ChatOpenAI):
    """Attempt 0: the time-out is given where the model is made, and handed on to the HTTP client."""

    stream_timeout: float | None = None
    stream_chunk_timeout: float | None = None  # newer than the incident: see notebook 04

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("stream_timeout", kwargs.get("timeout"))
        super().__init__(**kwargs)


# %% [markdown]
# The AI server answers a request with a chain of a prompt and that model. `observe` reads the stream to its end, as the AI server
# did, and watches the GPU server's own metrics meanwhile. So that this notebook ends, it leaves some time after the time-out.

# %%
prompt = ChatPromptTemplate.from_messages([("user", "{question}")])
model = PlainChatVllm(**server.settings, timeout=TIMEOUT)


async def ai_server(question):
    stream = (prompt | model).astream({"question": question})
    return await observe(stream, deadline=TIMEOUT, server=server)


# %% [markdown]
# ## The ERP server's part
#
# **Predict first.** The ERP server gives up after `TIMEOUT` seconds and goes away. Does the AI server notice? Does the GPU?

# %%
request = asyncio.create_task(ai_server("Why is my order late?"))
answered, _ = await asyncio.wait({request}, timeout=TIMEOUT)
erp = "got its answer" if answered else "left without an answer"
print("ERP server:", erp)

# %%
call = await request
print("AI server: ", call.verdict)
print("GPU server:", call.server)

# %% [markdown]
# The AI server had given its client a time-out of the same length, and read on all the same. The GPU server was never told that
# nobody wants these tokens.

# %%
pictures.server_load(
    {"the ERP server leaves at the dashed line": call},
    title="The caller has gone; the GPU goes on making tokens",
)

# %% [markdown]
# `num_requests_running` and `generation_tokens_total` come from the server's `/metrics`, and they are the ones to watch. vLLM also
# counts finished requests by reason, and has a reason called `abort`; it does not move when a client leaves, so it proves nothing.

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "the caller gives up when its time is over",
    expected="left without an answer",
    found=call.verdict if answered else erp,
)
evidence.claim(
    "the AI server reads on, though its model was given timeout=",
    expected="ran past the deadline",
    found=call.verdict,
)
evidence.claim(
    "the GPU server makes tokens that nobody waits for",
    expected="still generating",
    found=call.server,
)
evidence.number("tokens_for_nobody", call.tokens_after_deadline)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# How many requests was the server running half a second after the ERP server had left? `call.samples` holds what the metrics
# showed; each sample has `at` (seconds since the call began) and `running`.

# %%
from stream_lab.experiment.exercise import check

running_then = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
expected = next((sample.running for sample in call.samples if sample.at > TIMEOUT + 0.5), 0)
check(
    running_then,
    expected,
    hint="Take the first sample whose `at` is larger than TIMEOUT + 0.5.",
)

# %% [markdown]
# ---
# Before: [00 · Start here](00_start_here.ipynb) · Next: [02 · What `timeout=45` means](02_what_timeout_means.ipynb)
