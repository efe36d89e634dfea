"""`stream-lab evidence`: the incident's attempts against a server, with every witness."""

from pathlib import Path
from typing import Annotated

import typer

from stream_lab.cli.common import UsageError, screen
from stream_lab.cli.options import AsJson, BaseUrl, Model, NoColour, check_model, seconds
from stream_lab.errors import Interrupted
from stream_lab.untrusted import json_line


def evidence(
    base_url: BaseUrl = None,
    model: Model = None,
    timeout: Annotated[str, typer.Option(help="The deadline, in seconds.")] = "5.0",
    gpu_probe: Annotated[
        str | None,
        typer.Option(
            help="Command that watches the GPU, as 'ssh gpu nvidia-smi …'; without it, "
            "GPU_PROBE or this machine's."
        ),
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Also without a chain.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for evidence.json and evidence.png.")] = Path(
        "runs/evidence"
    ),
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Play the incident's attempts against a server, watched by its metrics and its GPU.

    Exit status: 0 if the attempts went as the story tells; 1 if they did not; 2 if the server could
    not show it or be used, or the usage is wrong.
    """
    import asyncio

    from stream_lab.experiment import pictures
    from stream_lab.experiment.attempts_run import (
        CHAIN,
        DIRECT,
        advice,
        told,
        try_out,
        witnesses_of,
    )
    from stream_lab.experiment.endpoint import open_endpoint
    from stream_lab.experiment.gpu import probe_command
    from stream_lab.experiment.saved_evidence import SavedEvidence

    deadline = seconds(timeout)
    check_model(base_url, model)
    console = screen(as_json=as_json, no_colour=no_colour)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{out} cannot be written to: {error.strerror}.") from None
    probe = gpu_probe or probe_command()
    ways = (CHAIN, DIRECT) if direct else (CHAIN,)
    try:
        with open_endpoint(base_url, model) as server, console.status("asking") as status:
            trials = asyncio.run(
                try_out(
                    server,
                    deadline,
                    ways=ways,
                    gpu=probe,
                    tell=lambda what: status.update(f"{what} …"),
                )
            )
            witnesses = witnesses_of(server, trials)
    except KeyboardInterrupt:
        raise Interrupted("Interrupted.") from None
    for trial in trials:
        saw = f"; the GPU {trial.gpu_after}" if trial.gpu_after else ""
        console.print(
            f"{trial.attempt}, {trial.way}: {trial.call.verdict}; the server: "
            f"{trial.call.server}{saw}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if by_itself := advice(trials):
        console.print(by_itself, highlight=False, markup=False, soft_wrap=True)
    outcome = told(trials)
    console.print(
        f"{outcome.mark} {witnesses.words}.", highlight=False, markup=False, soft_wrap=True
    )
    saved = SavedEvidence.of(trials, witnesses, outcome)
    try:
        saved.write(out)
        (out / "evidence.png").write_bytes(
            pictures.at_work(trials, title=f"{outcome.capitalize()}: {witnesses.words}").png()
        )
    except OSError as error:
        raise UsageError(f"{out} cannot be written to: {error.strerror}.") from None
    if as_json:
        print(json_line(saved.as_dict()))
    console.print(
        f"Evidence: {out}/evidence.json, {out}/evidence.png",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
    raise typer.Exit({"as told": 0, "not as told": 1, "not shown": 2}[outcome])
