"""Programs that end, fork, or are interrupted while a call is open.

Run as `python -m tests.drills.programs NAME BASE_URL PLANT`. Each is a script as users write them;
it prints "ok", or what was interrupted. It is an interpreter of its own, whose end is real.
"""

import asyncio
import atexit
import contextlib
import gc
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.request import urlopen

import openai

from stream_deadline import ChatVllm, bounded, bounded_client, bounded_model, bounded_sync, deadline
from stream_deadline._watchdog import LONGEST_SLEEP
from tests.drills.plants import PLANTS
from tests.drills.styles import PROMPT

LONG = 300.0
SOON = 2.0
KEPT: list[Any] = []
"""What is open when the interpreter ends, as the variables of a script are."""
BASE_URL = ""


def chat(scenario: str = "endless", timeout: float = LONG) -> ChatVllm:
    body = {"fake_scenario": scenario}
    return ChatVllm(model="fake-model", base_url=BASE_URL, timeout=timeout, extra_body=body)


def sdk() -> openai.OpenAI:
    return openai.OpenAI(base_url=BASE_URL, api_key="none", max_retries=0, timeout=LONG)


def asked(client: Any, scenario: str = "endless") -> Any:
    messages: Any = [{"role": "user", "content": "Why?"}]
    return client.chat.completions.create(
        model="fake-model", messages=messages, stream=True, extra_body={"fake_scenario": scenario}
    )


def keep(stream: Any) -> None:
    """Pull once, and leave the stream open."""
    next(stream)
    KEPT.append(stream)


# The interpreter ends with an open call.


def leaves_a_stream() -> None:
    keep(chat().stream("Why?"))


def leaves_a_stream_that_was_never_pulled() -> None:
    KEPT.append(chat().stream("Why?"))
    KEPT.append(bounded_sync(iter(range(9)), LONG))
    KEPT.append(bounded_sync(iter(range(9)), idle_timeout=LONG))


def leaves_a_stream_of_a_chain() -> None:
    keep((PROMPT | chat()).stream({"question": "Why?"}))


def leaves_a_stream_of_a_bounded_model() -> None:
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(
        model="fake-model",
        base_url=BASE_URL,
        api_key="none",
        extra_body={"fake_scenario": "endless"},
    )
    keep(bounded_model(model, timeout=LONG).stream("Why?"))


def leaves_bounded_sync() -> None:
    keep(bounded_sync(asked(sdk()), LONG))


def leaves_bounded_sync_around_no_connection() -> None:
    keep(bounded_sync(iter(range(9)), LONG))


def leaves_a_bounded_client() -> None:
    keep(iter(asked(bounded_client(sdk(), timeout=LONG))))


def leaves_a_deadline() -> None:
    scope = deadline(LONG)
    scope.__enter__()
    KEPT.append(scope)
    keep(chat().stream("Why?"))


def leaves_a_cycle() -> None:
    cycle: list[Any] = [chat().stream("Why?")]
    next(cycle[0])
    cycle.append(cycle)


async def _pull(stream: Any) -> None:
    KEPT.append(stream)
    await anext(stream)


def leaves_an_asynchronous_stream() -> None:
    asyncio.run(_pull(chat().astream("Why?")))


def leaves_an_asynchronous_stream_and_its_loop() -> None:
    loop = asyncio.new_event_loop()
    KEPT.append(loop)
    loop.run_until_complete(_pull(chat().astream("Why?")))


def leaves_an_asynchronous_chain() -> None:
    asyncio.run(_pull((PROMPT | chat()).astream({"question": "Why?"})))


def leaves_bounded() -> None:
    async def pull() -> None:
        client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
        await _pull(bounded(await asked(client), LONG))

    asyncio.run(pull())


def leaves_a_task() -> None:
    async def pull() -> None:
        task = asyncio.create_task(chat("no_headers").ainvoke("Why?"))
        KEPT.append(task)
        await asyncio.sleep(0.5)

    asyncio.run(pull())


