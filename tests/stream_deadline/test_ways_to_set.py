"""A bound acts in every way to set it, and the last one holds."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from typing import Any, ClassVar

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable

from stream_deadline import ChatVllm
from stream_deadline import _deadline_mixin as deadline_mixin
from stream_deadline._budget import Bounds

NAMES = ("timeout", "stream_timeout", "first_chunk_timeout", "idle_timeout")
FIELDS = {"timeout": "request_timeout"}
PROMPT = ChatPromptTemplate.from_messages([("user", "{question}")])
INPUT = {"question": "Why?"}
wholes = st.sampled_from([100.0, 110.0, 120])
parts = st.sampled_from([1.0, 2.5, 3])


class Observed(Exception):
    """Ends a call where its budget is made."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds


class ByName(ChatVllm):
    request_timeout: float | None = 100.0


class Parts(ChatVllm):
    stream_timeout: float | None = 103.0
    first_chunk_timeout: float | None = 4.0
    idle_timeout: float | None = 5.0


class Grandchild(ByName):
    idle_timeout: float | None = 6.0


DEFAULTS: dict[type[ChatVllm], dict[str, Any]] = {
    ChatVllm: {},
    ByName: {"timeout": 100.0},
    Parts: {"stream_timeout": 103.0, "first_chunk_timeout": 4.0, "idle_timeout": 5.0},
    Grandchild: {"timeout": 100.0, "idle_timeout": 6.0},
}


@dataclass(frozen=True)
class Set:
    """A runnable and its expected bounds: `own` of the model, `bound` per call."""

    thing: Any
    own: dict[str, Any]
    bound: dict[str, Any] = field(default_factory=dict)

    def expected(self) -> Bounds:
        given, told = {**dict.fromkeys(NAMES), "stream_timeout": "timeout", **self.own}, self.bound
        whole = (
            given["timeout"] if given["stream_timeout"] == "timeout" else given["stream_timeout"]
        )
        whole = told.get("stream_timeout", told.get("timeout", whole))
        return Bounds(whole, *(told.get(name, given[name]) for name in NAMES[2:]))


def made(cls: type[ChatVllm], given: dict[str, Any], by_field: bool) -> Set:
    named = {FIELDS.get(name, name) if by_field else name: value for name, value in given.items()}
    return Set(cls(model="m", api_key="k", **named), {**DEFAULTS[cls], **given})


def updated(before: Set, name: str, value: float) -> Set:
    return replace(
        before,
        thing=before.thing.model_copy(update={FIELDS.get(name, name): value}),
        own={**before.own, name: value},
    )


def updated_by_alias(before: Set, name: str, value: float) -> Set:
    return replace(
        before, thing=before.thing.model_copy(update={name: value}), own={**before.own, name: value}
    )


def assigned(before: Set, name: str, value: float) -> Set:
    thing = before.thing.model_copy()
    setattr(thing, FIELDS.get(name, name), value)
    return replace(before, thing=thing, own={**before.own, name: value})


def configured(before: Set, name: str, value: float) -> Set:
    fields: dict[str, Any] = {FIELDS.get(name, name): ConfigurableField(id="bound")}
    thing: Any = before.thing.configurable_fields(**fields).with_config(
        configurable={"bound": value}
    )
    inner, _ = thing.prepare()  # the model it makes for a call; it is a model again
    inner.model_fields_set.discard(
        "streaming"
    )  # LangChain takes the default for a wish, in such copies of `ChatOpenAI` as well
    return replace(before, thing=inner, own={**before.own, name: value})


def alternative(before: Set, name: str, value: float) -> Set:
    """The one asked for, and not the default."""
    chosen = updated(before, name, value)
    thing: Any = before.thing.configurable_alternatives(
        ConfigurableField(id="which"), other=chosen.thing
    )
    inner, _ = thing.with_config(configurable={"which": "other"}).prepare()
    return replace(chosen, thing=inner)


def same(make: Callable[[Any], Any], before: Set, name: str, value: float) -> Set:
    return replace(before, thing=make(before.thing))


MODEL_WAYS: list[Callable[[Set, str, float], Set]] = [
    updated,
    updated_by_alias,
    assigned,
    configured,
    alternative,
    partial(same, copy.copy),
    partial(same, copy.deepcopy),
    partial(same, lambda model: pickle.loads(pickle.dumps(model))),
    partial(same, lambda model: model.model_copy()),
    partial(same, lambda model: model.model_copy(deep=True)),
]


def bound(before: Set, name: str, value: float) -> Set:
    return replace(
        before, thing=before.thing.bind(**{name: value}), bound={**before.bound, name: value}
    )


def bound_with_tools(before: Set, name: str, value: float) -> Set:
    if not isinstance(before.thing, ChatVllm):
        return before
    named: dict[str, Any] = {name: value}
    tool = {
        "type": "function",
        "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
    }
    return replace(
        before, thing=before.thing.bind_tools([tool], **named), bound={**before.bound, name: value}
    )


