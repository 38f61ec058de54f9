"""YAML in and out: every problem located by file and line, all of them reported together."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from tunesmith.config.problems import errors_by_field, explain, known_fields, size_problems
from tunesmith.config.schema import ExperimentConfig
from tunesmith.errors import ConfigError, Problem, first_problems, nearest
from tunesmith.messages import say

FLAGS: dict[str, str] = {
    "experiment_name": "experiment_name",
    "learning_rate": "training.learning_rate",
    "epochs": "training.num_train_epochs",
    "train_samples": "data.train_samples",
    "eval_samples": "data.eval_samples",
    "batch_size": "training.per_device_train_batch_size",
    "model_name": "model.name",
    "device": "training.device",
    "seed": "training.seed",
}
"""Command-line flag → the field it sets."""

COMMAND_LINE = say("command line")


DEEPEST = 100
"""Levels of lists and mappings within each other that plain YAML may have."""

MOST_NODES = 10_000
"""Values, lists and mappings that plain YAML may have: what is read in half a second."""

MOST_FIELDS = 10_000
"""Fields that a file may set, those that its aliases repeat counted each time."""

_RESOLVERS = {
    "bool": (r"(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    "int": (r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)$", "-+0123456789"),
    "float": (
        r"(?:[-+]?(?:[0-9][0-9_]*\.[0-9_]*(?:[eE][-+]?[0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+]?[0-9]+)?"
        r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN))$",
        "-+0123456789.",
    ),
}
"""Type → what a scalar of it looks like, and the characters that it may begin with.

PyYAML's own, less the words yes, no, on and off, and less numbers to the base of 60 (12:30:45),
which YAML 1.2 has no more.
"""


class PlainYamlError(yaml.MarkedYAMLError):
    """Raised when YAML that must be plain repeats itself by an alias, or is nested too deeply."""


class Loader(yaml.SafeLoader):
    """Loads YAML in which `yes`, `no`, `on`, `off` and `12:30` are words, as YAML 1.2 has it.

    They are labels of people's data, and `eval_strategy: no` means what it says. A field that is
    true or false takes these words all the same.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own declaration
        first: [each for each in found if each[0].rpartition(":")[2] not in _RESOLVERS]
        for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


for _kind, (_pattern, _first) in _RESOLVERS.items():
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(_pattern), list(_first))


class PlainLoader(Loader):
    """Loads YAML that came over the network: what is short there is short when it is loaded.

    A few aliases within aliases stand for billions of values, thousands of brackets take seconds to
    read, and a number of thousands of hexadecimal digits can't be shown (ValueError, as for a date
    that no calendar has). An alias to nothing is what it is for every loader: no YAML.
    """

    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            problem = say("more than {n:,} values are not read here", n=MOST_NODES)
            raise PlainYamlError(problem=problem)
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) and event.anchor in self.anchors:
            problem = say(
                "*{anchor} repeats another part, which is not read here", anchor=event.anchor
            )
            raise PlainYamlError(problem=problem)
        return super().compose_node(parent, index)

    def fetch_flow_collection_start(self, TokenClass: type[yaml.Token]) -> None:  # noqa: N803 - PyYAML's name
        if self.flow_level >= DEEPEST:
            raise PlainYamlError(problem=say("nested too deeply"), problem_mark=self.get_mark())
        super().fetch_flow_collection_start(TokenClass)

    def construct_short_int(self, node: yaml.ScalarNode) -> int:
        number = self.construct_yaml_int(node)
        str(number)  # raises ValueError beyond Python's own limit
        return number


PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_short_int)


@dataclass(frozen=True)
class Draft:
    """A configuration as it was asked for, right or wrong.

    `partial` is the configuration without what is wrong in it, so that further checks can add
    their problems to the same report; None where too little is right for that.
    """

    problems: tuple[Problem, ...]
    partial: ExperimentConfig | None
    places: Mapping[str, str]

    def config(self) -> ExperimentConfig:
        """The configuration.

        Raises ConfigError with every problem, each with its place.
        """
        if self.problems or self.partial is None:
            raise self.error()
        return self.partial

    def error(self, found: Iterable[Problem] = ()) -> ConfigError:
        """The draft's problems and those `found` later in fields that were right, by line."""
        wrong = {problem.field for problem in self.problems}
        later = [problem for problem in found if problem.field not in wrong]
        located = ConfigError([*self.problems, *later]).located(self.places).problems
        return ConfigError(sorted(located, key=_line))


