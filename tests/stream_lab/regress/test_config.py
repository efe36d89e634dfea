"""`regress.yaml`: the settings that it may have, and the errors for wrong ones."""

import re
import time
from pathlib import Path

import pytest
import yaml

from stream_lab.regress.config import Config, ConfigError, load
from stream_lab.regress.grid import cells

ROOT = Path(__file__).parents[3]


def test_the_committed_one_is_three_worlds_on_the_bundled_fake() -> None:
    config = load(ROOT / "regress.yaml")
    assert list(config.endpoints) == ["bundled"]
    assert config.endpoints["bundled"].words == "the bundled fake"
    assert list(config.worlds) == ["latest", "seed", "next"]
    assert all((ROOT / (world.requirements or "")).is_file() for world in config.worlds.values())


def test_an_empty_file_is_this_world_on_the_bundled_fake(tmp_path: Path) -> None:
    config = load(_written(tmp_path, ""))
    assert (list(config.endpoints), list(config.worlds)) == (["bundled"], ["here"])


def test_a_running_server_gets_one_notebook_at_a_time_and_a_fake_has_no_limit(
    tmp_path: Path,
) -> None:
    config = load(
        _written(
            tmp_path,
            "endpoints:\n  gpu: {url: 'http://gpu:8000/v1'}\n  deaf: {scenario: endless}\n  big: {url: 'http://b/v1', jobs: 3}\n",
        )
    )
    assert [config.endpoints[name].limit for name in ("gpu", "deaf", "big")] == [1, None, 3]


def _written(folder: Path, text: str) -> Path:
    file = folder / "regress.yaml"
    file.write_text(text, encoding="utf-8")
    return file


