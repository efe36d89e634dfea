# %% [markdown]
# # 00 · Start here
#
# An AI server called a language model through LangChain with `timeout=45`. Now and then the model lost its end token and babbled
# for ten minutes. The time-out never fired. The caller had left long ago; the GPU was still busy for nobody.
#
# These notebooks make that happen on your machine in a minute, show why the obvious repair fails without a word, and build up to
# one that works.
#
# **After this notebook you will know**
# - which notebook answers which question,
# - that your installation works and a model server answers.
#
# | notebook | question | minutes |
# |---|---|---|
# | [00 Start here](00_start_here.ipynb) | Does everything work? | 0 |
# | [01 The incident](01_the_incident.ipynb) | What happened? | 0 |
# | [02 What `timeout=45` means](02_what_timeout_means.ipynb) | Why did the time-out not fire? | 0 |
# | [03 Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb) | How does the obvious fix work? | 0 |
# | [04 A scope in the model](04_it_works.ipynb) | Does it work on the model? | 0 |
# | [05 The same class in a chain](05_it_fails_in_silence.ipynb) | Why does the same code do nothing in a chain? | 0 |
# | [06 A clock in the generator](06_the_elapsed_time_fix.ipynb) | What holds in both? | 0 |
# | [07 The clock against harder servers](07_where_it_stops.ipynb) | Against which servers does that fail? | 0 |
# | [07b The whole deadline](07b_the_whole_deadline.ipynb) | What holds against all of them? | 0 |
# | [08 Your own server](08_a_real_server.ipynb) | Does it hold on your server, and on a GPU? | 0 |
# | [09 ERP → AI → GPU](09_erp_ai_gpu.ipynb) | Which web handlers notice that their caller has left? | 0 |
# | [10 Streams through a proxy](10_cut_in_production.ipynb) | Why does a stream end too early, or come too late? | 0 |
# | [11 More workers](11_cut_when_scaling.ipynb) | What do workers do to each other's streams? | 0 |
# | [11b Browsers and restarts](11b_browsers_and_restarts.ipynb) | What do browsers, balancers and restarts do to them? | 0 |
# | [12 Loops inside loops](12_loops_inside_loops.ipynb) | What does nest-asyncio do to time-outs? | 0 |
# | [13 The doctor](13_the_doctor.ipynb) | Which layer is it? | 0 |
# | [14 The atlas of time-outs](14_the_atlas_of_timeouts.ipynb) | Which time-out on your path fires first? | 0 |
# | [15 Who stops a babbling model](15_who_stops_a_babbling_model.ipynb) | Which SDKs and frameworks stop a model that babbles? | 0 |
# | [16 Capstone: repair a relay](16_repair_a_relay.ipynb) | Can you repair a service that has all of these faults? | 0 |
# | [30 The incident in thirty minutes](30_minutes.ipynb) | The whole incident, from the first request to the test | 0 |
#
# Read them in order. Each ends with a table of claims, marked ✔ or ✘ by what your own run showed, and with an exercise.

# %% [markdown]
# ## The knobs
#
# Every notebook begins with the same three. Without a `BASE_URL` a small server is started that speaks like vLLM and never stops
# talking: the *fake*. To use your own vLLM, write its address here, or run all notebooks at once with
# `make run BASE_URL=http://host:8000/v1 MODEL=name`. A key is read from the environment variable `OPENAI_API_KEY`, never from here.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %% [markdown]
# ## Is everything installed?

# %% tags=["nbval-ignore-output"]
import platform
from importlib.metadata import version

print("Python", platform.python_version())
for package in ("langchain-core", "langchain-openai", "openai", "stream-deadline"):
    print(package, version(package))

# %% [markdown]
# ## Does a server answer?
#
# `open_endpoint` starts the fake, or attaches to your server and asks it for one token. When it cannot, it says why in one sentence.

# %%
from stream_lab import Evidence, open_endpoint

evidence = Evidence("00")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## A first stream
#
# A *stream* hands over the answer in small pieces, *chunks*, as the model makes them. Here are the first few. `break` leaves the
# loop; without it this one would not end, which is the subject of all that follows. `ignore_eos`, which the server was given in
# the model's `extra_body`, keeps a real vLLM talking in the same way.

# %%
from contextlib import aclosing

from langchain_openai import ChatOpenAI

model = ChatOpenAI(**server.settings)
pieces = []
async with aclosing(model.astream("What is a deadline?")) as stream:
    async for chunk in stream:
        if chunk.content:
            pieces.append(chunk.content)
        if len(pieces) == 12:
            break

# %% tags=["nbval-ignore-output"]
print(" | ".join(pieces))

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "the server streams its answer in many chunks",
    expected="many",
    found="many" if len(pieces) == 12 else "few",
)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# Stop the server and see what trouble looks like. Put an address where nothing listens in place of the dots, say
# `"http://127.0.0.1:9/v1"`, and read the sentence you get. The cell checks that you got one.

# %%
from stream_lab import EndpointError
from stream_lab.experiment.exercise import check

address = ...

if address is ...:
    check(address, None, hint="")
else:
    try:
        open_endpoint(address).close()
        check(
            "an endpoint",
            "a sentence",
            hint="Something answers at that address; try another port.",
        )
    except EndpointError as error:
        print(error)
        check("a sentence", "a sentence", hint="")

# %% [markdown]
# ---
# Next: [01 · The incident](01_the_incident.ipynb)
