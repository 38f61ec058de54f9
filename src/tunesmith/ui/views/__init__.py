"""One file per page; each has a function `page`, which Streamlit runs again and again.

Not called `pages`: Streamlit takes such a folder beside its script for pages of its own.
"""
