"""What is in the data.

summary.py         labels, lengths, duplicates, typical words, examples
rows.py            the rows of all splits as one column of texts
chats.py           chats and the answers in them
distribution.py    quantiles and histograms
typical_words.py   which words are typical of a label
page.py            the analysis as one HTML page (page.html.jinja, page.css)
"""
