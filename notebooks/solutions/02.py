# %% [markdown]
# # Solutions to 02 · What `timeout=45` means

# %% exercise 1
# Each of the 1000 tokens may arrive just before its read times out.
hours = 1000 * 45 / 3600


# %% exercise 2
async def answer_within(model, question, seconds):
    # ainvoke runs in one task, so one scope around it covers all attempts and all reads.
    # When the time is over, the scope cancels the call, which closes the connection.
    async with asyncio.timeout(seconds):
        return await model.ainvoke(question)


# %% exercise 3
def is_whole(message):
    # List the good reasons: with an unknown or missing one, the answer may not be whole.
    return message.response_metadata.get("finish_reason") in ("stop", "tool_calls")
