# %% [markdown]
# # 00 · Start here
#
# An AI server called a language model through LangChain with `timeout=45`. Now and then the model did not stop: it went on writing for ten
# minutes. The time-out never fired. The caller had given up long before, and the GPU kept working on an answer that no user was waiting for.
#
# These notebooks make that happen on your machine in a minute. They show why the obvious repair fails without an error, and build one that
# works.
#
# **After this notebook you will know**
# - whether your installation works and a model server answers,
# - what a stream consists of,
# - which notebook answers which question.
#
# *About 25 minutes.*

# %% [markdown]
# ## The notebooks
#
# | notebook | question | minutes |
# |---|---|---|
# | [00 Start here](00_start_here.ipynb) | Does everything work? | 25 |
# | [01 The incident](01_the_incident.ipynb) | What happened? | 29 |
# | [02 What `timeout=45` means](02_what_timeout_means.ipynb) | Why did the time-out not fire? | 40 |
# | [03 Inside `asyncio.timeout`](03_inside_asyncio_timeout.ipynb) | How does the obvious fix work? | 41 |
# | [04 A scope in the model](04_it_works.ipynb) | Does it work on the model? | 34 |
# | [05 The same class in a chain](05_it_fails_in_silence.ipynb) | Why does the same code do nothing in a chain? | 39 |
# | [06 A clock in the generator](06_the_elapsed_time_fix.ipynb) | What holds in both? | 35 |
# | [07 The clock against harder servers](07_where_it_stops.ipynb) | Against which servers does that fail? | 37 |
# | [07b The whole deadline](07b_the_whole_deadline.ipynb) | What holds against all of them? | 47 |
# | [08 Your own server](08_a_real_server.ipynb) | Does it hold on your server, and on a GPU? | 25 |
# | [09 ERP → AI → GPU](09_erp_ai_gpu.ipynb) | Which web handlers notice that their caller has left? | 39 |
# | [10 Streams through a proxy](10_cut_in_production.ipynb) | Why does a stream end too early, or come too late? | 46 |
# | [11 More workers](11_cut_when_scaling.ipynb) | What do workers do to each other's streams? | 40 |
# | [11b Browsers and restarts](11b_browsers_and_restarts.ipynb) | What do browsers, balancers and restarts do to them? | 41 |
# | [12 Loops inside loops](12_loops_inside_loops.ipynb) | What does nest-asyncio do to time-outs? | 34 |
# | [13 The doctor](13_the_doctor.ipynb) | Which layer is it? | 41 |
# | [14 The atlas of time-outs](14_the_atlas_of_timeouts.ipynb) | Which time-out on your path fires first? | 29 |
# | [15 Who stops a babbling model](15_who_stops_a_babbling_model.ipynb) | Which SDKs and frameworks stop a model that babbles? | 32 |
# | [16 Capstone: repair a relay](16_repair_a_relay.ipynb) | Can you repair a service that has all of these faults? | 90 |
# | [30 The incident in thirty minutes](30_minutes.ipynb) | The whole incident, from the first request to the test | 30 |
#
# Read them in this order, or take one of the tours:
#
# | tour | for you if | minutes |
# |---|---|---|
# | [Thirty minutes](../docs/tours/30_minutes.md) | you want to know what happened, and how to prevent it | 30 |
# | [On call](../docs/tours/on_call.md) | a stream is cut, or never ends, and you have to find out why | 127 |
# | [Before an upgrade](../docs/tours/before_an_upgrade.md) | you are about to upgrade LangChain, vLLM or Python | 62 |
# | [Web services](../docs/tours/web_services.md) | your service calls a model, and others call your service | 195 |
# | [Half a day](../docs/tours/half_a_day.md) | you join the team that owns this code | 255 |
#
# ## What to do in a notebook
#
# - **Predict.** Before a cell shows something, a question asks what you expect. Choose an answer, even if you are not sure.
# - **Run the cells** from top to bottom. Each notebook ends with a table of claims. Your own run marks each with ✔, ✘ or ? (not shown).
# - **Do the exercises.** The cell below each one checks your answer, and gives a hint if it is wrong.
#
# ## The parameters
#
# Every notebook begins with the same three. Without a `BASE_URL`, it starts the *fake*: a small server that speaks like vLLM and can
# misbehave on request. To use your own vLLM, write its address here. Or run all notebooks at once with
# `make run BASE_URL=http://host:8000/v1 MODEL=name`. A key is read from the environment variable `OPENAI_API_KEY`, so do not write it here.

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
# `open_endpoint` starts the fake, or connects to your server and asks it for one token. (A *token* is a word or a part of one, the unit in
# which a model writes.) If that fails, `open_endpoint` says why in one sentence.

