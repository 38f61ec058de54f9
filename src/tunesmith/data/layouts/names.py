"""Usual names of columns, in small letters, the most usual first."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from tunesmith.tasks import TASKS

CHATS = (
    "messages", "conversations", "conversation", "chat", "chats", "dialog", "dialogs", "dialogue",
    "dialogues", "turns", "對話", "对话", "訊息", "消息",
)  # fmt: skip
SYSTEMS = ("system", "system_prompt", "system_message", "系統", "系統提示", "系统", "系统提示")
INSTRUCTIONS = ("instruction", "指令", "指示")
QUESTIONS = (
    *INSTRUCTIONS, "prompt", "question", "query", "問題", "问题", "提問", "提问", "提示", "發問",
)  # fmt: skip
INPUTS = ("input", "context", "輸入", "输入", "上下文")
ANSWERS = (
    "output", "response", "answer", "completion", "輸出", "输出", "回答", "答案", "回應", "回覆",
    "回复", "chosen",
)  # fmt: skip
HISTORIES = ("history", "歷史", "历史", "對話歷史", "对话历史")
IN_PARTS = frozenset((*QUESTIONS, *INPUTS, *ANSWERS, *HISTORIES, "rejected"))
"""Columns that are a part of a conversation, where they hold turns."""


def named(names: Iterable[str], columns: Sequence[str]) -> str | None:
    """The column that has one of the usual names, exactly before in other capitals."""
    there = {name.strip().casefold(): name for name in reversed(columns)}
    there |= {name: name for name in columns}
    return next((there[name] for name in names if name in there), None)


def known_as(role: str, column: str, wanted: Collection[str] = ()) -> str:
    """The name under which chat fine-tuning finds a column: its own, where that is usual or one of
    those `wanted`."""
    usual = TASKS["sft"].column_names[role]
    return column if column in wanted or column.casefold() in usual else role
