"""Data that can't be read or used."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "the data have no rows.",
    "{path} is empty (0 bytes)",
    "{path} has no data rows",
    "{path}: there is no such file{hint}",
    "{path}: there is no such file, and no folder {folder}",
    "{path} can't be read: {error}",
    "{path} can't be read as a table: {error}",
    "{path}: files of this ending are not read; accepted: {names}",
    "{path} is not text but {what}",
    "{path} is not valid JSON: {error}",
    "{path}: every object is empty; a row needs at least one column",
    "{path} is damaged: {error}",
    "The uploaded file is empty (0 bytes).",
    "The uploaded file is cut short or damaged: {error}.",
    "The uploaded file is {what}; accepted: CSV, TSV, JSON, JSON Lines, Parquet, each also "
    "packed with gzip, bzip2 or Zstandard.",
    "a ZIP archive or an Excel sheet: unpack it, or save the sheet as CSV",
    "an SQLite database: export the table as CSV or Parquet",
    "an archive: unpack it",
    "The file is larger than the {most} bytes that are accepted (TUNESMITH_MAX_UPLOAD_BYTES).",
    "{reference}: the package {name} is not installed; {hint}",
    "{reference}: the package {name} has no file or folder {path}",
    "there is no dataset {name} in {folder}{hint}",
    "there is no version {reference}; there is {names}",
    "; there are no {kind} yet",
    "; there is: {names}",
    "the data has no column {column}; it has: {names}",
    "the data has no column {column}; it has: {names}; did you mean {name}?",
    "no row has a label{what} in column {column}; it holds {values}",
    "of {names}",
    "column {column} holds no label at all.",
    "column {column} holds a single label, {label}: there is nothing to tell apart. Give "
    "data with at least two labels, or name another column in task.label_column.",
    "column {column} holds no number at all.",
    "column {column} holds a single number, {value}: there is nothing to learn. Give data with "
    "different numbers, or name another column in task.target_column.",
    "row {n}, column {column}: {value} is no number.",
    "column {column} marks no entity at all: there is nothing to find. Name another column, or "
    "give data with entities.",
    "no row to train on has an entity {names}. Train on more rows (data.train_samples), or leave "
    "these entities out of the data.",
    "column {column} has labels that task.labels doesn't name: {names}.",
    "column {column} holds {kind}, not text: name another column, or write its parts into "
    "columns of their own",
    "the data has too few rows to train on some and evaluate on others: {rows}, with {n} "
    "different texts; at least two different texts are needed",
    "no row to train on has the label {names} (column {column}). Train on more rows "
    "(data.train_samples), or leave the label out of task.labels.",
    "{n} row breaks {rule}: {values} ({where}): {advice}. To leave such rows out set "
    "data.validation_rules.{same}: drop",
    "{n} row breaks {rule} in column {column}: {values} ({where}): {advice}. To leave such "
    "rows out set data.validation_rules.{same}: drop",
    "{n} rows break {rule}: {values} ({where}): {advice}. To leave such rows out set "
    "data.validation_rules.{same}: drop",
    "{n} rows break {rule} in column {column}: {values} ({where}): {advice}. To leave such "
    "rows out set data.validation_rules.{same}: drop",
    "{rule}: {what}: {advice}. To go on all the same set data.validation_rules.{same}: warn",
    "row {n}",
    "rows {n}",
    "every row that is not held out is nearly a held-out one, so there is nothing to train "
    "on; data.validation_rules.near_leakage: warn lets such rows be trained on",
    "{name} is a gated dataset: accept its terms at {url}, and {hint}",
    "HF_TOKEN must be set",
    "the account of HF_TOKEN must be given access",
    "{name} is neither a file here nor a dataset on the Hugging Face hub (a private one "
    "needs an HF_TOKEN that may read it)",
    "{name} has no config {config}; it has: {names}",
    "{name} has several configs; set data.dataset_config to one of: {names}",
    "Loosen the rules, or name the right columns",
    "can't be called {name}; accepted: {names}, without .. in it",
    "there is no row for {kind}",
    "eval_samples is {n}, and there are {total} rows for training and evaluation together; "
    "{wanted} were held out",
    "{n} rows were held out for evaluation, not {wanted}: rows with the same text stay "
    "together, and every label keeps a text to train on",
    "there is no split called train: name one",
    "no row has {values} in column {column}; it holds {names}",
    "no row{where} is left after data.validation_rules:",
    "{n} rows checked, {dropped} dropped, {left} left",
    "{rule} ({column}): {n} dropped, {where}",
    "{rule} ({column}): {n} mended, {where}",
    "{rule} ({column}): {n} kept, {where}",
    "not looked at: {what}",
    "task.class_weights names labels that the data don't have: {names}; there are {labels}.",
    "row {row} has an empty answer: fill it in or remove the row.",
    "row {row} has an answer that is a thought alone: write what it says, or remove the row.",
    "row {row}: the answers have no prompt in common.",
    "{where}: every turn needs a text as content; got {value}",
)
