"""One file per page; each has a function `page`, which Streamlit runs again and again."""
