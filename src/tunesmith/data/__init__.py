"""What is read: tables of text, checked, kept as versions, split and analyzed.

dataset.py     from a source to the rows that train and the rows that judge
sources.py     a dataset's name → its tables
reading/       one file or folder → tables: formats, compression, encodings, packages, the hub
checks/        rules over rows, and the report of what they found
versions/      states of a dataset kept as Delta Lake tables, and what changed between two
analysis/      what is in the data, as figures and as a page
splits.py      training and evaluation rows with no text on both sides
filtering.py   rows by the values of their columns
writing.py     tables to files
texts.py       the text of each row, from strings and chats
markup.py      HTML out of text
content.py     values as canonical strings; the hash that names a table by its content
"""

# Before Polars: imported after it, Arrow's threads make many a process abort at its end
# ("terminate called without an active exception"; pyarrow 26.0, Polars 2.1, Linux).
import pyarrow  # noqa: F401
