"""What the service says, in the visitor's language.

The API gives messages: their templates are translated, and their values written as the language
has them. Records of versions before messages hold plain English, which is shown as a quotation.
"""

from __future__ import annotations

from tunesmith.errors import Problem, shorten
from tunesmith.messages import Message
from tunesmith.messages.catalogues import ENGLISH, translate, translated
from tunesmith.ui import markdown
from tunesmith.ui.language import _, language


def is_message(text: str) -> bool:
    """Whether `text` is said by the service, and not by people."""
    return isinstance(text, Message) or translate(text, language()) != text


def plain(text: str) -> str:
    """`text` of the service in the visitor's language, where no Markdown is read."""
    if isinstance(text, Message):
        return translated(text, language())
    return translate(text, language())


def text(text: str) -> str:
    """`text` of the service in the visitor's language, as Markdown that shows it as it is."""
    if language() == ENGLISH or not text.strip() or is_message(text):
        return markdown.as_it_is(plain(text))
    return _("The service says: ") + markdown.code(text.strip())


def problem(wrong: Problem) -> str:
    """What is wrong with a field, without the field's name, as Markdown that shows it as it is."""
    shown = text(wrong.message)
    if wrong.has_value:
        shown += _("; got {value}").format(value=markdown.code(shorten(wrong.value)))
    if wrong.accepted:
        shown += _("; accepted: {what}").format(what=markdown.as_it_is(plain(wrong.accepted)))
    if wrong.suggestion:
        shown += _("; did you mean {name}?").format(name=markdown.code(wrong.suggestion))
    return shown
