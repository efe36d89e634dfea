"""An application with a healthy stream and a broken one."""

import asyncio
from collections.abc import AsyncIterator

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

app = FastAPI()


@app.get("/stream")
async def stream(tokens: int = 10, pause: float = 0.0) -> StreamingResponse:
    """Stream tokens, one each 50 ms, with a pause after the third."""

    async def made() -> AsyncIterator[str]:
        for number in range(tokens):
            yield f"token {number} "
            await asyncio.sleep(0.05 + pause * (number == 2))

    return StreamingResponse(made(), media_type="text/plain")


@app.get("/broken")
async def broken() -> StreamingResponse:
    async def made() -> AsyncIterator[str]:
        yield "half"
        raise KeyError("a failure")

    return StreamingResponse(made(), media_type="text/plain")
