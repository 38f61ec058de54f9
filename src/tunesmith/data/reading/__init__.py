"""One file or folder → tables; what can't be read is told with its line.

files.py        one file: endings, compression, encodings
delimited.py    CSV and TSV
csv_scan.py     the lines of a CSV that Arrow won't locate
merged.py       rows of the right width that are wrong all the same
jsonl.py        JSON and JSON Lines
json_lines.py   the lines of JSON Lines
parquet.py      Parquet
compressed.py   decompressing within bounds
width.py        how many columns there may be
rows.py         rows with their numbers, and those that can't be read
folders.py      which file of a folder holds which split
packages.py     a file inside an installed package, found without importing it
hub.py          the Hugging Face hub, its cache and its folder format
"""