CALL_WAYS: list[Callable[[Set, str, float], Set]] = [
    bound,
    bound_with_tools,
    partial(same, lambda thing: thing.with_config(tags=["a"])),
    partial(same, lambda thing: thing.with_retry(stop_after_attempt=1)),
    partial(same, lambda thing: thing.with_fallbacks([thing], exceptions_to_handle=(KeyError,))),
]


def ask(thing: Runnable[Any, Any], call: str, question: Any) -> None:
    list(thing.stream(question)) if call == "stream" else thing.invoke(question)


def observe(
    thing: Runnable[Any, Any], monkeypatch: pytest.MonkeyPatch, call: str = "stream"
) -> Bounds:
    def budget(bounds: Bounds, *_: Any) -> Any:
        raise Observed(bounds)

    chain = PROMPT | thing
    with monkeypatch.context() as patch:
        patch.setattr(deadline_mixin, "Budget", budget)
        with pytest.raises(Observed) as caught:
            ask(chain, call, {"question": "Why?"})
    return caught.value.bounds


steps = st.one_of(
    st.tuples(st.sampled_from(NAMES[:2]), wholes),
    st.tuples(st.sampled_from(NAMES[2:]), parts),
)


@given(
    cls=st.sampled_from(list(DEFAULTS)),
    given_=st.lists(steps, max_size=2).map(dict),
    by_field=st.booleans(),
    first=st.lists(st.tuples(st.sampled_from(MODEL_WAYS), steps), max_size=4),
    then=st.lists(st.tuples(st.sampled_from(CALL_WAYS), steps), max_size=2),
)
@settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_the_last_bound_that_was_set_holds(
    cls: type[ChatVllm],
    given_: dict[str, Any],
    by_field: bool,
    first: Any,
    then: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    state = made(cls, given_, by_field)
    for way, (name, value) in [*first, *then]:
        state = way(state, name, value)
    assert observe(state.thing, monkeypatch) == state.expected()
    assert observe(state.thing, monkeypatch, "invoke") == Bounds(state.expected().timeout)


def made_and_called(way: Callable[[Set, str, Any], Set], name: str, value: Any, call: str) -> None:
    thing = way(made(ChatVllm, {}, True), name, value).thing
    list(thing.stream("Why?")) if call == "stream" else thing.invoke("Why?")


@given(
    name=st.sampled_from(NAMES),
    wrong=st.sampled_from([0, -1, float("nan"), float("inf"), True, "45", [45]]),
)
@settings(
    deadline=None, max_examples=14, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_wrong_value_is_refused_by_the_time_of_the_call(name: str, wrong: Any) -> None:
    for way in (updated, updated_by_alias, assigned, configured, bound, bound_with_tools):
        for call in ("invoke", "stream"):
            with pytest.raises(ValueError, match=r"must be a (positive )?number of seconds"):
                ask(way(made(ChatVllm, {}, True), name, wrong).thing, call, "Why?")


def test_a_wrong_default_of_a_subclass_is_refused_when_the_model_is_made() -> None:
    class Wrong(ChatVllm):
        idle_timeout: float | None = -1

    class Wrong2(ChatVllm):
        request_timeout: float | None = 0

    for cls in (Wrong, Wrong2):
        with pytest.raises(ValueError, match="must be a positive number"):
            cls(model="m", api_key="k")


@pytest.mark.filterwarnings("ignore:Parameters")
def test_a_bound_in_model_kwargs_holds_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """LangChain warns of it and passes it to the SDK, which knows only `timeout`."""
    model = ChatVllm(
        model="m",
        api_key="k",
        timeout=100,
        model_kwargs={"timeout": 50, "idle_timeout": 7, "echo": 1},
    )
    assert observe(model, monkeypatch) == Bounds(50, None, 7)
    assert model.model_kwargs == {"echo": 1}
    model = model.model_copy(update={"model_kwargs": {"timeout": 30}})
    assert observe(model, monkeypatch).timeout == 30
    assert observe(model.bind(timeout=40), monkeypatch).timeout == 40


def test_a_name_that_nothing_reads_is_refused_when_a_subclass_is_made() -> None:
    with pytest.raises(TypeError, match="say `request_timeout"):

        class ByAlias(ChatVllm):
            timeout: float | None = 45

    with pytest.raises(TypeError, match="say `request_timeout"):

        class OfClass(ChatVllm):
            timeout: ClassVar[float] = 45


def test_a_copy_by_langchain_still_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ChatVllm(model="m", api_key="k", timeout=100, idle_timeout=7)
    copy = model.configurable_fields(request_timeout=ConfigurableField(id="t")).with_config(
        configurable={"t": 50}
    )
    assert observe(copy, monkeypatch) == Bounds(50, None, 7)


@pytest.mark.parametrize("number", [numpy.float32(5), Fraction(5)])
def test_any_kind_of_number_is_accepted(number: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert observe(ChatVllm(model="m", api_key="k", timeout=number), monkeypatch).timeout == 5
    assert observe(ChatVllm(model="m", api_key="k").bind(timeout=number), monkeypatch).timeout == 5
