"""The application behind the middleware: `python -m stream_lab.soak.served`, in its own process.

It asks the fake for each request, and answers in one of three ways. `/state` shows what the process
holds and what went wrong in it. It prints its address.
"""

import asyncio
import json
import time
from typing import Any

from stream_deadline import ChatVllm, Expiry, on_expired
from stream_deadline.asgi import ASGIScope, DeadlineMiddleware, Receive, Send
from stream_lab.http.certificates import one_certificate
from stream_lab.soak.clients import KEY, QUESTION
from stream_lab.soak.complaints import Complaints
from stream_lab.soak.household import Household
from stream_lab.soak.standstill import Lag, ThreadSleeper, sleep_in_loop

READY = "serves at "
"""What comes before the address in the output."""


class Application:
    """An ASGI application that passes each question on to a model.

    Args:
        complaints: what has gone wrong in this process.
    """

    def __init__(self, complaints: Complaints) -> None:
        self._complaints = complaints
        self._household = Household()
        self._addresses: set[str] = set()
        self._began: dict[int, float] = {}
        self._reports: list[Expiry] = []
        on_expired(self._reports.append)
        self.loop_lag, self.sleeper = Lag(), ThreadSleeper()

    async def __call__(self, connection: ASGIScope, receive: Receive, send: Send) -> None:
        if connection["type"] != "http":
            return
        if connection["path"] == "/state":
            await _reply(send, await self._state())
            return
        asked = json.loads(await _body(receive))
        self._addresses.add(asked["url"])
        self._began[asked["number"]] = time.monotonic()
        model = ChatVllm(
            model="fake-model",
            base_url=asked["url"],
            api_key=KEY,
            default_headers={"x-request-id": f"soak-{asked['number']}"},
            extra_body={"fake_scenario": asked["scenario"]},
        )
        match connection["path"]:
            case "/events":
                await _events(model, send)
            case "/thread":
                answer = await asyncio.to_thread(model.invoke, QUESTION)
                await _reply(send, {"text": answer.text})
            case _:
                parts = [str(chunk.text) async for chunk in model.astream(QUESTION)]
                await _reply(send, {"text": "".join(parts)})

    async def _state(self) -> dict[str, Any]:
        """Close what is kept for later, and return what is left."""
        for url in self._addresses:
            model = ChatVllm(model="fake-model", base_url=url, api_key=KEY)
            await model.root_async_client.close()
            model.root_client.close()
        lags = [*self.loop_lag.take(), *self.sleeper.lag.take()]
        began, self._began = self._began, {}
        reports = [report.limit for report in self._reports]
        self._reports.clear()
        return {
            "left": self._household.look(), "complaints": self._complaints.take(),
            "began": began, "lags": lags, "reports": reports,
        }  # fmt: skip


async def _events(model: Any, send: Send) -> None:
    begun = False
    async for chunk in model.astream(QUESTION):
        if not begun:
            begun = True
            headers = [(b"content-type", b"text/event-stream")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
        data = f"data: {json.dumps(chunk.text)}\n\n".encode()
        await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _reply(send: Send, value: Any) -> None:
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


async def _body(receive: Receive) -> bytes:
    body = b""
    while (message := await receive())["type"] == "http.request":
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def _serve() -> None:
    import uvicorn

    complaints = Complaints()
    application = Application(complaints)
    app = DeadlineMiddleware(application, default_timeout=60, max_timeout=None)
    config = uvicorn.Config(
        app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1, backlog=2048
    )
    server = uvicorn.Server(config)
    with complaints.listening(asyncio.get_running_loop()), application.sleeper:
        sleeping = asyncio.create_task(sleep_in_loop(application.loop_lag))
        serving = asyncio.create_task(server.serve())
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        print(f"{READY}http://127.0.0.1:{port}", flush=True)
        await serving
        sleeping.cancel()


def main() -> None:
    """Serve until the process is asked to end."""
    with one_certificate():
        asyncio.run(_serve())


if __name__ == "__main__":
    main()