def read_draft(
    source: Path | Mapping[str, Any] | None = None,
    flags: Mapping[str, Any] | None = None,
    assignments: Sequence[str] = (),
    fields: Mapping[str, Any] | None = None,
) -> Draft:
    """Read a configuration from a YAML file or a mapping, then flags, then `section.field=value`.

    `flags` maps names of `FLAGS` to values; None values are flags not given. `fields` maps dotted
    paths to values, as from Python.
    """
    places: dict[str, str] = {}
    problems: list[Problem] = []
    values: dict[str, Any] = {}
    if isinstance(source, Path):
        values = read_mapping(source, places, problems)
    elif source is not None:
        values = dict(source)
    for flag, value in (flags or {}).items():
        if value is not None:
            _assign(values, FLAGS[flag], None if value == "null" else value)
            places[FLAGS[flag]] = f"--{flag}"
    for path, value in (fields or {}).items():
        _assign(values, path, value)
    given: set[str] = set()
    for assignment in assignments:
        path, separator, text = assignment.partition("=")
        if not separator or not path:
            problems.append(_not_an_assignment(assignment))
            continue
        wrong: str | None = None
        try:
            value = yaml.load(text, PlainLoader)  # noqa: S506 - a SafeLoader
        except PlainYamlError as error:
            wrong, value = str(error.problem), text
        except RecursionError:
            wrong, value = say("nested too deeply"), text
        except (yaml.YAMLError, ValueError, OverflowError):  # as for a date that no calendar has
            value = text
        if path in given:
            wrong, value = say("was given 2 times; give it once"), text
        elif wrong is None and not _assign(values, path, value):
            wrong = say("goes into a field that has no fields")
        given.add(path)
        if wrong is not None:
            problems.append(Problem(path, wrong, value, place=COMMAND_LINE))
            continue
        places[path] = COMMAND_LINE
        places.setdefault(path.partition(".")[0], COMMAND_LINE)
    return _validate(values, problems, places)


def to_yaml(config: ExperimentConfig) -> str:
    """The complete configuration as YAML, in the schema's order."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _validate(values: dict[str, Any], problems: list[Problem], places: dict[str, str]) -> Draft:
    if found := size_problems(values):
        return Draft((*problems, *found), None, places)
    try:
        partial: ExperimentConfig | None = ExperimentConfig.model_validate(values)
    except ValidationError as error:
        wrong = errors_by_field(error)
        found = explain(wrong, values)
        kept = _without(values, wrong.keys())
        try:
            partial = ExperimentConfig.model_validate(kept)
        except ValidationError:
            partial = None
    located = ConfigError([*problems, *found]).located(places).problems
    return Draft(tuple(sorted(located, key=_line)), partial, places)


def _line(problem: Problem) -> float:
    """The line of the file that the problem is in; what is in no line comes last."""
    line = (problem.place or "").rpartition(":")[2]
    return int(line) if line.isdigit() else math.inf


def _without(values: Mapping[str, Any], wrong: Collection[str], prefix: str = "") -> dict[str, Any]:
    """`values` less the fields whose dotted paths are in `wrong`."""
    kept = {}
    for key, value in values.items():
        path = f"{prefix}{key}"
        if path in wrong:
            continue
        kept[key] = _without(value, wrong, f"{path}.") if isinstance(value, Mapping) else value
    return kept


def _assign(values: dict[str, Any], path: str, value: Any) -> bool:
    """Set the dotted `path`; False where it leads through something that isn't a section."""
    *sections, name = path.split(".")
    for section in sections:
        inner = values.get(section)
        if section == "task" and isinstance(inner, str):
            inner = {"name": inner}
        if not isinstance(inner, dict | None):
            return False
        values[section] = dict(inner or {})
        values = values[section]
    values[name] = value
    return True


