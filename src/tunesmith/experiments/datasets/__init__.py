"""Datasets as an owner sees them: checked, imported, compared and exported."""
