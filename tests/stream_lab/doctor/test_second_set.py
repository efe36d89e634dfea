"""The second labelled set is well-formed."""

from datetime import UTC, datetime

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
