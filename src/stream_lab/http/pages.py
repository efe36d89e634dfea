"""HTML pages from templates in the packages."""

from importlib.resources import files

from jinja2 import Environment, StrictUndefined


def render(package: str, name: str, **facts: object) -> str:
    """Render a page.

    Facts are escaped. A fact that the template uses and does not get is an error.
    """
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(
        files(package).joinpath(name).read_text(encoding="utf-8")
    ).render(**facts)
