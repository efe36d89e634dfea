# %% [markdown]
# # 08 · On a real server
#
# **After this notebook you will know**
# - which witnesses can tell you what a server does after its client has gone,
# - whether the four attempts do to a real server what they did to the fake,
# - what a record of such a run must contain before you believe it, and how to make one of your server.
#
# *About 25 minutes. Needs: [06](06_the_elapsed_time_fix.ipynb).*
#
# Every server so far was made to misbehave. This notebook plays the same four attempts against the server that you name with `BASE_URL`.
# Without one it takes the vLLM that `make real-vllm` runs on this machine's CPU, and if there is none, the bundled fake. The output below
# says which of them it was. After that it reads two records that were made on other machines, one of them with a GPU.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from stream_lab import Evidence, Lesson, gpu, verdict
from stream_lab.experiment import pictures
from stream_lab.experiment.attempts_run import CHAIN, advice, that_stop, try_out, witnesses_of
from stream_lab.experiment.saved_evidence import load_saved
from stream_lab.processes.backends import real_or_bundled

evidence = Evidence("08")
lesson = Lesson("08")

# %% tags=["nbval-ignore-output"]
server = real_or_bundled(BASE_URL, MODEL)
server

# %% [markdown]
# ## Three witnesses
#
# A client whose call was cut knows nothing more about the server, because its connection is closed. Three witnesses can still be questioned.
#
# | witness | what it shows | where you cannot have it |
# |---|---|---|
# | vLLM's `/metrics`: `num_requests_running`, `generation_tokens_total` | how many answers are being generated, and how many tokens have been | servers other than vLLM; gateways that hide the page |
# | `nvidia-smi`: utilisation, memory, power | whether the GPU has work | a GPU on a machine that you cannot log in to |
# | the tokens that still arrive | that the server works, for as long as the client reads | after the client has closed its connection |
#
# Utilisation is the share of time in which *anything* ran on the GPU, as a mean over up to a second. So it falls later than the work does, and
# other programs on the same GPU hide it.

# %% tags=["nbval-ignore-output"]
probe = gpu.probe_command()  # the command in GPU_PROBE, or nvidia-smi of this machine
print("metrics:", "yes" if server.shows_metrics else "no")
print("GPU:", "watched by " + probe if probe else "none can be watched from here")

# %% [markdown]
# ## The four attempts
#
# Each of the four classes is used in a chain, `(prompt | model).astream(…)`, one after the other. The model does not stop by itself.
# Where nothing ends the stream at the deadline, the client closes its connection a little later.
#
# | class | what bounds the stream |
# |---|---|
# | `PlainChatVllm` | `timeout=` of the HTTP client |
# | `ScopedChatVllm` | `asyncio.timeout` around the loop in `_astream` |
# | `ElapsedChatVllm` | a clock that is read at each chunk |
# | `ChatVllm` | this project's class |

# %%
stops = lesson.predict(
    "1",
    "With which of the four does the server stop generating at the deadline?",
    {
        "only with ChatVllm": "ChatVllm",
        "with ElapsedChatVllm and ChatVllm": "ElapsedChatVllm, ChatVllm",
        "with all but PlainChatVllm": "ScopedChatVllm, ElapsedChatVllm, ChatVllm",
        "with all four: a server stops when its client's time is up": (
            "PlainChatVllm, ScopedChatVllm, ElapsedChatVllm, ChatVllm"
        ),
    },
)
stops

# %%
trials = await try_out(server, TIMEOUT, gpu=probe)

for trial in trials:
    print(f"{trial.attempt:<16} {trial.call.verdict}; the server: {trial.call.server}")
if by_itself := advice(trials):
    print(by_itself)

# %%
stops.reveal(
    that_stop(trials),
    why="vLLM learns that a client has gone from the closed connection alone, "
    "and only these two classes close it in a chain.",
)

# %%
pictures.at_work(trials, title=witnesses_of(server, trials).words.capitalize())

# %% [markdown]
# The coloured area is what the server generates, in tokens per second. The dashed line is the deadline. The other line is the moment
# at which the call was cut, or at which the client closed its connection by itself. In the upper two rows the area goes on past the deadline. With a
# time-out of 45 seconds and a client that waits, that is the incident. (A bar is a quarter of a second wide, so the last one can end a little late.)
#
# If a model stops by itself before the deadline, the run shows nothing. The verdict then says so, the table at the end claims nothing,
# and the cell above says what to change.
#
# ## Records of other machines
#
# The folder `evidence/` keeps what `stream-lab evidence` recorded elsewhere: every sample of the metrics and of the GPU, with date, programs
# and versions. Everything below is computed from those samples.

# %%
kept = load_saved()
for each in kept:
    program = ", ".join(f"{name} {version}" for name, version in each.server.model_extra.items())
    client = ", ".join(f"{name} {each.versions[name]}" for name in ("langchain-openai", "openai"))
    print(f"{each.taken.date()}: {each.server.words}")
    print(f"    server: {program}; client: {client}")
    print(f"    deadline {each.deadline:g} s; witnesses: {each.witnesses.seen}")

