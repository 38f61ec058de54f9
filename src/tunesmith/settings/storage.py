"""Settings of what is kept: folders, the store, dataset versions, copies in an object store."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, field_validator


class StorageSettings(BaseModel):
    """Where files lie, and who may read them."""

    model_config = ConfigDict(defer_build=True)  # Settings is built of it

    results_dir: Path = Path("results")
    """Folder that holds every experiment's folder and the default store."""
    database_url: str | None = None
    """SQLAlchemy URL of the store; by default SQLite in the results folder."""
    datasets: str | None = None
    """Folder or s3:// address of the dataset versions; by default datasets/ in the results
    folder."""
    cache_dir: Path = Path.home() / ".cache" / "tunesmith"
    """Folder for what can be made again, such as converted base models."""
    file_access: Literal["owner", "group", "all"] = "owner"
    """Who may read the files that Tunesmith writes: their owner, the owner's group too, or all
    accounts of the machine."""
    artifacts: str | None = None
    """s3:// address that experiments' folders are copied to, for workers on several machines
    without shared files; by default they stay in the results folder alone."""
    data_dir: Path = Path()
    """Folder in which the data and models lie that may be named over the API."""
    databases: str = ""
    """Addresses of the databases, with spaces between, that may be asked over the API, each as it
    stands before the # in data.dataset_name; by default none."""

    @field_validator("results_dir", "cache_dir", "data_dir")
    @classmethod
    def _home(cls, value: Path) -> Path:
        return value.expanduser()

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store."""
        return self.database_url or f"sqlite:///{self.results_dir / 'experiments.db'}"

    @property
    def datasets_root(self) -> str:
        """Folder or s3:// address of the dataset versions."""
        return self.datasets or str(self.results_dir / "datasets")

    @property
    def services_dir(self) -> Path:
        """Where the services of this machine leave their logs, and what they tell each other."""
        return self.results_dir / ".tunesmith"
