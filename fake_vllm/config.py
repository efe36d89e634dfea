"""Settings from a YAML file, whose errors name the line."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fake_vllm.settings import Settings, SettingsError, make

LONGEST_NUMBER = 100  # characters; Python cannot print those of some thousand
DEEPEST = 30  # levels
MOST_VALUES = 100_000
"""Values of a file, with each alias counted as what it stands for.

Some lines of aliases of aliases stand for billions, and a merge key (`<<`) copies them all.
"""


def read(file: Path, more: dict[str, Any]) -> Settings:
    """Return the settings of a file; those in `more` override them.

    Raises:
        SettingsError: the file cannot be read, is not valid YAML, or a key or value is wrong; the
            text names line and key.
    """
    import yaml  # not needed without a file

    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        for line, fault in _faults(node):
            raise SettingsError(f"{file}, line {line}: {fault}.")
        values = {} if node is None else yaml.safe_load(text)
    except SettingsError:
        raise
    except OSError as error:
        raise SettingsError(f"Cannot read {file}: {error.strerror}.") from None
    except RecursionError:
        raise SettingsError(f"{file}: not valid YAML: it is nested too deeply.") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        at = f", line {mark.line + 1}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise SettingsError(f"{file}{at}: not valid YAML: {problem}.") from None
    # PyYAML's constructors let these out, as for `!!int x`.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        raise SettingsError(f"{file}: not valid YAML: a value does not fit its tag.") from None
    if not isinstance(values, dict):
        raise SettingsError(
            f"{file}, line 1: write a mapping of settings, for example `scenario: endless`."
        )
    try:
        make(values, where="{}")
    except SettingsError as error:
        raise SettingsError(f"{file}{_line(node, str(error))}: {error}") from None
    return make({**values, **more})


def _faults(node: Any) -> Iterator[tuple[int, str]]:
    """Yield the lines where a bound is exceeded, and what to do."""
    waiting, values = [(node, 0)], 0
    while waiting:
        each, level = waiting.pop()
        if isinstance(each, tuple):
            waiting += [(part, level) for part in each]
        elif each is not None:
            line, values = each.start_mark.line + 1, values + 1
            if level > DEEPEST:
                yield line, f"it is nested more than {DEEPEST} levels deep; write it flatter"
            if values > MOST_VALUES:
                words = f"it has more than {MOST_VALUES:,} values, with aliases counted"
                yield line, f"{words}; write it with fewer"
            if not isinstance(each.value, str):
                if each.tag.endswith(":int"):
                    yield line, "a number is not written as a mapping or a list"
                waiting += [(part, level + 1) for part in each.value]
            elif each.tag.endswith(":int") and len(each.value) > LONGEST_NUMBER:
                yield line, f"a number has at most {LONGEST_NUMBER} characters"


def _line(node: Any, message: str) -> str:
    """Return the line of the key that the message begins with, or names."""
    words = message.partition(":")[0].removeprefix("There is no setting ").split(".")
    line = None
    for word in words:
        if hasattr(node, "tag") and node.tag.endswith(":map"):
            entry = next(((key, value) for key, value in node.value if key.value == word), None)
        elif hasattr(node, "tag") and node.tag.endswith(":seq") and word.isdigit():
            entry = (node.value[int(word)], node.value[int(word)])
        else:
            entry = None
        if entry is None:
            break
        line, node = entry[0].start_mark.line + 1, entry[1]
    return f", line {line}" if line else ""
