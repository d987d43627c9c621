"""How a classifier reads a record: what of it decides, and whether an id sees those behind it.

Both stand in `config.json` as `ult_pool` and `ult_attention`, and are put onto the model wherever a run is loaded. A
program that does not know them reads such a checkpoint as one that is causal and decides by the last id.
"""

from __future__ import annotations

from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.vocabulary import PAD
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.embeddings import Model

with require("torch", extra="train"):
    import torch

POOL, ATTENTION = "ult_pool", "ult_attention"  # in a model's config
MEAN, FULL = "mean", "full"


def set_head(model: Model, pool: str | None, attention: str | None) -> None:
    """Note in a classifier's config how it reads records, where that is not None, and let it read so.

    Raises `InvalidConfig` for a model that cannot.
    """
    for name, value in ((POOL, pool), (ATTENTION, attention)):
        if value is not None:
            setattr(model.config, name, value)
    apply_head(model)
    if attention is not None and looks_ahead(model) != (attention == FULL):
        raise InvalidConfig(
            f"{model.config.model_type} models cannot have {attention} attention", hint="leave out --attention"
        )


def clear_head(model: Model) -> None:
    """Forget how a classifier read records, for another task."""
    for name in (POOL, ATTENTION):
        vars(model.config).pop(name, None)


def apply_head(model: Model) -> None:
    """Let a classifier read records as its config says. Raises `InvalidConfig` for a model that cannot."""
    if getattr(model.config, ATTENTION, None) == FULL:
        _see_all(model)
    if getattr(model.config, POOL, None) == MEAN:
        if not hasattr(model, "score"):
            raise InvalidConfig(
                f"{model.config.model_type} models have a way of their own to pool", hint="leave out --pool"
            )
        _pool_all(model)


def _see_all(model: Any) -> None:
    body = model.base_model
    forward = body.forward

    def seeing(input_ids: torch.Tensor | None = None, attention_mask: torch.Tensor | None = None, **others: Any) -> Any:
        if input_ids is None:
            raise TypeError("ids are given by name")
        own = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        seen = own.bool()[:, None, None, :].expand(-1, 1, own.shape[1], -1)  # (b, 1, n, n): may i see j
        if getattr(body.config, "_attn_implementation", "") == "eager":  # which adds the mask
            seen = torch.zeros(seen.shape, device=seen.device).masked_fill(~seen, torch.finfo(torch.float32).min)
        return forward(input_ids=input_ids, attention_mask=seen, **others)

    body.forward = seeing


def _pool_all(model: Any) -> None:
    from transformers.modeling_outputs import SequenceClassifierOutput

    def pooled(input_ids: torch.Tensor, **others: Any) -> SequenceClassifierOutput:
        hidden = model.base_model(input_ids=input_ids, **others)[0]
        own = (input_ids != PAD).to(hidden.dtype)[..., None]
        return SequenceClassifierOutput(logits=model.score((hidden * own).sum(1) / own.sum(1).clamp(min=1)))

    model.forward = pooled


def set_dropout(model: Any, share: float) -> None:
    """Leave out a share of values while a model trains: where its architecture does, or else behind each part.

    The parts of a model without dropout are its rows, and the attention and the rest of each layer.
    """
    own = [module for module in model.modules() if isinstance(module, torch.nn.Dropout)]
    for module in own:
        module.p = share
    parts = [one for name, one in model.named_modules() if name.endswith((".mlp", ".self_attn"))]
    for part in [] if own else [model.get_input_embeddings(), *parts]:
        part.register_forward_hook(lambda module, _, found: _dropped(found, share if module.training else 0.0))


def _dropped(found: Any, share: float) -> Any:
    first, *rest = found if isinstance(found, tuple) else (found,)
    left = torch.nn.functional.dropout(first, share, training=share > 0)
    return (left, *rest) if isinstance(found, tuple) else left
