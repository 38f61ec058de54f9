"""Data apart from any experiment: asked about, imported, compared; an experiment's version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tunesmith.config.rules import RULES
from tunesmith.config.schema import DataConfig, ExperimentConfig
from tunesmith.config.yaml import read_draft
from tunesmith.data.analysis.summary import Analysis, analyze
from tunesmith.data.checking.report import CheckReport
from tunesmith.data.checking.tokens import ByTokenizer
from tunesmith.data.dataset import Examination, bind, examine, hold_out
from tunesmith.data.layouts.laying import likely_tasks
from tunesmith.data.reading.files import stem
from tunesmith.data.reading.folders import SPLIT_OF_STEM
from tunesmith.data.reading.rows import ROW
from tunesmith.data.sources import Source, read_data
from tunesmith.data.versions.held_out import HELD_OUT
from tunesmith.data.versions.store import Versions
from tunesmith.errors import AccessError
from tunesmith.files.environment import RESERVED, this_person
from tunesmith.messages import say
from tunesmith.models.load import load_tokenizer
from tunesmith.models.locate import ModelSource, locate_model
from tunesmith.names import last_part, name_of, shortened
from tunesmith.progress import doing
from tunesmith.settings import Settings
from tunesmith.store.entities.experiments import DatasetVersion
from tunesmith.store.store import Store
from tunesmith.tasks import TASKS, default_task
from tunesmith.tasks.base import Columns, Task
from tunesmith.tasks.tokens.unknown import Vocabulary

_NAMES_TASK = ("task=", "task.name=")

MOST_NAMESAKES = 10
"""Names that are tried for a dataset that an experiment brings, before it is refused."""

NO_MODEL = "none"
"""Stands for the model's name where only data are asked about."""


@dataclass(frozen=True)
class Inquiry:
    """A question about data: which, for which task, under which rules."""

    request: DataConfig
    task: Task
    source: Source
    model: ModelSource | None
    """The model whose tokenizer counts; None where no configuration names one."""


def inquire(
    name: str | None,
    config: Path | None,
    assignments: Sequence[str],
    settings: Settings,
    *,
    with_model: bool = True,
) -> Inquiry:
    """Read the data that `name` names, or else the configuration file.

    Without a configuration its defaults hold, and the task is guessed from the columns. Raises
    ConfigError with every problem, DataError when the data can't be read, ModelError when the
    configuration's model can't be found.
    """
    fields: dict[str, Any] = {} if name is None else {"data.dataset_name": name}
    base = {"model": {"name": NO_MODEL}, "data": {}} if config is None else config
    of_task = [text for text in assignments if text.startswith("task.")]
    guessed = config is None and not any(text.startswith(_NAMES_TASK) for text in assignments)
    without = [text for text in assignments if text not in of_task] if guessed else assignments
    asked = read_draft(base, None, without, fields).config()
    source = read_data(asked.data, token=settings.token, versions=open_versions(settings))
    if guessed:
        fields["task"] = {"name": likely_task(source)}
        asked = read_draft(base, None, assignments, fields).config()
    model = None
    if with_model and (config is not None or asked.model.name != NO_MODEL):
        model = find_model(asked, settings, convert=False)  # its tokenizer alone is read
    return Inquiry(asked.data, TASKS[asked.task_name](asked.task), source, model)


def likely_task(source: Source) -> str:
    """The task whose telling column names the data have; else that of their layout; else the
    default task."""
    names = {name.casefold() for table in source.tables.values() for name in table.column_names}
    likely = (name for name, task in TASKS.items() if names & task.telling_columns)
    of_layout = likely_tasks(next(iter(source.tables.values())))
    return next(likely, None) or next(of_layout, None) or default_task(None)


def find_model(
    config: ExperimentConfig, settings: Settings, *, convert: bool = True
) -> ModelSource:
    """The base model of a configuration; `convert`: converted where needed. Raises ModelError."""
    return locate_model(
        config.model.name,
        cache=settings.cache_dir,
        revision=config.model.revision,
        token=settings.token,
        trust_remote_code=config.model.trust_remote_code,
        convert=convert,
    )


