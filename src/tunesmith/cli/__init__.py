"""The command line: thin; it reads arguments, calls the rooms below, and shows what they say."""
