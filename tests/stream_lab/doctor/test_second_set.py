"""The second labelled set is well-formed, and its logs are diagnosed as they are labelled."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from stream_lab.doctor import Cause, Diagnosis, Target
from stream_lab.doctor.logs import consider, lines_of
from stream_lab.doctor.probe import listen
from stream_lab.http.capture import End
from tests.stream_lab.doctor.second_answers import (
    DONE,
    Answer,
    chunked,
    listening,
    measured,
    unchunked,
)
from tests.stream_lab.doctor.second_excerpts import TIMES, excerpts

NOW = datetime(2026, 11, 27, 9, 5, 7, 42_000, tzinfo=UTC)


def test_each_excerpt_has_a_label_a_source_and_times_of_known_formats() -> None:
    every = excerpts()
    assert len({each.name for each in every}) == len(every) >= 40
    for each in every:
        assert each.stream in ("healthy", "close", "reset"), each.name
        assert each.expected, each.name
        assert each.source, each.name
        assert not [form for form in TIMES if f"{{{form} " in each.at(NOW)], each.name


def test_a_time_is_written_as_the_product_writes_it() -> None:
    every = {each.name: each for each in excerpts()}
    envoy = every["Envoy, UT, the time-out of its route"].at(NOW)
    assert envoy.startswith("[2026-11-27T09:05:07.042Z] ")
    docker = every["gunicorn 20 in `docker logs -t`, a worker that is killed"].at(NOW)
    assert docker.startswith("2026-11-27T07:05:07.042000000Z [2026-")


def test_the_diagnoses_of_the_logs_stay_right(tmp_path: Path) -> None:
    target = Target.of("http://chat.example.com/v1", model="m")
    log, wrong = tmp_path / "log", []
    now = datetime.now().astimezone()
    since = now.replace(tzinfo=None) - timedelta(seconds=1)
    for each in excerpts():
        alone = Cause.HEALTHY if each.stream == "healthy" else Cause.SERVER_ENDED
        log.write_text(each.at(now), encoding="utf-8")
        found = consider(
            Diagnosis(alone, 0.7, [], ""),
            lines_of([log]),
            since=since,
            until=since + timedelta(seconds=2),
            targets=[target],
        )
        if found.cause not in each.expected:
            wrong.append(f"{each.name}: {found.cause}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("answer", "until_close"),
    [(unchunked(DONE), True), (measured(31), False), (chunked(DONE), False)],
)
def test_only_a_body_without_a_length_ends_with_its_connection(
    answer: Answer, until_close: bool
) -> None:
    with listening(answer) as url:
        heard = listen(Target.of(f"{url}/chat"), 3.0)
    assert heard.ending is End.WHOLE
    assert heard.until_close == until_close
