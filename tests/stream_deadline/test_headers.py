"""The budget on the wire: milliseconds, gRPC's format and Envoy's."""

import asyncio
import math
from fractions import Fraction
from functools import partial

import httpx2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream_deadline import (
    deadline,
    deadline_headers,
    propagate_deadline,
    propagate_deadline_async,
)
from stream_deadline._headers import FORMATS, HEADER, Format, formats_for, read_headers

MILLISECONDS, GRPC, ENVOY, EXPECTED = FORMATS
MOST = 99_999_999
each = pytest.mark.parametrize("name", FORMATS)


def unit_of(format: Format, value: str) -> float:
    return float(format.units[value.lstrip("0123456789")])


class TestTheFormats:
    @each
    @given(left=st.floats(min_value=0, max_value=float(MOST) * 3600))
    @example(left=0.1 + 0.2)
    @example(left=0.39999999999999997)
    @example(left=99.999999)
    @example(left=100.0)
    @example(left=4.35)  # 4.35 * 100 is less than 435, and others round up
    def test_a_written_time_is_no_longer_and_at_most_one_unit_shorter(
        self, name: str, left: float
    ) -> None:
        format = FORMATS[name]
        value = format.write(left)
        read = format.read(value)
        assert len(value.rstrip("numSMH")) <= 8
        unit = unit_of(format, value)
        if read == unit * format.least and left < unit:
            return  # the smallest number that the format has
        if name != GRPC and left > MOST / 1000:
            assert value == str(MOST)
            return
        assert read is not None
        assert read <= left
        assert Fraction(left) - Fraction(read) < Fraction(unit) * Fraction(1_000_001, 1_000_000)

    def test_the_finest_unit_is_used_up_to_its_largest_number(self) -> None:
        nearly = math.nextafter(MOST / 1e9, 1)
        assert FORMATS[GRPC].write(nearly) == f"{MOST}n"
        assert FORMATS[GRPC].write(nearly + 1e-9) == f"{(MOST + 1) // 1000}u"

    @each
    @given(left=st.floats(max_value=0, allow_infinity=False))
    def test_a_deadline_that_has_passed_is_the_smallest_number(
        self, name: str, left: float
    ) -> None:
        value = FORMATS[name].write(left)
        assert value == {MILLISECONDS: "0", GRPC: "1n"}.get(name, "1")
        read = FORMATS[name].read(value)
        assert read is not None
        assert read <= 0.001

    @each
    @given(
        value=st.one_of(
            st.text(),
            st.from_regex(r"\A-?[0-9]{0,25}[HMSmunx]?\Z"),
            st.from_regex(r"\A\s?[0-9]{1,8}[HMSmun]?\s?\Z"),
        )
    )
    def test_anything_is_read_as_a_finite_time_or_as_no_bound_or_is_invalid(
        self, name: str, value: str
    ) -> None:
        try:
            read = FORMATS[name].read(value)
        except ValueError:
            return
        assert read is None or (math.isfinite(read) and read >= 0)
        assert value.isascii()
        assert value.strip() == value

    @pytest.mark.parametrize(
        ("left", "value"),
        [
            (0.0000000001, "1n"),
            (0.05, "50000000n"),
            (0.25, "250000u"),
            (30, "30000000u"),
            (100, "100000m"),
            (3 * 86400, "259200S"),
            (1e8, "1666666M"),
            (1e11, "27777777H"),
            (1e15, "99999999H"),
        ],
    )
    def test_grpc_has_the_finest_unit_of_at_most_eight_digits(
        self, left: float, value: str
    ) -> None:
        assert FORMATS[GRPC].write(left) == value

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("2H", 7200),
            ("3M", 180),
            ("1S", 1),
            ("00000001S", 1),
            ("250m", 0.25),
            ("7u", 7e-6),
            ("1n", 1e-9),
            ("0n", 0),  # Go sends it when the deadline has passed
            ("99999999H", MOST * 3600),
        ],
    )
    def test_each_unit_of_grpc_is_read(self, value: str, seconds: float) -> None:
        assert FORMATS[GRPC].read(value) == seconds

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            (MILLISECONDS, ["", "1.5", "1m", "+5", "1e3", "999999999", "١", "5\n", " 5"]),
            (GRPC, ["", "5", "m", "1s", "1h", "1ms", "-1S", "1.5S", "1 S", "100000000n", "١S"]),
            (ENVOY, ["", "-1", "1.5", "1S", "9" * 20, "infinite"]),
        ],
    )
    def test_other_values_are_invalid(self, name: str, values: list[str]) -> None:
        for value in values:
            with pytest.raises(ValueError, match="number"):
                FORMATS[name].read(value)

    @pytest.mark.parametrize("name", [ENVOY, EXPECTED])
    def test_zero_is_no_bound_for_envoy(self, name: str) -> None:
        assert FORMATS[name].read("0") is None
        assert FORMATS[name].write(0.0009) == "1"


