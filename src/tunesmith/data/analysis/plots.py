"""Plots and style of a page that needs nothing else: SVG in the page's own colours."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any

STYLE = "page.css"


def page_style() -> str:
    """The style sheet, on one line."""
    style = files("tunesmith.data.analysis").joinpath(STYLE).read_text(encoding="utf-8")
    return " ".join(style.split())


def page_template(package: str, name: str, **filters: Callable[..., str]) -> Any:
    """The Jinja template `name` in the folder of `package`: every text in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)


def style_hash(style: str) -> str:
    """What a Content-Security-Policy calls `style`, without its `sha256-`."""
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


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
    return safe(vl_convert.vegalite_to_svg(themed.to_dict()))


def safe(markup: str) -> Any:
    """Markup of our own, which isn't escaped again."""
    from markupsafe import Markup

    return Markup(markup)
