"""How rows are held against the rules: what breaks one is dropped, mended, reported or refused."""
