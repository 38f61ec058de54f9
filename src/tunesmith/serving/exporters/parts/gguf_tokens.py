"""A byte-level BPE tokenizer, as llama.cpp reads it from a GGUF file."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tunesmith.errors import ModelError, VerificationError

_LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern by which Llama 3 cuts texts into words."""


def check_tokenizer(tokenizer: Any, otherwise: str) -> None:
    """Raises ModelError, ending with `otherwise`, when this is no tokenizer that can be written."""
    spec = _tokenizer_json(tokenizer)
    if spec["model"]["type"] == "BPE" and _cutting(spec) and not spec.get("normalizer"):
        return
    raise ModelError(
        "--to gguf writes byte-level BPE tokenizers that cut texts as those of "
        "GPT-2, SmolLM or Llama 3 do; this model's is {type} of another kind. "
        "{otherwise}",
        type=spec["model"]["type"],
        otherwise=otherwise,
    )


def write_tokenizer(writer: Any, tokenizer: Any, size: int, ends: Sequence[int]) -> None:
    """Put vocabulary, merges, special tokens and chat template into the GGUF `writer`.

    `ends` are the tokens that end an answer; `size` is the number of rows of the model's
    embedding: rows without a token get a name.
    """
    import gguf

    spec = _tokenizer_json(tokenizer)
    tokens = [f"[PAD{number}]" for number in range(size)]
    kinds = [gguf.TokenType.UNUSED] * size
    for token, number in tokenizer.get_vocab().items():
        tokens[number], kinds[number] = token, gguf.TokenType.NORMAL
    for added in spec["added_tokens"]:
        special = gguf.TokenType.CONTROL if added["special"] else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], special
    merges = spec["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(str(_cutting(spec)))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    others = [end for end in ends if end != tokenizer.eos_token_id]
    for add, end in zip((writer.add_eot_token_id, writer.add_eom_token_id), others, strict=False):
        add(end)
    # Chats were learned as the template writes them, which says itself where a text begins.
    writer.add_add_bos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(tokenizer.chat_template)


def read_tokenizer(file: Path, own: Any) -> Any:
    """The tokenizer in the GGUF `file`, with its chat template, as transformers reads it.

    That passes over control tokens of other letters than its byte-level ones (DeepSeek's), which
    llama.cpp does not: then, the adapter's `own` one. Raises VerificationError when the file's
    tokens and merges aren't those of `own`.
    """
    import gguf
    from transformers import AutoTokenizer
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    found = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    spec, letters = _tokenizer_json(own), set(bytes_to_unicode().values())
    control = [added["content"] for added in spec["added_tokens"] if added["special"]]
    if all(set(token) <= letters for token in control):
        return found
    reader, names = gguf.GGUFReader(file), gguf.Keys.Tokenizer
    tokens, merges = (
        field.contents() if (field := reader.get_field(name)) else []
        for name in (names.LIST, names.MERGES)
    )
    known = [m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]]
    if merges != known or any(tokens[n] != token for token, n in own.get_vocab().items()):
        raise VerificationError(
            "the GGUF file holds other tokens than the adapter's tokenizer. Nothing was exported."
        )
    template, found = found.chat_template, copy.deepcopy(own)
    found.chat_template = template
    return found


def ends_in(file: Path) -> list[int]:
    """The tokens by which llama.cpp ends an answer, as the GGUF `file` names them."""
    import gguf

    names = (gguf.Keys.Tokenizer.EOS_ID, gguf.Keys.Tokenizer.EOT_ID, gguf.Keys.Tokenizer.EOM_ID)
    found = [gguf.GGUFReader(file).get_field(name) for name in names]
    return [int(field.contents()) for field in found if field is not None]


def _tokenizer_json(tokenizer: Any) -> dict[str, Any]:
    """What stands in tokenizer.json."""
    spec: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return spec


def _cutting(spec: dict[str, Any]) -> str | None:
    """llama.cpp's name for how texts are cut into words before BPE; None for what isn't known."""
    steps = spec.get("pre_tokenizer") or {}
    steps = steps.get("pretokenizers", [steps])
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    match steps[:-1]:
        case [] if last.get("use_regex", True):
            return "gpt-2"
        case [{"type": "Digits", "individual_digits": True}] if last.get("use_regex", True):
            return "smollm"
        case [{"type": "Split", "pattern": {"Regex": pattern}}] if pattern == _LLAMA_3:
            return "llama-bpe"
        case _:
            return None
