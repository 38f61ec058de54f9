"""What a task puts around a chat: a system turn, and the template that what the user says fills.

Written into the model's own chat template, whoever reads that (transformers, vLLM, llama.cpp) asks
as the adapter was trained: with messages alone, and with no setting of their own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tunesmith.messages import say

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
"""Where a column's value goes in a template."""

_SYSTEM = (
    "{{%- if not messages or messages[0]['role'] != 'system' %}}"
    "{{%- set messages = [{{'role': 'system', 'content': {system}}}] + messages %}}"
    "{{%- endif %}}"
)
_PROMPT = (
    "{{%- set filled = namespace(messages=[]) %}}"
    "{{%- for message in messages %}}"
    "{{%- if message['role'] == 'user' and message['content'] is string %}}"
    "{{%- set filled.messages = filled.messages"
    " + [{{'role': 'user', 'content': {prompt}}}] %}}"
    "{{%- else %}}{{%- set filled.messages = filled.messages + [message] %}}{{%- endif %}}"
    "{{%- endfor %}}"
    "{{%- set messages = filled.messages %}}"
)
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n", "\r": r"\r", "\t": r"\t"})


@dataclass(frozen=True)
class Framing:
    """A system prompt and a prompt template; None where there is none."""

    system_prompt: str | None = None
    prompt_template: str | None = None
    thinks: bool | None = None
    """Whether answers begin with thoughts, whatever the template's reader sets (llama.cpp always
    sets something); None leaves it to the template."""

    @property
    def fills(self) -> bool:
        """Whether what a user says in a chat fills the prompt template: it has one column."""
        return len(set(PLACEHOLDER.findall(self.prompt_template or ""))) == 1

    def filled(self, said: str) -> str:
        """What a user says in a chat, as it was learned."""
        if self.prompt_template is None or not self.fills:
            return said
        return PLACEHOLDER.sub(lambda _: said, self.prompt_template)

    def into(self, chat_template: str) -> str:
        """`chat_template`, which puts this around the messages that it is given."""
        steps = []
        if self.thinks is not None and "enable_thinking" in chat_template:
            steps.append(f"{{%- set enable_thinking = {str(self.thinks).lower()} %}}")
        if self.prompt_template is not None and self.fills:
            texts = map(_quoted, PLACEHOLDER.split(self.prompt_template)[::2])
            steps.append(_PROMPT.format(prompt=" + message['content'] + ".join(texts)))
        if self.system_prompt:
            steps.append(_SYSTEM.format(system=_quoted(self.system_prompt)))
        # The line break isn't written: the first one after a statement never is (trim_blocks). With
        # it the template still begins on a line of its own, so its first spaces go as before.
        return "\n".join(("".join(steps), chat_template)) if steps else chat_template

    def sentences(self, by: str = say("chat template")) -> Iterator[str]:
        """What somebody should know who asks; `by` is what puts this around chats."""
        if self.system_prompt:
            said = json.dumps(self.system_prompt, ensure_ascii=False)
            yield say(
                "the {who} puts this system prompt before chats that have none: {said}",
                who=by,
                said=said,
            )
        if self.prompt_template is None:
            return
        template = json.dumps(self.prompt_template, ensure_ascii=False)
        if self.fills:
            yield say(
                "the {who} puts what the user says into {template}", who=by, template=template
            )
        else:
            yield say(
                "the user's turns were trained as {template}: it has several columns, so "
                "the client must fill it in",
                template=template,
            )

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "system_prompt": self.system_prompt,
            "prompt_template": self.prompt_template,
            "fills_prompt_template": self.fills,
        }


def _quoted(text: str) -> str:
    """`text` as a string of Jinja, with no escapes but those that llama.cpp knows too."""
    return f'"{text.translate(_ESCAPES)}"'
