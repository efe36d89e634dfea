"""HTML pages from templates in the packages."""

from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined

from stream_lab.untrusted import printable


def render(package: str, name: str, **facts: object) -> str:
    """Render a page.

    Facts are escaped, and so are their characters that cannot be printed. A fact that the template
    uses and does not get is an error. A template imports another one by its package and name, as
    "stream_lab.notebooks/parts.html.j2".
    """
    environment = Environment(
        autoescape=True,
        finalize=lambda fact: printable(fact) if type(fact) is str else fact,
        loader=FunctionLoader(_load),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(f"{package}/{name}").render(**facts)


def _load(place: str) -> str:
    package, _, name = place.partition("/")
    return files(package).joinpath(name).read_text(encoding="utf-8")
