"""Files, folders and hub datasets that can't be read."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "{path} expands from {size} KiB to more than {most} MiB, over {ratio} times its size: "
    "reading stopped, because such files are made to fill a machine's memory. If it is what it "
    "should be, unpack or rewrite it yourself and give the larger file",
    "{path} is not a regular file; only files and folders can be read",
    "{path} is cut short or not a {format} file ({error}); copy or download it again",
    "{path} a quote is out of place in the row that begins here: it is never closed; close "
    "every quoted value, and write a quote inside one as two",
    "{path}: quotes are out of place, so that it isn't clear where rows end; close every "
    "quoted value, and write a quote inside one as two",
    "{path}: quotes are out of place, so that it isn't clear where rows end; close every "
    "quoted value, and write a quote inside one as two (the first faulty row begins on line "
    "{line})",
    "{path}: {what} can't be read: {reason}",
    "{path}: {what} can't be read: {reason}. {advice}",
    "{n} of {total} rows",
    "its only row",
    "line {line} {reason}",
    "and {n} more",
    "A value that holds a {what}, a quote or a line break must stand in double quotes, and no "
    "line may end with a needless delimiter",
    "comma",
    "semicolon",
    "tab",
    "vertical bar",
    "It looks like one JSON document: name the file .json",
    "Every object must stand on a line of its own",
    "{path} has no data rows: it holds nothing but blank lines",
    "{path} the header has no name for column {names}; every column needs a name",
    "{path} the header has no name for column {names} (an index that pandas wrote? save with "
    "index=False); every column needs a name",
    "{path} the header has no name for column {names} (does every line end with a needless "
    "{what}?); every column needs a name",
    "{path} has more than {most} columns; keep those with the texts and the labels",
    "{path} has {rows} objects with {n} different keys, and hardly any key is in two of them; give "
    "all objects the same keys",
    "{path} the header has the same name for several columns: {names}; give each column a name "
    "of its own",
    "{path} the first line looks like a row, not like the names of columns: {names}; add a "
    "line with the names",
    "{path} the header is a single column, {name}: the columns seem to be separated by a "
    "{what}, not by a {other} ({names}); {how}",
    "name the file .csv",
    "name the file .tsv",
    "save it again with a {what} between columns",
    "a ZIP archive or an Excel sheet",
    "gzip: add .gz to its name",
    "bzip2: add .bz2 to its name",
    "Zstandard: add .zst to its name",
    "Parquet: name it .parquet",
    "an SQLite database",
    "a PDF",
    "an image",
    "a program",
    "an Arrow file: write it as Parquet",
    "{path}: there is no such file in {folder}",
    "{path}: there is no such file; did you mean {near}?",
    "{path}: files of this ending are not read; unpack the archive, and give the file or "
    "folder in it",
    "{path}: files of this ending are not read; save the sheet as CSV (UTF-8), and give that file",
    "{path}: files of this ending are not read; write the table as Parquet, and give that file",
    "{path}: files of this ending are not read; accepted: {names}, each also with {endings}",
    "{path} has a byte that is not UTF-8 ({byte}, byte {n} of the file); save the file again "
    "as UTF-8",
    "{path} has a byte that is not UTF-8 ({byte}, byte {n} of the file); it looks like "
    "{encoding}; save the file again as UTF-8",
    "{path} looks like UTF-16 text without a byte-order mark, or like a binary file; save it "
    "again as UTF-8",
    "{path} begins like {encoding} text, but isn't: {error}; save it again as UTF-8",
    "{path} is a symbolic link that leads out of the folder (to {target}); only what lies in "
    "the folder is read: copy the file into it, or give its own path",
    "{folder} is a folder without any file in it",
    "{folder} holds an archive ({name}) and no data file; unpack it first",
    "{path} names an archive ({name}); unpack it first",
    "{path} names data outside of the folder ({name}); only what lies in the folder is read",
    "{path} begins with settings that can't be read: {error}",
    "{folder}: {first} and {second} both hold the {split} split; leave one of them there",
    "{name} is a script that makes its data, and nothing runs a stranger's script here. The "
    "hub often keeps a Parquet copy: try revision refs/convert/parquet",
    "{name} is a script that makes its data, and nothing runs a stranger's script here. "
    "trust_remote_code doesn't change that. The hub often keeps a Parquet copy: try revision "
    "refs/convert/parquet",
    "{name} is a file format, not a dataset; give the file itself, as in {path}",
    "{name} has no revision {revision} on the hub",
    "{name} holds no data files that can be read",
    "{name} is not a file here, and the Hugging Face hub can't be reached to look for it there "
    "({error}). {rest}",
    "Without the hub these work: a file (CSV, TSV, JSON, JSON Lines, Parquet), a file of an "
    "installed package (package:NAME/inner/path), and a dataset already in the hub's cache "
    "(the folder that HF_HOME names, by default ~/.cache/huggingface)",
    "{name} is not in the cache",
    "{name} at revision {revision} is not in the cache",
    "{name} can't be read as a dataset: {error}",
    "is not valid JSON: {error} at character {n}",
    "has the key {name} twice",
    "has half of a character (a lone surrogate) in column {name}",
    "{path}: column {name} has values of different shapes: {error}",
    "{path}: column {name} mixes {what}; use one type throughout",
    "numbers ({place}: {value})",
    "text ({place}: {value})",
    "lists ({place}: {value})",
    "objects ({place}: {value})",
    "true/false ({place}: {value})",
    "{path}: column {name}, {place}: half of a character (a lone surrogate) in the text",
    "{path}: column {name} has integers of more than 64 bits; write them as text",
    "{path} must hold a list of objects, or an object with one list of objects; it holds {what}",
    "an object with {n} lists ({names})",
    "{path}: an object {reason}; which one is meant?",
    "{path} is nested too deeply to be a table",
    "{path}: entry {n} is not an object but {value}",
    "{path}: these columns stand more than once: {names}",
    "{path}: column {name} is damaged: {error}",
    "{path}: column {name}, row {row} has a byte that is not UTF-8 ({byte}); write the file "
    "again with UTF-8 text",
    "{reference} is not of the form package:NAME/inner/path",
    "{reference} is not of the form package:NAME/inner/path; write NAME as one imports it: {name}",
    "{reference} leads out of the package {name} (to {target}); only what lies inside the "
    "package can be named this way",
    "`make setup` installs it",
    "`pip install {name}` would probably install it",
    "{reference}: {name} is a single module, not a package with files in it",
    "{reference}: the package {name} has no file or folder {path}; did you mean {near}?",
    "{name}: addresses are not read; download the file and give its path",
    "{name} names no dataset",
    "{reference} names a version of a dataset, and dataset versions are not available here; "
    "give a file, a folder, package:NAME/inner/path, or a dataset of the hub",
    "{error}. A dataset of this name was imported: did you mean {name}?",
    "Reading and checking the data took longer than {seconds} s and was given up "
    "(TUNESMITH_CHECK_SECONDS). Send fewer rows or shorter texts; or import them at the "
    "machine itself, with tunesmith data import.",
    "The process that read the data ended before it was done; most probably the memory "
    "was used up. Send fewer rows.",
    "{path} expands from {size} KiB to more than {most} MiB, a third of the memory that "
    "is left on this machine: reading stopped. Free some memory, read it on a machine "
    "with more, or give fewer rows",
    "{path}: a JSON document of {size} MiB takes more memory to read than is left on this"
    " machine; write it as JSON Lines, one object a line",
    "{name} has {size} MiB of rows, more than {most} MiB, a third of the memory that is left "
    "on this machine: reading stopped",
    "{path} is cut short or damaged ({error})",
    "more than {n} characters",
)