class TestTheHeaders:
    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("X-Timeout-Ms", "0"),
            ("X-Our-Budget", "0"),
            ("Grpc-Timeout", "1n"),
            ("X-Envoy-Upstream-Rq-Timeout-Ms", "1"),
        ],
    )
    def test_the_name_decides_on_the_format(self, header: str, value: str) -> None:
        assert deadline_headers(header) == {}
        with deadline(-1):
            assert deadline_headers(header=header) == {header: value}

    @pytest.mark.parametrize("header", ["X-Our-Budget", *FORMATS])
    def test_both_hooks_take_a_name(self, header: str) -> None:
        first, second = httpx2.Request("GET", "http://x/"), httpx2.Request("GET", "http://x/")
        with deadline(30):
            partial(propagate_deadline, header=header)(first)
            asyncio.run(partial(propagate_deadline_async, header=header)(second))
        read = FORMATS.get(header, FORMATS[MILLISECONDS]).read
        for request in first, second:
            left = read(request.headers[header])
            assert left is not None
            assert 25 < left <= 30
            assert "x-timeout-ms" not in request.headers or header == MILLISECONDS

    @pytest.mark.parametrize("header", ["X-Our-Budget", *FORMATS])
    def test_the_reader_reads_the_written_header(self, header: str) -> None:
        with deadline(5):
            raw = [
                (name.lower().encode(), said.encode())
                for name, said in deadline_headers(header).items()
            ]
        soonest, invalid = read_headers(raw, formats_for(header))
        assert soonest is not None
        assert (soonest[1], invalid) == (header, [])
        assert 4 < soonest[0] <= 5


OWN = b"x-timeout-ms"


class TestReading:
    @pytest.mark.parametrize(
        ("headers", "soonest", "invalid"),
        [
            ([], None, []),
            ([(b"accept", b"5")], None, []),
            ([(OWN, b"2500")], (2.5, "X-Timeout-Ms"), []),
            ([(b"X-TIMEOUT-MS", b" \t2500\t ")], (2.5, "X-Timeout-Ms"), []),
            ([(OWN, b"-5")], (0, "X-Timeout-Ms"), []),
            ([(OWN, b"2500"), (b"grpc-timeout", b"1S")], (1, "grpc-timeout"), []),
            ([(OWN, b"500"), (b"grpc-timeout", b"1S")], (0.5, "X-Timeout-Ms"), []),
            ([(EXPECTED.encode(), b"0")], None, []),
            ([(OWN, b"\n5")], None, [("X-Timeout-Ms", "\n5")]),
            ([(OWN, b"5"), (OWN, b"6")], None, [("X-Timeout-Ms", "5, 6")]),
            ([(OWN, b"\xb2")], None, [("X-Timeout-Ms", "\xb2")]),
            (
                [(b"grpc-timeout", b"x"), (OWN, b"7"), (ENVOY.encode(), b"y")],
                (0.007, "X-Timeout-Ms"),
                [("grpc-timeout", "x"), (ENVOY, "y")],
            ),
        ],
    )
    def test_the_shortest_time_counts_and_what_is_not_valid_is_returned_with_its_rule(
        self,
        headers: list[tuple[bytes, bytes]],
        soonest: tuple[float, str] | None,
        invalid: list[tuple[str, str]],
    ) -> None:
        found, bad = read_headers(headers, formats_for("X-Timeout-Ms"))
        assert found == soonest
        assert [(name, got) for name, _, got in bad] == invalid
        assert all(rule == FORMATS[name.lower()].rule for name, rule, _ in bad)

    @pytest.mark.parametrize(
        ("own", "names"),
        [
            ("X-Timeout-Ms", ["X-Timeout-Ms", GRPC, ENVOY, EXPECTED]),
            ("X-Our-Budget", ["X-Our-Budget", GRPC, ENVOY, EXPECTED]),
            ("Grpc-Timeout", ["Grpc-Timeout", ENVOY, EXPECTED]),
        ],
    )
    def test_a_name_of_ones_own_takes_the_place_of_the_usual_one(
        self, own: str, names: list[str]
    ) -> None:
        formats = formats_for(own)
        assert list(formats) == [name.lower().encode() for name in names]
        assert [name for name, _ in formats.values()] == names
        usual = FORMATS[MILLISECONDS]
        assert [each for _, each in formats.values()] == [
            FORMATS.get(name.lower(), usual) for name in names
        ]

    def test_the_names_are_those_of_the_protocols(self) -> None:
        assert list(FORMATS) == [
            "x-timeout-ms",
            "grpc-timeout",
            "x-envoy-upstream-rq-timeout-ms",
            "x-envoy-expected-rq-timeout-ms",
        ]
        assert HEADER == "X-Timeout-Ms"

    @pytest.mark.parametrize(
        ("name", "left", "value"),
        [
            (MILLISECONDS, 100_000.0, "99999999"),
            (MILLISECONDS, 0.0019, "1"),
            (MILLISECONDS, 0.0, "0"),
            (ENVOY, 0.0, "1"),
            (ENVOY, 2.5, "2500"),
            (GRPC, 0.0, "1n"),
        ],
    )
    def test_a_time_is_written_in_eight_digits_at_most(
        self, name: str, left: float, value: str
    ) -> None:
        assert FORMATS[name].write(left) == value
