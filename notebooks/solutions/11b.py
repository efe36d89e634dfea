# %% [markdown]
# # 11b · Solutions

# %% exercise 1
async def resumable(request, stored):
    after = int(request.headers.get("last-event-id", 0))  # a string, and missing at first

    async def each():
        async for number, text in stored(after):
            yield {"event": "token", "data": text, "id": str(number)}
        yield {"event": "done", "data": "[DONE]"}

    return EventSourceResponse(each())


# %% exercise 2
async def shut_down(service):
    service.fail_health_probe()
    await service.sleep(5)  # the balancer still sends requests, and they are answered
    service.stop_accepting()
    await service.wait_for_streams(20)  # 15 for a healthy stream; 5 + 20 is less than 30
    service.exit()
