"""Conversations as tokens: the same prompt when trained, judged and asked, and a learned end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.chat_families import FAMILIES, Family, chat_tokenizer
from tests.tasks.chats.chat_formats import (
    CHATML,
    END,
    FORGETS,
    LLAMA3,
    MISTRAL,
    NO_END,
    OPENS_OTHERWISE,
    byte_tokenizer,
)
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from tunesmith.errors import DataError, ModelError
from tunesmith.tasks.chats.encoding import encode_turns, fitted
from tunesmith.tasks.chats.format import LONG_CHAT, ChatFormat
from tunesmith.tasks.chats.messages import Message
from tunesmith.tasks.sft import SftOptions, SupervisedFineTuning

TALK: list[Message] = [
    {"role": "user", "content": "Hello?"},
    {"role": "assistant", "content": "Good day."},
    {"role": "user", "content": "為什麼?"},
    {"role": "assistant", "content": "因為 so."},
]
SYSTEM: Message = {"role": "system", "content": "Be brief."}
TEXTS = [turn["content"] for turn in TALK] + ["    indented\n        more", "\n\nafter lines"]
BY_NAME = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)


def answers(turns: list[Message], template: str) -> list[str]:
    """What is learned of a conversation."""
    tokenizer = byte_tokenizer(template)
    (found,) = ChatFormat(tokenizer).answers([turns])
    return [str(tokenizer.decode(turn.answer)) for turn in found]


def question(text: str) -> list[Message]:
    return [{"role": "user", "content": text}]


def pair(asked: str, answer: str) -> list[Message]:
    return [*question(asked), {"role": "assistant", "content": answer}]


@pytest.mark.parametrize("template", [CHATML, LLAMA3])
def test_every_answer_is_found_with_its_end(template: str) -> None:
    end = END[template]
    assert answers(TALK, template) == [f"Good day.{end}", f"因為 so.{end}"]
    assert answers([SYSTEM, *TALK[:2]], template) == [f"Good day.{end}"]


def test_an_answer_after_a_space_begins_with_it() -> None:
    assert answers(TALK, MISTRAL) == [" Good day.</s>", " 因為 so.</s>"]


def test_a_format_without_an_end_ends_answers_with_the_tokenizers() -> None:
    assert answers(TALK[:2], NO_END) == ["Good day.</s>"]
    assert not ChatFormat(byte_tokenizer(NO_END)).has_end
    with pytest.raises(ModelError, match="could not learn to stop"):
        ChatFormat(byte_tokenizer(NO_END, end=None))


def test_an_answer_that_cannot_be_told_from_the_rest_is_refused() -> None:
    with pytest.raises(ModelError, match="rewrites the text before an answer"):
        ChatFormat(byte_tokenizer(OPENS_OTHERWISE))


def test_a_conversation_that_the_format_refuses_is_said() -> None:
    with pytest.raises(ModelError, match="refuses a conversation: no system turns here"):
        ChatFormat(byte_tokenizer(MISTRAL)).prompts([[SYSTEM, *TALK[:1]]])


# -- every template family ----------------------------------------------------------------------


@BY_NAME
@pytest.mark.parametrize("thinking", ["off", "keep"])
@pytest.mark.parametrize("turns", [TALK[:2], TALK, [SYSTEM, *TALK]], ids=["one", "two", "system"])
def test_each_answer_is_learned_after_the_very_tokens_that_ask_for_it(
    family: Family, thinking: Any, turns: list[Message]
) -> None:
    chat_format = ChatFormat(tokenizer := chat_tokenizer(family, TEXTS), thinking)
    (found,) = chat_format.answers([turns])
    places = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    assert [turn.prompt for turn in found] == chat_format.prompts([turns[:n] for n in places])
    learned = []
    for example in encode_turns(found, 10_000):
        ids, labels = example["input_ids"], example["labels"]
        begins = [n for n in range(1, len(ids)) if labels[n] != -100 and labels[n - 1] == -100]
        assert example["prompt_length"] == begins[-1]
        assert example["targets"] == sum(label != -100 for label in labels)
        for begin in begins:
            end = next((n for n in range(begin, len(ids)) if labels[n] == -100), len(ids))
            assert labels[begin:end] == ids[begin:end]
            learned.append((ids[:begin], ids[begin:end]))
    assert learned == [(turn.prompt, turn.answer) for turn in found]
    assert {turn.answer[-1] for turn in found} == {chat_format.end}
    assert tokenizer.decode(chat_format.end) == family.end
    assert chat_format.texts([turn.answer for turn in found])[-1].endswith(turns[-1]["content"])


@BY_NAME
def test_answers_are_read_back_as_they_are_expected(family: Family) -> None:
    chat_format = ChatFormat(chat_tokenizer(family, TEXTS))
    for text in TEXTS:
        ((turn,),) = chat_format.answers([pair("What?", text)])
        assert chat_format.texts([turn.answer]) == [text.strip()]
        assert chat_format.ended(turn.answer)
        assert not chat_format.ended(turn.answer[:-1])


@BY_NAME
@pytest.mark.parametrize("asked", ["What? ", " What?", "What?\n", "What?  \n\n"])
@pytest.mark.parametrize("answer", ["yes", "    y = 1", "\n\nyes", "  \n yes"])
def test_spaces_around_question_and_answer_change_no_prompt(
    family: Family, asked: str, answer: str
) -> None:
    chat_format = ChatFormat(chat_tokenizer(family, [asked, answer, "\n    \n\n   "]))
    ((turn,),) = chat_format.answers([pair(asked, answer)])
    assert [turn.prompt] == chat_format.prompts([question(asked)])


def test_the_end_is_the_templates_own_where_the_tokenizers_is_another() -> None:
    family = FAMILIES["chatml-other-end"]
    chat_format = ChatFormat(tokenizer := chat_tokenizer(family, TEXTS))
    assert tokenizer.eos_token == "<|endoftext|>"
    assert tokenizer.convert_ids_to_tokens(chat_format.ends) == ["<|endoftext|>", "<|im_end|>"]


def with_plain_end(family: Family) -> Any:
    """The family's tokenizer, in which the token that ends an answer is not special."""
    tokenizer = chat_tokenizer(family, TEXTS)
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    for added in told["added_tokens"]:
        added["special"] = added["special"] and added["content"] != family.end
    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told)),
        bos_token=family.bos,
        eos_token=family.eos,
        pad_token=family.pad,
    )
    plain.chat_template = family.template
    return plain