def _not_an_assignment(text: str) -> Problem:
    known = [*known_fields(), *(f"--{flag}" for flag in FLAGS)]
    return Problem(
        "",
        say("{text} is neither a flag nor section.field=value", text=repr(text)),
        accepted=say("for example training.learning_rate=0.001"),
        suggestion=nearest(text, known),
        place=COMMAND_LINE,
    )


def read_mapping(path: Path, places: dict[str, str], problems: list[Problem]) -> dict[str, Any]:
    """What a YAML file says, right or wrong; notes the line of every field in `places`.

    Keys written twice are added to `problems`. Raises ConfigError for what can't be read at all.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        there = {found.stem: str(found) for found in path.parent.glob("*.y*ml")}
        hint = there.get(nearest(path.stem, there) or "")
        missing = Problem("", say("no such file: {path}", path=path), suggestion=hint)
        raise ConfigError([missing]) from None
    except (OSError, UnicodeDecodeError) as error:
        unread = Problem("", say("can't read {path}: {error}", path=path, error=error))
        raise ConfigError([unread]) from error
    return _parse(text, str(path), places, problems, Loader)


def parse_yaml(text: str) -> dict[str, Any]:
    """The sections of a configuration that came over the network as YAML, right or wrong.

    Raises ConfigError, with the line, for what isn't YAML, isn't plain, or isn't sections.
    """
    problems: list[Problem] = []
    values = _parse(text, "YAML", {}, problems, PlainLoader)
    if problems:
        raise ConfigError(problems)
    return values


def _parse(
    text: str,
    name: str,
    places: dict[str, str],
    problems: list[Problem],
    kind: type[yaml.SafeLoader],
) -> dict[str, Any]:
    try:
        loader = kind(text)
        node = loader.get_single_node()
        if node is None:
            raise ConfigError([Problem("", say("the file is empty"), place=name)])
        # Before construction, which mixes the keys of `<<` with those written here.
        doubled: list[Problem] = []
        _locate(node, "", name, places, doubled)
        problems += first_problems(doubled)
        values = loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        what = " ".join(part for part in (error.context, error.problem) if part)
        message = say("not valid YAML: {error}", error=what)
        raise ConfigError([Problem("", message, place=f"{name}:{line}")]) from error
    except (yaml.YAMLError, ValueError, OverflowError) as error:  # as for an impossible date
        message = say("not valid YAML: {error}", error=error)
        raise ConfigError([Problem("", message, place=name)]) from error
    except RecursionError:
        raise ConfigError([Problem("", say("nested too deeply"), place=name)]) from None
    places[""] = name
    if not isinstance(values, dict):
        message = say("must be sections of fields, as in model: {{name: …}}")
        raise ConfigError([Problem("", message, values, place=name)])
    return values


def _locate(
    node: yaml.Node,
    prefix: str,
    file: str,
    places: dict[str, str],
    problems: list[Problem],
    around: tuple[yaml.Node, ...] = (),
) -> None:
    """Note the line of every field, and the keys written twice.

    `around` are the nodes that hold this one. Raises ConfigError when an alias leads back to one,
    and when aliases within aliases stand for more fields than a configuration can have.
    """
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        path = f"{prefix}{key.value if isinstance(key, yaml.ScalarNode) else ''}"
        place = f"{file}:{key.start_mark.line + 1}"
        if value is node or value in around:
            raise ConfigError([Problem(path, say("refers to what it is in itself"), place=place)])
        if path in places:
            message = say("written twice, first at {place}", place=places[path])
            problems.append(Problem(path, message, place=place))
            continue
        if len(places) >= MOST_FIELDS:
            most = say("at most {n:,}, those that aliases repeat included", n=MOST_FIELDS)
            many = Problem("", say("sets too many fields"), accepted=most, place=place)
            raise ConfigError([many])
        places[path] = place
        _locate(value, f"{path}.", file, places, problems, (*around, node))