def token_counter(task: Task, model: ModelSource | None) -> ByTokenizer | None:
    """What the model's own tokenizer, loaded when first used, tells of rows."""
    if model is None:
        return None

    @cache
    def tokenizer() -> Any:
        loaded = load_tokenizer(model)
        task.prepare_tokenizer(loaded)
        return loaded

    return ByTokenizer(
        count=lambda rows: task.token_counts(rows, tokenizer()),
        control=lambda rows: task.control_tokens(rows, tokenizer()),
        unwritten=lambda rows: task.unwritten(rows, tokenizer()),
        model=model.name,
        shares=lambda texts: Vocabulary(tokenizer()).shares(texts),
    )


def check_data(inquiry: Inquiry) -> Examination:
    """Hold every row against the rules, whatever samples a configuration asks for.

    Of far more rows than `data.train_samples` asks for, the tokenizer looks at those alone that
    can be drawn.
    Raises DataError when the data can't be used at all. Rules whose action is `fail` are reported
    like the others: `report.raise_failures` makes errors of them.
    """
    counter = token_counter(inquiry.task, inquiry.model)
    return examine(
        inquiry.request, inquiry.task, inquiry.source, tokens=counter, tokenize_all=False
    )


@dataclass(frozen=True)
class Sender:
    """Who sent data over the network, and what they called it."""

    name: str
    file: str
    own: bool
    """Whether they may add versions to their own datasets alone."""


def import_data(
    inquiry: Inquiry,
    name: str,
    description: str,
    settings: Settings,
    store: Store,
    *,
    sender: Sender | None = None,
) -> tuple[DatasetVersion, bool]:
    """Record the data as a version of the dataset `name`; whether it is new.

    Rows are kept as they are: what the rules found goes into the version's report. Rows are not
    compared with each other here, which takes longer than all the rest.
    Raises DataError when the data can't be used, or a rule whose action is `fail` was broken, and
    AccessError when the `sender` may not add a version to this dataset.
    """
    examination = examine(
        inquiry.request,
        inquiry.task,
        inquiry.source,
        compare=any(
            action == "fail" and RULES[rule].compares
            for rule, action in inquiry.request.validation_rules.actions.items()
        ),
    )
    sides, report = hold_out(inquiry.request, inquiry.task, examination)
    report.raise_failures()
    return record_version(
        inquiry.source,
        inquiry.request,
        report,
        examination.columns,
        examination.held_out(sides),
        settings,
        store,
        name=name,
        description=description,
        sender=sender,
    )


def analyze_data(inquiry: Inquiry) -> Analysis:
    """What is in all splits of the data. Raises DataError or ConfigError for missing columns."""
    task = inquiry.task
    tables = bind(inquiry.source.tables, task, inquiry.request).tables
    counter = token_counter(task, inquiry.model)

    def count(table: pa.Table) -> list[int]:
        counts: list[int] = []
        for batch in table.select(task.read_columns()).to_batches(max_chunksize=2_000):
            found, refused = counter.counted(batch.to_pylist()) if counter else ([], {})
            counts += [n for index, n in enumerate(found) if index not in refused]
        return counts

    return analyze(
        tables,
        text_columns=task.text_columns(),
        label_column=task.label_column(),
        token_counts=count if counter else None,
        max_length=inquiry.request.max_length if counter else None,
    )


