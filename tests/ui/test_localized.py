"""Texts of others where Markdown is read."""

from __future__ import annotations

from tunesmith.ui.markdown import as_it_is, code


def test_markup_in_a_text_of_others_is_shown_as_it_is() -> None:
    shown = as_it_is("*a* _b_ $c$ [d](e) <b> :material/home: `f`")
    for escaped in (r"\*a\*", r"\$c\$", r"\<b\>", r"\[d\]"):
        assert escaped in shown
    assert ":material" not in shown.replace(":\N{WORD JOINER}", "")
    assert "a@b.org" not in as_it_is("a@b.org")
    assert as_it_is("reviews@3") == "reviews@3"
    assert as_it_is("1. one") == r"1\. one"
    assert code("a `b` c") == "``a `b` c``"
