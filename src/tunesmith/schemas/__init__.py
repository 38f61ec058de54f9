"""What travels over HTTP: what the API takes and gives, as Pydantic models.

The words in it (states, stages, roles, verdicts), limits and names of metrics are defined here; the
rooms above, the store among them, take them from here.
"""
