# %% [markdown]
# # Solutions to 00 · Start here

# %% exercise 1
from stream_lab import EndpointError


def complaint(address):
    try:
        open_endpoint(address).close()
    except EndpointError as error:
        return str(error)


# %% exercise 2
from contextlib import aclosing


async def first_pieces(model, question, count):
    pieces = []
    # `aclosing` closes the stream at once when the loop is left; the server then stops.
    async with aclosing(model.astream(question)) as stream:
        async for chunk in stream:
            if chunk.text:
                pieces.append(chunk.text)
            if len(pieces) == count:
                break
    return "".join(pieces)
