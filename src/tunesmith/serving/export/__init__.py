"""An adapter in the forms that others take, each held against the adapter's own predictions."""
