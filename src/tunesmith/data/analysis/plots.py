"""Plots and style of a page that needs nothing else: SVG in the page's own colours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import Any

STYLE = "page.css"


def render(
    package: str, name: str, filters: Mapping[str, Callable[..., str]], **values: Any
) -> str:
    """The page that the Jinja template `name` in the folder of `package` makes of `values`.

    Every text in it is escaped. Beside the values it gets the style sheet, on one line, and what a
    Content-Security-Policy calls that, without its `sha256-`.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    style = files("tunesmith.data.analysis").joinpath(STYLE).read_text(encoding="utf-8")
    style = " ".join(style.split())
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    page = environment.get_template(name)
    return page.render(style=_safe(style), style_hash=digest, **values)


def svg(plot: Any) -> Any:
    """The plot as SVG, whose colours are the page's, and so follow a light or dark background."""
    import vl_convert

    themed = (
        plot.properties(
            autosize={"type": "fit-x", "contains": "padding"},
            background="transparent",
            padding={"left": 14, "top": 4, "right": 8, "bottom": 2},
        )
        .configure(font="system-ui, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(
            labelColor="var(--text)",
            titleColor="var(--dim)",
            gridColor="var(--line)",
            domainColor="var(--line)",
            tickColor="var(--line)",
            labelFontSize=11,
            titleFontSize=11,
            titleFontWeight="normal",
            titlePadding=8,
        )
    )
    return _safe(vl_convert.vegalite_to_svg(themed.to_dict()))


def _safe(markup: str) -> Any:
    """Markup of our own, which isn't escaped again."""
    from markupsafe import Markup

    return Markup(markup)
