# %% [markdown]
# # 08 · Solutions

# %% exercise 1
def stopped_after(trial):
    cut = trial.call.recording.ended
    # The sample before the request is idle, too; only those after the cut count.
    idle = [sample.at for sample in trial.call.samples if sample.at > cut and sample.running == 0]
    return idle[0] - cut if idle else None


# %% exercise 2
# The model's server sees only connections. The relay knows how many clients still wait, so the
# difference is what runs without a client. Add `for: 30s` to the rule: a disconnect needs a moment.
alert = "sum(vllm:num_requests_running) > sum(relay_open_requests)"
