"""Find out whether a model looks ahead: whether its output at an id depends on later ids.

A model that predicts the next id must not, or its loss would know the answer. In an encoder-decoder only the decoder
must not. The name of an architecture does not tell, so the model is run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ult.errors import FormatError, InvalidConfig
from ult.host.extras import require
from ult.public.vocabulary import N_SPECIAL

with require("torch", extra="train"):
    import torch

if TYPE_CHECKING:
    from ult.trainer.models.embeddings import Model

LENGTH = 12  # ids of the test input
# A smaller change, as a share of the largest value, is rounding. A BERT of 32 channels drawn at random changes by 2e-3,
# ten causal architectures do not change.
ROUNDING = 1e-5


def looks_ahead(model: Model) -> bool:
    """Return whether the output of a model's body at earlier ids changes with the last id; a bag has none there.

    Raises `FormatError` if the model cannot be run.
    """
    body, training = model.base_model, model.training
    try:
        rows, room = len(model.get_input_embeddings().weight), getattr(model.config, "max_position_embeddings", None)
        length = min(LENGTH, room) if isinstance(room, int) and room > 1 else LENGTH
        ids = (torch.arange(length, device=model.device) * 7 + N_SPECIAL) % rows
        other = ids.clone()
        other[-1] = (other[-1] + 3) % rows
        body.eval()
        both = torch.stack([ids, other])
        asked = {"input_ids": torch.stack([ids, ids]), "decoder_input_ids": both}
        if not model.config.is_encoder_decoder:
            asked = {"input_ids": both}
        with torch.inference_mode():
            once, again = body(**asked, use_cache=False)[0].float()
        change = (once - again)[:-1].abs().max() if once.ndim > 1 else 0.0
    except Exception as error:  # a stranger's config lets a model fail in nearly any way
        said = " ".join(str(error).split())[:200]
        raise FormatError(f"this {model.config.model_type} model cannot be run: {said}") from error
    finally:
        body.train(training)
    return bool(change > ROUNDING * once.abs().max())


def check_causal(model: Model, name: object) -> None:
    """Raise `FormatError` if a model that is to predict the next id looks ahead."""
    if looks_ahead(model):
        what = "a decoder that is none" if model.config.is_encoder_decoder else "an encoder"
        raise FormatError(
            f"{name} is {what} ({model.config.model_type}): what it says of an id rests on the ids after it, so it "
            "would know the ids that it is to predict",
            hint="a causal model, or --task classify",
        )


def check_apart(model: Model, **told: torch.Tensor) -> None:
    """Raise `InvalidConfig` unless positions that begin anew keep a model's records apart.

    Position ids with no mask beside them are how transformers is told of several records in a row. `told` is what else
    a call of the model takes.
    """
    training, half = model.training, LENGTH // 2
    ids = (torch.arange(LENGTH, device=model.device) * 7 + N_SPECIAL)[None] % len(model.get_input_embeddings().weight)
    places = torch.arange(LENGTH, device=model.device)[None] % half
    try:
        model.eval()
        with torch.inference_mode():
            both = model(input_ids=ids, position_ids=places, use_cache=False, **told).logits.float()[:, half:]
            alone = model(input_ids=ids[:, half:], position_ids=places[:, half:], use_cache=False, **told).logits
        apart = bool((both - alone.float()).abs().max() <= ROUNDING * both.abs().max())
    except (TypeError, RuntimeError, ValueError):
        apart = False
    finally:
        model.train(training)
    if not apart:
        kind = model.config.model_type
        raise InvalidConfig(f"{kind} models cannot keep the records of a block apart", hint="leave out --document-mask")
