"""HTTP for every route: bodies, headers, problems, documentation, metrics."""