def leaves_a_daemon_thread() -> None:
    started = threading.Event()

    def work() -> None:
        for _ in chat().stream("Why?"):
            started.set()

    threading.Thread(target=work, daemon=True).start()
    started.wait(30)


def leaves_a_thread_until_its_deadline() -> None:
    def work() -> None:
        with contextlib.suppress(TimeoutError):
            list(chat(timeout=SOON).stream("Why?"))

    threading.Thread(target=work).start()


def begins_a_call_at_exit() -> None:
    @atexit.register
    def late() -> None:
        assert list(bounded_sync(iter(range(3)), LONG)) == [0, 1, 2]
        assert chat("finite:tokens=2").invoke("Why?").content


# SIGINT arrives during a call.


def interrupts_stream() -> None:
    list(chat().stream("Why?"))


def interrupts_invoke() -> None:
    chat("no_headers").invoke("Why?")


def interrupts_a_retry() -> None:
    chat("refuse:status=503,retry_after=60,times=0").invoke("Why?")


def interrupts_bounded_sync() -> None:
    list(bounded_sync(asked(sdk()), LONG))


def interrupts_bounded_client() -> None:
    list(asked(bounded_client(sdk(), timeout=LONG), "no_first_token"))


def interrupts_astream() -> None:
    async def pull() -> None:
        async for _ in chat().astream("Why?"):
            pass

    asyncio.run(pull())


def interrupts_ainvoke() -> None:
    asyncio.run(chat("no_headers").ainvoke("Why?"))


def interrupts_a_chain() -> None:
    async def pull() -> None:
        async for _ in (PROMPT | chat()).astream({"question": "Why?"}):
            pass

    asyncio.run(pull())


def interrupts_bounded() -> None:
    async def pull() -> None:
        client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
        async for _ in bounded(await asked(client), LONG):
            pass

    asyncio.run(pull())


def ledger() -> list[dict[str, Any]]:
    with urlopen(BASE_URL.removesuffix("/v1") + "/ledger") as answer:
        requests: list[dict[str, Any]] = json.load(answer)["requests"]
    return requests


def freed() -> None:
    """Wait until the server is free, while this process goes on."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        if all(entry["over"] is not None for entry in ledger()):
            return
        time.sleep(0.05)
    raise AssertionError("the server is still at work")


# The process forks.


def in_child(work: Callable[[], Any]) -> int:
    """Do some work in a fork that ends as interpreters end, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    work()
    KEPT.clear()
    gc.collect()
    sys.exit(0)


def ended(pid: int) -> None:
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "the child failed"


def each_gets_its_own(ask: Callable[[str], str]) -> None:
    def asks(who: str) -> None:
        for number in range(5):
            word = f"{who}{number}"
            assert word in ask(word), f"{who} got the answer of another process"

    pid = in_child(lambda: asks("child"))
    asks("parent")
    ended(pid)
    assert sum(entry["turn"] == 1 for entry in ledger()) > 1, "they share one connection"


def forks_before_use() -> None:
    model = chat("echo")
    each_gets_its_own(lambda word: str(model.invoke(word).content))


def forks_after_use() -> None:
    model = chat("echo")
    model.invoke("before")
    each_gets_its_own(lambda word: str(model.invoke(word).content))


def forks_after_asynchronous_use() -> None:
    model = chat("echo")
    asyncio.run(model.ainvoke("before"))
    each_gets_its_own(lambda word: str(asyncio.run(model.ainvoke(word)).content))


def forks_with_a_bounded_model() -> None:
    from langchain_openai import ChatOpenAI

    plain = ChatOpenAI(
        model="fake-model",
        base_url=BASE_URL,
        api_key="none",
        extra_body={"fake_scenario": "echo"},
    )
    model = bounded_model(plain, timeout=LONG)
    model.invoke("before")
    each_gets_its_own(lambda word: str(model.invoke(word).content))


