"""What comparisons of experiments say."""

from __future__ import annotations

from tunesmith.ui.language import N_

SENTENCES = N_(
    "Experiment {id} is {status}: it has no score{more}.",
    "yet",
    "{rows} rows are too many to compare here; this does it: tunesmith data diff {old} {new}",
    "Their rows are not here any more: {why}",
    "Their scores are different metrics: {first} and {second}.",
    "They were judged by different evaluation rows ({n}), so their scores say nothing of "
    "each other. Train both on one version of the data, with the same data.split_seed, "
    "eval_samples and validation_rules.",
    "They can't be compared row by row: {why}.",
    "experiment {id} has no predictions",
    "experiment {id} has no file {name}",
    "it has no predictions",
    "Their evaluation rows are the same, but different answers were expected, as with "
    "another label column.",
    "{metric} doesn't follow from what the rows of experiment {id} add to it: there is no test "
    "for it here.",
    "No interval: {why}.",
    "No interval: {why}, and the recorded one is of something else.",
    "No interval: {why}, and the recorded one was made by a bootstrap.",
    "fewer than {n} held-out rows count for it",
    "fewer than {n} held-out rows",
    "all numbers but one are the same, or all errors but one are 0",
    "no held-out row has the label {names}: the score says nothing about it",
    "no held-out row has the labels {names}: the score says nothing about them",
    "no held-out row has the labels {names} and {n} more: the score says nothing about them",
    "no held-out row has the entity {names}: the score says nothing about it",
    "no held-out row has the entities {names}: the score says nothing about them",
    "no held-out row has the entities {names} and {n} more: the score says nothing about them",
    "The interval is the recorded one: {why}.",
    "No interval: {metric} doesn't follow from what its rows add to it.",
    "Not distinguishable from the first with this much data: {rest}",
    "{won} of {rows} rows right that the first has wrong, {lost} wrong that it has right ({test}).",
    "{won} of {rows} rows done better than by the first, {lost} worse ({test}).",
    "There is no difference to find.",
    "Fewer than {n} rows tell them apart, too few for any test.",
    "If the difference is as large as it looks, about {n} evaluation rows in all would "
    "tell with {power} power.",
    "that many can't be compared",
    "the same experiment is named twice",
)
