"""Timings as people write them: constants, distributions, traces."""

import json
from itertools import islice
from pathlib import Path
from random import Random
from statistics import fmean, median, pstdev

import pytest

from fake_vllm.engine.timing import TimingError, timing


def drawn(text: str, count: int = 4000, seed: int = 1) -> list[float]:
    return list(islice(timing(text)(Random(seed)), count))


def test_a_number_is_milliseconds_and_constant() -> None:
    assert set(drawn("12.5")) == {0.0125}


def test_normal_has_its_mean_and_deviation_and_is_never_negative() -> None:
    assert fmean(drawn("normal:20,4")) == pytest.approx(0.020, rel=0.02)
    assert pstdev(drawn("normal:20,4")) == pytest.approx(0.004, rel=0.05)
    assert min(drawn("normal:1/5")) == 0


def test_lognormal_has_its_median_and_sigma() -> None:
    found = drawn("lognormal:20,0.5")
    assert median(found) == pytest.approx(0.020, rel=0.05)
    assert sorted(found)[int(0.8413 * len(found))] == pytest.approx(0.020 * 2.718**0.5, rel=0.08)


def test_the_same_seed_draws_the_same() -> None:
    assert drawn("normal:20/4") == drawn("normal:20,4") != drawn("normal:20,4", seed=2)


def test_a_trace_is_played_again_and_again(tmp_path: Path) -> None:
    file = tmp_path / "gaps.json"
    file.write_text(json.dumps([1, 2.5]))
    assert drawn(f"trace:{file}", 5) == [0.001, 0.0025, 0.001, 0.0025, 0.001]


@pytest.mark.parametrize(
    "text", ["", "fast", "-1", "nan", "inf", "normal:1", "normal:1/2/3", "gamma:1/2", "normal:-1/2"]
)
def test_an_invalid_timing_is_an_error_that_lists_the_forms(text: str) -> None:
    with pytest.raises(TimingError, match=r"lognormal:10/0\.5"):
        timing(text)


@pytest.mark.parametrize("held", ["[]", "{}", "[1, -2]", "no", '["x"]'])
def test_an_invalid_trace_is_an_error_that_describes_one(held: str, tmp_path: Path) -> None:
    file = tmp_path / "gaps.json"
    file.write_text(held)
    with pytest.raises(TimingError, match="a JSON list of milliseconds"):
        timing(f"trace:{file}")
