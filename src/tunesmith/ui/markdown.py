"""Texts of others where Streamlit reads Markdown: shown as they are, whatever stands in them."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+\-!|<>~$^=&]")
_NUMBERED = re.compile(r"^([^\S\n]*\d+)\.", re.MULTILINE)
_INDENTED = re.compile(r"^[ \t]+", re.MULTILINE)
_LINES = re.compile(r"(?<!\s)\s{2,}")
_SHORTCODE = re.compile(r":(?=[\w/+-]+:|\w+\\?\[)")

_EMAIL = re.compile(r"(?<=[\w.+-])@(?=[\w-]+(?:\.[\w-]+)+)")

_JOINER = "\N{WORD JOINER}"
"""Of no width. Streamlit looks for `:material/name:` and addresses of mail after backslashes were
read: they don't help."""


def as_it_is(text: object) -> str:
    """`text` as Markdown that shows exactly it: no emphasis, formula, link, HTML, icon or list."""
    plain = _INDENTED.sub(lambda found: "\N{NO-BREAK SPACE}" * len(found[0]), str(text).strip())
    plain = _SHORTCODE.sub(f":{_JOINER}", plain)
    plain = _EMAIL.sub(f"{_JOINER}@", plain)
    plain = _MARKUP.sub(r"\\\g<0>", plain)
    plain = _NUMBERED.sub(r"\1\\.", plain)
    # White space with an empty line in it as nothing but that; other white space as it is.
    plain = _LINES.sub(lambda gap: "\n\n" if gap[0].count("\n") > 1 else gap[0], plain)
    return plain.replace("\n", "  \n").replace("  \n  \n", "\n\n")


def in_badge(text: object) -> str:
    """The same for `st.badge`, which puts a backslash before brackets itself."""
    return as_it_is(text).replace(r"\[", "[").replace(r"\]", "]")


def code(text: object) -> str:
    """`text` as a piece of code on one line, also one with backticks in it."""
    line = " ".join(str(text).split())
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    # CommonMark takes one space off at each end, if there is one at both.
    space = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{space}{line}{space}{fence}" if line else ""
