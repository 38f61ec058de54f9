"""One file or folder → tables; what can't be read is listed with its line."""
