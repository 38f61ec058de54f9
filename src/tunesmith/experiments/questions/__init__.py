"""Questions about experiments: estimates, comparisons, repetitions and reports."""
