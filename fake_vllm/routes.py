"""vLLM's routes: their paths and methods, and what answers them."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

from fake_vllm.api.release import Release
from fake_vllm.http.exchange import Exchange

GENERATING: Final = {
    "/v1/chat/completions": "chat",
    "/v1/chat/completions/batch": "batch",
    "/v1/completions": "completion",
    "/v1/responses": "response",
    "/v1/messages": "message",
    "/invocations": "invocation",
}
"""The paths of generations, and the functions of `api` that accept their requests."""
COUNTING: Final = {
    "/v1/messages/count_tokens": "count_tokens",
    "/tokenize": "tokenize",
    "/detokenize": "detokenize",
}
"""The paths of other bodies, and the functions of `api` that answer them."""
STORED: Final = {
    "/v1/responses/{response_id}": "GET",
    "/v1/responses/{response_id}/cancel": "POST",
}
"""The paths of stored responses, and their methods."""
UNLISTED: Final = ("/metrics/", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc")
"""The paths that `/openapi.json` leaves out."""
_STORED = re.compile(r"/v1/responses/(?P<id>[^/]+)(?P<cancel>/cancel)?")

Handler: TypeAlias = Callable[[Exchange], None]
Table: TypeAlias = Mapping[str, Mapping[str, Handler]]
"""For each path, its methods and their handlers."""


class Answers(Protocol):
    """The answers to vLLM's routes."""

    def generate(self, exchange: Exchange, accept: str) -> None:
        """Answer with what the model says, by the function of `api` that accepts the body."""

    def count(self, exchange: Exchange, reader: str) -> None:
        """Answer a body by a function of `api`."""

    def show(self, exchange: Exchange, value: object) -> None:
        """Answer with a value as JSON."""

    def health(self, exchange: Exchange) -> None:
        """Answer whether the engine lives."""

    def empty(self, exchange: Exchange) -> None:
        """Answer without a body."""

    def models(self, exchange: Exchange) -> None:
        """List the model's names."""

    def metrics_page(self, exchange: Exchange) -> None:
        """Show the counters."""

    def openapi(self, exchange: Exchange) -> None:
        """List the routes."""

    def page(self, exchange: Exchange) -> None:
        """Show a page about the routes."""


def table(answers: Answers, release: Release, *, documented: bool) -> Table:
    """Return vLLM's routes.

    Args:
        answers: the answers.
        release: the version of vLLM.
        documented: whether there are pages about the routes.
    """

    def generate(accept: str) -> Handler:
        return lambda exchange: answers.generate(exchange, accept)

    def count(reader: str) -> Handler:
        return lambda exchange: answers.count(exchange, reader)

    def show(value: object) -> Handler:
        return lambda exchange: answers.show(exchange, value)

    def both(handler: Handler) -> Mapping[str, Handler]:
        return {"GET": handler, "HEAD": handler}

    more = ("epoch", "error", "requested_data_parallel_size")
    scaling = {"phase": "idle", **dict.fromkeys(more)} if release.more_keys else {}
    made: dict[str, Mapping[str, Handler]] = {
        **{path: {"POST": generate(name)} for path, name in GENERATING.items()},
        **{path: {"POST": count(name)} for path, name in COUNTING.items()},
        "/v1/models": {"GET": answers.models},
        "/health": {"GET": answers.health},
        "/ping": {"GET": answers.empty, "POST": answers.empty},
        "/load": {"GET": show({"server_load": 0})},
        "/version": {"GET": show({"version": release.version})},
        "/kv_event_sources": {"GET": show({})},
        "/is_scaling_elastic_ep": {"POST": show({"is_scaling_elastic_ep": False, **scaling})},
        "/metrics": both(answers.metrics_page),
        "/metrics/": both(answers.metrics_page),
    }
    if documented:
        made["/openapi.json"] = both(answers.openapi)
        for path in ("/docs", "/docs/oauth2-redirect", "/redoc"):
            made[path] = both(answers.page)
    return made


def listed(table: Table) -> dict[str, Iterable[str]]:
    """Return the paths and methods that `/openapi.json` lists."""
    methods: dict[str, Iterable[str]] = {
        path: [method for method in handlers if method != "HEAD"]
        for path, handlers in table.items()
        if path not in UNLISTED
    }
    return methods | {path: (method,) for path, method in STORED.items()}


def allowed(handlers: Mapping[str, Handler]) -> Iterable[str]:
    """Return the methods that a 405 names: the first, and for pages HEAD."""
    return ("GET", "HEAD") if "HEAD" in handlers else list(handlers)[:1]


class StoredResponse(NamedTuple):
    """A request for a response that an earlier request made.

    Attributes:
        id: the id of the response.
        template: the path of its route.
        method: the method of its route.
    """

    id: str
    template: str
    method: str

    @property
    def cancels(self) -> bool:
        return self.method == "POST"


def stored_response(path: str) -> StoredResponse | None:
    """Return the stored response that a path names. None: it names another route."""
    match = _STORED.fullmatch(path)
    if match is None:
        return None
    template, method = list(STORED.items())[bool(match["cancel"])]
    return StoredResponse(match["id"], template, method)


def label(path: str, table: Table) -> str:
    """Return the path as vLLM's metrics count it; "none" for one without a route."""
    if (stored := stored_response(path)) is not None:
        return stored.template
    known = path if path in table else path.rstrip("/")
    return known if known in table else "none"


def without(root: str, path: str) -> str:
    """Return a path without that of --root-path; a request may leave it out."""
    rest = path.removeprefix(root)
    return rest if root and rest != path and rest.startswith("/") else path
