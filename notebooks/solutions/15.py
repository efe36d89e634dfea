# %% [markdown]
# # 15 · Who stops a babbling model

# %% exercise 1
import json
import urllib.request


def prepare(cell):
    body = {
        "model": "fake-model",
        "stream": True,
        "messages": [{"role": "user", "content": "Why?"}],
    }
    request = urllib.request.Request(
        f"{cell.base_url}/chat/completions",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )

    def ask():
        # The time-out bounds each read of the socket, as in most of the table.
        with urllib.request.urlopen(request, timeout=cell.timeout) as answer:
            yield from answer

    return ask


# %% exercise 2
def prepare_bounded(cell):
    # The bound lies in the client's transport. It acts beside the consumer, and closes the socket.
    client = bounded_client(OpenAI(base_url=cell.base_url, api_key="none"), cell.timeout)
    messages = [{"role": "user", "content": "Why?"}]
    return lambda: client.chat.completions.create(
        model="fake-model", messages=messages, stream=True
    )
