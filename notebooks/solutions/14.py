# %% [markdown]
# # 14 · The atlas of time-outs

# %% exercise 1
# From the inside out: a healthy answer takes 100 s, so the deadline is a little longer, and every
# limit on silence is longer than the deadline.
settings = {
    "stream-deadline, timeout": 110,
    "LangChain, ChatOpenAI stream_chunk_timeout": 120,
    "nginx, proxy_read_timeout": 130,
    "AWS ALB, idle_timeout.timeout_seconds": 140,
}

# %% exercise 2
knobs = {
    "a": "nginx, proxy_read_timeout",  # "reading response header": the first byte, from upstream
    "b": "Heroku, rolling window",  # H15; H12 would be the first byte
    "c": "LangChain, ChatOpenAI stream_chunk_timeout",
}
