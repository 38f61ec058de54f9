"""Data and configurations: uploaded, looked into, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, BinaryIO

from tunesmith.client.connection import Connected, path_of
from tunesmith.schemas.choices import Exporters, RuleDescriptions, Tasks
from tunesmith.schemas.data import (
    BaseModels,
    CheckResult,
    Comparison,
    ConfigurationCheck,
    DataInspection,
    Datasets,
    DatasetVersions,
    DatasetVersionState,
    Estimate,
    Imported,
    ParsedConfiguration,
    Presets,
    Preview,
    Resolved,
    Validation,
)
from tunesmith.schemas.row_tokens import RowsAsTokens


class Data(Connected):
    """What is trained on, and how."""

    def upload(
        self,
        file: Path | BinaryIO,
        name: str,
        *,
        description: str = "",
        settings: tuple[str, ...] = (),
    ) -> Imported:
        """Upload a table as a version of the dataset `name`.

        `file` is a path, or a file opened in binary mode, whose `name` is sent if it has one.
        `settings` are such as `task.text_column=review`. Raises DataError, ConfigError, OSError.
        """
        fields = {"name": name, "description": description, "set": list(settings)}
        with file.open("rb") if isinstance(file, Path) else nullcontext(file) as stream:
            sent_name = Path(str(getattr(file, "name", ""))).name or "upload"
            files = {"file": (sent_name, stream)}
            return self._ask(Imported, "POST", "/datasets", data=fields, files=files, long=True)

    def inspect(
        self, file: BinaryIO, name: str, *, settings: tuple[str, ...] = ()
    ) -> DataInspection:
        """Look at a table before it is uploaded, read as `settings` such as `data.delimiter=;` say.

        Raises DataError, ConfigError.
        """
        return self._ask(
            DataInspection,
            "POST",
            "/datasets/inspect",
            data={"set": list(settings)},
            files={"file": (name, file)},
            long=True,
        )

    def datasets(self) -> Datasets:
        """All datasets, by name."""
        return self._ask(Datasets, "GET", "/datasets")

    def dataset(self, name: str) -> DatasetVersions:
        """The versions of a dataset, the newest first. Raises NotFoundError."""
        return self._ask(DatasetVersions, "GET", path_of("datasets", name))

    def dataset_version(self, name: str, number: int) -> DatasetVersionState:
        """One version. Raises NotFoundError."""
        return self._ask(DatasetVersionState, "GET", path_of("datasets", name, number))

    def check_report(self, name: str, number: int, *, findings: int = 100) -> CheckResult:
        """What is wrong with a version's rows. Raises NotFoundError, DataError."""
        path = path_of("datasets", name, number, "report")
        return self._ask(CheckResult, "GET", path, params={"findings": findings}, long=True)

    def preview(self, name: str, number: int, *, rows: int = 10) -> Preview:
        """The first rows of each split. Raises NotFoundError."""
        path = path_of("datasets", name, number, "preview")
        return self._ask(Preview, "GET", path, params={"rows": rows})

    def compare(self, name: str, old: int | str, new: int | str) -> Comparison:
        """What changed from one version to another. Raises NotFoundError."""
        path = path_of("datasets", name, "diff")
        params = {"old": str(old), "new": str(new)}
        return self._ask(Comparison, "GET", path, params=params, long=True)

    def configuration_schema(self) -> dict[str, Any]:
        """The JSON schema of a configuration."""
        return self._ask(dict[str, Any], "GET", "/configuration/schema")

    def tasks(self) -> Tasks:
        """What can be learned, with the words, metrics and usual columns of each task."""
        return self._ask(Tasks, "GET", "/configuration/tasks")

    def exporters(self) -> Exporters:
        """The forms that `tunesmith export` can take an adapter along in."""
        return self._ask(Exporters, "GET", "/configuration/exporters")

    def rules(self) -> RuleDescriptions:
        """The rules that rows are held against, with what may be done with those that break one."""
        return self._ask(RuleDescriptions, "GET", "/configuration/rules")

    def models(self, search: str | None = None) -> BaseModels:
        """The base models that are at hand on the API's machine; with `search`, also those of the
        hub whose names contain it. Raises AccessError for a search by a viewer."""
        params = {} if search is None else {"search": search}
        return self._ask(BaseModels, "GET", "/configuration/models", params=params)

    def check_configuration(
        self, config: Mapping[str, Any], *, findings: int = 100
    ) -> ConfigurationCheck:
        """What the rules of a configuration find in its data. Raises ConfigError, DataError."""
        return self._ask(
            ConfigurationCheck,
            "POST",
            "/configuration/check",
            json=dict(config),
            params={"findings": findings},
            long=True,
        )

    def row_tokens(self, config: Mapping[str, Any], rows: Sequence[int]) -> RowsAsTokens:
        """Rows of a configuration's data as its model sees them, by their numbers in the source.

        Raises ConfigError, DataError, ModelError.
        """
        return self._ask(
            RowsAsTokens,
            "POST",
            "/configuration/tokens",
            json=dict(config),
            params={"row": list(rows)},
            long=True,
        )

    def rejected_rows(self, config: Mapping[str, Any]) -> bytes:
        """The rows that a training would not use, with rule and reason, as CSV."""
        return self._connection.request(
            "POST", "/configuration/rejected", json=dict(config), long=True
        ).content

    def parse(self, text: str) -> ParsedConfiguration:
        """What a configuration in YAML says, and every problem of its fields."""
        return self._ask(ParsedConfiguration, "POST", "/configuration/parse", json={"yaml": text})

    def presets(self) -> Presets:
        """The ready-made configurations, the starter first."""
        return self._ask(Presets, "GET", "/configuration/presets")

    def validate(self, config: Mapping[str, Any]) -> Validation:
        """Check a configuration with its data; problems are in the answer."""
        return self._ask(
            Validation, "POST", "/configuration/validate", json=dict(config), long=True
        )

    def resolve(self, config: Mapping[str, Any]) -> Resolved:
        """The configuration with all its defaults. Raises ConfigError with every problem."""
        return self._ask(Resolved, "POST", "/configuration/resolve", json=dict(config))

    def estimate(self, config: Mapping[str, Any]) -> Estimate:
        """Memory and time that a training will take. Raises ConfigError with every problem."""
        return self._ask(Estimate, "POST", "/configuration/estimate", json=dict(config))
