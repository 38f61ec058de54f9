"""Where a trained model lies, as code that loads it: for model cards."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelPlace:
    """A folder or a repository with a trained model: an adapter, or one that is whole."""

    folder: str
    """A Python expression of the folder, or of the repository's name."""
    base_model: str | None = None
    """A Python expression of the adapter's base model; None where the model is whole."""

    def imports(self, *names: str) -> str:
        """The lines that import what loads it, and `names` of transformers."""
        peft = "from peft import PeftModel\n" if self.base_model else ""
        return f"{peft}from transformers import {', '.join(sorted(names))}"

    def loading(self, auto_class: str, *, arguments: str = "", prepare: str = "") -> str:
        """The lines that make `model`, with transformers' class `auto_class`.

        A base model is loaded with `arguments`; `prepare` is a line about it, as `base`.
        """
        if self.base_model is None:
            return f"model = {auto_class}.from_pretrained({self.folder})"
        lines = [
            f"base = {auto_class}.from_pretrained({self.base_model}{arguments})",
            *([prepare] if prepare else []),
            f"model = PeftModel.from_pretrained(base, {self.folder})",
        ]
        return "\n".join(lines)