WRONG = {
    "endpoints:\n  bundled:\njobs: many\n": "line 3: jobs: Input should be a valid integer",
    "endpoints:\n  gpu:\n    url: http://gpu/v1\n    modle: x\n": "line 4: endpoints.gpu.modle: there is no such key; do you mean model?",
    "a: [1\nb: 2\n": "this is not YAML",
    "jobs: 1\nretries: 1\njobs: 2\n": "line 3: 'jobs' stands here a second time",
    "endpoints:\n  gpu: {url: gpu.local}\n": "line 2: endpoints.gpu: 'gpu.local' should look like http://host:8000/v1",
    "endpoints:\n  gpu: {url: 'http://me:s3cret@gpu/v1'}\n": "must not hold a password",
    "endpoints:\n  gpu: {url: 'htp://me:s3cret@gpu/v1'}\n": "'htp://•••@gpu/v1' should look like http://host:8000/v1",
    "endpoints:\n  gpu: {url: 'me:s3cret@gpu:1/v1'}\n": "'•••@gpu:1/v1' should look like",
    "endpoints:\n  gpu: {url: 'http://gpu:99999/v1?k=s3cret'}\n": "'http://gpu:99999/v1?•••' should look like",
    "endpoints:\n  gpu: {url: 'http://[gpu/v1?k=s3cret'}\n": "'http://[gpu/v1?•••' should look like",
    "endpoints:\n  x: {url: 'http://gpu/v1', scenario: stall}\n": "line 2: endpoints.x: give either `url`, or",
    "endpoints:\n  x: {options: {seed: 1}}\n": "name its `scenario`",
    "endpoints:\n  ../x: {}\n": "line 2: endpoints.../x: '../x' cannot be a name",
    "worlds:\n  new: {python: '3.12'}\n": "line 2: worlds.new: a world of its own needs `requirements`",
    "parameters:\n  TIMEOUT: 2\n  API_KEY: abc\n": "line 1: the whole",
    "parameters: {BASE_URL: x}\n": "add the server under endpoints",
    "limits:\n  cell: 0\n": "line 2: limits.cell: Input should be greater than 0",
    "endpoints: {}\n": "at least one endpoint",
    f"worlds: {{{'w' * 101}: {{}}}}\n": "cannot be a name",
    f"parameters: {{A: [1, {'x' * 1001}]}}\n": "a text has more than 1,000 characters",
    f"include: [{{world: {'x' * 1001}}}]\n": "a text has more than 1,000 characters",
    f"notebooks: [{'x' * 1001}]\n": "line 1: notebooks: a text has more than 1,000 characters",
    f"outputs: {'x' * 1001}\n": "line 1: outputs: a text has more than 1,000 characters",
    f"endpoints: {{x: {{model: {'x' * 1001}}}}}\n": "a text has more than 1,000 characters",
    "exclude: [{world: []}]\n": "a rule names no world; name one, or leave it out",
    'history: "a\\0b"\n': "line 1: history: a path has no control character",
    'outputs: "memory://a\\nb"\n': "line 1: outputs: a path has no control character",
    'folder: "\\x1b"\n': "line 1: folder: a path has no control character",
    'worlds: {x: {requirements: "\\0"}}\n': "worlds.x.requirements: a path has no control character",
    'worlds: {x: {requirements: a, on_top: ["\\0"]}}\n': "worlds.x.on_top: a path has no control",
    'worlds: {x: {requirements: a, python: "\\0"}}\n': "worlds.x.python: a path has no control",
    "- 1\n": "line 1: the whole",
    "parameters:\n  A: 1\n  B:\n  - on\n": "line 4: parameters: 'on' is a truth value or text, by the version of YAML; write true, or \"on\" in quotes for the text.",
    "parameters: {A: No}\n": "write false, or",
    "limits:\n  cell: 1:30\n": "line 2: limits.cell: '1:30' is a number to the base of 60 or text, by the version of YAML; write 90, or",
    "retries: 01\n": "'01' is an octal or a decimal number, by the version of YAML; write 1, or",
    "exclude: [{TIMEOUT: [08]}]\n": "'08' is an octal or a decimal number, by the version of YAML; write 8, or",
    "endpoints: {x: {scenario: s, options: {gap: off}}}\n": "endpoints.x.options: 'off' is a truth value",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_reported_with_its_line_and_key(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        load(_written(tmp_path, text))
    assert WRONG[text] in str(raised.value)
    assert "s3cret" not in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


NUMBERS = {
    "5e-1": 0.5, "1e3": 1000.0, "1E+3": 1000.0, "-2.5e-3": -0.0025, ".5": 0.5, "5.": 5.0, "12": 12, "+1": 1,
    "1_000": 1000, "0o17": 15, "0x1F": 31, "0b11": 3, ".inf": float("inf"), "0": 0, "0.0": 0.0,
}  # fmt: skip
TEXTS = [
    "2026-01-01",
    "2026-01-01T10:00:00Z",
    "1.2.3",
    "=",
    "llama3:8b",
    "e3",
    "1e",
    "y",
    "0xg",
    "-",
    ".",
]
OTHERS = {
    "true": True,
    "False": False,
    "~": None,
    "null": None,
    "''": "",
    "'5e-1'": "5e-1",
    '"no"': "no",
}


@pytest.mark.parametrize(
    ("word", "value"), [*NUMBERS.items(), *zip(TEXTS, TEXTS, strict=True), *OTHERS.items()]
)
def test_a_value_is_a_number_where_it_looks_like_one_and_text_otherwise(
    word: str, value: object, tmp_path: Path
) -> None:
    (read,) = load(_written(tmp_path, f"parameters: {{A: [{word}]}}\n")).parameters["A"]
    assert (type(read), read) == (type(value), value)


def test_names_are_the_text_as_it_stands_even_if_it_looks_like_a_number(tmp_path: Path) -> None:
    config = load(
        _written(
            tmp_path,
            """
            endpoints: {no: {}, 2026: {url: "http://x/v1", model: 1e3}}
            worlds: {3.10: {python: 3.10, requirements: off}}
            notebooks: [01, 08, 10]
            exclude: [{notebook: [01, 1:30], world: 3.10, TIMEOUT: 5e-1}]
            outputs: on
            """,
        )
    )
    assert list(config.endpoints) == ["no", "2026"]
    assert config.endpoints["2026"].model == "1e3"
    assert (config.worlds["3.10"].python, config.worlds["3.10"].requirements) == ("3.10", "off")
    assert config.notebooks == ["01", "08", "10"]
    assert config.exclude == [{"notebook": ["01", "1:30"], "world": ["3.10"], "TIMEOUT": [0.5]}]
    assert config.outputs == "on"


def test_a_parameter_like_a_secret_is_refused_and_its_value_not_repeated(
    tmp_path: Path,
) -> None:
    with pytest.raises(ConfigError, match="API_KEY looks like a secret") as raised:
        load(_written(tmp_path, "parameters: {API_KEY: sk-1234567}\n"))
    assert "sk-1234567" not in str(raised.value)


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"cannot be read: No such file or directory; name a configuration with --config\.",
    ):
        load(tmp_path / "none.yaml")


def test_the_example_in_the_docs_is_a_configuration() -> None:
    text = (ROOT / "docs" / "regress.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    found = cells(Config.model_validate(yaml.safe_load(example)), ROOT)
    numbers = {(cell.endpoint, cell.notebook.name[:2]) for cell in found}
    assert ("bundled", "10") in numbers
    assert ("gpu", "08") in numbers
    assert ("deaf", "10") not in numbers


NINE = ",".join(["*a"] * 9)
STRANGE: dict[str, bytes] = {
    "billion laughs": b"a0: &a0 [x]\n"
    + b"".join(
        f"a{i}: &a{i} [{NINE.replace('*a', f'*a{i - 1}')}]\n".encode() for i in range(1, 12)
    ),
    "a billion merges": b"a0: &a0 {x: 1}\n"
    + b"".join(
        f"a{i}: &a{i} {{<<: [{NINE.replace('*a', f'*a{i - 1}')}]}}\n".encode() for i in range(1, 12)
    ),
    "deep": b"a: " + b"[" * 5000 + b"]" * 5000,
    "recursive": b"parameters: &a {b: *a}\n",
    "a long number": b"jobs: " + b"9" * 5000,
    "a long octal number": b"jobs: 0" + b"9" * 5000,
    "a tag for another value": b"jobs: !!int " + b"9" * 5000,
    "a tag without a value": b"jobs: !!timestamp x",
    "not UTF-8": b"jobs: \xff\xe9",
    "a control character": b"jobs: \x01",
    "an escape in a key": b'"\\e[2J\\x9b31m": 1',
    "an escape in a key, twice": b'"a\\n\\e[2J": 1\n"a\\n\\e[2J": 1',
    "an escape in a value": b'endpoints: {x: {url: "\\e[2J\\n\xe2\x80\xae"}}',
    "a tag that runs code": b"a: !!python/object/apply:os.system [true]",
    "large": b"a: x\n" * 300_000,
}


@pytest.mark.parametrize("data", STRANGE.values(), ids=STRANGE)
def test_a_stranger_s_file_is_refused_in_one_sentence_and_at_once(
    data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "regress.yaml"
    path.write_bytes(data)
    began = time.monotonic()
    with pytest.raises(ConfigError) as raised:
        load(path)
    assert str(raised.value).isprintable()
    assert len(str(raised.value).removeprefix(str(path))) < 600
    assert time.monotonic() - began < 10