# %% [markdown]
# Read that closely before you believe it. **Neither record is of vLLM.** `gpu/torch_server` is a small server of this project: real forward
# passes of a real model architecture with random weights, behind vLLM's HTTP interface. It answers one request at a time, so it keeps
# an H100 about a third busy at most. Both were made with `python -m gpu.take_evidence`, with `--size 8b` on the H100. A real vLLM was measured on a
# CPU only, and [docs/real_servers.md](../docs/real_servers.md) has those results: it stops within 0.04 s of a closed connection.

# %%
falls = lesson.predict(
    "2",
    "On the H100 a call is cut, and the server stops. "
    "Which of the numbers that nvidia-smi prints fall within a second?",
    {
        "utilisation, memory and power": "utilisation, memory, power",
        "utilisation and memory": "utilisation, memory",
        "utilisation and power": "utilisation, power",
        "only the utilisation": "utilisation",
    },
)
falls

# %%
for each in kept:
    print(f"{each.taken.date()}, {each.server.device}")
    for trial in (trial for trial in each.played if trial.way == CHAIN):
        busy = f"; the GPU {trial.gpu_after}" if trial.gpu_after else ""
        print(f"    {trial.attempt:<16} the server: {trial.call.server}{busy}")

# %%
h100 = next(each for each in kept if "H100" in each.server.device)
in_chains = [trial for trial in h100.played if trial.way == CHAIN]
pictures.at_work(in_chains, title=f"{h100.server.words}, {h100.taken.date()}")

# %%
cut = in_chains[-1]
numbers = gpu.fallen(cut.gpu, cut=cut.call.recording.ended)
falls.reveal(
    ", ".join(numbers),
    why="An idle GPU needs less power. The memory keeps the weights and the cache, so it says nothing "
    "about work; vLLM reserves it at its start.",
)

# %% [markdown]
# The green line is the GPU's utilisation. In the lower two rows it is at 0 % within 0.4 s of the cut, and the metrics show the end
# earlier: utilisation is a mean, and the gauge of running requests is not. Prefer the gauge for alerts.
#
# ## Your own server and GPU
#
# One command plays the attempts and keeps the record, with twenty samples a second:
#
# ```bash
# stream-lab evidence --base-url http://host:8000/v1 --timeout 5 --direct \
#     --gpu-probe "ssh host nvidia-smi --query-gpu=index,name,utilization.gpu,memory.used,power.draw --format=csv,noheader,nounits --loop-ms=50"
# ```
#
# It writes `runs/evidence/evidence.json` and `evidence.png`. Its exit status is 0 only if everything went as in this notebook.
#
# ## What was shown

# %%
holds = {"PlainChatVllm": False, "ScopedChatVllm": False, "ElapsedChatVllm": True, "ChatVllm": True}
for trial in trials:
    cut = holds[trial.attempt]
    evidence.claim(
        f"{trial.attempt} in a chain {'ends' if cut else 'does not end'} the stream at its deadline",
        expected=verdict.STOPPED if cut else verdict.RAN_ON,
        found=trial.call.verdict,
    )
    evidence.claim(
        f"With {trial.attempt} the server {'stops' if cut else 'works on'} after the deadline",
        expected=verdict.Server.STOPPED if cut else verdict.Server.RAN_ON,
        found=trial.call.server,
    )
    evidence.number(f"tokens_after_{trial.attempt}", trial.call.tokens_after_deadline)
server.close()

# %%
for each in kept:
    chains = [trial for trial in each.played if trial.way == CHAIN]
    evidence.claim(
        f"In the record of {each.taken.date()} ({each.server.device}) two classes stop the server",
        expected="ElapsedChatVllm, ChatVllm",
        found=that_stop(chains),
    )
for trial in in_chains:
    evidence.claim(
        f"In the record of {h100.taken.date()} the H100 "
        f"{'comes to rest' if holds[trial.attempt] else 'works on'} after {trial.attempt}'s deadline",
        expected="came to rest" if holds[trial.attempt] else "worked on",
        found=trial.gpu_after,
    )
evidence.table()

# %% [markdown]
# ## Exercises
#
# **1.** How long after the cut does the server stop? Write a function that reads it from the samples of a trial. The checker calls it with
# the saved trials, and with one whose server goes on.


# %% tags=["exercise"]
def stopped_after(trial):
    """Return the seconds from the cut until the server has stopped. None: it has not."""
    # trial.call.recording.ended: when the call was cut, in seconds since the call
    # trial.call.samples: what /metrics showed; each has `at` (the same clock) and `running`
    raise NotImplementedError  # your code


# %%
await lesson.check("1", stopped_after, kept)

# %% [markdown]
# **2.** Write an alert for the incident: an expression in PromQL that has a value while the server generates answers that have no client any more,
# and none otherwise. Prometheus collects these metrics from vLLM:
#
# - `vllm:num_requests_running`, `vllm:num_requests_waiting`: gauges,
# - `vllm:generation_tokens_total`, `vllm:request_success_total{finished_reason="…"}`: counters,
#
# and one from the relay, the server between the clients and the model: `relay_open_requests`, the number of requests that its clients still
# wait for. The model serves no other application. The checker tries your expression in five situations.

# %% tags=["exercise"]
alert = ...  # a string, such as "some_metric > 7"

# %%
await lesson.check("2", alert)

# %%
lesson.progress()

# %% [markdown]
# ---
# Before: [07b · The whole deadline](07b_the_whole_deadline.ipynb) · Next: [09 · ERP → AI → GPU](09_erp_ai_gpu.ipynb)
