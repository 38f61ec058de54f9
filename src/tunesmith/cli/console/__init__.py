"""The terminal: what is printed and how, for every command."""
