"""Repairs of the capstone's service: another right one, and wrong ones that are natural."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

import pytest

from stream_lab.course.capstone import Running, ServiceFolder, shipped, tickets
from stream_lab.course.capstone.folder import Repair, edited, redefined
from stream_lab.course.exercise import Wrong
from stream_lab.course.exercises import notebook_16
from stream_lab.processes import programs
from tests.stream_lab.course.checked import OPEN, RIGHT, checked

Files = dict[str, str]
NOTE = "It was the middleware."
WITHOUT_A_LIBRARY = Path(__file__).with_name("capstone_relay.txt").read_text(encoding="utf-8")
"""A repaired relay that keeps the queue and uses neither stream-deadline nor sse-starlette."""


def changed(files: Files, name: str, *changes: tuple[str, str]) -> Files:
    text = files[name]
    for old, new in changes:
        text = edited(text, old, new)
    return {**files, name: text}


def with_code(files: Files, **code: str) -> Files:
    """Return the files with other functions in relay.py; no code removes one."""
    text = files["relay.py"]
    for name, each in code.items():
        text = redefined(text, name, each)
    return {**files, "relay.py": text}


def another_right_one() -> Files:
    files = {**shipped(), "relay.py": WITHOUT_A_LIBRARY}
    files = changed(files, "nginx.conf", ("proxy_read_timeout 2s", "proxy_read_timeout 60s"))
    # Before Python 3.12 the wait for each chunk could lose the cancellation at the limit.
    no_wait = "LANGCHAIN_OPENAI_STREAM_CHUNK_TIMEOUT_S=0"
    return changed(files, "relay.env", ("UVICORN_TIMEOUT_GRACEFUL_SHUTDOWN=1", no_wait))


def first_tries() -> Files:
    """Return the first repairs of a hasty reader, none of which is enough."""
    files = with_code(
        shipped(),
        log_size="",
        title="""
@app.post("/title")
async def title(asked: Question) -> dict[str, str]:
    async with asyncio.timeout(2):
        return {"title": chain.invoke({"question": f"A title for: {asked.question}"})}
""",
    )
    in_another_block = "proxy_buffering off; proxy_read_timeout 3600s;"
    files = changed(
        files, "nginx.conf", ("location / {", f"location / {{\n        {in_another_block}")
    )
    files = changed(files, "relay.py", ("timeout=60", "timeout=ANSWER_SECONDS"))
    files = changed(
        files,
        "relay.py",
        ("dict(listed.headers))", '{k: v for k, v in listed.headers.items() if k != "date"})'),
        ('log.exception("the model failed")', "pass"),
    )
    return changed(files, "relay.env", ("GRACEFUL_SHUTDOWN=1", "GRACEFUL_SHUTDOWN=2"))


def second_tries() -> Files:
    """Return repairs that hold for one way of asking, and not for the other."""
    files = with_code(
        shipped(),
        log_size="",
        produce="""
async def produce(question: str, queue: asyncio.Queue[str | None]) -> None:
    try:
        async for token in chain.astream({"question": question}):
            await queue.put(token)
    except Exception:
        await queue.put("Sorry, something went wrong.")
    finally:
        await queue.put(None)
""",
        chat="""
@app.post("/chat")
async def chat(asked: Question) -> StreamingResponse:
    queue: asyncio.Queue[str | None] = asyncio.Queue()

    async def events() -> AsyncIterator[str]:
        producer = asyncio.create_task(produce(asked.question, queue))
        try:
            while True:
                try:
                    token = await asyncio.wait_for(queue.get(), 1)
                except TimeoutError:
                    yield 'data: "still thinking "\\n\\n'
                    continue
                if token is None:
                    break
                yield f"data: {json.dumps(token)}\\n\\n"
            yield "event: done\\ndata: {}\\n\\n"
        finally:
            producer.cancel()

    return StreamingResponse(events(), media_type="text/event-stream")
""",
        models="""
@app.get("/models")
async def models() -> Response:
    async with httpx2.AsyncClient() as client:
        listed = await client.get(f"{BASE_URL}/models")
    names = json.dumps([card["id"] for card in listed.json()["data"]])
    return Response(names, headers={"Content-Length": str(len(listed.content))})
