"""The known limits are complete, have a proof, and match the installed libraries."""

import importlib
import importlib.metadata
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest
import uvicorn
import yaml
from langchain_openai import ChatOpenAI

from stream_lab.doctor.limits import FILE, Limit, LimitsError, load, matching
from stream_lab.doctor.limits_page import page

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / "tools"))
from measure_limits import CASES, Found, verdict  # noqa: E402

PRODUCTS = {
    "nginx", "HAProxy", "Envoy", "Traefik", "Caddy", "Apache httpd",
    "AWS ALB", "AWS NLB", "AWS API Gateway", "AWS Lambda", "AWS CloudFront", "GCP Load Balancing", "GCP Cloud Run",
    "Azure Front Door", "Azure App Gateway", "Azure Functions", "Cloudflare", "Vercel", "Netlify", "Heroku",
    "gunicorn", "uvicorn", "hypercorn", "Node http", "Node fetch", "vLLM",
    "browsers", "httpx", "httpx2", "requests", "aiohttp", "openai", "anthropic", "LangChain", "LiteLLM",
    "stream-deadline",
}  # fmt: skip
RUN_HERE = {
    "nginx", "HAProxy", "Apache httpd", "gunicorn", "uvicorn", "hypercorn", "Node http", "Node fetch",
    "httpx", "httpx2", "requests", "aiohttp", "openai", "anthropic", "LangChain", "LiteLLM",
}  # fmt: skip
PROOF: dict[str, Any] = {"source": {"url": "https://proxy.example/docs", "date": "2026-11-21"}}
ENTRY: dict[str, Any] = {
    "product": "a proxy",
    "knob": "read",
    "where": "proxy.conf",
    "default": 60,
    "bounds": "idle",
    "side": "proxy",
    "message": None,
    "proof": PROOF,
}


def key(limit: Limit) -> tuple[str, str]:
    return limit.product, f"{limit.knob} {limit.bounds}"


class TestTheFile:
    def test_has_every_product(self) -> None:
        assert {limit.product for limit in load()} >= PRODUCTS

    def test_has_exactly_one_proof_for_each_limit(self) -> None:
        for limit in load():
            assert (limit.proof.measured is None) != (limit.proof.source is None), limit.name

    def test_has_only_measured_defaults_of_what_can_be_run_here(self) -> None:
        assert not [
            limit.name
            for limit in load()
            if limit.product in RUN_HERE and limit.proof.measured is None
        ]

    def test_its_measured_entries_are_those_that_the_tool_measures(self) -> None:
        measured = {
            key(limit) for limit in load() if limit.proof.measured and limit.bounds != "buffer"
        }
        assert measured == set(CASES)

    def test_is_read_once_and_cannot_be_changed_by_its_readers(self) -> None:
        first = load()
        first.clear()
        assert load()[0] is load()[0]


def broken(**fields: Any) -> list[dict[str, Any]]:
    return [ENTRY, {**ENTRY, "knob": "write", **fields}]


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (broken(bounds="sometimes"), ["entry 2", "a proxy, write", "bounds"]),
        (broken(default="60"), ["entry 2", "default"]),
        (broken(default=-1), ["entry 2", "default"]),
        (broken(default=float("nan")), ["entry 2", "default"]),
        (broken(default=True), ["entry 2", "default"]),
        (broken(side="moon"), ["entry 2", "side"]),
        (broken(message=""), ["entry 2", "message"]),
        (broken(remark="?"), ["entry 2", "remark"]),
        (broken(proof={}), ["entry 2", "proof", "exactly one"]),
        (
            broken(
                proof={**PROOF, "measured": {"version": "1", "date": "2026-11-21", "how": "so"}}
            ),
            ["entry 2", "exactly one"],
        ),
        (
            broken(proof={"source": {"url": "docs", "date": "2026-11-21"}}),
            ["entry 2", "proof.source.url"],
        ),
        (
            broken(proof={"measured": {"version": 1.0, "date": "2026-11-21", "how": "so"}}),
            ["entry 2", "proof.measured.version"],
        ),
        (
            [{name: value for name, value in ENTRY.items() if name != "default"}],
            ["entry 1", "default", "required"],
        ),
        ([ENTRY, "nothing"], ["entry 2"]),
        ([ENTRY, ENTRY], ["more than one entry", "a proxy, read", "idle"]),
        ({"a proxy": ENTRY}, ["list"]),
    ],
)
def test_a_broken_file_is_one_sentence_that_names_the_entry_and_the_field(
    tmp_path: Path, entries: object, words: list[str]
) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text(yaml.safe_dump(entries), encoding="utf-8")
    with pytest.raises(LimitsError) as caught:
        load(path)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith("limits.yaml")
    assert all(word in said for word in words), said


