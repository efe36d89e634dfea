"""How the GPU server reacts when the ERP server disconnects, by the GPU server's metrics."""

from contextlib import ExitStack

from stream_lab.experiment.endpoint import Endpoint
from stream_lab.experiment.release import Release, watch_release
from stream_lab.relay.process import Caller, Relay, Visitor


def leave(relay: Relay, gpu: Endpoint, path: str, *, after: float, watch: float) -> Release:
    """Send a request to the relay, disconnect, and watch the GPU server until it stops.

    Args:
        relay: the AI server in the middle.
        gpu: the server of its model.
        path: the path of the request, one of `stream_lab.relay.app.PATHS`.
        after: seconds after which the ERP server disconnects.
        watch: seconds after which the watch ends if the GPU server has not stopped.
    """
    with ExitStack() as callers:
        return watch_release(
            gpu, lambda: callers.enter_context(Caller(relay, path)).leave, after=after, watch=watch
        )


def leave_handler(
    url: str, gpu: Endpoint, *, after: float, watch: float, websocket: bool = False
) -> Release:
    """Do the same with a GET to any handler.

    Args:
        url: the address of the handler.
        gpu: the server of its model.
        after: seconds after which the client disconnects.
        watch: seconds after which the watch ends if the GPU server has not stopped.
        websocket: whether the request opens a WebSocket.
    """
    with ExitStack() as visitors:
        return watch_release(
            gpu,
            lambda: visitors.enter_context(Visitor(url, websocket=websocket)).leave,
            after=after,
            watch=watch,
        )
