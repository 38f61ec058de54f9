"""The rules that rows are held against, as a configuration sets them: made of what rules there are.

A rule is a class in `data/rules/`, or in another package (`plugins`). They are loaded by name, as
plugins are: the configuration knows no room above it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, create_model

from tunesmith.config.rule_field import Action, RuleField
from tunesmith.config.section import Section
from tunesmith.messages import say
from tunesmith.plugins import Registry
from tunesmith.tasks.base import Task


def _fault(rule: type[RuleField]) -> str | None:
    """What a rule of another package lacks, so that a configuration could not hold it."""
    if missing := [name for name in ("label", "summary") if not getattr(rule, name, None)]:
        return say("lacks {names}", names=missing)
    if not rule.name.isidentifier():
        return say("needs a name that can be a field's")
    if rule.default is not None and rule.default not in rule.actions:
        return say("has {value} by default, which is none of its actions", value=rule.default)
    create_model("Fields", __base__=Section, **_fields(rule)).model_json_schema()
    return None


def _fields(rule: type[RuleField]) -> dict[str, Any]:
    """The fields of a rule for Pydantic: its action, and its bounds."""
    action: Any = Literal[rule.actions]
    kind = action | None if rule.default is None else action
    return {**rule.bounds, rule.name: (kind, Field(rule.default, description=rule.summary))}


RULES: Registry[RuleField] = Registry("tunesmith.data.rules", "tunesmith.rules", RuleField, _fault)
"""Rule → its class: ours by name, then those of other packages."""


class Rules(Section):
    """What a row must be like to be used, and what happens to one that isn't.

    A rule's action: `drop` leaves the row out, `fix` mends it, `warn` reports it, `fail` stops, and
    `ignore` doesn't look. Whatever is found stands in the report.
    """

    @property
    def actions(self) -> dict[str, Action]:
        """Rule → action, those decided that were left open and hold for every task."""
        return self.actions_for(None)

    def actions_for(self, task: Task | type[Task] | None) -> dict[str, Action]:
        """Rule → action, those decided that were left open, for the data of `task`."""
        return {name: rule.decided(self, task) for name, rule in RULES.items()}

    def mended_for(self, task: Task) -> list[str]:
        """The rules by which texts are mended before `task` learns them."""
        if task.points_into_text:
            return []
        return [name for name, action in self.actions_for(task).items() if action == "fix"]


if TYPE_CHECKING:

    class ValidationRules(Rules):
        """`Rules` with the fields of every rule."""

        def __init__(self, **fields: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...

else:
    _bounds = {name: field for rule in RULES.values() for name, field in rule.bounds.items()}
    _actions = {name: _fields(rule)[name] for name, rule in RULES.items()}
    ValidationRules = create_model(
        "ValidationRules",
        __base__=Rules,
        __module__=__name__,
        __doc__=Rules.__doc__,
        **_bounds | _actions,
    )
