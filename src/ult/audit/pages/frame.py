"""The page of an audit, self-contained: a template of the audit's own inside the frame that all of them share."""

from __future__ import annotations

from typing import Any

from ult.host.extras import require

with require("jinja2", extra="audit"):
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

FRAME = __name__.rpartition(".")[0]  # the package that has the frame, its parts and its style


def page(package: str, template: str, **values: Any) -> str:
    """Return the HTML of `template`, which stands in `package` and extends `frame.html`; all values are escaped."""
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(package, ""), PackageLoader(FRAME, "")]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made: str = environment.get_template(template).render(**values)
    return made
