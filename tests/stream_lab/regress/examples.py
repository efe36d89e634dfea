"""Rows, runs and histories for tests, in the shape of real ones."""

from dataclasses import replace
from typing import Any

from stream_lab.experiment.evidence import Claim, Outcome
from stream_lab.notebooks.row import Attempt, Row, Status
from stream_lab.regress.compare import NO_BASELINE, Baseline, compare, verdict
from stream_lab.regress.history import Past
from stream_lab.regress.summary import Summary

TITLES = {
    "04_it_works": "It works: model.astream",
    "06_the_fix": "The elapsed-time fix",
    "10_cut": "Cut in production",
}
VERSIONS = {
    "latest": {
        "python": "3.12.9",
        "langchain-core": "1.4.0",
        "openai": "3.1.0",
        "httpx2": "2.16.2",
        "zope": "9",
    },
    "seed": {
        "python": "3.11.7",
        "langchain-core": "1.1.0",
        "openai": "2.8.1",
        "httpx": "0.28.1",
        "zope": "9",
    },
}
STOPPED, RAN_ON = "stopped at the deadline", "ran past the deadline"


def claim(
    text: str = "the stream ends in time", *, found: str = STOPPED, outcome: Outcome | None = None
) -> Claim:
    told = Outcome.AS_TOLD if found == STOPPED else Outcome.NOT_AS_TOLD
    return Claim(text, STOPPED, found, outcome or told)


def row(
    notebook: str = "04_it_works",
    *claims: Claim,
    endpoint: str = "bundled",
    world: str = "latest",
    **more: Any,
) -> Row:
    """Make a row; its status follows from its claims unless it is given."""
    parameters = more.pop("parameters", {})
    chosen = ",".join(f"{name}={value}" for name, value in parameters.items())
    bad = [c for c in claims if c.outcome is not Outcome.AS_TOLD]
    status = more.pop("status", Status.FAIL if bad else Status.PASS)
    made = Row(
        cell="/".join(part for part in (endpoint, world, notebook, chosen) if part),
        endpoint=endpoint,
        world=world,
        notebook=notebook,
        title=TITLES.get(notebook, notebook),
        parameters=parameters,
        status=status,
        reason=f"{bad[0].text}: {bad[0].found}, not {bad[0].expected}" if bad else "",
        by_claims=bool(claims) and status in (Status.PASS, Status.FAIL),
        claims=list(claims),
        seconds=12.3,
        imported={"python": "3.12.9", "openai": "3.1.0"},
        started="2026-11-21T01:52:08+00:00",
        host="bench-1",
        load=0.7,
        jobs=2,
    )
    return replace(made, **more)


def many() -> list[Row]:
    """Make two worlds with a cell of each kind, a flaky one among them."""
    late = {"late_model_s": 0.012, "late_chain_s": 0.02}
    return [
        row("04_it_works", claim(), claim("the server is released")),
        row(
            "06_the_fix",
            claim(),
            claim("the chain ends in time", found=RAN_ON),
            numbers=late,
            parameters={"TIMEOUT": 0.5},
        ),
        row(
            "10_cut",
            status=Status.SKIPPED,
            reason="nginx is not installed",
            seconds=0.0,
            imported={},
        ),
        row(
            "04_it_works",
            claim(),
            world="seed",
            earlier=[Attempt(Status.FAIL, "a port was taken", 3.0)],
        ),
        row(
            "06_the_fix",
            claim(),
            world="seed",
            status=Status.TIMEOUT,
            reason="stopped after 60 s",
            parameters={"TIMEOUT": 0.5},
        ),
        row("10_cut", world="seed", status=Status.INFRA, reason="no server answers", seconds=0.0),
    ]


def summary(
    rows: list[Row] | None = None, baseline: Baseline = NO_BASELINE, **more: Any
) -> Summary:
    """Make a run of these rows, compared with the baseline."""
    rows = many() if rows is None else rows
    changes = compare(rows, baseline, 1.5)
    came = verdict(rows, changes)
    made = Summary(
        run="2026-11-21T01-52-08-ab12",
        verdict=came,
        exit_status=came.exit_status,
        headline=f"{sum(row.status is Status.PASS for row in rows)} of {len(rows)} cells passed",
        against=baseline.words,
        started="2026-11-21T01:52:08+00:00",
        seconds=61.0,
        where="this machine, 2 at a time",
        code="0123456789abcdef",
        commit="0a8854f+",
        endpoints=dict.fromkeys((row.endpoint for row in rows), "the bundled fake"),
        worlds={name: VERSIONS.get(name, {}) for name in dict.fromkeys(row.world for row in rows)},
        rows=rows,
        changes=changes,
    )
    return replace(made, **more)


def past(number: int, rows: list[Row], **more: Any) -> Past:
    """Make the run of day `number` (1 to 30) of a month."""
    made = summary(
        rows,
        run=f"2026-11-{number:02}T01-00-00-ab12",
        started=f"2026-11-{number:02}T01:00:00+00:00",
    )
    came = Past(made.run, made.started, made.seconds, made.verdict, made.headline, made.against, made.code, made.commit,
                "runs/regress", made.rows)  # fmt: skip
    return replace(came, **more)
