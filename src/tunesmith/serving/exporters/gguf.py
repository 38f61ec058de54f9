"""`--to gguf`: one file for llama.cpp and what is built on it, weights, tokenizer and chat format.

Layout: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; names by the `gguf` package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tunesmith.errors import ModelError, VerificationError
from tunesmith.files.writing import hashes, placed
from tunesmith.messages import joined, say
from tunesmith.models.architectures import GGUF_FAMILY, GGUF_ROTATED, gguf_name, heads_of
from tunesmith.models.reader_files import framed
from tunesmith.serving.exporters.base import Exported, Exporter
from tunesmith.serving.exporters.parts.gguf_tokens import (
    check_tokenizer,
    ends_in,
    read_tokenizer,
    write_tokenizer,
)

if TYPE_CHECKING:
    from tunesmith.serving.exporters.parts.work import Work

FORMATS = {
    "float32": ("F32", "ALL_F32"),
    "float16": ("F16", "MOSTLY_F16"),
    "bfloat16": ("BF16", "MOSTLY_BF16"),
    "q8_0": ("Q8_0", "MOSTLY_Q8_0"),
}
"""Number format → its names in GGUF: of a tensor, and of a file."""

_CONVERTER = say(
    "For others export --to merged and give that folder to llama.cpp's own "
    "converter: python convert_hf_to_gguf.py FOLDER --outfile model.gguf"
)


class Gguf(Exporter):
    """The merged model as llama.cpp reads it."""

    name = "gguf"
    summary = "One file for llama.cpp and what is built on it; chat models of the Llama family."
    place = "{}.gguf"
    formats = tuple(FORMATS)
    usual_format = "float16"
    weights = "float32"

    def export(self, work: Work, place: Path, *, force: bool) -> Exported:
        """It is read back by transformers' own GGUF reader."""
        _check(work)
        form = self.form or self.usual_format
        with placed(place, force=force) as staging:
            model = work.merged()
            work.progress(say("writing the GGUF file"))
            ends = work.task.generation_settings(work.tokenizer).eos_token_id
            name, described = work.experiment.name, _description(work)
            with framed(work.task, work.tokenizer):
                write_gguf(
                    model, work.tokenizer, ends, staging, form, name=name, description=described
                )
            del model
            work.free()
            work.progress(say("reading it again, and asking it the same"))
            exported, tokenizer, examples = _read(staging, work)
            agreement = work.verify(exported, tokenizer, examples=examples, form=form)
        return Exported(self.name, str(place), hashes(place), agreement, work.note())


def _check(work: Work) -> None:
    """Raises ModelError for a model or tokenizer that this export can't write."""
    if not work.task.writes_text:
        raise ModelError(
            "--to gguf is for chat models; this adapter's task is {name}: export "
            "--to onnx or --to merged.",
            name=work.task.name,
        )
    settings = json.loads((work.source.folder / "config.json").read_text(encoding="utf-8"))
    kind = settings.get("model_type")
    rope = settings.get("rope_parameters") or settings.get("rope_scaling") or {}
    if kind != GGUF_FAMILY:
        raise ModelError(
            "--to gguf writes models of the {family} family (Llama, SmolLM2, "
            "TinyLlama …); {name} is {kind}. {converter}",
            family=GGUF_FAMILY,
            name=work.source.name,
            kind=kind,
            converter=_CONVERTER,
        )
    if rope.get("rope_type", "default") != "default":
        raise ModelError(
            "--to gguf doesn't write the position scaling {rope_type} of {name}. {converter}",
            rope_type=repr(rope["rope_type"]),
            name=work.source.name,
            converter=_CONVERTER,
        )
    check_tokenizer(work.tokenizer, _CONVERTER)


