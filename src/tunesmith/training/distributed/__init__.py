"""One training over several processes and nodes."""