def test_a_missing_file_or_one_that_is_not_yaml_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    with pytest.raises(LimitsError, match=r"limits\.yaml cannot be read"):
        load(path)
    path.write_text("- product: [", encoding="utf-8")
    with pytest.raises(LimitsError, match=r"limits\.yaml, line 1: this is not YAML: [^\n]+$"):
        load(path)
    path.write_bytes(b"\xff")
    with pytest.raises(LimitsError, match=r"limits\.yaml is not YAML: it is not UTF-8\."):
        load(path)
    lines = [f"- &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 6)]
    path.write_text("\n".join(["- &a0 {k: 1, l: 2}", *lines]), encoding="utf-8")
    with pytest.raises(LimitsError, match=r"line \d: it has more than 10,000 values.*with fewer"):
        load(path)


def names(seconds: float, *bounds: Any, **options: Any) -> set[str]:
    return {limit.product for limit in matching(seconds, *bounds, **options)}


class TestMatching:
    def test_a_silence_of_a_minute_is_nginx_or_alb(self) -> None:
        assert {"nginx", "AWS ALB"} <= names(60, "idle")
        assert {"nginx", "AWS ALB"} <= names(61.8, "idle")

    def test_a_limit_that_no_product_has_matches_nothing(self) -> None:
        assert not matching(37)
        assert not matching(37, "idle")

    def test_only_limits_of_that_kind_explain_it(self) -> None:
        assert "Envoy" in names(15, "total")
        assert "Envoy" not in names(15, "idle")
        assert {limit.bounds for limit in matching(60, "idle")} == {"idle"}

    def test_a_silence_before_the_first_byte_may_also_be_an_idle_or_a_total_limit(
        self,
    ) -> None:
        assert {limit.bounds for limit in matching(30, "first_byte")} == {
            "first_byte",
            "idle",
            "total",
        }
        assert "AWS ALB" in names(60, "first_byte")

    def test_the_closest_comes_first_and_its_own_kind_before_others(self) -> None:
        far = [abs((limit.default or 0) - 29.4) for limit in matching(29.4, "total")]
        assert far == sorted(far)
        assert matching(29.4, "total")[0].default == 29
        assert matching(30, "first_byte")[0].bounds == "first_byte"

    def test_tolerance_is_a_part_of_the_default_and_at_least_half_a_second(self) -> None:
        short = [limit for limit in load() if limit.default == 3]
        assert matching(3.5, limits=short) == short
        assert not matching(3.6, limits=short)
        assert matching(60 * 1.05, "idle")
        assert "nginx" not in names(60 * 1.06, "idle")
        assert "nginx" in names(60 * 1.06, "idle", tolerance=0.1)

    def test_a_limit_that_is_off_matches_nothing(self) -> None:
        assert all(limit.default is not None for limit in matching(0.0, tolerance=1e9))


MODEL = ChatOpenAI(model="m", api_key="none")
CLIENT = openai.OpenAI(api_key="none")
UVICORN = uvicorn.Config("none:none")
GUNICORN = importlib.import_module("gunicorn.config").Config()  # it has no types


def phase(timeout: object, name: str) -> float | None:
    """One part of a time-out; the SDK gives the whole or its parts."""
    return timeout if isinstance(timeout, (float, int)) else getattr(timeout, name, None)


INSTALLED: dict[tuple[str, str], Callable[[], float | None]] = {
    ("httpx", "connect connect"): lambda: httpx.Client().timeout.connect,
    ("httpx", "pool connect"): lambda: httpx.Client().timeout.pool,
    ("httpx", "read first_byte"): lambda: httpx.Client().timeout.read,
    ("httpx", "read idle"): lambda: httpx.Client().timeout.read,
    ("httpx2", "connect connect"): lambda: httpx2.Client().timeout.connect,
    ("httpx2", "pool connect"): lambda: httpx2.Client().timeout.pool,
    ("httpx2", "read first_byte"): lambda: httpx2.Client().timeout.read,
    ("httpx2", "read idle"): lambda: httpx2.Client().timeout.read,
    ("openai", "timeout connect"): lambda: phase(CLIENT.timeout, "connect"),
    ("openai", "timeout first_byte"): lambda: phase(CLIENT.timeout, "read"),
    ("openai", "timeout idle"): lambda: phase(CLIENT.timeout, "read"),
    ("LangChain", "ChatOpenAI timeout first_byte"): lambda: phase(
        MODEL.root_client.timeout, "read"
    ),
    ("LangChain", "ChatOpenAI timeout idle"): lambda: phase(MODEL.root_client.timeout, "read"),
    ("LangChain", "ChatOpenAI timeout connect"): lambda: phase(
        MODEL.root_client.timeout, "connect"
    ),
    ("uvicorn", "--timeout-keep-alive keep_alive"): lambda: UVICORN.timeout_keep_alive,
    ("uvicorn", "--timeout-graceful-shutdown shutdown"): lambda: UVICORN.timeout_graceful_shutdown,
    ("gunicorn", "--timeout, sync worker total"): lambda: GUNICORN.timeout,
    ("gunicorn", "--timeout, uvicorn worker heartbeat"): lambda: GUNICORN.timeout,
    ("gunicorn", "--graceful-timeout shutdown"): lambda: GUNICORN.graceful_timeout,
    ("gunicorn", "--keep-alive keep_alive"): lambda: GUNICORN.keepalive,
}
if (
    int(importlib.metadata.version("langchain-openai").split(".")[0]) >= 1
):  # the post-mortem's has none
    INSTALLED["LangChain", "ChatOpenAI stream_chunk_timeout idle"] = lambda: (
        MODEL.stream_chunk_timeout
    )


@pytest.mark.parametrize("which", INSTALLED, ids=" ".join)
def test_the_libraries_of_this_environment_have_the_default_that_the_file_says(
    which: tuple[str, str],
) -> None:
    told = {key(limit): limit for limit in load()}[which]
    assert INSTALLED[which]() == told.default, (
        f"{told.name} has changed; measure it again: python tools/measure_limits.py"
    )


class TestTheTool:
    def test_a_default_fires_as_the_file_says(self) -> None:
        found = CASES["httpx2", "read idle"]()
        limit = next(limit for limit in load() if key(limit) == ("httpx2", "read idle"))
        assert found.message == limit.message
        assert limit.default is not None
        assert found.seconds is not None
        assert limit.default - 0.6 < found.seconds < 30

    @pytest.mark.parametrize(
        ("seconds", "said"),
        [(60.1, "as told"), (61, "as told"), (75, "DIFFERS"), (50, "DIFFERS"), (None, "DIFFERS")],
    )
    def test_sees_a_difference_to_the_file(self, seconds: float | None, said: str) -> None:
        limit = next(limit for limit in load() if limit.product == "nginx" and limit.default == 60)
        assert verdict(Found(seconds, "", "1"), limit) == said

    def test_sees_a_limit_where_the_file_knows_none(self) -> None:
        limit = next(limit for limit in load() if limit.default is None)
        assert verdict(Found(5, "", "1"), limit) == "DIFFERS"
        assert verdict(Found(None, "", "1"), limit) == "as told"
        assert verdict(Found(5, "", "1"), None) == "not in the file"


class TestThePage:
    def test_is_made_from_the_file(self) -> None:
        told = (ROOT / "docs" / "limits.md").read_text(encoding="utf-8")
        assert told == page(), (
            "edit limits.yaml, then: python -m stream_lab.doctor.limits_page > docs/limits.md"
        )

    def test_equals_the_output_of_the_command(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "stream_lab.doctor.limits_page"], capture_output=True, check=True
        )
        assert done.stdout.decode() == page()

    def test_every_row_of_its_tables_has_all_cells(self) -> None:
        rows = [line for line in page().splitlines() if line.startswith("|")]
        assert {line.replace("\\|", "").count("|") for line in rows} == {7}
        assert sum(limit.name in page() for limit in load() if limit.note) == sum(
            1 for limit in load() if limit.note
        )
        assert len([row for row in rows if not row.startswith(("| product", "|---"))]) == len(
            load()
        )


def test_the_file_is_part_of_the_package() -> None:
    assert FILE.is_file()
    assert FILE.parent.name == "doctor"
