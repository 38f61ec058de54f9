"""Rules over rows: what breaks one is dropped, mended, reported or refused.

tables.py            all rules over all splits, in order
row_checks.py        rules for each row by itself
row_comparisons.py   rules for rows against each other
label_rules.py       which labels are missing, unknown, rare
likeness.py          which rows have the same text, or nearly
duplicates.py        pairs of nearly equal texts, by MinHash
personal.py          likely secrets and personal data
examined.py          the rows of one split while they are checked
report.py            what was found
rejected.py          the rows left out, to mend and send back
"""
