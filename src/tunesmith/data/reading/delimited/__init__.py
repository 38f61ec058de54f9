"""Values with a delimiter between them: dialects, headers, faulty rows."""
