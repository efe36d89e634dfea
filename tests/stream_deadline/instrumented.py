"""Make calls under a tracer that patches the SDK, and print its records.

    python -m tests.stream_deadline.instrumented traceloop

The patches cannot all be undone, so each tracing has a process of its own, in which `ChatVllm` and
`ChatOpenAI` make the same calls.
"""

import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from langchain_openai import ChatOpenAI

from stream_deadline import ChatVllm
from tests.stream_deadline.calls import STREAMS, WHOLES
from tests.stream_deadline.scripted import Answer, Request, Scripted, chunk, delta, stream, whole

WORDS = ("Because ", "it ", "is.")
CONTENT = "Because it is."
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def answer(request: Request) -> Answer:
    if request.body.get("stream"):
        return stream(
            *[delta(word) for word in WORDS], delta("", finish="stop"), chunk(usage=USAGE)
        )
    return whole(CONTENT)


Traced = Callable[[Callable[[], Any]], list[Any]]
"""Makes a call and gives the spans that came of it, each as its name and its attributes."""


def _exported(instrumentor: Any) -> Traced:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)

    def traced(call: Callable[[], Any]) -> list[Any]:
        exporter.clear()
        call()
        return [[span.name, dict(span.attributes or {})] for span in exporter.get_finished_spans()]

    return traced


def traceloop() -> Traced:
    os.environ["TRACELOOP_TRACE_CONTENT"] = "true"
    from opentelemetry.instrumentation.openai import OpenAIInstrumentor

    return _exported(OpenAIInstrumentor())


def openinference() -> Traced:
    from openinference.instrumentation.openai import OpenAIInstrumentor

    return _exported(OpenAIInstrumentor())


def sentry() -> Traced:
    import sentry_sdk
    from sentry_sdk.integrations.openai import OpenAIIntegration

    spans: list[Any] = []

    def note(operation: object, data: Any) -> None:
        if str(operation).startswith("gen_ai"):
            spans.append([operation, data])

    def note_all(event: Any, _: Any) -> None:
        for span in event["spans"]:
            note(span.get("op"), span.get("data"))

    def note_one(span: Any, _: Any) -> Any:
        note(span["attributes"].get("sentry.op"), span["attributes"])
        return span

    # Version 3 has no transactions: each span is sent by itself, and prompts are in it by default.
    begin = getattr(sentry_sdk, "start_transaction", sentry_sdk.start_span)
    older = begin is not sentry_sdk.start_span
    prompts: dict[str, Any] = {"include_prompts": True} if older else {}
    notes: dict[str, Any] = (
        {"send_default_pii": True, "before_send_transaction": note_all}
        if older
        else {"before_send_span": note_one}
    )
    sentry_sdk.init(
        dsn="http://k@127.0.0.1:9/1",
        traces_sample_rate=1.0,
        default_integrations=False,
        auto_enabling_integrations=False,
        integrations=[OpenAIIntegration(**prompts)],
        **notes,
    )

    def traced(call: Callable[[], Any]) -> list[Any]:
        spans.clear()
        with begin(name="test"):
            call()
        return list(spans)

    return traced


TRACINGS: dict[str, Callable[[], Traced]] = {
    "traceloop": traceloop,
    "openinference": openinference,
    "sentry": sentry,
}
CALLS = {
    name: (STREAMS.get(name) or WHOLES[name]) for name in ("stream", "astream", "invoke", "ainvoke")
}


def text(came: Any) -> Any:
    return [each.content for each in came] if isinstance(came, list) else came.content


KINDS: tuple[type[ChatOpenAI], ...] = (ChatVllm, ChatOpenAI)


def main(tracing: str) -> None:
    logging.disable(logging.CRITICAL)
    said: dict[str, dict[str, Any]] = {}
    with Scripted(answer) as server:

        def models(age: str) -> dict[type[ChatOpenAI], dict[str, ChatOpenAI]]:
            # LangChain shares connections among models of one address, and they serve one event loop only.
            return {
                kind: {
                    name: kind(
                        **{
                            **server.settings,
                            "base_url": f"{server.root}/{kind.__name__}/{age}/{name}/v1",
                            "stream_usage": True,
                        }
                    )
                    for name in CALLS
                }
                for kind in KINDS
            }

        older = models("older")
        for name in ("stream", "astream"):
            CALLS[name](older[ChatVllm][name])  # their chunks are raw as yet
        traced = TRACINGS[tracing]()
        for age, those in (("older", older), ("newer", models("newer"))):
            for kind in KINDS:
                for name, call in CALLS.items():
                    came: list[Any] = []
                    spans = traced(lambda: came.append(call(those[kind][name])))  # noqa: B023  # it is called at once
                    said[f"{kind.__name__} {age} {name}"] = {
                        "spans": spans,
                        "content": text(came[0]),
                    }
    print(json.dumps(said, default=str))


if __name__ == "__main__":
    main(*sys.argv[1:])
