"""The web page: Streamlit pages that speak to the REST API alone, through `tunesmith.Client`."""
