"""Sweeps: trials drawn, driven, judged and reported."""
