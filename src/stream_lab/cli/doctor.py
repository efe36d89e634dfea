"""`stream-lab doctor`: which layer cuts a stream, or which sources hold a trap."""

from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from stream_lab.cli.common import UsageError, interrupted, leave, screen, write_file
from stream_lab.cli.lint import Format, look_at
from stream_lab.cli.load_object import load
from stream_lab.cli.options import AsJson, NoColour
from stream_lab.errors import LabError
from stream_lab.extras import require
from stream_lab.redact import without
from stream_lab.untrusted import json_line


def doctor(
    url: Annotated[
        str | None,
        typer.Argument(
            help="If it ends in /v1, request a chat stream; ws:// and wss:// are WebSockets."
        ),
    ] = None,
    code: Annotated[
        list[Path] | None,
        typer.Option(
            help="Read sources for traps, as `stream-lab lint PATH` does; may be repeated."
        ),
    ] = None,
    direct: Annotated[
        str | None,
        typer.Option(
            help="The same service without its proxies; or the model's server, ending in /v1."
        ),
    ] = None,
    app: Annotated[
        str | None,
        typer.Option(
            help="The application, as module:app; served in this process, without a proxy."
        ),
    ] = None,
    post: Annotated[
        str | None,
        typer.Option(
            metavar="JSON|@FILE|-",
            help="The body to send, if the address does not end in /v1; - is standard input.",
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="The HTTP method; by default POST with a body, otherwise GET."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="'NAME: VALUE'", help="A header to send; may be repeated."),
    ] = None,
    cookie: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A cookie to send; may be repeated."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any certificate of the server.")
    ] = False,
    browser: Annotated[
        bool, typer.Option("--browser", help="Listen in Chromium, too, with an EventSource.")
    ] = False,
    repeat: Annotated[
        int, typer.Option(min=1, max=100, help="Examinations, for faults that come sometimes.")
    ] = 1,
    model: Annotated[
        str | None, typer.Option(help="The model's name; by default the server's only model.")
    ] = None,
    watch: Annotated[
        float, typer.Option(min=1, max=3600, help="Seconds to listen to a stream, at most.")
    ] = 20.0,
    logs: Annotated[
        list[Path] | None,
        typer.Option(help="Logs of proxies, servers and the application; may be repeated."),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Where to write a page with the arrivals as a picture.")
    ] = None,
    as_json: AsJson = False,
    no_colour: NoColour = False,
) -> None:
    """Find out which layer cuts a stream, or never ends it.

    Exit status: 0 if the stream is healthy, or the sources hold no trap; 1 if there is a cause, or
    a trap; 2 if no server answers, a file cannot be read, or the usage is wrong.
    """
    if code:
        if url is not None and "://" in url:
            raise UsageError("Give an address or --code, not both.")
        paths = [*code, *([Path(url)] if url is not None else [])]
        look_at(paths, Format.JSON if as_json else Format.TEXT)
    if url is None:
        raise UsageError("Give an address, as http://host:8000/v1, or sources with --code PATH.")
    require("h11", "jinja2", extra="doctor")
    from stream_lab.doctor import Target, examine
    from stream_lab.doctor.console import show
    from stream_lab.doctor.diagnosis import Cause
    from stream_lab.doctor.logs import consider, lines_of
    from stream_lab.doctor.options import body_of, headers_of, method_of
    from stream_lab.doctor.repeat import repeated
    from stream_lab.doctor.secrets import hide, secrets_of
    from stream_lab.doctor.target import is_chat

    console = screen(as_json=as_json, no_colour=no_colour)

    try:
        body, verb = body_of(post), method_of(method)
        headers = headers_of(header or [], cookie or [])

        def target(address: str) -> Target:
            # A model's server behind the service does not get what was meant for the service.
            is_other = is_chat(address) and not is_chat(url)
            given = () if is_other else headers
            if not is_chat(address):
                return Target.of(address, post=body, method=verb, headers=given, insecure=insecure)
            named = model or _only_model(address, given, insecure)
            return Target.of(
                address,
                post=None if is_other else body,
                model=named,
                method=None if is_other else verb,
                headers=given,
                insecure=insecure,
            )

        with ExitStack() as stack:
            far, near, within = target(url), None if direct is None else target(direct), None
            if app is not None:
                from stream_lab.processes import serve

                within = far.at(stack.enter_context(serve(load(app, example="module:app"))).url)
            if browser:
                from stream_lab.doctor.in_browser import check

                check(far)
            asked = [each for each in (far, near, within) if each is not None]
            sizes = {}
            for log in logs or []:
                log.open("rb").close()  # before anything is asked
                sizes[log] = log.stat().st_size
            began = datetime.now()
            with console.status("asking") as status:
                found = repeated(
                    lambda: examine(
                        far,
                        direct=near,
                        within=within,
                        browser=browser,
                        watch=watch,
                        tell=lambda what: status.update(escape(f"{what} …")),
                    ),
                    repeat,
                )
        if logs:
            considered = consider(
                found.diagnosis,
                lines_of(logs, sizes=sizes),
                since=began,
                until=datetime.now(),
                targets=asked,
                flowed=found.flowed,
            )
            found = replace(found, diagnosis=hide(considered, secrets_of(asked)))
    except OSError as error:
        raise UsageError(
            f"{error.filename or 'The body'} cannot be read: {error.strerror}."
        ) from None
    except KeyboardInterrupt:
        leave(interrupted())
    diagnosis = found.diagnosis
    # Another way to ask was tried as well, so that a server which does not answer is a finding.
    compared = direct is not None or app is not None
    unasked = diagnosis.cause is Cause.UNREACHABLE and not compared
    if as_json:
        print(json_line(diagnosis.as_dict()))
    elif not unasked:
        show(found, console)
    if html is not None:
        from stream_lab.doctor.page import page

        write_file(html, page(found, without(url, secrets_of(asked))))
        console.print(f"Page: {html}", highlight=False, markup=False, soft_wrap=True)
    if unasked:
        why = " ".join(diagnosis.evidence).rstrip(".") or diagnosis.meaning.rstrip(".")
        raise UsageError(f"{why}; {diagnosis.next[:1].lower()}{diagnosis.next[1:]}")
    leave(0 if diagnosis.cause is Cause.HEALTHY else 1)


def _only_model(url: str, headers: tuple[tuple[str, str], ...], insecure: bool) -> str:
    """Return a server's only model; an error shows no value of a header."""
    from stream_lab.doctor.secrets import secrets_of
    from stream_lab.doctor.target import Target, only_model, with_key

    sent = Target(url, "GET", headers=with_key(headers))  # checks the address, too
    try:
        return only_model(url, headers=headers, insecure=insecure)
    except LabError as error:
        raise UsageError(without(str(error), secrets_of([sent]))) from None
