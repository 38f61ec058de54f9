"""Experiments as archives, and back."""
