"""Settings on the command line and in YAML, and their errors."""

import json
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from fake_vllm import config
from fake_vllm.settings import Settings, SettingsError, make
from fake_vllm.testing import FakeVllm
from fake_vllm.vllm_flags import translate
from tests.fake_vllm.test_cli import run

BOMB = "a0: &a0 {k: 1, l: 2}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 6)
)
"""Merge keys, each of which copies nine times what the one before it has."""


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("scenario: finite\ngap_sm: 3\n", 2, "There is no setting gap_sm. Did you mean gap_ms"),
        (
            "port: 8000\n\nscenario: stal:after=2\n",
            3,
            "There is no scenario 'stal'. Did you mean stall",
        ),
        ("max_num_seqs: 0\n", 1, "max_num_seqs: Input should be greater than or equal to 1"),
        ("gap_ms: fast\n", 1, "'fast' is not a timing in milliseconds"),
        ("rules:\n  - scenario: endless\n    strem: true\n", 3, "rules.0.strem"),
        (
            "rules:\n  - scenario: endless\n  - path: /v1\n",
            3,
            "rules.1: a rule needs an effect: scenario, say",
        ),
        ("scenario: [\n", 2, "not valid YAML"),
        ("- a\n", 1, "write a mapping of settings"),
        ("a: !!python/object/apply:os._exit [3]\n", 1, "not valid YAML: could not determine"),
        ("b: " + "[" * 20 + "]" * 20, 1, "There is no setting b"),
        ("a: &a [*a, *a]\n", 1, "more than 30 levels deep; write it flatter"),
        ("text:\n- " + "[" * 30 + "]" * 30, 2, "more than 30 levels deep; write it flatter"),
        (BOMB, 1, "more than 100,000 values, with aliases counted; write it with fewer"),
        ("seed: 1" + ":59" * 40, 1, "a number has at most 100 characters"),
    ],
)
def test_an_invalid_setting_is_named_with_its_line(
    text: str, line: int, says: str, tmp_path: Path
) -> None:
    file = tmp_path / "fake.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        config.read(file, {})
    message = str(caught.value)
    assert message.startswith(f"{file}, line {line}: ")
    assert says in message
    assert "\n" not in message


