"""The page of an audit, self-contained: a template of the audit's own inside the frame that all of them share."""

from __future__ import annotations

from typing import Any

from ult.host.extras import require

with require("jinja2", extra="audit"):
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

FRAME = __name__.rpartition(".")[0]  # the package that has the frame, its parts and its style


def page(package: str, template: str, **values: Any) -> str:
    """Return the HTML of `template`, which stands in `package` and extends `frame.html`; all values are escaped."""
    made: str = templates(package, FRAME).get_template(template).render(**values)
    return made


def templates(*packages: str) -> Environment:
    """Return the templates of these packages, the first that has one; all values are escaped, and none may lack."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(package, "") for package in packages]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
