"""What sweeps and their files say."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "All {n} trainings that ended have {metric} {value}: {why}.",
    "it can't tell them apart",
    "none learned enough to raise it, or it is too strict for these answers",
    "These differ: {list}; a sweep uses one of them with metric: {name}.",
    "Pruned at epoch {epoch}: others had a better {metric} there.",
    "Its results have no {metric}.",
    "Its first {n} trials failed, the last one so: {reason}",
    "None of its trials succeeded.",
    "Its sweep has ended.",
    "Sweep {id} ({name}) is {status}.",
    "There is no sweep {id}.",
    "sweep {id} belongs to {owner}; {name} may change only sweeps of their own.",
    "must be the fields of a configuration; files are read from disk only",
    "is no field that can be varied",
    "is varied by seeds already: choose one of the two",
    "is no number: it has no range",
    "has no end of values for a grid",
    "choices, or a step",
    "this grid has {n} settings",
    "evaluation gives no such metric",
    "nothing is evaluated before the end of training, so that nothing could be pruned",
    "is too long: its experiments' names begin with it",
    "needs either choices, or low and high",
    "has choices, which stand for themselves: no low, high, log, step",
    "needs a low below its high",
    "needs a low above 0 with log",
    "takes log or step, not both",
)