def record_version(
    source: Source,
    request: DataConfig,
    report: CheckReport,
    columns: Columns,
    held_out: tuple[str, npt.NDArray[np.int64] | None],
    settings: Settings,
    store: Store,
    *,
    name: str | None = None,
    description: str = "",
    sender: Sender | None = None,
    owner: str = "",
) -> tuple[DatasetVersion, bool]:
    """Record a source as a version, unless its content is recorded already; whether it is new.

    Without a `name` it is called after its source, for the `owner` of the experiment that needs it
    (empty: whoever is at this machine); where that name is somebody else's dataset, its bare name
    goes on to mean what it meant, and this one is called NAME-OWNER.

    `held_out` is the split that training takes, and the numbers of the rows held out of it: they
    become the version's split for evaluation (None: the source has such a split itself).
    Raises DataError for an impossible name, AccessError as `import_data` does, StorageError when
    the version can't be written.
    """
    if source.version is not None and name is None:
        return source.version, False
    doing(say("storing {n:,} rows", n=sum(table.num_rows for table in source.tables.values())))
    tables, split_by = _split(source, request, held_out)
    creator = sender.name if sender else owner or this_person()
    content: dict[str, Any] = {
        "tables": tables,
        "odd": {
            split: found
            for split in tables
            if (found := source.odd.get(held_out[0] if split not in source.tables else split))
        },
        "hash": source.hash,
        "source": sender.file if sender else source.location,
        "split_by": split_by,
        "rules": request.validation_rules.model_dump(mode="json"),
        "report": {"columns": dict(columns), **report.totals()},
        "label_counts": report.label_counts,
        "description": description,
    }
    if name is None:
        version, new = record_beside(settings, version_name(source), creator, **content)
    else:
        theirs = creator.__eq__ if sender is not None and sender.own else None
        version, new = open_versions(settings).record(
            name, created_by=creator, may_add=theirs, **content
        )
    store.record_dataset(version)
    return version, new


def _split(
    source: Source, request: DataConfig, held_out: tuple[str, npt.NDArray[np.int64] | None]
) -> tuple[dict[str, pa.Table], Mapping[str, Any]]:
    """Split → rows, with those that are held out as a split of their own; and how that was done."""
    tables = dict(source.tables)
    train, rows = held_out
    if rows is None:
        return tables, source.version.split_by if source.version else {}
    whole = tables.pop(train)
    chosen = np.isin(whole.column(ROW).to_numpy(), rows)
    tables = {
        train: whole.filter(pa.array(~chosen)),
        HELD_OUT: whole.filter(pa.array(chosen)),
        **tables,
    }
    return tables, {
        "split": train,
        "seed": request.split_seed,
        "eval_fraction": request.eval_fraction,
        "eval_samples": request.eval_samples,
        **({"test_draw": request.test_draw} if request.test_draw else {}),
        **({"group_column": request.group_column} if request.group_column else {}),
    }


def record_beside(
    settings: Settings, name: str, creator: str, **content: Any
) -> tuple[DatasetVersion, bool]:
    """Record under `name`, or a name with the creator's in it where that is somebody else's.

    `content` is what `Versions.record` takes. Raises as `Versions.record`.
    """
    versions, allowed = open_versions(settings), partial(is_same_person, creator)
    creators = name_of(creator.removeprefix(f"{RESERVED}:"), "person")
    own = f"{shortened(name[:60], 120)}-{shortened(creators[:30], 60)}"
    for candidate in (name, own, *(f"{own}-{number}" for number in range(2, MOST_NAMESAKES))):
        try:
            return versions.record(candidate, created_by=creator, may_add=allowed, **content)
        except AccessError as error:
            refused = error
    raise refused


def is_same_person(creator: str, first: str) -> bool:
    """Whether `creator` made a dataset, as `first` says who did.

    Who is at this machine is `local` over the API, and made what names nobody. No other name stands
    for one that is like it: `alice` and `local-alice` are tokens, and `local:alice` is a user.
    """
    is_local = creator.startswith(f"{RESERVED}:")
    return creator == first or (is_local and first in ("", RESERVED))


def open_versions(settings: Settings) -> Versions:
    """The dataset versions of this installation."""
    return Versions(settings.datasets_root)


def version_name(source: Source) -> str:
    """What a source's dataset is called where nobody names it: by its file, folder or hub name."""
    if source.kind == "hub":
        name = source.name
    elif source.kind == "query":
        name = stem(last_part(source.location.partition("#")[0]))
    elif source.version is not None:
        return source.version.name
    else:
        path = Path(source.location)
        name = stem(path.name)
        if name.casefold() in {*SPLIT_OF_STEM, "data", "dataset"} and path.parent.name:
            name = path.parent.name
    return name_of(name, "dataset")