def test_a_setting_may_use_an_alias_and_a_merge_key(tmp_path: Path) -> None:
    file = tmp_path / "fake.yaml"
    file.write_text(
        "rules:\n- &slow {scenario: stall, prompt: slow, model: m}\n- {<<: *slow, prompt: late}\n"
    )
    assert [rule.prompt for rule in config.read(file, {}).rules] == ["slow", "late"]
    file.write_text("rules:\n" + "- {scenario: stall, prompt: x}\n" * 2100)
    assert len(config.read(file, {}).rules) == 2100


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    done = run("--config", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert (
        done.stderr
        == f"fake-vllm: Cannot read {tmp_path / 'none.yaml'}: No such file or directory.\n"
    )


def test_a_file_keeps_what_python_does_not_set(tmp_path: Path) -> None:
    file = tmp_path / "fake.yaml"
    file.write_text("scenario: finite:tokens=3\nserved_model_name: of-the-file\ngap_ms: 1\n")
    with FakeVllm(config=file) as fake, httpx2.Client(trust_env=False) as client:
        assert fake.model == "of-the-file"
        body = {"model": fake.model, "messages": [{"role": "user", "content": "Hi"}]}
        answer = client.post(f"{fake.base_url}/chat/completions", json=body).json()
        assert answer["usage"]["completion_tokens"] == 4
    with FakeVllm("finite:tokens=1", model="mine", config=file) as fake:
        assert fake.model == "mine"


def test_flags_win_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "fake.yaml"
    file.write_text("served_model_name: of-the-file\nscenario: endless\n")
    settings = config.read(file, {"served_model_name": "of-the-flag"})
    assert (settings.model, settings.scenario) == ("of-the-flag", "endless")


def test_a_rule_chooses_the_scenario_by_the_request(tmp_path: Path) -> None:
    file = tmp_path / "fake.yaml"
    file.write_text(
        "rules:\n- {scenario: 'refuse:status=429,times=0', prompt: secret}\n- {scenario: 'finite:tokens=2', stream: false}\n"
    )
    with (
        FakeVllm("finite:tokens=5", gap=0, config=file) as fake,
        httpx2.Client(trust_env=False) as client,
    ):

        def ask(content: str, *, stream: bool) -> httpx2.Response:
            body = {"messages": [{"role": "user", "content": content}], "stream": stream}
            return client.post(f"{fake.base_url}/chat/completions", json=body)

        assert ask("my secret", stream=True).status_code == 429
        assert ask("hello", stream=False).json()["usage"]["completion_tokens"] == 3
        assert ask("hello", stream=True).text.count("data: ") == 1 + 5 + 1 + 1


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--prot", "1"], "--prot"),
        (["--port", "x"], "--port: Input should be a valid integer"),
        (["--port", "70000"], "--port: Input should be less than or equal to 65535"),
        (["--scenario", "stall:aftr=2"], "has no parameter 'aftr'. Did you mean after"),
        (["--allowed-origins", "[1"], "'[1' is not a JSON list"),
        (["--enable-auto-tool-choice"], "needs --tool-call-parser"),
        (["--tool-call-parser", "mistral"], "Input should be 'hermes'"),
        (["--gap-ms", "normal:3"], "normal:10/2"),
        (["--gap-ms", "trace:/nowhere.json"], "Cannot read the trace '/nowhere.json'"),
        (["--text", "/nowhere.txt"], "Cannot read /nowhere.txt"),
        (["--scenario", "replay:file=/nowhere.json"], "Cannot read /nowhere.json"),
        (["--text", "/dev/null"], "/dev/null is empty"),
        (["--served-model-name", ""], "--served-model-name: a text is empty"),
        (["--served-model-name", "a", " "], "--served-model-name: a text is empty"),
        (["--api-key", ""], "--api-key: a text is empty"),
        (["--api-key", "[sk-canary"], "--api-key: the key is not a JSON list."),
        (["--admin-key", " "], "--admin-key: the text is empty"),
        (["--allowed-host", ""], "--allowed-host: a text is empty"),
        (["--host", ""], "--host: a text is empty"),
        (["--phrase", ""], "--phrase: the text is empty"),
        (["--scenario", "repeat:phrase="], "phrase: the text is empty"),
        (["--scenario", 'endless+repeat:phrase=" "'], "phrase: the text is empty"),
        (["--scenario", "wrong_model:model="], "model: the text is empty"),
        (["--files", "/nowhere"], "--files: '/nowhere' is not a folder"),
        (["--uds", "/nowhere/socket"], "Cannot listen on /nowhere/socket"),
        (["--uds", "/tmp/" + "x" * 120], "AF_UNIX path too long. Choose another path"),
        (["--host", "a" * 80 + ".com"], "Cannot listen on aaaa"),
        (["--on-disconnect", "maybe"], "Input should be 'abort' or 'keep'"),
        (["--rules", "[{]"], "--rules: not valid JSON"),
        (["--rules", '{"say": "x", "promt": "y"}'], "rules.0.promt"),
        (["fly"], "'fly'"),
    ],
)
def test_bad_flags_are_one_sentence_and_status_2(flags: list[str], says: str) -> None:
    done = run("--port", "0", *flags) if "--port" not in flags else run(*flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_schema_is_published_and_is_that_of_the_settings() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fake_vllm.cli", "schema"],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    schema = json.loads(done.stdout)
    assert schema["properties"].keys() == Settings.model_fields.keys()
    assert all("description" in field for field in schema["properties"].values())


def test_every_flag_is_in_the_help() -> None:
    text = run("--help").stdout
    assert all(f"--{name.replace('_', '-')}" in text for name in Settings.model_fields)


def test_vllms_own_flags_keep_their_names() -> None:
    names = "host port uds ssl_certfile allowed_origins enable_force_include_usage ssl_keyfile served_model_name max_model_len max_num_seqs max_num_queued_reqs max_num_queued_tokens api_key"
    names += " enable_auto_tool_choice tool_call_parser enable_request_id_headers enable_prompt_tokens_details sse_keep_alive_interval"
    assert set(names.split()) <= Settings.model_fields.keys()


def test_settings_can_be_given_as_text() -> None:
    assert make({"port": "0", "gap_ms": 3}).gap_ms == "3"


@pytest.mark.parametrize(
    ("text", "length"),
    [("32k", 32_000), ("32K", 32_768), ("25.6k", 25_600), ("1m", 10**6), ("auto", 32_768)],
)
def test_a_context_length_is_read_as_vllm_reads_it(text: str, length: int) -> None:
    assert make({"max_model_len": text}).max_model_len == length


def test_a_fraction_of_a_binary_unit_is_refused_as_by_vllm() -> None:
    with pytest.raises(SettingsError, match=r"--max-model-len: '1.5K' has a fraction; write 1.5k"):
        make({"max_model_len": "1.5K"})


def test_a_command_line_of_vllms_is_understood() -> None:
    words = "serve org/model -tp 2 --dtype=bfloat16 --gpu_memory_utilization 0.9 --workers 2"
    words += " -O3 -O 2 -O.mode=3 --lora-modules a b --enforce-eager --compilation-config.level 3 --port 1 --seed 7"
    known = ["--port", "--seed"]
    line = translate(words.split(), known)
    assert line.model == "org/model"
    assert line.arguments == ["--port", "1", "--seed", "7"]
    assert line.ignored == [
        "-tp",
        "--dtype",
        "--gpu-memory-utilization",
        "--workers",
        *("-O", "-O", "-O"),
        "--lora-modules",
        "--enforce-eager",
        "--compilation-config.level",
    ]
    assert translate(["--model", "m", "--fly", "x"], known).arguments == ["--fly", "x"]
    assert translate(["scenarios"], known).arguments == ["scenarios"]


def test_vllms_flags_and_variables_make_the_server_that_they_describe(tmp_path: Path) -> None:
    with (
        FakeVllm(
            served_model_name=["first's", "second"],
            api_key=["one", "two"],
            enable_force_include_usage=True,
            workers=4,
        ) as fake,
        httpx2.Client(trust_env=False, base_url=fake.base_url) as client,
    ):
        assert client.get("/models").status_code == 401
        for key, model in (("one", "first's"), ("two", "second")):
            client.headers["authorization"] = f"Bearer {key}"
            body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            events = client.post("/chat/completions", json=body).text.split("\n\n")
            assert json.loads(events[1][6:])["model"] == fake.model == "first's"
            assert json.loads(events[-3][6:])["usage"]["completion_tokens"] == 41
        assert [card["id"] for card in client.get("/models").json()["data"]] == [
            "first's",
            "second",
        ]
        wrong = client.post("/chat/completions", json={**body, "model": "third"}).json()
        assert "Valid aliases: first's, second." in wrong["error"]["message"]
