"""Ethicist: extraction with a soft prompt that is tuned to make a run recite (Zhang, Wen and Huang, ACL 2023).

The attacker knows some passages of the training data, tunes prompt vectors on them, and asks for other passages. A
suffix counts only if it is recited whole, so the loss gives extra weight to its worst ids. The attacker's confidence in
an answer is its share among all answers drawn for the same prefix, not its absolute probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.model.extraction import Ids, Passage, told
from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.public.run import Run
from ult.public.vocabulary import N_SPECIAL
from ult.trainer.models.embeddings import Model
from ult.trainer.models.generation import write
from ult.trainer.models.load import load_trained

with require("scipy", extra="audit"):
    from scipy import special
with require("torch", extra="train"):
    import torch

WORST, WEIGHT = 5, 0.7  # the largest losses of a suffix that count once more, and their weight
STEPS, RATE = 200, 1e-2
TEMPERATURE, TOP_P = 0.8, 0.7


def ethicist(
    run: str | Path,
    known: Sequence[Passage],
    asked: Sequence[Passage],
    *,
    prompt: int = 100,
    steps: int = STEPS,
    samples: int = 100,
    modality: str | None = None,
    seed: int = 0,
    batch_size: int = 16,
    advance: Callable[[int], None] = lambda records: None,
) -> dict[str, Any]:
    """Return, as JSON values, how many of `asked` a run recites after `prompt` vectors that are tuned on `known`.

    Raises `InvalidConfig` if there are no passages, or the context has no room for the prompt.
    """
    opened = Run.open(run)
    if not known or not asked:
        raise InvalidConfig(f"{len(known)} passages are known and {len(asked)} asked for; expected at least 1 each")
    head = np.array(opened.head(modality), np.int64)
    length = prompt + len(head) + len(asked[0].prefix) + len(asked[0].suffix)
    if prompt < 1 or length > opened.context:
        raise InvalidConfig(
            f"{prompt} vectors, {len(head)} ids and a passage take {length}; the run's context has room for "
            f"{opened.context}",
            hint="a shorter prompt, or fewer --prefix-ids and --suffix-ids",
        )
    model = load_trained(opened).requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        soft, curve = _tuned(model, head, known, prompt, steps, batch_size, advance)
        answered = []
        for passage in asked:
            answered.append(_answer(model, soft, head, passage, samples, batch_size))
            advance(1)
    answers, surety = zip(*answered, strict=True)
    about = {"prompt": prompt, "known": len(known), "samples": samples, "loss": [curve[0], curve[-1]]}
    return {**about, **told(asked, answers, np.array(surety))}


def smoothed(losses: torch.Tensor) -> torch.Tensor:
    """Return the mean loss of suffixes from the losses (b, n) of their ids, the worst of each weighted once more."""
    worst = losses.topk(min(WORST, losses.shape[1]), dim=1).values
    return (losses.mean(1) + WEIGHT * worst.mean(1)).mean()


def _tuned(
    model: Model,
    head: NDArray[np.int64],
    known: Sequence[Passage],
    prompt: int,
    steps: int,
    batch_size: int,
    advance: Callable[[int], None],
) -> tuple[torch.Tensor, list[float]]:
    """Return the tuned prompt vectors (prompt, width), and the loss at each step."""
    rows = model.get_input_embeddings().weight
    drawn = torch.randint(N_SPECIAL, len(rows), (prompt,)).to(rows.device)
    soft = torch.nn.Parameter(rows[drawn].clone())
    optimizer = torch.optim.AdamW([soft], lr=RATE, weight_decay=0.0)
    passages, curve = np.stack([_whole(head, passage.prefix, passage.suffix) for passage in known]), []
    for _ in range(steps):
        chosen = torch.randint(len(passages), (min(batch_size, len(passages)),)).numpy()
        loss = smoothed(_losses(model, soft, passages[chosen], len(known[0].suffix)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        curve.append(float(loss.detach()))
        advance(len(chosen))
    return soft.detach(), curve


def _whole(head: NDArray[np.int64], prefix: Ids, suffix: Ids) -> NDArray[np.int64]:
    return np.concatenate([head, prefix.astype(np.int64), suffix.astype(np.int64)])


def _losses(model: Model, soft: torch.Tensor, passages: NDArray[np.int64], suffix: int) -> torch.Tensor:
    """Return the losses (b, suffix), in nats, of the last `suffix` ids of `passages` (b, n) after the soft prompt."""
    ids = torch.from_numpy(passages).to(soft.device)
    logits = model(inputs_embeds=_embedded(model, soft, ids)[:, :-1], use_cache=False).logits[:, -suffix:].float()
    return torch.nn.functional.cross_entropy(logits.mT, ids[:, -suffix:], reduction="none")


def _embedded(model: Model, soft: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    return torch.cat([soft.expand(len(ids), -1, -1), model.get_input_embeddings()(ids)], 1)


def _answer(
    model: Model, soft: torch.Tensor, head: NDArray[np.int64], passage: Passage, samples: int, batch_size: int
) -> tuple[Ids, float]:
    """Return the best of the suffixes that were drawn, and the log of its share of their probability."""
    start = _whole(head, passage.prefix, passage.suffix[:0])
    embedded = _embedded(model, soft, torch.from_numpy(start)[None].to(soft.device))
    mask = torch.ones(embedded.shape[:2], dtype=torch.long, device=soft.device)
    drawn = write(
        model,
        {"inputs_embeds": embedded, "attention_mask": mask},
        max_new_tokens=len(passage.suffix),
        do_sample=True,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        top_k=0,
        num_return_sequences=samples,
        never=range(N_SPECIAL),  # the suffix is known to go on
    )
    different, times = np.unique(drawn.cpu().numpy(), axis=0, return_counts=True)
    wholes = np.stack([_whole(head, passage.prefix, suffix) for suffix in different])
    with torch.inference_mode():
        parts = [wholes[k : k + batch_size] for k in range(0, len(wholes), batch_size)]
        nats = torch.cat([_losses(model, soft, part, len(passage.suffix)).sum(1) for part in parts])
    best, surety = surest(times, nats.double().cpu().numpy())
    return different[best].astype(np.uint32), surety


def surest(times: NDArray[np.int64], nats: NDArray[np.float64]) -> tuple[int, float]:
    """Return the index of the answer that the attacker gives, and the log of its share of the probability of all.

    Each distinct answer's probability, exp(-`nats`), counts as often as it was drawn, `times`; both are (answers,).
    """
    shares = special.log_softmax(np.log(times) - nats)
    best = int(shares.argmax())
    return best, float(shares[best])
