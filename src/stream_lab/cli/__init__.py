"""`stream-lab`: the laboratory's commands."""

import importlib
import json
import math
import os
import shlex
import signal
import sys
import time
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

cli = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)

SHORTEST = 0.5


@cli.callback()
def stream_lab() -> None:
    """Why LLM streams outlive their time-outs, shown and measured."""


@cli.command()
def run(
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server, http://host:port/v1; without it, the bundled fake.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name; without it, the only one the server has.")] = None,
    timeout: Annotated[str, typer.Option(help="The deadline the notebooks work with, in seconds.")] = "2.0",
    runs: Annotated[Path, typer.Option(help="Where to put this run's folder.")] = Path("runs"),
    notebooks: Annotated[Path, typer.Option(help="Where the notebooks are.")] = Path("notebooks"),
    only: Annotated[str | None, typer.Option(help="Run these notebooks only: 04,05.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=8, help="Notebooks at a time; 2 on the fake, 1 on your server.")] = None,
) -> None:
    """Run the investigation: every notebook, one table of claims, one report. Exit status 0 if every claim came out as told."""
    from stream_lab.experiment.endpoint import EndpointError, open_endpoint
    from stream_lab.notebooks import report
    from stream_lab.notebooks.investigation import InvestigationError, Plan, Result, find_notebooks, investigate, make_run_folder
    from stream_lab.processes.programs import missing

    console = Console(stderr=False, width=None if os.environ.get("COLUMNS") or os.isatty(1) else 140)
    deadline = _seconds(timeout)
    started = time.monotonic()
    try:
        chosen = [path for path in find_notebooks(notebooks) if only is None or path.name[:2] in only.split(",")]
        if not chosen:
            _fail(f"--only {only} names none of the notebooks.")
        lacking = {path: why for path in chosen if (why := missing(path.name[:2]))}
        if only is not None and lacking:
            _fail(next(iter(lacking.values())))
        chosen = [path for path in chosen if path not in lacking]
        folder = make_run_folder(runs)
        with open_endpoint(base_url, model) as server:
            kind = (
                "the bundled fake"
                if base_url is None
                else f"{'a fake' if server.is_fake else 'a real server'} at {server.base_url}"
            )
            notes = server.notes + [f"Notebook {path.name[:2]} was left out. {why}" for path, why in lacking.items()]
            name = server.model
    except (EndpointError, InvestigationError) as error:
        _fail(str(error))
    parameters = {"BASE_URL": base_url, "MODEL": model, "TIMEOUT": deadline}
    plan = Plan(chosen, parameters, jobs or (2 if base_url is None else 1), folder)
    results: list[Result] = []
    interrupted = False
    try:
        results.extend(investigate(plan, console))
    except KeyboardInterrupt:
        interrupted = True
    summary = report.Summary(f"{kind}, model '{name}'", notes, deadline, time.monotonic() - started, interrupted, results)
    page = report.write(summary, folder)
    report.show(summary, console)
    console.print(f"Report: {page}", highlight=False, soft_wrap=True)
    if interrupted:
        _fail("Interrupted; what had run by then is kept in the report.", status=130)
    raise SystemExit(0 if summary.as_told else 1)


@cli.command()
def matrix(
    classes: Annotated[
        list[str] | None, typer.Argument(help="Classes like ChatOpenAI, as my_module:MyChat; without any, the story's four.")
    ] = None,
    only: Annotated[str, typer.Option(help="Cells whose name contains this, as 'stall' or 'endless × astream'.")] = "",
    jobs: Annotated[int, typer.Option(min=1, max=32, help="Cells at a time.")] = 6,
    late_ms: Annotated[float, typer.Option(min=1, help="Milliseconds a call may be late; 50 on a quiet machine, 1 job.")] = 250.0,
    deadline: Annotated[float, typer.Option(min=0.3, help="The deadline of each call, in seconds.")] = 0.5,
    uvloop: Annotated[bool, typer.Option("--uvloop", help="On uvloop's event loops, not asyncio's.")] = False,
    picture: Annotated[Path | None, typer.Option(help="Where to draw it, as matrix.png.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Play every server behaviour against every way to call a model. Exit status 0 if every cell of the last class holds."""
    from stream_lab.matrix import report
    from stream_lab.matrix.play import cells

    chosen = [cell for cell in cells() if only in cell.name]
    if not chosen:
        _fail(f"No cell's name contains '{only}'.")
    if picture is not None and not picture.absolute().parent.is_dir():
        _fail(f"There is no folder {picture.parent} to draw into.")
    try:
        models = report.load(classes or report.STORY)
    except report.ClassError as error:
        _fail(str(error))
    console = Console(stderr=as_json)
    new_loop = importlib.import_module("uvloop").new_event_loop if uvloop else None
    try:
        played = report.play_all(
            models, chosen, console, jobs=jobs, lateness=late_ms / 1000, deadline=deadline, new_loop=new_loop
        )
    except KeyboardInterrupt:
        _leave(_interrupted())
    if as_json:
        print(report.as_json(played))
    else:
        report.show(played, console)
    if picture is not None:
        from stream_lab.matrix.picture import heat_map

        picture.write_bytes(heat_map(played, title=f"{len(chosen)} cells, a deadline of {deadline:g} s").png())
        console.print(f"Picture: {picture}", highlight=False, soft_wrap=True)
    _leave(0 if all(result.holds for result in list(played.values())[-1]) else 1)


@cli.command()
def regress(
    config: Annotated[Path, typer.Option(help="What to run, as YAML; see docs/regress.md.")] = Path("regress.yaml"),
    against: Annotated[str, typer.Option(help="What to hold it against: last (good), a run's name, a summary.json.")] = "last",
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the newest run, or with --run NAME.")] = False,
    name: Annotated[str | None, typer.Option("--run", help="The run's name; without it, the time.")] = None,
    only: Annotated[str, typer.Option(help="Cells whose name contains this, as seed/04.")] = "",
    jobs: Annotated[int | None, typer.Option(min=1, max=64, help="Notebooks at a time; without it, as configured.")] = None,
    scheduler: Annotated[str | None, typer.Option(help="A Dask cluster, as tcp://host:8786.")] = None,
    outputs: Annotated[str | None, typer.Option(help="Where to put it: a folder, or any fsspec URL.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the cells and run nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Run notebooks over endpoints × versions. Exit status 0 if all is as expected, 1: a regression, 2: it could not be told."""
    from stream_lab.regress import (
        ClusterError,
        ConfigError,
        HistoryError,
        StoreError,
        carry_out,
        lay_out,
        load,
        show,
        show_plan,
        watching,
    )
    from stream_lab.regress.executors import Cluster, Local

    console = Console(stderr=as_json, width=None if os.environ.get("COLUMNS") or os.isatty(1) else 140)
    try:
        chosen = load(config)
        changes = {"jobs": jobs, "outputs": outputs}
        chosen = chosen.model_copy(update={key: value for key, value in changes.items() if value is not None})
        laid_out = lay_out(chosen, config.parent, against=against, resume=resume, name=name, only=only)
        if dry_run:
            show_plan(laid_out, console)
            return
        with Local(chosen.jobs) if scheduler is None else Cluster(scheduler) as executor, watching(console) as watcher:
            summary = carry_out(laid_out, executor, watcher)
    except (ConfigError, StoreError, HistoryError, ClusterError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail(f"Interrupted; go on with: stream-lab regress --resume --run {laid_out.name}", status=130)
    if as_json:
        print(json.dumps(summary.as_dict(), ensure_ascii=False))
    else:
        show(summary, console)
        console.print(f"Report: {laid_out.store.address}/report.html", highlight=False, soft_wrap=True)
    raise SystemExit(summary.exit_status)


@cli.command()
def history(
    file: Annotated[Path, typer.Argument(help="The history's file.")] = Path("runs/history.sqlite"),
    most: Annotated[int, typer.Option(min=1, max=1000, help="So many runs, the newest.")] = 20,
    html: Annotated[Path | None, typer.Option(help="Where to write the trend page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the runs as JSON.")] = False,
) -> None:
    """Show the regression runs so far, and how claims, lateness and times went over them."""
    from stream_lab.regress.history import History, HistoryError
    from stream_lab.regress.show_history import as_table, as_text

    if not file.exists():
        _fail(f"There is no history {file}; make regress writes one.")
    try:
        pasts = History(file).last(most)
    except HistoryError as error:
        _fail(str(error))
    print(as_text(pasts)) if as_json else Console().print(as_table(pasts))
    if html is not None:
        from stream_lab.regress.trend import trend

        try:
            html.write_text(trend(pasts), encoding="utf-8")
        except OSError as error:
            _fail(f"{html} cannot be written: {error.strerror}.")
        Console(stderr=as_json).print(f"Page: {html}", highlight=False, soft_wrap=True)


@cli.command()
def evidence(
    base_url: Annotated[
        str | None, typer.Option(help="An OpenAI-compatible server, http://host:port/v1; without it, the bundled fake.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="The model's name; without it, the only one the server has.")] = None,
    timeout: Annotated[str, typer.Option(help="The deadline, in seconds.")] = "5.0",
    gpu_probe: Annotated[
        str | None,
        typer.Option(help="Command that watches the GPU, as 'ssh gpu nvidia-smi …'; without it, GPU_PROBE or this machine's."),
    ] = None,
    direct: Annotated[bool, typer.Option("--direct", help="Also without a chain.")] = False,
    out: Annotated[Path, typer.Option(help="Folder for evidence.json and evidence.png.")] = Path("runs/evidence"),
) -> None:
    """Play the incident's attempts against a server, with its metrics and its GPU as witnesses. Exit status 0 if it went as told."""
    import asyncio

    from stream_lab.experiment import pictures
    from stream_lab.experiment.attempts_run import CHAIN, DIRECT, advice, as_dict, told, try_out, witnesses_of
    from stream_lab.experiment.endpoint import EndpointError, open_endpoint
    from stream_lab.experiment.gpu import GpuError, probe_command

    deadline = _seconds(timeout)
    console = Console()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"{out} cannot be written to: {error.strerror}.")
    probe = gpu_probe or probe_command()
    ways = (CHAIN, DIRECT) if direct else (CHAIN,)
    try:
        with open_endpoint(base_url, model) as server, console.status("asking") as status:
            trials = asyncio.run(try_out(server, deadline, ways=ways, gpu=probe, tell=lambda what: status.update(f"{what} …")))
            witnesses = witnesses_of(server, trials)
    except (EndpointError, GpuError) as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("Interrupted.", status=130)
    for trial in trials:
        saw = f"; the GPU {trial.gpu_after}" if trial.gpu_after else ""
        console.print(
            f"{trial.attempt}, {trial.way}: {trial.call.verdict}; the server: {trial.call.server}{saw}",
            highlight=False,
            soft_wrap=True,
        )
    if by_itself := advice(trials):
        console.print(by_itself, highlight=False, soft_wrap=True)
    outcome = told(trials)
    console.print(f"{outcome.mark} {witnesses.words}.", highlight=False, soft_wrap=True)
    body = {**as_dict(trials, witnesses), "outcome": outcome}
    (out / "evidence.json").write_text(json.dumps(body, ensure_ascii=False) + "\n", encoding="utf-8")
    (out / "evidence.png").write_bytes(pictures.at_work(trials, title=f"{outcome.capitalize()}: {witnesses.words}").png())
    console.print(f"Evidence: {out}/evidence.json, {out}/evidence.png", highlight=False, soft_wrap=True)
    raise SystemExit({"as told": 0, "not as told": 1, "not shown": 2}[outcome])


@cli.command("new-relay")
def new_relay(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it: an empty folder, or a new one.")],
) -> None:
    """Write a server that stands between callers and a vLLM, with its tests: FastAPI, every bound, nginx and gunicorn."""
    from stream_lab.relay.new import NewRelayError, write

    try:
        files = write(folder)
    except NewRelayError as error:
        _fail(str(error))
    console = Console(soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(files)} files in {folder}; its README.md says what is what. Go on with")
    python = shlex.quote(sys.executable)
    console.print(f"  cd {shlex.quote(str(folder))} && {python} -m pytest")
    console.print(f"  BASE_URL=http://gpu:8000/v1 MODEL=my-model {python} -m relay")


@cli.command()
def doctor(
    url: Annotated[
        str | None, typer.Argument(help="Ends in /v1: a model is asked for a stream. Any other is fetched as it is.")
    ] = None,
    code: Annotated[list[Path] | None, typer.Option(help="Read Python sources and notebooks for traps; may be repeated.")] = None,
    direct: Annotated[str | None, typer.Option(help="The same, past the proxies; or the model's server, ending in /v1.")] = None,
    app: Annotated[
        str | None, typer.Option(help="The application, as module:app; is served here and asked without a proxy.")
    ] = None,
    post: Annotated[str | None, typer.Option(help="JSON to send by POST, if the address does not end in /v1.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name; without it, the only one the server has.")] = None,
    watch: Annotated[float, typer.Option(min=1, max=3600, help="Seconds to listen to a stream, at most.")] = 20.0,
    logs: Annotated[list[Path] | None, typer.Option(help="Logs of nginx, gunicorn, uvicorn, hypercorn; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
    html: Annotated[Path | None, typer.Option(help="Where to write a page with the arrivals as a picture.")] = None,
) -> None:
    """Find out which layer cuts a stream, or never ends it. Exit status 0 if it is healthy, 1 if not, 2 if it could not be asked."""
    if code:
        if url is not None and "://" in url:
            _fail("Give an address or --code, not both.")
        _doctor_for_code([*code, *([Path(url)] if url is not None else [])], as_json)
    if url is None:
        _fail("Give an address, as http://host:8000/v1, or sources with --code PATH.")
    from contextlib import ExitStack
    from dataclasses import replace
    from datetime import datetime

    from stream_lab.doctor import Target, TargetError, console, examine
    from stream_lab.doctor.logs import consider, lines_of
    from stream_lab.doctor.target import load, only_model

    screen = Console(stderr=as_json)

    def target(address: str) -> Target:
        chat = address.rstrip("/").endswith("/v1")
        return Target.of(address, post=None if chat else post, model=(model or only_model(address)) if chat else None)

    try:
        with ExitStack() as stack:
            far, near, within = target(url), None if direct is None else target(direct), None
            if app is not None:
                from stream_lab.processes import serve

                within = far.at(stack.enter_context(serve(load(app))).url)
            for log in logs or []:
                log.open("rb").close()  # before anything is asked
            began = datetime.now()
            with screen.status("asking") as status:
                found = examine(far, direct=near, within=within, watch=watch, tell=lambda what: status.update(f"{what} …"))
        if logs:
            told = consider(found.diagnosis, lines_of(logs), since=began, until=datetime.now())
            found = replace(found, diagnosis=told)
    except TargetError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename} cannot be read: {error.strerror}.")
    except KeyboardInterrupt:
        _leave(_interrupted())
    if as_json:
        print(json.dumps(found.diagnosis.as_dict(), ensure_ascii=False))
    else:
        console.show(found, screen)
    if html is not None:
        from stream_lab.doctor.page import page

        try:
            html.write_text(page(found, url), encoding="utf-8")
        except OSError as error:
            _fail(f"{html} cannot be written: {error.strerror}.")
        screen.print(f"Page: {html}", highlight=False, soft_wrap=True)
    _leave(0 if found.diagnosis.cause == "healthy" else 1)


@cli.command("real-vllm")
def real_vllm(port: Annotated[int, typer.Option(min=1, max=65535)] = 8100) -> None:
    """Run a real vLLM on this CPU with a tiny random-weight model (3 GB, minutes the first time)."""
    from stream_lab.processes.backends import RealServerError, stay

    console = Console(stderr=True)
    try:
        stay(port, console)
    except RealServerError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        console.print("Stopped.")


@cli.command()
def servers(
    only: Annotated[str, typer.Option(help="Servers whose name contains this, as vllm or litellm.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON, with every time in seconds.")] = False,
) -> None:
    """Does cutting the client free the server? Real ones are set up, cut and timed. Exit status 0 if all could be."""
    from stream_lab.experiment.endpoint import EndpointError
    from stream_lab.processes.backends import RealServerError
    from stream_lab.processes.backends.freed import Freed, table
    from stream_lab.processes.backends.survey import names, row

    console = Console(stderr=True)
    if not names(only):
        _fail(f"No server's name contains '{only}'; there are: {', '.join(names(''))}.")
    rows: list[Freed] = []
    failed = False
    try:
        for name in names(only):
            try:
                rows.append(row(name, console))
            except (EndpointError, RealServerError) as error:
                failed = True
                console.print(f"✘ {name}: {error}", highlight=False, markup=False, soft_wrap=True)
    except KeyboardInterrupt:
        console.print("Interrupted; what follows is what had been seen by then.")
        failed = True
    print(json.dumps([each.as_dict() for each in rows]) if as_json else table(rows))
    raise SystemExit(2 if failed else 0)


def _doctor_for_code(paths: list[Path], as_json: bool) -> NoReturn:
    """Status 0: nothing found, 1: a trap, 2: something could not be read."""
    from stream_lab.lint import render, survey

    seen = survey(paths)
    if as_json:
        print(json.dumps([finding.as_dict() for finding in seen.findings], ensure_ascii=False))
    else:
        if seen.findings:
            print(render(seen.findings))
        traps = sum(finding.is_trap for finding in seen.findings)
        print(f"{traps} {'trap' if traps == 1 else 'traps'} in {seen.files:,} files, {seen.lines:,} lines.")
    raise SystemExit(1 if any(finding.is_trap for finding in seen.findings) else 2 if seen.findings else 0)


def _interrupted() -> int:
    Console(stderr=True).print("stream-lab: Interrupted.", highlight=False)
    return 130


def _leave(status: int) -> NoReturn:
    """End without waiting for threads: a synchronous call that never ends keeps its own, and that is what was to be shown."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= SHORTEST):
        _fail(f"TIMEOUT is '{text}', but it must be a number of seconds, {SHORTEST} or more; 2 is a good start.")
    return value


def _fail(message: str, status: int = 2) -> NoReturn:
    Console(stderr=True, soft_wrap=True).print(f"stream-lab: {message}", highlight=False, markup=False)
    raise SystemExit(status)


def main() -> None:
    # Ended from outside is like Ctrl-C: everything that was started is stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cli()


if __name__ == "__main__":
    main()
