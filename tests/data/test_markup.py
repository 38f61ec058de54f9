# ruff: noqa: RUF001
from __future__ import annotations

import pytest

from tunesmith.data.markup import strip_html


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a great<br /><br />movie", "a great movie"),
        ("<p class='x>y'>Hi <b>there</b></p><p>you</p>", "Hi there you"),
        ("an <i>un</i>believable film", "an unbelievable film"),
        ('<a href="x">link</a>.', "link."),
        ("Tom &amp; Jerry&#39;s &quot;&#x263A;&quot;", 'Tom & Jerry\'s "☺"'),
        ("<!-- hidden -->seen<SCRIPT>var a = '<b>';</SCRIPT>", "seen"),
        ("<!DOCTYPE html><html><body>x</body></html>", "x"),
        ("&lt;b&gt; stays", "<b> stays"),
        ("<br>", ""),
        ("<td nowrap>a</td><option selected>b", "a b"),
        ("<p align=center>置中</p><iframe src='x' anything></iframe>", "置中"),
        ("<img src=a.png alt=圖 /><input disabled>", ""),
        ("x<b>c</b>y 及 a<b 且 c>d", "xcy 及 a<b 且 c>d"),
        ("第一段<p>第二段", "第一段 第二段"),
    ],
)
def test_html_is_taken_out(text: str, expected: str) -> None:
    assert strip_html(text) == expected


@pytest.mark.parametrize(
    "text",
    ["a < b", "I <3 it", "x<y and z>w", "<|im_start|>user", "<user> said", "AT&T, R&D", "&unknown;",
     "a<b 且 c>d 的條件成立", "請先看這裡，x<b 而 c>y 才成立", "if a<b and c>d then stop",
     "若 i<u,s>q",
     "當 p<q and s=1>0", "a<b>c", "vector<i>x", "價格<100元>50元", "電話是 <請填寫> 謝謝",
     "<b 非 c>",
     "see ?a=1&copy=2", "an unclosed <!-- comment", "a <b c", "  spaces  ", "<script> is a tag"],
)  # fmt: skip
def test_what_is_no_html_stays_as_it_is(text: str) -> None:
    assert strip_html(text) == text


@pytest.mark.timeout(20)  # a search that goes back again and again would take minutes
@pytest.mark.parametrize(
    "part",
    ["<a ", "<a '", '<a "', "<!--", "<script>", "<p   ", "<!doctype", "&a", "a<b>a", "<b x "],
)
def test_text_made_to_be_slow_is_not(part: str) -> None:
    assert strip_html(part * 50_000).strip().startswith(part.strip()[0])
