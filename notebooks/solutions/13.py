# %% [markdown]
# # 13 · Solutions

# %% exercise 1
judged = {
    1: "b",  # a time-out of the HTTP client bounds each read
    2: "c",  # the middleware of app.py keeps the disconnect from the handler
    3: "a",  # a web server: other requests share the loop
    4: "f",  # appending to a list takes no time
    5: "e",  # a script that does one thing after the other
    6: "d",  # a chain pulls each chunk in a new task
}


# %% exercise 2
def name_layer(report):
    def faulty(stream):
        return not stream["whole"] or stream["first"] > 0.7 * stream["ended"]

    # Nearest to the model first: what goes wrong there also arrives through the proxy.
    if any(faulty(stream) for stream in report["direct"]):
        return "application"
    if any(faulty(stream) for stream in report["proxied"]):
        return "proxy"
    return None


# %% exercise 3
def limit(streams):
    def same(values):
        return max(values) - min(values) < 0.3

    # A limit on the whole counts from the connection.
    if same([stream["ended"] + stream["held"] for stream in streams]):
        return "whole"
    # A limit on silence counts from the last token, and is longer than an ordinary gap.
    if same([s["silence"] for s in streams]) and all(s["silence"] > 5 * s["gap"] for s in streams):
        return "silence"
    return None