# %%
from stream_lab import Evidence, Lesson, open_endpoint

evidence = Evidence("00")
lesson = Lesson("00")
server = open_endpoint(BASE_URL, MODEL)
server

# %% [markdown]
# ## A first stream
#
# With `astream`, the answer arrives in pieces while the model is still writing. A piece is called a *chunk*. The next cell asks for an
# answer of at most twelve tokens and keeps all chunks.

# %%
count_prediction = lesson.predict(
    "1",
    "The answer has twelve tokens. How many chunks contain text?",
    {
        "one: the whole answer": "one",
        "about twelve: each token is sent at once": "about one for each token",
        "many more: one for each character": "more than tokens",
    },
)
count_prediction

# %%
first_prediction = lesson.predict(
    "2",
    "What does the first chunk contain?",
    {
        "the first word": "text",
        "no text: it only says that the assistant is speaking": "no text",
    },
)
first_prediction

# %% [markdown]
# The model's settings contain `ignore_eos`. It keeps a real model writing past its end, as in the incident. So here it is `max_tokens` that
# ends the answer.

# %%
from langchain_openai import ChatOpenAI

model = ChatOpenAI(**{**server.settings, "max_tokens": 12})
chunks = [chunk async for chunk in model.astream("What is a deadline?")]
pieces = [chunk.text for chunk in chunks if chunk.text]

# %% tags=["nbval-ignore-output"]
print(" | ".join(pieces))

# %%
if len(pieces) <= 1:
    count = "one"
else:
    count = "about one for each token" if len(pieces) <= 12 else "more than tokens"
count_prediction.reveal(
    count,
    why="vLLM sends each token when the model has written it. A busy server may put several into one chunk.",
)

# %%
first_prediction.reveal(
    "text" if chunks[0].text else "no text",
    why="The first chunk of a chat only names the role. Code that waits for the first chunk has not seen a word yet.",
)

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "The server streams its answer in many chunks",
    expected="about one for each token",
    found=count,
)
server.close()
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1. What trouble looks like.** Write a function that tries to open a server at an address where none is, and returns the sentence that
# `open_endpoint` gives as the reason. It raises `EndpointError`; the sentence is the text of the error. Then call your function with an address
# such as `"http://127.0.0.1:9/v1"`, and read it.


# %% tags=["exercise"]
def complaint(address):
    # Call open_endpoint(address), and return the text of the EndpointError that it raises.
    # (from stream_lab import EndpointError)
    raise NotImplementedError  # your code


# %%
await lesson.check("1", complaint)

# %% [markdown]
# **2. Leave a stream.** The model in this exercise never stops. Write a function that returns the first `count` pieces of text of its
# answer, joined, and then leaves the stream. Chunks without text do not count.


# %% tags=["exercise"]
async def first_pieces(model, question, count):
    # Loop over model.astream(question).
    raise NotImplementedError  # your code


# %%
await lesson.check("2", first_pieces)

# %%
lesson.progress()

# %% [markdown]
# ---
# Next: [01 · The incident](01_the_incident.ipynb)
