"""What the registry of adapters says: names, versions, stages, demands."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "candidate",
    "staging",
    "production",
    "archived",
    "There is an adapter called {name} already.",
    "There is no registered adapter {name}; {hint}",
    "There is no version of {name} in {status}; {rest}",
    "There is no version of {name} that isn't archived; {rest}",
    "There is no version {version}; {rest}",
    "there is {versions}.",
    "{name} has none.",
    "after @ stands one of {accepted}; did you mean {version}?",
    "after @ stands one of {accepted}",
    "{version} ({status}) is gone: its experiment {id} was deleted.",
    "experiment {id} is {status}; only the adapter of one that has succeeded can be registered.",
    "experiment {id} is {version} already.",
    "Experiment {id} is kept: {versions} rests on it. Archive or remove that first: tunesmith "
    "adapters archive {version}",
    "the adapter of experiment {id} is not the one that was registered: its {file} had the SHA-256 "
    "{before}… then, and has {now}… now.",
    "{version} is in {status} already.",
    "{version} is in production; archive it before removing it.",
    "{version} stays as it is: meanwhile {why}. Look again, then ask.",
    "it is {status} now, and was {what}",
    "no version of {name} is in production any more",
    "{version} has gone into production",
    "what is demanded of {name} was changed",
    "{version} took its place.",
    "{version} doesn't go into production: {why}",
    "{version} doesn't go into production: it doesn't meet what is demanded of {name}.",
    "A forced promotion needs a comment: the history keeps it as the reason.",
    "less would be demanded of {name} than now; that is for an admin to say.",
    "adapter {id} belongs to {owner}; {name} may change only adapters of their own.",
    "minimum_score {minimum}: it has no score.",
    "minimum_score {minimum}: of {metric} less is better, so no least one is met.",
    "minimum_score {minimum}: its {metric} of {score} has no interval, and the lower end is what "
    "counts.",
    "minimum_score {minimum}: the interval of its {metric} of {score} was made by a bootstrap, "
    "which is too narrow with few rows. Train it again: the new version's interval is reliable.",
    "minimum_score {minimum}: its {metric} is {score}, with a {level} interval of {low} to {high} "
    "from {n} rows; the lower end is what counts.",
    "minimum_score {minimum}: its {metric} is {score}, with a {level} interval of {low} to {high}; "
    "the lower end is what counts.",
    "verified: it isn't recorded that its adapter, loaded again, gave the same predictions.",
    "better_than_production: {why}",
    "better_than_production: held against {version}, here the first: {why}",
    "would be taken for an experiment",
    "is not the name of this adapter",
    "a language as BCP 47 writes it, such as en or zh-TW",
    "a number from 0 to 1, or null",
    "`tunesmith adapters list` shows what there is.",
)
