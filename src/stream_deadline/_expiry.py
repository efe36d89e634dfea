"""Report each call that a bound has ended to a service's operators."""

import logging
import sys
from collections.abc import Callable
from contextvars import Context
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

from stream_deadline._errors import Bound

H = TypeVar("H", bound="Callable[[Expiry], object]")

_log = logging.getLogger("stream_deadline")


@dataclass(frozen=True)
class Expiry:
    """A call that a bound has ended, without anything that was said in it.

    Attributes:
        bound: which one, as in `StreamDeadlineExceeded`; "caller": the client has disconnected.
        limit: the value of that bound in seconds; for "caller" the same as `elapsed`.
        elapsed: how long the call had taken, in seconds.
        chunks: how many chunks had been handed over.
        model: the name of the model; None: not known.
        host: the server, with its port if that is not the usual one; None: not known.
    """

    bound: Bound
    limit: float
    elapsed: float
    chunks: int
    model: str | None
    host: str | None

    def __str__(self) -> str:
        where = f" Model {self.model} at {self.host}." if self.model or self.host else ""
        after = f"after {self.elapsed:.2f} s and {self.chunks} chunks.{where}"
        if self.bound == "caller":
            return f"A call was ended, because its client has disconnected, {after}"
        return f"A call was ended by {self.bound}={self.limit:g} {after}"


_hooks: "list[Callable[[Expiry], object]]" = []


def on_expired(hook: H) -> H:
    """Call `hook` for each call that a bound ends.

        @on_expired
        def note(expiry: Expiry) -> None:
            statsd.increment("llm.expired", tags=[f"bound:{expiry.bound}"])

    It runs in the thread or the event loop that notices the end, so it must not block. An exception
    in it is logged. Each end is also a record at level INFO of the logger "stream_deadline", with
    the fields of `Expiry` as attributes named `deadline_bound`, `deadline_limit` and so on; and, if
    opentelemetry-api is installed, an event of the current span and a counter.

    Returns:
        The same hook, so that it can be used as a decorator; see `remove_hook`.
    """
    _hooks.append(hook)
    return hook


def remove_hook(hook: "Callable[[Expiry], object]") -> None:
    """Call a hook of `on_expired` no more.

    Raises:
        ValueError: it is none.
    """
    if hook not in _hooks:
        raise ValueError(f"{hook!r} is no hook of on_expired.")
    _hooks.remove(hook)


def report_expiry(expiry: Expiry, span: Any = None) -> None:
    """Report to the log, OpenTelemetry and the hooks.

    Args:
        expiry: what has happened.
        span: of OpenTelemetry, in which the call began; None: there was none.
    """
    fields = {f"deadline_{name}": value for name, value in asdict(expiry).items()}
    _log.info("%s", expiry, extra=fields)
    hooks: list[Callable[[Expiry], object]] = [partial(_report_to_opentelemetry, span), *_hooks]
    for hook in hooks:
        try:
            # The deadline that has passed must not end what a hook does to tell of it.
            Context().run(hook, expiry)
        except Exception:  # the call gets its error all the same
            _log.exception("A hook for calls that a bound has ended has failed.")


def current_span() -> Any:
    """Return the span of OpenTelemetry that is current here; None: there is none."""
    if "opentelemetry.trace" not in sys.modules:
        return None
    return sys.modules["opentelemetry.trace"].get_current_span()


def _report_to_opentelemetry(span: Any, expiry: Expiry) -> None:
    counter = _opentelemetry_counter()
    if counter is None:
        return
    fields = {
        f"deadline.{name}": value for name, value in asdict(expiry).items() if value is not None
    }
    if span is not None:
        span.add_event("deadline.expired", fields)
    labels = ("deadline.bound", "deadline.model", "deadline.host")
    counter.add(1, {name: fields[name] for name in labels if name in fields})


@lru_cache(maxsize=1)
def _opentelemetry_counter() -> Any:
    """Return the counter; None: opentelemetry-api is not installed."""
    try:
        from opentelemetry import metrics
    except ImportError:
        return None
    return metrics.get_meter("stream_deadline").create_counter(
        "stream_deadline.expired", unit="{call}", description="Calls that a bound has ended"
    )


@lru_cache(maxsize=16)
def prometheus_counter(registry: Any = None) -> Any:
    """Count the calls that a bound ends, for Prometheus.

        prometheus_counter()  # once, where the service begins

    The counter is `stream_deadline_expired_total`, with the labels bound, model and host.

    Args:
        registry: of prometheus-client; None: its default one.

    Returns:
        The counter; the same one for the same registry.

    Raises:
        ImportError: prometheus-client is not installed.
    """
    try:
        import prometheus_client
    except ImportError:
        raise ImportError(
            "prometheus_counter needs prometheus-client; pip install 'stream-deadline[prometheus]'."
        ) from None
    counter = prometheus_client.Counter(
        "stream_deadline_expired",
        "Calls that a bound has ended",
        ["bound", "model", "host"],
        registry=registry or prometheus_client.REGISTRY,
    )

    def count(expiry: Expiry) -> None:
        counter.labels(expiry.bound, expiry.model or "", expiry.host or "").inc()

    on_expired(count)
    return counter
