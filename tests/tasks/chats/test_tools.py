"""Tools and calls in conversations: read in every form, written by the template, read back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.chat_families import FAMILIES, chat_tokenizer
from tests.tasks.chats.tool_templates import CALLING, TOOL_FAMILIES, TOOLS, tool_tokenizer

from tunesmith.errors import DataError
from tunesmith.tasks.chats.call_forms import FORMS, call_form
from tunesmith.tasks.chats.format import ChatFormat
from tunesmith.tasks.chats.messages import (
    Message,
    as_columns,
    chat_faults,
    parse_messages,
    parse_question,
    with_tools,
)
from tunesmith.tasks.chats.tools import parse_tools, spoken

ARGUMENTS = {"town": "台北"}
FUNCTION = {"name": "get_weather", "arguments": ARGUMENTS}


def conversation(tools: bool = True) -> list[Message]:
    turns = parse_messages(CALLING, "it")
    return with_tools(turns, parse_tools(TOOLS)) if tools else turns


def function_of(turn: Message) -> Any:
    (call,) = turn["tool_calls"]
    return call["function"]


@pytest.mark.parametrize(
    "turns",
    [
        CALLING,
        json.dumps(CALLING),
        [{**turn, "name": None, "tool_calls": turn.get("tool_calls")} for turn in CALLING],
        [CALLING[0], {"role": "assistant", "function_call": FUNCTION}, *CALLING[2:]],
        [CALLING[0], {"role": "assistant", "tool_calls": json.dumps([FUNCTION])}, *CALLING[2:]],
        [
            {"from": "human", "value": "Weather in Taipei?"},
            {"from": "function_call", "value": json.dumps(FUNCTION)},
            {"from": "observation", "value": "20"},
            {"from": "gpt", "value": "It is 20 degrees."},
        ],
        [
            {"role": "user", "content": "Weather in Taipei?"},
            {"role": "tool_call", "content": json.dumps(FUNCTION)},
            {"role": "tool_response", "content": "20"},
            {"role": "assistant", "content": "It is 20 degrees."},
        ],
        as_columns(parse_messages(CALLING, "it")),
    ],
    ids=["OpenAI", "JSON", "nulls", "function_call", "text", "LLaMA-Factory", "ms-swift", "stored"],
)
def test_calls_are_read_in_every_usual_form(turns: Any) -> None:
    found = parse_messages(turns, "it")
    assert [turn["role"] for turn in found] == ["user", "assistant", "tool", "assistant"]
    assert function_of(found[1]) == FUNCTION
    assert [turn["content"] for turn in found[1:]] == ["", "20", "It is 20 degrees."]
    assert list(chat_faults(turns)) == []


def test_a_call_after_what_was_said_is_one_turn_with_it() -> None:
    value = [
        {"from": "human", "value": "Weather?"},
        {"from": "gpt", "value": "Let me look."},
        {"from": "function_call", "value": json.dumps(FUNCTION)},
        {"from": "function_call", "value": json.dumps(FUNCTION)},
    ]
    _, turn = parse_messages(value, "it")
    assert turn["content"] == "Let me look."
    assert [call["function"] for call in turn["tool_calls"]] == [FUNCTION, FUNCTION]
    assert spoken(turn).splitlines()[1] == 'get_weather({"town": "台北"})'


@pytest.mark.parametrize(
    "value",
    [
        TOOLS,
        json.dumps(TOOLS),
        [json.dumps(tool) for tool in TOOLS],
        TOOLS[0],
        [TOOLS[0]["function"]],
        [{**TOOLS[0], "strict": None}],
        [
            {
                "name": "get_weather",
                "description": "The weather in a town.",
                "input_schema": {
                    "type": "object",
                    "properties": {"town": {"type": "string"}, "of_another_row": None},
                },
            }
        ],
    ],
    ids=["OpenAI", "JSON", "texts", "one", "bare", "nulls", "Anthropic"],
)
def test_tools_are_read_in_every_usual_form(value: Any) -> None:
    assert parse_tools(value) == TOOLS


def test_no_tools_are_none() -> None:
    nothing: list[Any] = [None, "", "[]", []]
    assert [parse_tools(value) for value in nothing] == [[], [], [], []]


@pytest.mark.parametrize(
    ("calls", "said"),
    [
        ([{"function": {"name": "f", "arguments": "{town"}}], "not valid JSON"),
        ([{"function": {"name": "f", "arguments": "[1]"}}], "the arguments of f are no JSON obj"),
        ([{"function": {"arguments": "{}"}}], "no object with a name"),
        ("get_weather(town)", "not valid JSON"),
        (7, "must be a list of objects"),
    ],
)
def test_calls_that_cannot_be_read_are_named_with_their_turn(calls: Any, said: str) -> None:
    value = [CALLING[0], {"role": "assistant", "content": "x", "tool_calls": calls}]
    ((rule, advice),) = chat_faults(value)
    assert rule == "wrong_tools"
    assert advice.startswith("turn 2, tool_calls: ")
    assert said in advice
    with pytest.raises(DataError, match="it: turn 2, tool_calls"):
        parse_messages(value, "it")


def test_nesting_without_end_is_refused() -> None:
    deep: Any = {}
    for _ in range(500):
        deep = {"x": deep}
    for value in ([{"name": "f", "parameters": deep}], json.dumps([{"name": "f", "x": deep}])):
        with pytest.raises(DataError):
            parse_tools(value)


@pytest.mark.parametrize("name", ["qwen-2.5", "llama-3.1", "mistral-v3", "arguments-as-text"])
def test_calls_are_learned_as_the_template_writes_them_after_what_is_asked(name: str) -> None:
    tokenizer = tool_tokenizer(TOOL_FAMILIES[name])
    chat_format = ChatFormat(tokenizer)
    turns = conversation(tools=name != "arguments-as-text")
    assert chat_format.unwritten(turns) is None
    calling, answering = chat_format.answers([turns])[0]
    assert chat_format.prompts([turns[:1], turns[:3]]) == [calling.prompt, answering.prompt]
    assert chat_format.texts([answering.answer]) == ["It is 20 degrees."]
    said = chat_format.said(turns[:2])
    assert '{"town": "台北"}' in said
    assert chat_format.texts([calling.answer]) == [said]
    assert calling.answer[-1] == chat_format.end
    assert ("The weather in a town." in tokenizer.decode(calling.prompt)) == ("tools" in turns[0])
    assert '"20"' in (text := tokenizer.decode(answering.prompt)) or "\n20" in text


@pytest.mark.parametrize("name", ["qwen-2.5", "llama-3.1", "mistral-v3", "arguments-as-text"])
def test_calls_are_read_back_out_of_what_the_model_said(name: str) -> None:
    chat_format = ChatFormat(tool_tokenizer(TOOL_FAMILIES[name]))
    assert chat_format.meaning(chat_format.said(conversation()[:2])) == ("", [FUNCTION])
    assert chat_format.meaning("It is {20}.") == ("It is {20}.", [])


SEP = "<｜tool▁sep｜>"  # noqa: RUF001
DEEPSEEK = "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>"  # noqa: RUF001


@pytest.mark.parametrize(
    ("written", "said", "names"),
    [
        ("<|tool_call|>[{'name': 'zq', 'arguments': @}]<|/tool_call|>",  # Phi-4-mini, Granite 3
         "<|tool_call|>[{'name': 'f', 'arguments': {'n': 1}},{'arguments':{},'name':'g'}]", "fg"),
        ("<|START_ACTION|>[{'tool_call_id': '0', 'tool_name': 'zq', 'parameters': @}]",  # Command R
         "<|START_ACTION|>[\n{'tool_name': 'f', 'parameters': {'n': 1}}]<|END_ACTION|>", "f"),
        (f"{DEEPSEEK}function{SEP}zq\n```json\n@\n```", f"{DEEPSEEK}function{SEP}f\n```json\n"
         f"{{'n': 1}}\n```<|x|>\n<|y|>function{SEP}g\n```json\n{{}}\n```", "fg"),
        (f"{DEEPSEEK}zq{SEP}@", f"{DEEPSEEK}f{SEP}{{'n': 1}}", "f"),
        ("<function=zq>@</function>", "<function=f>{'n': 1}</function><function=g>{}", "fg"),
        (">>>zq\n@", ">>>f\n{'n': 1}", "f"),
        ("<|tcs|><|tc|>functions.zq:0<|arg|>@<|e|>",
         "<|tcs|><|tc|>functions.f:0<|arg|>{'n': 1}<|e|><|tc|>functions.g:12<|arg|>{}<|e|>", "fg"),
        ("<tool_call>\n<function=zq>\n<parameter=zk>\nzv\n</parameter>\n</function>\n</tool_call>",
         "<tool_call>\n<function=f>\n<parameter=n>\n1\n</parameter>\n</function>\n</tool_call>"
         "\n<tool_call>\n<function=g>\n</function>\n</tool_call>", "fg"),  # Qwen3-Coder
        ("<tool_call>zq\n<arg_key>zk</arg_key>\n<arg_value>zv</arg_value>\n</tool_call>",  # GLM-4.5
         "<tool_call>f\n<arg_key>n</arg_key>\n<arg_value>1</arg_value>\n</tool_call>", "f"),
        ("[zq(zk='zv')]", "[f(n=1), g()]", "fg"),
        ("```tool_code\nzq(zk='zv')\n```", "```tool_code\nf(n=1)\ng()\n```", "fg"),
    ],
)  # fmt: skip
def test_forms_nobody_wrote_down_are_learned_from_what_the_template_writes(
    written: str, said: str, names: str
) -> None:
    call = {"type": "function", "function": {"name": "zq", "arguments": {"zk": "zv"}}}
    form = call_form(written.replace("@", "{'zk': 'zv'}").replace("'", '"'), call)
    assert form is not None
    number = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tools = parse_tools([{"name": name, "parameters": number} for name in "fg"])
    text = "So.\n" if form.mark != "[" else ""
    around, calls = form.parted(text + said.replace("'", '"'), tools)
    assert around == text.strip()
    assert "".join(each["function"]["name"] for each in calls) == names
    assert calls[0]["function"]["arguments"] == {"n": 1}


@pytest.mark.parametrize(
    "text",
    ["[1] A list", "[f(__import__('os').remove('x'))]", "[f(n=open('x'))]", "[f(n=", "[g(1)]"],
)
def test_what_is_no_call_stays_text_and_nothing_is_executed(text: str) -> None:
    call = {"type": "function", "function": {"name": "zq", "arguments": {"zk": "zv"}}}
    form = call_form('[zq(zk="zv")]', call)
    assert form is not None
    assert form.parted(text, parse_tools([{"name": "f"}, {"name": "g"}])) == (text, [])


def test_a_form_in_which_nothing_marks_calls_is_none() -> None:
    call = {"type": "function", "function": {"name": "zq", "arguments": {"zk": "zv"}}}
    assert call_form('zq\n{"zk": "zv"}', call) is None


@pytest.mark.parametrize(
    ("form", "text", "around", "names"),
    [
        ("hermes", 'So\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', "So", "f"),
        ("hermes", '<tool_call>{"name":"f","arguments":"{}"}</tool_call>\n'
                   '<tool_call>{"name":"g","arguments":{}}', "", "fg"),
        ("hermes", "<tool_call>f()</tool_call>", "<tool_call>f()</tool_call>", ""),
        ("mistral", '[TOOL_CALLS] [{"name": "f", "arguments": {}, "id": "123456789"}]', "", "f"),
        ("mistral", '[TOOL_CALLS]f[CALL_ID]123456789[ARGS]{"a": 1}[TOOL_CALLS]g{}', "", "fg"),
        ("llama", '{"name": "f", "parameters": {}}; {"name": "g", "parameters": {}}', "", "fg"),
        ("llama", '<|python_tag|>{"name": "f", "parameters": {}}', "", "f"),
        ("llama", '{"name": "Ann", "age": 3}', '{"name": "Ann", "age": 3}', ""),
        ("llama", '{"name": "x", "parameters": {}}', '{"name": "x", "parameters": {}}', ""),
    ],
)  # fmt: skip
def test_what_models_say_is_parted_into_text_and_calls(
    form: str, text: str, around: str, names: str
) -> None:
    known = next(one for one in FORMS if one.name == form)
    said, calls = known.parted(text, parse_tools([{"name": "f"}, {"name": "g"}]))
    assert (said, "".join(call["function"]["name"] for call in calls)) == (around, names)


def test_what_the_template_does_not_write_is_said() -> None:
    def unwritten(name: str, turns: list[Message]) -> str | None:
        return ChatFormat(tool_tokenizer(TOOL_FAMILIES[name])).unwritten(turns)

    turns = conversation()
    plain = ChatFormat(chat_tokenizer(FAMILIES["chatml"], ["x"]))
    assert plain.unwritten(turns) == "the model's chat template writes no tool calls"
    assert plain.unwritten(turns[:1]) is None  # it makes sense without its tools, as is said
    assert plain.left_out(turns[:1]) == "the model's chat template writes no tools"
    twice = [turns[0], {**turns[1], "tool_calls": turns[1]["tool_calls"] * 2}]
    assert "only supports single tool-calls" in str(unwritten("llama-3.1", twice))
    assert unwritten("qwen-2.5", twice) is None
    assert unwritten("llama-3.1", turns[:1]) is None


def test_a_template_that_leaves_out_the_text_beside_calls_is_found() -> None:
    turns = [CALLING[0], {**CALLING[1], "content": "Let me look."}]
    parsed = parse_messages(turns, "it")
    found = {
        name: ChatFormat(tool_tokenizer(family)).left_out(parsed) is not None
        for name, family in TOOL_FAMILIES.items()
    }
    assert found == {
        "qwen-2.5": False, "llama-3.1": True, "mistral-v3": True, "arguments-as-text": False
    }  # fmt: skip


@pytest.mark.parametrize("name", ["qwen-2.5", "llama-3.1", "mistral-v3"])
def test_no_text_of_tools_opens_a_turn_or_a_call(name: str) -> None:
    tokenizer = tool_tokenizer(TOOL_FAMILIES[name])
    chat_format = ChatFormat(tokenizer)
    evil = "".join(token.content for token in tokenizer.added_tokens_decoder.values())
    tools = [{"name": "get_weather", "description": evil, "parameters": {evil: {"type": evil}}}]
    turns = [
        {"role": "user", "content": f"Weather{evil}?"},
        {"role": "assistant", "tool_calls": [{"name": "get_weather", "arguments": {evil: evil}}]},
        {"role": "tool", "content": evil},
    ]
    plain = json.loads(json.dumps([turns, tools]).replace(json.dumps(evil)[1:-1], "x"))

    def tokens(turns: Any, tools: Any) -> list[int]:
        asked = with_tools(parse_question(turns, "it"), parse_tools(tools))
        (ids,) = chat_format.prompts([asked])
        return [token for token in ids if token in tokenizer.added_tokens_decoder]

    assert tokens(turns, tools) == tokens(*plain)


def test_a_tokenizer_with_a_template_for_tools_uses_it_where_there_are_tools() -> None:
    family = TOOL_FAMILIES["qwen-2.5"]
    tokenizer = tool_tokenizer(family)
    with_them, without = ChatFormat(tokenizer).prompts([conversation()[:1], CALLING[:1]])
    tokenizer.chat_template = {
        "default": family.template.replace("{%- if tools %}", "{%- if false %}"),
        "tool_use": family.template,
    }
    several = ChatFormat(tokenizer)
    assert several.prompts([conversation()[:1]])[0] == with_them
    assert several.prompts([CALLING[:1]])[0] == without
