# %% [markdown]
# # 16 · Capstone: repair a relay
#
# **After this notebook you will know**
# - whether you can find a fault from a user's complaint, with the doctor and without a hint,
# - which of your repairs hold against a user who leaves, a model that thinks, and one that babbles,
# - why one complaint can have two causes, and one cause two complaints.
#
# *About 90 minutes. Needs: [09](09_erp_ai_gpu.ipynb), [10](10_cut_in_production.ipynb), [13](13_the_doctor.ipynb), and nginx
# (`make parts`).*
#
# You take over a small service from a colleague who has left. Seven tickets are open. Each one tells what a user saw, and none tells the
# cause. You repair the service in its own files, with your own editor, until the tickets are solved and the doctor finds nothing.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from stream_lab import Evidence, Lesson
from stream_lab.course import capstone

evidence, lesson = Evidence("16"), Lesson("16")
service = capstone.open_folder()
service

# %% [markdown]
# ## The service
#
# The relay stands between web pages and a model's server. In a copy of the course (`make learn`) its files are now in the folder
# `capstone/` beside this notebook. If you change one, it stays changed: run the cell above as often as you like. To begin a file anew,
# delete it and run the cell. Outside of a copy of the course the files are in a temporary folder, `service.path`.
#
# | file | contents |
# |---|---|
# | `relay.py` | the application: FastAPI, and a LangChain chain |
# | `relay.env` | its environment; `uvicorn relay:app` reads the variables that begin with `UVICORN_` |
# | `nginx.conf` | the site of the nginx in front of it |
#
# ```text
#  page ──▶ nginx :8080 ──▶ relay :8000 ──▶ the model's server
#  office's balancer ──▶ nginx …
# ```
#
# Some pages come through the load balancer of an office. It belongs to the customer.
#
# The checks start the three files as they are, on free ports, in front of a *fake*: a program that behaves as vLLM does and plays a model
# that thinks, babbles or breaks. Only a fake does that on request, so `BASE_URL` has no effect in this notebook.

# %%
print((service.path / "relay.py").read_text())

# %%
print((service.path / "nginx.conf").read_text(), (service.path / "relay.env").read_text(), sep="\n")

# %% [markdown]
# ## What the service promises
#
# These promises are right. Repair the service, and leave the promises as they are.
#
# - `POST /chat` with `{"question": "…"}` answers with Server-Sent Events. The data of each event is a token as a JSON string. The event
#   `done` comes last, and **only if the answer is complete**. Otherwise the last event is `error`, or the connection is cut.
# - `POST /answer` gives the whole answer as `{"text": "…"}`, with status 200 only if it is complete.
# - `POST /title` gives `{"title": "…"}`, and `GET /models` a list of names.
# - A model may think for some seconds before its first token. An answer may take `ANSWER_SECONDS`, which is 5 here. After that, and when its user
#   has left, the model's server stops.
# - The addresses in `nginx.conf`, `listen 8080` and `127.0.0.1:8000`, stay, because the checks replace them.
#
# ## The tickets
#
# | | a user says |
# |---|---|
# | 1 | "The page shows nothing, and then the whole answer at once." |
# | 2 | "Hard questions fail after two seconds. `/answer` says 504, and the relay's log says 200. From our office even `/chat` is cut." |
# | 3 | "The GPU is busy at night, when all users have left. And `ANSWER_SECONDS` does nothing." |
# | 4 | "My answer stands still whenever another user gets a title." |
# | 5 | "I quoted an answer of the page, and half of it was missing. Nothing told me so." |
# | 6 | "The list of models does not load since you removed the internal ones from it." |
# | 7 | "At each deployment my answer stops in the middle." |
#
# ## Three of them, before any repair
#
# The cells below run the service as your colleague left it, also after your repairs. First ticket 1. The doctor asks for a stream twice: through
# nginx, and directly at the relay.

# %%
layer_prediction = lesson.predict(
    "1",
    "The page shows the whole answer at once. Which part does the doctor blame?",
    {
        "nginx: the relay itself sends each token as it is made": "proxied",
        "the relay: it is the same without nginx": "direct",
        "neither: the stream is healthy for a client that is not a browser": "",
    },
)
layer_prediction

# %%
as_it_was = capstone.Running(capstone.shipped())
report = capstone.doctor(as_it_was)
print(report["cause"], "|", report["layer"])

# %% tags=["nbval-ignore-output"]
print(*report["evidence"], sep="\n")

# %%
layer_prediction.reveal(
    report["layer"],
    why="Asked without nginx, the relay already sends all tokens at once. The doctor names the fault that is nearest to the model.",
)

# %% [markdown]
# That clears no other part: while the relay gives nothing out, nginx has nothing to pass on. So ask the doctor again after each repair.
#
# Ticket 3. The model babbles, a user closes the page after a second, and the limit of an answer passes.

