"""What exporters share: the adapter with its held-out rows, and how its answers are compared."""
