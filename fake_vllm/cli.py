"""The command line: serve, list scenarios, record a real server, print the schema."""

import argparse
import os
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn, get_args

from fake_vllm import __version__
from fake_vllm.settings import Settings, SettingsError, make
from fake_vllm.terminal import printable
from fake_vllm.vllm_flags import translate

INTERRUPTED = 130  # the status that a shell shows for a program that Ctrl-C ended
BROKEN_PIPE = 141  # the status that a shell shows for a program that SIGPIPE ended


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; `arguments` are the process's own if None."""
    parser = _parser()
    known = [option for action in parser._actions for option in action.option_strings]
    several = [action.option_strings[0] for action in parser._actions if _is_list(action)]
    line = translate(sys.argv[1:] if arguments is None else arguments, known, several)
    if line.model == "":
        _fail("The name of the model is empty; write one after --model or serve, or leave it out.")
    _check_names(known, line.arguments)
    options = vars(parser.parse_args(line.arguments))
    command = options.pop("command", None)
    if line.model is not None:
        if command == "record":
            options["model"] = line.model  # `translate` took it for vLLM's own
        else:
            options.setdefault("served_model_name", [line.model])
    if line.ignored:
        names = " and ".join(filter(None, [", ".join(line.ignored[:-1]), line.ignored[-1]]))
        print(f"fake-vllm: {names} has no effect here.", file=sys.stderr)
    try:
        if command is None:
            _serve(options)
        else:
            COMMANDS[command](options)
        sys.stdout.flush()
    except SettingsError as error:
        _fail(str(error))
    except KeyboardInterrupt:  # before the server listens, or while it records
        raise SystemExit(INTERRUPTED) from None
    except BrokenPipeError:
        # The reader, such as `head`, has read enough. Python flushes again at exit, which must not
        # fail either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(BROKEN_PIPE) from None


def _serve(options: dict[str, Any]) -> None:
    file = options.pop("config", None)
    if "rules" in options:
        options["rules"] = _rules(options["rules"])
    for variable in ("FAKE_VLLM_API_KEY", "VLLM_API_KEY"):
        if key := os.environ.get(variable):
            options.setdefault("api_key", [key])
    if key := os.environ.get("FAKE_VLLM_ADMIN_KEY"):
        options.setdefault("admin_key", key)
    if seconds := os.environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE"):
        options.setdefault("keep_alive_seconds", seconds)
    if file is None:
        settings = make(options)
    else:
        from fake_vllm import config

        settings = config.read(file, options)
    from fake_vllm.app import App
    from fake_vllm.http import server
    from fake_vllm.http.listening import CannotListen

    try:
        server.run(settings, App)
    except CannotListen as error:
        _fail(str(error))


def _rules(text: str) -> Any:
    import json

    try:
        given = json.loads(text)
    except ValueError as error:
        _fail(f"--rules: not valid JSON: {error}.")
    return given if isinstance(given, list) else [given]


def _scenarios(options: dict[str, Any]) -> None:
    if options["json"]:
        import json

        from fake_vllm.scenarios.parameters import described

        print(json.dumps(described(), indent=1, ensure_ascii=False))
        return
    from fake_vllm.scenarios import catalogue

    scenarios = catalogue()
    width = max(map(len, scenarios))
    for name, text in scenarios.items():
        print(f"{name:<{width}}  {text}")


def _schema(options: dict[str, Any]) -> None:
    import json

    print(json.dumps(Settings.model_json_schema(), indent=2))


def _record(options: dict[str, Any]) -> None:
    from fake_vllm.response.recording import RecordingError, record

    out = Path(options.pop("out"))
    try:
        recording = record(
            options["url"],
            model=options.get("model"),
            prompt=options["prompt"],
            max_tokens=options["max_tokens"],
        )
        recording.save(out)
    except RecordingError as error:
        _fail(str(error))
    ended = printable(recording.finish_reason or "broke off")
    print(
        f"{len(recording.texts)} events in {sum(recording.gaps_ms) / 1000:.1f} s, {ended}; "
        f"play them with --scenario replay:file={out}"
    )


SEVERAL = (tuple[str, ...], tuple[Path, ...])
"""The types of settings whose flags may be repeated."""
COMMANDS = {"record": _record, "scenarios": _scenarios, "schema": _schema}


def _is_list(action: argparse.Action) -> bool:
    return isinstance(action, argparse._AppendAction)


def _check_names(known: list[str], arguments: list[str]) -> None:
    """Refuse an unknown option, whose value argparse would take for a command."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if argument in COMMANDS:
            return
        if name.startswith("--") and name not in known:
            near = get_close_matches(name, known, n=3)
            hint = f"Did you mean {' or '.join(near)}?" if near else "See `fake-vllm --help`."
            _fail(f"There is no option {name}. {hint}")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        _fail(f"{message[0].upper()}{message[1:]}. See `fake-vllm --help`.")


def _parser() -> argparse.ArgumentParser:
    """Make the command line from the settings.

    It knows only names; values are checked together with those of YAML files.
    """
    parser = _Parser(
        prog="fake-vllm",
        description="A vLLM that misbehaves on request. Without a command, it starts the server; "
        "`fake-vllm serve MODEL …` takes vLLM's command line.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="Settings as YAML; flags override them. See `fake-vllm schema`.",
    )
    parser.add_argument(
        "--version",
        action="version",
        version=f"fake-vllm {__version__}",
        help="Print the version.",
    )
    for name, field in Settings.model_fields.items():
        flag = f"--{name.replace('_', '-')}"
        text = (field.description or "").replace("%", "%%")
        if field.annotation is bool:
            parser.add_argument(flag, action="store_true", help=text)
        else:
            default = field.default
            shown = " ".join(default) if isinstance(default, tuple) else default
            usual = "" if shown in (None, "") else f" Default: {shown}."
            choices = "|".join(
                str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)
            )
            parser.add_argument(
                flag,
                metavar=choices or name.rpartition("_")[2].upper(),
                action="append" if field.annotation in SEVERAL else "store",
                help=text + usual,
            )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    recorder = commands.add_parser(
        "record", help="Record one streamed answer of a real endpoint, with its times."
    )
    recorder.add_argument(
        "url",
        metavar="URL",
        help="The endpoint, as http://host:port/v1; the key is read from OPENAI_API_KEY.",
    )
    recorder.add_argument("--out", required=True, metavar="FILE", help="The file to write.")
    recorder.add_argument("--model", help="Default: the first model that the endpoint lists.")
    recorder.add_argument("--prompt", default="Tell me a story.", help="Default: %(default)s")
    recorder.add_argument(
        "--max-tokens", type=int, default=200, metavar="N", help="Default: %(default)s."
    )
    lister = commands.add_parser("scenarios", help="List the scenarios, one line each.")
    lister.add_argument(
        "--json", action="store_true", default=False, help="With all parameters, as JSON."
    )
    commands.add_parser("schema", help="Print the JSON schema of the configuration file.")
    return parser


def _fail(message: str) -> NoReturn:
    print(f"fake-vllm: {printable(message)}", file=sys.stderr)
    raise SystemExit(2)


if __name__ == "__main__":
    main()
