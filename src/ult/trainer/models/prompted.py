"""The model `ult_prompted`: a Llama that sees soft prompts, vectors which are learned, before whatever it is given.

They stand before the first block and take the first positions. What comes out at them is not part of the output, so in
all else the model is a Llama, and every verb that takes a run takes one of these.
"""

from __future__ import annotations

from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.models.embeddings import Model

with require("torch", "transformers", extra="train"):
    import torch
    import transformers
    from transformers.models.llama import LlamaConfig, LlamaForCausalLM, LlamaModel


class PromptedConfig(LlamaConfig):
    """What `config.json` says of a prompted model: that of a Llama, and how many `prompts` it has."""

    model_type = "ult_prompted"
    prompts: int = 1


class PromptedModel(LlamaModel):
    """The body and the input rows of a prompted model; `prompts` (prompts, channels) are weights of its body."""

    config_class = PromptedConfig

    def __init__(self, config: PromptedConfig) -> None:
        super().__init__(config)
        self.prompts = torch.nn.Parameter(torch.zeros(config.prompts, config.hidden_size))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        past_key_values: Any = None,
        inputs_embeds: torch.Tensor | None = None,
        **told: Any,
    ) -> Any:
        """Return what a Llama returns for the ids alone; a cache holds the prompts too."""
        given = self.embed_tokens(input_ids) if inputs_embeds is None else inputs_embeds
        many, ids = len(self.prompts), given.shape[1]
        first = past_key_values is None or past_key_values.get_seq_length() == 0
        if first:
            given = torch.cat([self.prompts.to(given.dtype).expand(len(given), -1, -1), given], 1)
        if attention_mask is not None and attention_mask.ndim == 2:
            attention_mask = torch.nn.functional.pad(attention_mask, (many, 0), value=1)
        if position_ids is not None:
            position_ids = position_ids + many
            if first:
                places = torch.arange(many, device=given.device).expand(len(position_ids), -1)
                position_ids = torch.cat([places, position_ids], 1)
        found = super().forward(
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=given,
            **told,
        )
        found.last_hidden_state = found.last_hidden_state[:, -ids:]
        return found


class Prompted(LlamaForCausalLM):
    """A Llama for task "lm", with soft prompts."""

    config_class = PromptedConfig

    def __init__(self, config: PromptedConfig) -> None:
        super().__init__(config)
        self.model = PromptedModel(config)
        self.post_init()  # type: ignore[no-untyped-call]

    @classmethod
    def of(cls, model: Model, prompts: int) -> Prompted:
        """Return a Llama with so many prompts before it, drawn by the global generator of torch as its rows are.

        It takes over the modules of `model`. Raises `InvalidConfig` for another kind of model.
        """
        if model.config.model_type != LlamaConfig.model_type:
            raise InvalidConfig(
                f"a {model.config.model_type} model was given; soft prompts are for llama",
                hint="a run of --model small",
            )
        told = {name: value for name, value in model.config.to_dict().items() if name != "model_type"}
        with torch.device("meta"):
            made = cls(PromptedConfig.from_dict({**told, "prompts": prompts}))
        made.lm_head = model.lm_head
        for name, module in model.model.named_children():
            setattr(made.model, name, module)
        rows = model.get_input_embeddings().weight
        drawn = torch.empty(prompts, rows.shape[1], device=rows.device).normal_(0.0, model.config.initializer_range)
        made.model.prompts = torch.nn.Parameter(drawn)
        made.generation_config = model.generation_config
        return made


transformers.AutoConfig.register(PromptedConfig.model_type, PromptedConfig)
transformers.AutoModelForCausalLM.register(PromptedConfig, Prompted)
