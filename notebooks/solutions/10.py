# %% [markdown]
# # 10 · Solutions

# %% exercise 1
# The first line lets tokens through although gzip is on; the second is longer than any pause.
location = "proxy_buffering off; proxy_read_timeout 300s;"

# %% exercise 2
headers = {
    "Content-Type": "text/event-stream",  # EventSource accepts nothing else
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # as proxy_buffering off, from the application
}

# %% exercise 3
# From outside: 300 s are the load balancer's. A step of 20 s fits into each margin.
limits = {"model": 180, "application": 240, "proxy_read_timeout": 60, "comment_every": 15}
