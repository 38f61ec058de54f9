"""Conversations as tokens of a bounded length: answers as examples, questions cut to what fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tunesmith.errors import DataError
from tunesmith.tasks.base import Example
from tunesmith.tasks.chats.format import ChatFormat, Turn
from tunesmith.tasks.chats.messages import Message
from tunesmith.tasks.parts.columns import IGNORED


def fitted(
    chat_format: ChatFormat, turns: Sequence[Message], max_length: int
) -> tuple[list[int], bool]:
    """Tokens of a conversation whose next turn is the answer, and whether they were cut to fit.

    Too long, the last turn loses its end, so that the chat format stays whole. Raises DataError
    when the turns before it leave no room.
    """
    (ids,) = chat_format.prompts([turns])
    if len(ids) <= max_length:
        return ids, False
    said = turns[-1]["content"].strip()
    kept, longest = 0, len(said)
    fitting: list[int] | None = None
    while kept < longest:  # the longest begin that fits
        middle = (kept + longest + 1) // 2
        shorter = [*turns[:-1], {**turns[-1], "content": said[:middle]}]
        (found,) = chat_format.prompts([shorter])
        if len(found) <= max_length:
            kept, fitting = middle, found
        else:
            longest = middle - 1
    if fitting is None:
        raise DataError(
            "the conversation has {n:,} tokens, of which {most:,} fit beside the "
            "answer; leave out earlier turns, or ask for a shorter answer.",
            n=len(ids),
            most=max_length,
        )
    return fitting, True


def encode_turns(turns: Sequence[Turn], max_length: int) -> list[Example]:
    """A conversation's answers as examples, cut to `max_length`; with the last answer in the last.

    Answers stand in one example as long as each prompt begins with the prompt and the answer before
    it. A format that rewrites earlier turns gives each answer an example of its own, so that it is
    learned after exactly what it would be asked with.

    An example's targets are the tokens of its answers and their ends. `prompt_length` counts the
    tokens before the last answer, `answer_length` those of the longest answer, `length` all, before
    the cut; `whole` says whether nothing was cut, `lost_ends` and `kept_ends` how many answers lost
    their end, and kept it.
    """
    examples: list[Example] = []
    for chain in _chains(turns):
        ids, labels = list(chain[-1].prompt), [IGNORED] * len(chain[-1].prompt)
        for turn in chain[:-1]:
            begin = len(turn.prompt)
            labels[begin : begin + len(turn.answer)] = turn.answer
        ids += chain[-1].answer
        labels += chain[-1].answer
        ends = [len(turn.prompt) + len(turn.answer) for turn in chain]
        examples.append(
            {
                "input_ids": ids[:max_length],
                "labels": labels[:max_length],
                "targets": sum(label != IGNORED for label in labels[:max_length]),
                "prompt_length": min(len(chain[-1].prompt), max_length),
                "whole": len(ids) <= max_length,
                "answer_length": max(len(turn.answer) for turn in chain),
                "length": len(ids),
                "lost_ends": sum(end > max_length for end in ends),
                "kept_ends": sum(end <= max_length for end in ends),
            }
        )
    return examples


def _chains(turns: Sequence[Turn]) -> Iterator[list[Turn]]:
    """Answers in their order, together as long as each prompt continues what was before it."""
    chain: list[Turn] = []
    for turn in turns:
        if chain:
            before = chain[-1].prompt + chain[-1].answer
            if turn.prompt[: len(before)] != before:
                yield chain
                chain = []
        chain.append(turn)
    yield chain