""",
    )
    files = changed(
        files,
        "nginx.conf",
        ("gzip            on;", ""),
        ("proxy_read_timeout 2s;", "proxy_read_timeout 9s;"),
    )
    return changed(
        files, "relay.env", ("UVICORN_LOG_LEVEL", "UVICORN_WORKERS=2\nUVICORN_LOG_LEVEL")
    )


def bound_on_each_token() -> Files:
    """Return the right files with `wait_for` around `anext`, and an error that ends in silence."""
    return changed(
        another_right_one(),
        "relay.py",
        (
            "        async with asyncio.timeout(ANSWER_SECONDS):  # entered and left in this task\n"
            '            async for token in chain.astream({"question": question}):\n'
            '                await queue.put(("", token))\n',
            '        stream = chain.astream({"question": question})\n'
            "        while True:\n"
            "            try:\n"
            "                token = await asyncio.wait_for(anext(stream), ANSWER_SECONDS)\n"
            "            except StopAsyncIteration:\n"
            "                break\n"
            '            await queue.put(("", token))\n',
        ),
        ('await queue.put(("error", type(error).__name__))', 'await queue.put(("end", ""))'),
    )


Ticket = Callable[[Running], None]
FIRST = [tickets.at_night, tickets.untold]
"""Tickets that count what the model's server runs, so that nothing may end meanwhile."""
LAST = [tickets.titles, tickets.deployment]
"""Tickets that disturb all others; the last one ends the relay."""
WRONG: list[tuple[Callable[[], Files], dict[Ticket, str]]] = [
    (
        first_tries,
        {
            tickets.at_once: "The relay alone sends each token as it is made. Through nginx",
            tickets.long_questions: "From the office, /chat got",
            tickets.titles: "stood still",
            tickets.broken_answers: "tokens and then the event `done`",
            tickets.model_list: "/models was cut",
            tickets.at_night: "A user left /chat in the middle",
            tickets.untold: "while the model was thinking",
            tickets.deployment: "The relay was stopped",
        },
    ),
    (
        second_tries,
        {
            tickets.long_questions: "the page shows 'still thinking",
            tickets.broken_answers: "then the event `done`",
            tickets.model_list: "/models was cut",
            tickets.at_night: "A user left /answer in the middle",
        },
    ),
    (
        bound_on_each_token,
        {
            tickets.broken_answers: "ends as if all were well",
            tickets.at_night: "still had no end",
        },
    ),
    (
        lambda: changed(another_right_one(), "relay.env", ("SECONDS=5", "SECONDS=2")),
        {
            tickets.long_questions: "an answer may take 5 s",
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "said"),
    WRONG,
    ids=["first tries", "second tries", "bound on each token", "shorter limit"],
)
def test_a_wrong_repair_gets_a_message_that_names_the_symptom(
    files: Callable[[], Files], said: dict[Ticket, str]
) -> None:
    def seen(ticket: Ticket) -> str:
        with pytest.raises(Wrong) as wrong:
            ticket(running)
        return str(wrong.value)

    with Running(files()) as running, ThreadPoolExecutor() as pool:
        found: dict[Ticket, str] = {each: seen(each) for each in FIRST if each in said}
        together: list[Ticket] = [each for each in said if each not in (*FIRST, *LAST)]
        found |= dict(zip(together, pool.map(seen, together), strict=True))
        found |= {each: seen(each) for each in LAST if each in said}
    assert [each for each, word in said.items() if word not in found[each]] == [], found


def test_a_repair_without_another_library_is_right() -> None:
    assert checked("16", "8", Repair(NOTE, another_right_one())) == RIGHT


def test_the_last_check_names_the_ticket_that_is_open_again() -> None:
    def seen(_: Running) -> None:
        raise Wrong("An answer was cut.")

    with pytest.raises(Wrong, match=r"Ticket 2 is open again\. An answer was cut\."):
        notebook_16._named(2, seen)(cast("Running", None))


@pytest.mark.parametrize(
    ("name", "old", "new", "word"),
    [
        ("relay.py", "app = FastAPI()", "app = FastAPI(", "relay.py, line"),
        ("relay.py", "app = FastAPI()", "app = FastApi()", "NameError: name 'FastApi'"),
        ("relay.env", "SHUTDOWN=1", "SHUTDOWN=ten", "not a valid integer"),
        ("relay.env", "ANSWER_SECONDS=5", "ANSWER_SECONDS 5", "relay.env, line 2"),
        ("nginx.conf", "listen 8080", "listen 80", "must keep `listen 8080;`"),
        ("nginx.conf", "gzip_types", "gzip_type", '[emerg] unknown directive "gzip_type" in nginx.conf:4'),
    ],
)  # fmt: skip
def test_files_that_do_not_start_are_named(name: str, old: str, new: str, word: str) -> None:
    assert word in checked("16", "6", Repair(NOTE, changed(shipped(), name, (old, new))))


def test_an_untouched_service_is_not_a_wrong_answer(tmp_path: Path) -> None:
    service = ServiceFolder(tmp_path / "capstone")
    assert checked("16", "1", service.repaired(NOTE)) == OPEN
    service.edit("relay.env", "ANSWER_SECONDS=5", "ANSWER_SECONDS=3600")
    assert checked("16", "1", service.repaired(...)) == OPEN
    assert "sentence" in checked("16", "1", service.repaired("gzip"))
    assert "service.repaired(note)" in checked("16", "8", "gzip")


def test_a_file_that_the_reader_changed_is_kept_and_a_missing_one_is_written(
    tmp_path: Path,
) -> None:
    service = ServiceFolder(tmp_path / "capstone")
    assert repr(service).endswith("changed: none")
    service.edit("nginx.conf", "gzip            on;", "")
    (service.path / "relay.py").unlink()
    again = ServiceFolder(service.path)
    assert repr(again).endswith("changed: nginx.conf")
    assert again.read()["relay.py"] == shipped()["relay.py"]


def test_each_change_of_a_file_is_another_attempt() -> None:
    one, other = Repair(NOTE, {"relay.py": "1"}), Repair(NOTE, {"relay.py": "2"})
    assert repr(one) == repr(Repair(NOTE, {"relay.py": "1"})) != repr(other)


def test_without_nginx_the_rest_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        programs.PROGRAMS,
        "nginx",
        (("no-such-nginx",), "nginx-light"),
    )
    answer = checked("16", "1", Repair(NOTE, another_right_one()))
    assert "without nginx is repaired" in answer
    assert "apt-get install nginx-light" in answer
