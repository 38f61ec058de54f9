"""Adapters under names: registered and promoted."""
