"""System prompt and prompt template in a model's own chat template: whoever reads that asks so."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from tests.chat_families import FAMILIES, Family, chat_tokenizer, save_chat_model

from tunesmith.serving.exporters.gguf import write_gguf
from tunesmith.tasks.tokens.framing import Framing

ODD = "Say \"x\" 'y' {% if %} {{ z }} {# c #} \\n \\ ü 😀 %}\n\ttwo </s> \x07 end  "
"""What could be taken for something of the template's own, or be lost in it."""
FRAMING = Framing(system_prompt=ODD, prompt_template='  %} "Is" {review}\n{{ \\t {review}? é ')
CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "hello {review} {{ x }}"}],
    [
        {"role": "system", "content": "Mine."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "why"},
    ],
]


def written_out(chat: list[dict[str, str]], framing: Framing) -> list[dict[str, str]]:
    """`chat` with what the framing puts around it."""
    turns = [
        {**turn, "content": framing.filled(turn["content"])} if turn["role"] == "user" else turn
        for turn in chat
    ]
    given = turns[0]["role"] == "system"
    return turns if given else [{"role": "system", "content": ODD}, *turns]


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_a_chat_template_puts_system_prompt_and_prompt_template_around_messages(
    family: Family,
) -> None:
    tokenizer = chat_tokenizer(family, ["hello"])

    def rendered(chat: list[dict[str, str]], template: str, *, opened: bool) -> Any:
        return tokenizer.apply_chat_template(
            chat, chat_template=template, tokenize=False, add_generation_prompt=opened
        )

    # What comes before the first tag: spaces and line breaks that go or stay by Jinja's own rules.
    for before in ("", "\n", "  {% if true %}  x\n{% endif %}\n"):
        template = before + family.template
        for chat in CHATS:
            for opened in (True, False):
                expected = rendered(written_out(chat, FRAMING), template, opened=opened)
                assert rendered(chat, FRAMING.into(template), opened=opened) == expected


def test_without_anything_to_put_around_the_template_stays_as_it_is() -> None:
    template = FAMILIES["qwen-3"].template
    assert Framing().into(template) == template
    assert Framing(prompt_template="{a} or {b}?").into(template) == template
    assert Framing(thinks=True).into(FAMILIES["gemma"].template) == FAMILIES["gemma"].template


@pytest.mark.parametrize("name", ["llama-3", "gemma", "qwen-3"])
def test_llama_cpp_reads_the_template_as_transformers_does(name: str, tmp_path: Path) -> None:
    import xllamacpp
    from transformers import AutoModelForCausalLM, AutoTokenizer

    family, framing = FAMILIES[name], Framing(ODD, FRAMING.prompt_template, thinks=True)
    save_chat_model(tmp_path, family, ["hello"], architecture="llama", generation={})
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    tokenizer.chat_template = framing.into(family.template)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    write_gguf(model, tokenizer, [tokenizer.eos_token_id], tmp_path / "m.gguf", "float32")
    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(tmp_path / "m.gguf")
    parameters.n_ctx = 256
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    for chat in CHATS:
        assert _rendered(server, chat) == tokenizer.apply_chat_template(
            written_out(chat, framing),
            chat_template=family.template,
            tokenize=False,
            add_generation_prompt=True,
        )


def _rendered(server: Any, chat: list[dict[str, str]]) -> str:
    """What llama.cpp's server makes of a chat."""
    request = urllib.request.Request(
        f"{server.listening_address}/apply-template",
        data=json.dumps({"messages": chat}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answered:
        return str(json.load(answered)["prompt"])


def test_what_is_put_around_a_chat_is_said_in_words() -> None:
    assert not list(Framing().sentences())
    system, template = Framing("Be kind.", "Is {x} good?").sentences("server")
    assert system == 'the server puts this system prompt before chats that have none: "Be kind."'
    assert template == 'the server puts what the user says into "Is {x} good?"'
    (several,) = Framing(None, "{a} or {b}?").sentences()
    assert "the client must fill it in" in several
