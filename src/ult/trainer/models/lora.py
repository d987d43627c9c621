"""Train low-rank adapters in place of the body (arXiv:2106.09685), by peft; rows and head are trained in full.

The ids of a table are new to the model, so its embedding rows must be trained. The adapters are merged into the body
at the end, so a finished run is an ordinary one.
"""

from __future__ import annotations

from pathlib import Path

from ult.errors import InvalidConfig, OutputError
from ult.host.extras import require
from ult.public.task import LABELS
from ult.trainer.models.embeddings import Model
from ult.trainer.recipe import Recipe

with require("transformers", extra="train"):
    from safetensors.torch import save_file
    from transformers.pytorch_utils import Conv1D

FOLDER = "adapter"  # in the run
_NAME = "default"  # peft's own for a single adapter


class Adapters:
    """Adapters of one rank on every linear layer of a model but its head."""

    def __init__(self, model: Model, recipe: Recipe, rank: int) -> None:
        """Put adapters into `model`, scaled by alpha / rank = 2, and make only these, the rows and the head trainable.

        Raises `InvalidConfig` for a model that peft has no adapters for.
        """
        with require("peft", extra="lora"):
            from peft import LoraConfig, LoraModel
        base = recipe.from_run or (recipe.model if recipe.model and Path(recipe.model).is_dir() else None)
        self.model, self.base = model, base and Path(base).name
        self.config = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            target_modules="all-linear",
            task_type="SEQ_CLS" if recipe.task in LABELS else "CAUSAL_LM",
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
            base_model_name_or_path=self.base,
        )
        body = {id(weight) for weight in model.base_model.parameters()} - {id(model.get_input_embeddings().weight)}
        try:
            self.tuner = LoraModel(model, self.config, _NAME)
        except (ValueError, TypeError, KeyError, AttributeError, RuntimeError) as error:
            said = " ".join(str(error).split())[:200]
            raise InvalidConfig(
                f"peft has no adapters for this {model.config.model_type} model: {said}", hint="leave out --lora"
            ) from error
        for weight in model.parameters():
            weight.requires_grad |= id(weight) not in body

    def merge(self, folder: Path | None) -> None:
        """Merge the adapters into the weights of the model.

        They are first written to `folder` in peft's format, if the model has a base on which peft can load them.
        Raises `OutputError`.
        """
        if folder is not None and self.base is not None:
            try:
                self._save(folder)
            except OSError as error:
                raise OutputError(f"cannot write the adapter: {error.strerror}") from error
        for weight in self.tuner.merge_and_unload().parameters():
            weight.requires_grad = True

    def _save(self, folder: Path) -> None:
        tensors = {
            f"base_model.model.{name.replace(f'.{_NAME}.', '.')}": weight.detach().contiguous()
            for name, weight in self.model.named_parameters()
            if weight.requires_grad
        }
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
        self.config.inference_mode = True
        self.config.target_modules = sorted(self.config.target_modules or ())
        self.config.save_pretrained(str(folder))
