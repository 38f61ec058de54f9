"""The parts of SQL queries that several nouns share."""
