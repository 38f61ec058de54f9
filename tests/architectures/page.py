"""`docs/architectures.md`, out of what the suite recorded.

`python -m tests.architectures.page` takes in what the last run of the suite found, and writes both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import transformers
from tests.architectures.families import POSITIONS, WINDOW
from tests.architectures.learning import (
    GRADIENT_TOLERANCE,
    LONGEST,
    LOSS_TOLERANCE,
    STEPS,
    WEIGHT_TOLERANCE,
)
from tests.architectures.suite import RESULTS, TASKS, Outcome, read, write

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architectures.md"
FOUND = ROOT / ".pytest_cache" / "d" / "architectures"
"""Where a run of the suite leaves what it found, a file for each family."""


def page(results: Mapping[str, Mapping[str, Outcome]]) -> str:
    """The page, in Markdown."""
    counts = Counter(found.what for tasks in results.values() for found in tasks.values())
    counted = ", ".join(f"{number} {what}" for what, number in sorted(counts.items()))
    said = [
        f"- **{family}**, {', '.join(tasks)}: {what}. {sentence}"
        for (family, what, sentence), tasks in _sentences(results).items()
    ]
    rows = [
        f"| {family} | {' | '.join(_cell(tasks.get(task)) for task in TASKS)} |"
        for family, tasks in sorted(results.items())
    ]
    return f"""# Architectures

Made by `make test-architectures`; don't edit. With transformers {transformers.__version__}:
{len(results)} families, {counted}.

Of every family that transformers has a head for, a tiny model with random weights learns every
task that it has a head for, {STEPS} steps with AdamW on texts of up to {LONGEST} tokens, longer
than its windows ({WINDOW} tokens). **Equal**: in float32 the plan `auto` gives what plain
transformers and PEFT give: the loss of the first step within {LOSS_TOLERANCE[0]:g} and of the
others within {LOSS_TOLERANCE[1]:g} (of the loss or, after the first step, of the first gradient's
norm, where these are more than 1), the first step's gradients within {GRADIENT_TOLERANCE:g} of
their norm, and what the steps changed within {WEIGHT_TOLERANCE:g} of its norm. The saved adapter,
loaded again, answers what the trained model was judged by. Dropout is off: no two ways draw the
same numbers. The layers that the files are said to hold are those that are adapted, and a text of
as many tokens as the model is said to take (of {POSITIONS} positions) can be read.

*Packed*: texts share one row, and what they begin with is computed once. *Padded*: our attention,
given the model's own mask. Without a word: the model's own attention.

| family | {" | ".join(TASKS)} |
|---|{"---|" * len(TASKS)}
{chr(10).join(rows)}

{chr(10).join(said)}
"""


def _cell(found: Outcome | None) -> str:
    if found is None:
        return ""
    return f"{found.what}, {found.how}" if found.how else found.what


def _sentences(
    results: Mapping[str, Mapping[str, Outcome]],
) -> dict[tuple[str, str, str], list[str]]:
    """Family, what became of it and why → the tasks."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for family, tasks in sorted(results.items()):
        for task, one in tasks.items():
            if one.sentence:
                found.setdefault((family, one.what, one.sentence), []).append(task)
    return found


def main() -> None:
    """Take in what the last run found, and write the results and the page."""
    results = read(RESULTS) if RESULTS.exists() else {}
    for file in sorted(FOUND.glob("*.json")):
        results |= read(file)
    write(results, RESULTS)
    PAGE.write_text(page(read(RESULTS)), encoding="utf-8")


if __name__ == "__main__":
    main()
