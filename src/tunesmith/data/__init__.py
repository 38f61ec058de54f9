"""What is read: tables of text, checked, kept as versions, split and analyzed."""

# Before Polars: imported after it, Arrow's threads make many a process abort at its end
# ("terminate called without an active exception"; pyarrow 26.0, Polars 2.1, Linux).
import pyarrow  # noqa: F401
