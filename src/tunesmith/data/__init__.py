"""What is read: tables of text from files, installed packages and the Hugging Face hub.

dataset.py     from a source to the rows that train and the rows that judge
packages.py    a file inside an installed package, found without importing it
sources.py     a dataset's name → its tables
files.py       one file → one table: endings, compression, encodings, Parquet
delimited.py   CSV and TSV
jsonl.py       JSON and JSON Lines
hub.py         the Hugging Face hub, its cache and its folder format
content.py     values as canonical strings; the hash that names a table by its content
checks.py      rules over rows, and the report of what they found
texts.py       the text of each row, from strings and chats
markup.py      HTML out of text
splits.py      training and evaluation rows with no text on both sides
"""