@pytest.mark.parametrize("name", ["phi-3", "chatml-other-end", "gemma"])
def test_an_end_that_is_not_special_is_in_no_text(name: str, tmp_path: Path) -> None:
    tokenizer = with_plain_end(FAMILIES[name])
    chat_format = ChatFormat(tokenizer)
    ((turn,),) = chat_format.answers([pair("What?", "Four.")])
    end = FAMILIES[name].end
    assert tokenizer.decode(turn.answer, skip_special_tokens=True) == f"Four.{end}"
    assert chat_format.texts([turn.answer, turn.answer * 2]) == ["Four."] * 2
    SupervisedFineTuning(SftOptions()).prepare_tokenizer(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    for one in (tokenizer, AutoTokenizer.from_pretrained(tmp_path)):
        assert one.decode(turn.answer, skip_special_tokens=True) == "Four."
        assert one.decode(turn.answer) == f"Four.{end}"
        assert ChatFormat(one).answers([pair("What?", "Four.")]) == [[turn]]


def test_where_earlier_answers_are_rewritten_each_is_learned_by_itself() -> None:
    for template, examples in ((FORGETS, 2), (CHATML, 1)):
        (found,) = ChatFormat(byte_tokenizer(template)).answers([TALK])
        assert len(found) == 2
        assert len(encode_turns(found, 1000)) == examples
    for name, examples in (("phi-3", 1), ("qwen-3", 2), ("r1", 2), ("mistral-last", 2)):
        (found,) = ChatFormat(chat_tokenizer(FAMILIES[name], TEXTS)).answers([[SYSTEM, *TALK]])
        assert len(encode_turns(found, 1000)) == examples, name


def long_chat(exchanges: int, *, thoughts: bool = False) -> list[Message]:
    turns = [SYSTEM]
    for n in range(exchanges):
        thought = f"<think>\nHm {n}.\n</think>\n\n" if thoughts and n % 3 else ""
        turns += pair(f"What is {n}? ", f"{thought}{'  ' * (n % 2)}It is {n}.\n")
    return turns


@BY_NAME
@pytest.mark.parametrize("thinking", ["off", "keep"])
@pytest.mark.parametrize("begin", [0, 1])
def test_a_long_chat_has_the_very_tokens_of_its_answers_rendered_one_by_one(
    family: Family, thinking: Any, begin: int
) -> None:
    chat_format = ChatFormat(chat_tokenizer(family, TEXTS), thinking)
    turns = long_chat(LONG_CHAT + 11, thoughts=True)[begin:]
    (found,) = chat_format.answers([turns])
    places = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
    alone = [chat_format.answers([turns[: n + 1]], [1])[0] for n in places]
    assert [[turn] for turn in found] == alone
    assert [turn.prompt for turn in found] == chat_format.prompts([turns[:n] for n in places])
    assert chat_format.answers([turns], [3]) == [found[-3:]]


def test_a_chat_with_tools_or_a_format_that_counts_turns_has_them_too() -> None:
    number = "{% if message['role'] == 'user' %}({{ loop.index }}){% endif %}{{ message['content']"
    counted = CHATML.replace("{{ message['content']", number)
    longer = CHATML.replace("<|im_end|>", "{% if messages|length > 20 %}!{% endif %}<|im_end|>")
    tools: list[Message] = []
    for n in range(LONG_CHAT + 3):
        tools += [*pair(f"x{n}", "call"), {"role": "tool", "content": f"{n}"}, pair("", "so")[1]]
    for template in (CHATML, FORGETS, counted, longer):
        chat_format = ChatFormat(byte_tokenizer(template))
        for turns in (tools, long_chat(LONG_CHAT + 9), long_chat(30)[1:]):
            (found,) = chat_format.answers([turns])
            places = [n for n, turn in enumerate(turns) if turn["role"] == "assistant"]
            assert [turn.prompt for turn in found] == chat_format.prompts(
                [turns[:n] for n in places]
            )


@pytest.mark.parametrize("name", ["chatml", "qwen-3"])
def test_what_is_rendered_of_a_chat_grows_with_its_turns_and_not_their_square(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = chat_tokenizer(FAMILIES[name], TEXTS)
    task = SupervisedFineTuning(SftOptions())
    task.prepare_tokenizer(tokenizer)
    rendered = []
    render = tokenizer.apply_chat_template

    def counting(turns: list[Message], **settings: Any) -> Any:
        rendered.append(len(turns))
        return render(turns, **settings)

    monkeypatch.setattr(tokenizer, "apply_chat_template", counting)
    row = {"messages": long_chat(1000)}
    task.bind({"messages": "messages"})
    task.encode([row], tokenizer, 512)
    assert sum(rendered) < 25 * 2000
    rendered.clear()
    task.token_counts([row], tokenizer)
    assert sum(rendered) <= 3 * 2001


# -- what is too long ---------------------------------------------------------------------------


def test_a_question_that_is_too_long_loses_its_end_and_keeps_the_format() -> None:
    tokenizer: Any = byte_tokenizer(CHATML)
    chat_format = ChatFormat(tokenizer)
    turns = question("0123456789")
    (whole,) = chat_format.prompts([turns])
    assert fitted(chat_format, turns, len(whole)) == (whole, False)
    ids, cut = fitted(chat_format, turns, len(whole) - 4)
    assert cut
    assert tokenizer.decode(ids) == tokenizer.decode(whole).replace("0123456789", "012345")
    with pytest.raises(DataError, match="leave out earlier turns"):
        fitted(chat_format, turns, len(whole) - 10)


def test_an_answer_that_is_cut_is_no_whole_one() -> None:
    (turns,) = ChatFormat(byte_tokenizer(CHATML)).answers([TALK])
    first, last = (len(turn.prompt) + len(turn.answer) for turn in turns)
    for limit, lost, whole in ((last, 0, True), (last - 1, 1, False), (first - 1, 2, False)):
        (example,) = encode_turns(turns, limit)
        assert (example["lost_ends"], example["whole"]) == (lost, whole)
        assert example["length"] == last
        assert len(example["input_ids"]) == limit
