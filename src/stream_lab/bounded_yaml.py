"""YAML that a stranger may have written, within bounds of number and depth."""

import re

import yaml

from stream_lab.untrusted import one_line

MOST_VALUES = 10_000
"""Values of a file, with each alias counted as often as it stands for one: nine aliases of nine
aliases, ten times over, are a few lines that have no end. A merge key (`<<`) copies them all."""
DEEPEST = 30  # levels
LONGEST_NUMBER = 100  # characters; one to the base of 60, such as 1:59:59, costs their square
HALF = re.compile("[\ud800-\udfff]")
"""What `"\\ud800"` in quotes is, and no text that can be written."""


class NotYaml(ValueError):
    """What is wrong with a text as YAML, or which bound it exceeds.

    Attributes:
        line: the line, from 1. None: unknown.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which refuses a number that is too long to be meant."""

    def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
        # A mapping may have the tag as well, with its value under the key `=`.
        if len(self.construct_scalar(node)) > LONGEST_NUMBER:
            line = node.start_mark.line + 1
            raise NotYaml(f"a number has at most {LONGEST_NUMBER} characters", line)
        return int(super().construct_yaml_int(node))


BoundedLoader.add_constructor("tag:yaml.org,2002:int", BoundedLoader.construct_yaml_int)


def read_yaml(
    text: str, loader: type[BoundedLoader] = BoundedLoader
) -> tuple[yaml.Node | None, object]:
    """Read a text as YAML, within the bounds.

    Args:
        text: the text.
        loader: what makes values of its nodes.

    Returns:
        Its nodes, which have the lines, and its content; None and None for an empty text.

    Raises:
        NotYaml: it is not YAML, or exceeds a bound.
    """
    try:
        node = yaml.compose(text, yaml.SafeLoader)
        _check(node)
        return node, yaml.load(text, loader)  # noqa: S506 - a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise NotYaml(f"this is not YAML: {one_line(error.problem)}", line) from None
    except yaml.YAMLError as error:
        raise NotYaml(f"this is not YAML: {one_line(error)}") from None
    except RecursionError:
        raise NotYaml(_too_deep()) from None
    # PyYAML's constructors let these out, as for `!!int abc`.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        if isinstance(error, NotYaml):
            raise
        raise NotYaml("a value does not fit its tag") from None


def _check(node: yaml.Node | None, deep: int = 0, values: int = 0) -> int:
    """Count values, each alias as what it stands for.

    Raises:
        NotYaml: there are too many, or too many levels.
    """
    if node is None:
        return 0
    line, values = node.start_mark.line + 1, values + 1
    if deep > DEEPEST:
        raise NotYaml(_too_deep(), line)
    if values > MOST_VALUES:
        raise NotYaml(
            f"it has more than {MOST_VALUES:,} values, with aliases counted; write it with fewer",
            line,
        )
    if isinstance(node, yaml.ScalarNode) and HALF.search(node.value):
        raise NotYaml("a text has half of a surrogate pair; write the whole character", line)
    parts = node.value if isinstance(node, yaml.CollectionNode) else []
    for part in parts:
        for each in part if isinstance(part, tuple) else (part,):
            values = _check(each, deep + 1, values)
    return values


def _too_deep() -> str:
    return f"it is nested more than {DEEPEST} levels deep; write it flatter"
