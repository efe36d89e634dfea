# %% [markdown]
# # Solutions to 01 · The incident

# %% exercise 1
def tokens_a_minute(samples, left):
    # `tokens` counts from the server's start, so only differences mean something.
    after = [sample for sample in samples if sample.at >= left]
    first, last = after[0], after[-1]
    return (last.tokens - first.tokens) / (last.at - first.at) * 60


# %% exercise 2
async def collect(chunks, is_disconnected):
    pieces = []
    async for chunk in chunks:
        pieces.append(chunk)
        # Asked after each chunk: a stream that stalls is still not left.
        if await is_disconnected():
            break
    return "".join(pieces)
