# %% [markdown]
# # 08 · A real vLLM, a real GPU
#
# **After this notebook you will know**
# - three ways to see from outside that a server works for nobody: its metrics, its GPU, and what it still sends,
# - that the four attempts do to a real vLLM what they did to the fake,
# - how to take the same evidence from your own server, with its GPU in the picture.
#
# *About 6 minutes. Needs: [06](06_the_elapsed_time_fix.ipynb).*
#
# Everything so far ran against a server that was made to misbehave. Does a real one do the same? Without a `BASE_URL` this notebook takes the
# vLLM that `make real-vllm` runs on this machine's CPU, if it is there; else the bundled fake. It says which, and so does the picture.

# %% tags=["parameters"]
BASE_URL = None  # None: the bundled fake; or your server, as "http://host:8000/v1"
MODEL = None  # None: the only model that the server has
TIMEOUT = 2.0  # seconds

# %%
from IPython.display import display
from stream_lab import Evidence, gpu, verdict
from stream_lab.experiment import pictures
from stream_lab.experiment.attempts_run import CHAIN, advice, try_out, witnesses_of
from stream_lab.experiment.saved_evidence import load_saved
from stream_lab.processes.backends import real_or_bundled

evidence = Evidence("08")

# %% tags=["nbval-ignore-output"]
server = real_or_bundled(BASE_URL, MODEL)
server

# %% [markdown]
# ## Who can be asked
#
# A caller that was cut knows nothing about the server: its connection is gone. Three witnesses are left.
#
# | witness | says | where it is missing |
# |---|---|---|
# | `/metrics` of vLLM: `num_requests_running`, `generation_tokens_total` | how many answers are being made, and how many tokens were | servers that are no vLLM; gateways that hide it |
# | `nvidia-smi`: utilisation, memory, power | whether the GPU has work | a GPU on a machine that you cannot log in to |
# | the tokens that still arrive | that it works on, as long as somebody reads | after the cut: there is nobody left to read |
#
# Memory is no witness: vLLM takes its share when it starts and keeps it. Utilisation is the share of the time in which *anything* ran on
# the GPU, averaged over up to a second, so it falls later than the work does; and neighbours on the same GPU hide it.

# %% tags=["nbval-ignore-output"]
probe = (
    gpu.probe_command()
)  # what GPU_PROBE in the environment says, else nvidia-smi of this machine
print("metrics:", "yes" if server.shows_metrics else "no")
print("GPU:", "watched by " + probe if probe else "none that can be watched from here")

# %% [markdown]
# ## The four attempts, in a chain
#
# **Predict first.** `(prompt | model).astream` with each of the four classes, one after the other, and a model that does not stop. The
# deadline is `TIMEOUT`; who is not cut by then gives up a little later. Under which of them does the server rest after the deadline?

# %%
trials = await try_out(server, TIMEOUT, gpu=probe)

for trial in trials:
    print(f"{trial.attempt:<16} {trial.call.verdict}; the server: {trial.call.server}")
if by_itself := advice(trials):
    print(by_itself)

# %%
at_work = [trial.attempt for trial in trials if trial.call.server == verdict.Server.RAN_ON]
title = f"Past the deadline the server works on under {len(at_work)} of {len(trials)} attempts\n({witnesses_of(server, trials).words})"
pictures.at_work(trials, title=title)

# %% [markdown]
# The coloured area is what the server makes, the dashed line the deadline, the other one the moment at which its caller was cut, or went
# away by itself. In the upper two rows the area reaches past the deadline: that is the incident, and with a time-out of 45 seconds and a
# caller that never goes it is the whole ten minutes. In the lower two it ends at the line. vLLM learns of it from the closed connection and
# from nothing else; see [07](07_where_it_stops.ipynb) for the cases in which the third class leaves it open, too.
#
# A model that stops by itself before its deadline shows nothing: then the verdict says so, claims nothing, and the cell says what to do.
# vLLM takes `ignore_eos`, which this kit sends. Where a server refuses it, calls ask for a long answer and for counting without an end, and
# the server's note at the top says that.
#
# ## Taken elsewhere
#
# What `stream-lab evidence` has taken on other machines is kept in the project's `evidence/`, and drawn from its numbers here. The first picture
# is an H100 with an 8-billion-parameter model, on 27 November 2026: the green line is how busy the GPU was. With the first two attempts it works
# on for as long as the caller listens. With the other two it is at 0 % within 0.3 s of the deadline. The model answers one request at a time, token
# by token, so it keeps that GPU a quarter busy at most; vLLM with many requests would fill it.

# %%
for found in load_saved():
    print(found.title)
    display(
        pictures.at_work([trial for trial in found.played if trial.way == CHAIN], title=found.title)
    )

# %% [markdown]
# ## Your GPU
#
# The same as one command, with the GPU in the picture, twenty samples a second:
#
# ```bash
# stream-lab evidence --base-url http://host:8000/v1 --timeout 5 --direct \
#     --gpu-probe "ssh host nvidia-smi --query-gpu=index,name,utilization.gpu,memory.used,power.draw --format=csv,noheader,nounits --loop-ms=50"
# ```
#
# It writes `runs/evidence/evidence.json` and `evidence.png`, and ends with 0 only if all went as this notebook tells.
#
# ## What was shown

# %%
holds = {"PlainChatVllm": False, "ScopedChatVllm": False, "ElapsedChatVllm": True, "ChatVllm": True}
for trial in trials:
    cut = holds[trial.attempt]
    evidence.claim(
        f"{trial.attempt} in a chain {'ends the stream' if cut else 'does not end the stream'}",
        expected=verdict.STOPPED if cut else verdict.RAN_ON,
        found=trial.call.verdict,
    )
    evidence.claim(
        f"past the deadline of {trial.attempt} the server {'rests' if cut else 'works on'}",
        expected=verdict.Server.STOPPED if cut else verdict.Server.RAN_ON,
        found=trial.call.server,
    )
    evidence.number(f"tokens_after_{trial.attempt}", trial.call.tokens_after_deadline)
server.close()
evidence.table()

# %% [markdown]
# ## Exercise
#
# Half a second after the deadline, under how many of the four attempts is the server still at work? Compute it from `trials`, and not from
# the words above: `trial.call.samples` has what `/metrics` said, each sample with `at` (seconds since the call) and `running`.

# %%
from stream_lab.experiment.exercise import check

still_at_work = ...

# %% jupyter={"source_hidden": true} tags=["solution"]
busy = [
    any(sample.running for sample in trial.call.samples if sample.at > TIMEOUT + 0.5)
    for trial in trials
]
check(
    still_at_work,
    sum(busy),
    hint="Look at the samples with `at` above TIMEOUT + 0.5: does any of them have a request running?",
)

# %% [markdown]
# ---
# Before: [07 · Where it stops](07_where_it_stops.ipynb) · Next: [09 · ERP → AI → GPU](09_erp_ai_gpu.ipynb)