# %%
night_prediction = lesson.predict(
    "2",
    "A user leaves `/chat` after one second. When does the model's server stop?",
    {
        "at once": "stopped",
        "at the latest when `ANSWER_SECONDS` have passed": "stopped at the limit",
        "not at all, as long as it is watched": "still generating",
    },
)
night_prediction

# %%
after_leaving = capstone.leave_a_chat(as_it_was)
print("A user left. The model's server:", after_leaving)

# %%
night_prediction.reveal(
    after_leaving,
    why="Neither the user's disconnect nor the limit reaches the call of the model. Two faults are behind this ticket, at least.",
)

# %% [markdown]
# Ticket 5. The model's server goes away in the middle of an answer.

# %%
half_prediction = lesson.predict(
    "3",
    "The model's server resets its connection after nine tokens. What does the page show?",
    {
        "nothing": "nothing",
        "the tokens, and that the answer is incomplete": "incomplete",
        "the tokens, as a complete answer": "complete",
    },
)
half_prediction

# %%
half = capstone.half_an_answer(as_it_was)
print("The page shows the tokens as an answer that is:", half)
as_it_was.close()

# %%
half_prediction.reveal(
    half,
    why="The error ends in the relay's log. On the way to the page, a failure and an end look the same.",
)

# %% [markdown]
# ## What was shown

# %%
evidence.claim(
    "The relay itself collects the tokens", expected="buffered, direct",
    found=f"{report['cause']}, {report['layer']}",
)  # fmt: skip
evidence.claim(
    "The model's server goes on after a user of the service has left",
    expected="still generating",
    found=after_leaving,
)
evidence.claim(
    "The service passes half an answer off as a complete one", expected="complete", found=half
)
evidence.table()

# %% [markdown]
# ## Exercises
#
# Repair the files in your editor. For each ticket write a note in its cell: what was wrong, in a sentence, for the next person who gets
# such a ticket. Then run the check. It starts the service with your files, asks as users do, and says what is still seen. A check takes up to 15 seconds.
#
# Your tools:
#
# - `running = capstone.Running(service.read())` starts your files. `running.front` is nginx's address and `running.relay.url` the relay's.
#   `running.relay.log` has what the relay printed, and `running.close()` stops it.
# - `capstone.doctor(running)` asks the doctor about `/chat`, as above. With `model=True` it asks the model's server in place of the relay.
# - `capstone.ask(running.front, "/chat", "Count.", within=10)` asks as a page does. The fake thinks if you say `Think.`, breaks at `Break.`
#   and babbles at `Babble.`
# - `stream-lab lint capstone` in a terminal reads the sources.
#
# **Ticket 1.** "The page shows nothing, and then the whole answer at once."

# %% tags=["exercise"]
note_1 = ...  # what was wrong, in a sentence

# %%
await lesson.check("1", service.repaired(note_1))

# %% [markdown]
# **Ticket 2.** "Hard questions fail after two seconds. `/answer` says 504, and the relay's log says 200. From our office even `/chat` is cut."

# %% tags=["exercise"]
note_2 = ...  # what was wrong, in a sentence

# %%
await lesson.check("2", service.repaired(note_2))

# %% [markdown]
# **Ticket 3.** "The GPU is busy at night, when all users have left. And `ANSWER_SECONDS` does nothing."

# %% tags=["exercise"]
note_3 = ...  # what was wrong, in a sentence

# %%
await lesson.check("3", service.repaired(note_3))

# %% [markdown]
# **Ticket 4.** "My answer stands still whenever another user gets a title."

# %% tags=["exercise"]
note_4 = ...  # what was wrong, in a sentence

# %%
await lesson.check("4", service.repaired(note_4))

# %% [markdown]
# **Ticket 5.** "I quoted an answer of the page, and half of it was missing. Nothing told me so."

# %% tags=["exercise"]
note_5 = ...  # what was wrong, in a sentence

# %%
await lesson.check("5", service.repaired(note_5))

# %% [markdown]
# **Ticket 6.** "The list of models does not load since you removed the internal ones from it."

# %% tags=["exercise"]
note_6 = ...  # what was wrong, in a sentence

# %%
await lesson.check("6", service.repaired(note_6))

# %% [markdown]
# **Ticket 7.** "At each deployment my answer stops in the middle."

# %% tags=["exercise"]
note_7 = ...  # what was wrong, in a sentence

# %%
await lesson.check("7", service.repaired(note_7))

# %% [markdown]
# **All of it.** The last check repeats all tickets, adds cases that no ticket mentions, and asks the doctor. It takes about half a
# minute. Write in the note what you would change first in a service of your own.

# %% tags=["exercise"]
note_8 = ...  # what you would look at first in a service of your own

# %%
await lesson.check("8", service.repaired(note_8))

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [15 · Who stops a babbling model?](15_who_stops_a_babbling_model.ipynb) · Next: [30 · The incident in thirty minutes](30_minutes.ipynb)
