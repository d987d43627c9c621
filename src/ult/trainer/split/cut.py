"""A prompted model cut in three: an owner holds both ends, the server what is between, and messages join them.

An owner's side is a model whose middle is a `Gap`. Gradients cross it as PyTorch asks for them: what goes in is sent to
the server, what the server makes of it comes out, and backwards the same. So whatever trains a model trains this one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeAlias

from ult.errors import FormatError
from ult.host.extras import require
from ult.trainer.federated.body import Body, body_of
from ult.trainer.models.prompted import Prompted
from ult.trainer.split.wire import Hidden, packed, unpacked

with require("torch", "transformers", extra="train"):
    import torch
    from transformers.models.llama import LlamaModel

STATES, GRADIENTS = "hidden states", "gradients"
Ask: TypeAlias = Callable[[str, bytes], bytes]  # what is sent, and the message; returns the server's answer


class Gap(torch.nn.Module):
    """Where the server's blocks would be in an owner's model: asks the server, or, wired, passes everything on."""

    def __init__(self, prompts: int, wire: str, ask: Ask) -> None:
        super().__init__()
        self.prompts, self.wire, self.ask = prompts, wire, ask
        self.wired = False

    def forward(self, states: torch.Tensor, **_: Any) -> torch.Tensor:
        """Return hidden states (b, prompts + n, channels) as the last block of the server leaves them."""
        if self.wired:
            return states
        prompts, ids = _Asked.apply(states[0, : self.prompts], states[:, self.prompts :], self)  # type: ignore[no-untyped-call]
        return torch.cat([prompts.expand(len(ids), -1, -1), ids], 1)


class _Asked(torch.autograd.Function):
    """The server's blocks, as an owner sees them."""

    @staticmethod
    def forward(ctx: Any, prompts: torch.Tensor, ids: torch.Tensor, gap: Gap) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the server makes of hidden states."""
        ctx.gap = gap
        return _answer(gap, STATES, Hidden(prompts, ids))

    @staticmethod
    def backward(ctx: Any, *sent: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradients of what `forward` was given."""
        return (*_answer(ctx.gap, GRADIENTS, Hidden(*sent)), None)


def _answer(gap: Gap, what: str, hidden: Hidden) -> Hidden:
    like = (*hidden.prompts.shape,), (*hidden.ids.shape,)
    answer = unpacked(gap.ask(what, packed(hidden, gap.wire)), gap.wire, "the server", like)
    return Hidden(*(part.to(hidden.ids.device) for part in answer))


class Server:
    """The blocks between the ends of a model. They are frozen: all that the server computes is for owners."""

    def __init__(self, whole: Prompted, blocks: int, wire: str) -> None:
        layers = whole.model.layers[blocks:-blocks]
        self.body = _of_blocks(LlamaModel, whole, layers)
        self.body.embed_tokens, self.body.norm, self.body.rotary_emb = None, torch.nn.Identity(), whole.model.rotary_emb
        self.body.requires_grad_(False)
        self.wire, self.channels = wire, whole.config.hidden_size
        self.weights = sum(weight.numel() for weight in self.body.parameters())
        self._asked: tuple[Hidden, Hidden] | None = None  # what came in last, and what was made of it

    def answer(self, what: str, message: bytes, sender: str = "an owner") -> bytes:
        """Return what the blocks make of hidden states or, after that, of the gradients of what they made of them.

        Raises as `unpacked`.
        """
        if what == STATES:
            given = unpacked(message, self.wire, sender, ((None, self.channels), (None, None, self.channels)))
            asked = Hidden(*(part.requires_grad_() for part in given))
            prompts, ids = asked
            with torch.enable_grad():
                states = torch.cat([prompts.expand(len(ids), -1, -1), ids], 1)
                made = self.body(inputs_embeds=states, use_cache=False).last_hidden_state
                answer = Hidden(made[0, : len(prompts)], made[:, len(prompts) :])
            self._asked = asked, answer
            return packed(Hidden(*(part.detach() for part in answer)), self.wire)
        if self._asked is None:
            raise FormatError(f"{sender} sent gradients before the hidden states that they are of")
        (asked, made), self._asked = self._asked, None
        given = unpacked(message, self.wire, sender, ((*made.prompts.shape,), (*made.ids.shape,)))
        return packed(Hidden(*torch.autograd.grad(made, asked, given)), self.wire)


def ends_of(whole: Prompted, blocks: int, gap: Gap) -> Prompted:
    """Return an owner's side of a model, which shares its weights: rows, prompts, outer blocks and final norm."""
    layers = whole.model.layers
    ends: Prompted = _of_blocks(Prompted, whole, [*layers[:blocks], gap, *layers[-blocks:]])
    ends.lm_head = whole.lm_head
    for name in ("embed_tokens", "prompts", "norm", "rotary_emb"):
        setattr(ends.model, name, getattr(whole.model, name))
    return ends


def shared_of(whole: Prompted, blocks: int) -> Body:
    """Return copies of the weights that owners average: of the body of a model all but the server's, by name."""
    inner = {f"model.layers.{number}." for number in range(blocks, len(whole.model.layers) - blocks)}
    return {name: weight for name, weight in body_of(whole).items() if not name.startswith(tuple(inner))}


def _of_blocks(kind: Any, whole: Prompted, layers: Any) -> Any:
    """Return a model of a kind with these blocks; all else of it is still to be given to it."""
    config = copy.deepcopy(whole.config)
    config.num_hidden_layers = len(layers)
    with torch.device("meta"):
        made = kind(config)
    (made.model if kind is Prompted else made).layers = torch.nn.ModuleList(layers)
    return made
