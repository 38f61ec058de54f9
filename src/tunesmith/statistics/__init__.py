"""Whether it is true: intervals, tests and comparisons over records and judged rows."""