def goes_on(stream: Iterator[Any]) -> None:
    started = time.monotonic()
    for _ in range(20):
        next(stream)
    assert time.monotonic() - started < LONG / 10


def forks_in_mid_stream() -> None:
    stream = chat().stream("Why?")
    KEPT.append(stream)
    next(stream)
    ended(in_child(lambda: None))
    goes_on(stream)


def forks_in_mid_stream_and_the_child_closes_it() -> None:
    stream: Any = chat().stream("Why?")
    next(stream)
    ended(in_child(stream.close))
    goes_on(stream)


def forks_in_mid_stream_with_bounded_sync() -> None:
    stream = bounded_sync(asked(sdk()), LONG)
    next(stream)
    ended(in_child(stream.close))
    goes_on(stream)


def forks_in_mid_stream_and_the_child_has_a_deadline() -> None:
    stream = chat().stream("Why?")
    next(stream)

    def work() -> None:
        try:
            list(chat(timeout=0.5).stream("Why?"))
        except TimeoutError:
            return
        raise AssertionError("the child had no deadline")

    ended(in_child(work))
    goes_on(stream)


def forks_in_an_event_loop() -> None:
    async def pull() -> None:
        client = openai.AsyncOpenAI(base_url=BASE_URL, api_key="none", max_retries=0)
        stream = bounded(await asked(client), LONG)
        await anext(stream)
        pid = os.fork()
        if not pid:
            del stream
            gc.collect()
            os._exit(0)
        ended(pid)
        for _ in range(20):
            await anext(stream)
        await stream.aclose()

    asyncio.run(pull())


def _invoke_in_worker(word: str) -> str:
    return str(KEPT[0].invoke(word).content)


def forks_a_pool() -> None:
    KEPT.append(chat("echo"))
    KEPT[0].invoke("before")
    words = [f"word{number}" for number in range(8)]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        answers = pool.map(_invoke_in_worker, words)
    assert all(word in answer for word, answer in zip(words, answers, strict=True))


# Threads share a model or a stream.


def threads_share_a_model() -> None:
    model = chat("echo")

    def ask(number: int) -> bool:
        return f"word{number}." in str(model.invoke(f"word{number}.").content)

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(ask, range(60)))


def threads_hand_a_stream_on() -> None:
    made: list[Any] = []
    for step in (
        lambda: made.append(chat().stream("Why?")),
        lambda: next(made[0]),
        lambda: next(made[0]),
        lambda: made[0].close(),
    ):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join(30)
        assert not thread.is_alive()
    freed()


def threads_drop_a_stream() -> None:
    made: list[Any] = [chat().stream("Why?")]
    next(made[0])
    made += [bounded_sync(asked(sdk()), idle_timeout=LONG) for _ in range(10)]  # never pulled

    def drop() -> None:
        made.clear()
        gc.collect()

    thread = threading.Thread(target=drop)
    thread.start()
    thread.join(30)
    freed()
    time.sleep(2 * LONGEST_SLEEP)
    assert threading.active_count() == 1, threading.enumerate()


def threads_end_with_an_open_stream() -> None:
    thread = threading.Thread(target=lambda: next(chat().stream("Why?")))
    thread.start()
    thread.join(30)
    freed()


PREFIXES = ("leaves_", "begins_", "interrupts_", "forks_", "threads_")
PROGRAMS: dict[str, Callable[[], None]] = {
    name: value for name, value in list(globals().items()) if name.startswith(PREFIXES)
}


def main() -> None:
    global BASE_URL
    name, BASE_URL, plant = sys.argv[1:]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if plant:
        PLANTS[plant]()
    said = "ok"
    try:
        PROGRAMS[name]()
    except KeyboardInterrupt:
        said = "interrupted"
    print(f"{said} {time.monotonic()}", flush=True)


if __name__ == "__main__":
    main()