def write_gguf(
    model: Any,
    tokenizer: Any,
    ends: Sequence[int],
    file: Path,
    form: str,
    *,
    name: str = "",
    description: str = "",
) -> None:
    """Write `model` and `tokenizer` as `file`; `ends` are the tokens that end an answer."""
    import gguf

    settings = model.config
    heads, kv_heads, head = heads_of(settings)
    writer = gguf.GGUFWriter(file, GGUF_FAMILY)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(gguf_name(name))
    writer.add_description(description)
    writer.add_file_type(gguf.LlamaFileType[FORMATS[form][1]])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_block_count(settings.num_hidden_layers)
    writer.add_context_length(settings.max_position_embeddings)
    writer.add_embedding_length(settings.hidden_size)
    writer.add_feed_forward_length(settings.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(float(settings.rope_parameters["rope_theta"]))
    writer.add_layer_norm_rms_eps(settings.rms_norm_eps)
    writer.add_vocab_size(settings.vocab_size)
    write_tokenizer(writer, tokenizer, settings.vocab_size, ends)
    writer.add_sampling_temp(0.0)  # the likeliest token each time, as it was judged
    writer.add_sampling_penalty_repeat(1.0)
    for weight, values, kind in _tensors(model, form):
        writer.add_tensor(weight, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _description(work: Work) -> str:
    """What whoever reads the file's metadata should know."""
    score = work.experiment.metrics["score"]
    said = (
        f"Tunesmith experiment {work.experiment.id}, a LoRA adapter merged into {work.source.name}"
    )
    measured = f"{score['metric']} {score['value']:.3f} on held-out rows"
    return joined(filter(None, (said, measured, work.note())), ". ")


def _tensors(model: Any, form: str) -> Iterator[tuple[str, npt.NDArray[Any], Any]]:
    """GGUF's name, values and format of each weight; vectors stay float32, as llama.cpp wants."""
    import gguf

    names = gguf.get_tensor_name_map(
        gguf.MODEL_ARCH[GGUF_FAMILY.upper()], model.config.num_hidden_layers
    )
    wanted = gguf.GGMLQuantizationType[FORMATS[form][0]]
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue  # the same matrix as the embedding, which stands for it
        ours = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if ours is None:
            raise ModelError(
                "--to gguf knows no place for the weight {name}. {converter}",
                name=name,
                converter=_CONVERTER,
            )
        values = tensor.detach().cpu().float().numpy()
        for matrix, counted in GGUF_ROTATED.items():
            if matrix in name:
                values = _interleaved(values, heads_of(model.config)[counted])
        kind = wanted
        if values.ndim < 2:
            kind = gguf.GGMLQuantizationType.F32
        elif form == "q8_0" and values.shape[-1] % 32:  # a block is 32 numbers of a row
            kind = gguf.GGMLQuantizationType.F16
        yield ours, gguf.quants.quantize(np.ascontiguousarray(values), kind), kind


def _interleaved(values: npt.NDArray[Any], heads: int) -> npt.NDArray[Any]:
    """Rows of a query or key matrix in the order in which llama.cpp rotates them.

    transformers turns the first half of a head against the second, llama.cpp each even row against
    the next.
    """
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def _read(file: Path, work: Work) -> tuple[Any, Any, list[Any]]:
    """The model in `file`, its own tokenizer, and the held-out rows as that encodes them.

    Raises VerificationError when it encodes otherwise than what the adapter reads.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    tokenizer = read_tokenizer(file, work.tokenizer)
    template = tokenizer.chat_template
    tokenizer.chat_template = work.tokenizer.chat_template  # rows hold already what it adds
    work.task.prepare_tokenizer(tokenizer)
    facts = work.task.facts()
    examples = work.task.encode(work.given.rows, tokenizer, work.config.data.max_length)
    work.task.restore(facts)
    tokenizer.chat_template = template
    for row, one, other in zip(work.given.rows, work.examples, examples, strict=True):
        if one["input_ids"] != other["input_ids"]:
            raise VerificationError(
                "the tokenizer in the GGUF file reads row {_row} as other tokens than "
                "the adapter's does. Nothing was exported.",
                _row=row["_row"],
            )
    model: Any = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
    settings = work.task.generation_settings(work.tokenizer)
    model.generation_config = GenerationConfig(
        max_new_tokens=settings.max_new_tokens,  # llama.cpp's clients say how many
        do_sample=False,
        eos_token_id=ends_in(file),
        pad_token_id=tokenizer.pad_token_id,
    )
    # What the base model said of a row goes with it.
    known = [{**one, **other} for one, other in zip(work.examples, examples, strict=True)]
    return model.to(work.plan.device).eval(), tokenizer, known
