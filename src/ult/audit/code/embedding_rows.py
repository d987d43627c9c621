"""Match ids by embedding rows: a run that was aligned with or trained on from another run has rows similar to it.

The adversary holds both runs and the first run's table. `ult align` copies the rows of phrases that both tables have.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.evidence import BEFORE, Coded, Guess
from ult.audit.code.score import check_codecs, phrases, score
from ult.errors import InvalidConfig
from ult.owner.handover.public_model import PublicModel
from ult.owner.table import Table
from ult.public.run import Run
from ult.public.vocabulary import N_SPECIAL
from ult.trainer.models.load import load_trained

NAME = "embedding rows"
BLOCK = 4096  # rows that are compared with all known rows at a time


def attack_rows(target: Coded, *, run: str | Path, start: str | Path, known: Table, truth: Table) -> dict[str, Any]:
    """Return the result of the attack on `run` by an adversary who holds the earlier run `start` and its table `known`.

    Raises `WrongTable` if `known` is not the table of `start`, `InvalidConfig` if the codecs or the widths of the rows
    differ.
    """
    check_codecs(known, truth)
    before, after = Run.open(start), Run.open(run)
    before.check_only_table(known.fingerprint, hint="--from-table with the one table of its shards")
    theirs, ours = input_rows(before), input_rows(after)
    if theirs.shape[1] != ours.shape[1] or int(target.ids.max()) >= len(ours):
        raise InvalidConfig(
            f"{after.path} has rows {ours.shape} and {before.path} {theirs.shape}; expected a run made from the other"
        )
    spelled = phrases(known)
    guess = by_rows(ours[target.ids], theirs[N_SPECIAL : known.size])
    named = [spelled[rank] for rank in guess.tolist()]
    commonest = spelled[int(known.counts.argmax())]
    recovered = score(named, target=target, truth=truth, commonest=commonest, nameable=set(spelled))
    return {"name": NAME, "knows": BEFORE, **asdict(recovered)}


def attack_public_rows(
    target: Coded, *, run: str | Path, model: str | Path, truth: Table, known: Iterable[bytes] = ()
) -> dict[str, Any]:
    """Return the result of the attack on `run` by an adversary who holds the public `model` that it started from.

    Each id is named by the public token whose row is nearest, or by one of the `known` phrases of public records, as
    from `phrases`: the row of such a phrase is the mean of its tokens' rows, as `ult align` makes it. Raises
    `InvalidConfig` if the widths of the rows differ or the table is not of text.
    """
    if truth.codec.id != "text/bytes":
        raise InvalidConfig(f"public tokens are of text; the table is of {truth.codec.id}", hint="leave out --from")
    public, after = PublicModel.open(model), Run.open(run)
    spelled = public.spelled()
    more = [text for text in dict.fromkeys(_bytes(phrase) for phrase in known) if text not in spelled]
    of_token = public.model.get_input_embeddings().weight.detach().cpu().numpy()
    composed = [of_token[part].mean(0) if len(part) else 0 * of_token[0] for part in public.tokens(more)]
    theirs = np.stack([*of_token[list(spelled.values())], *composed])
    ours = input_rows(after)
    if theirs.shape[1] != ours.shape[1] or int(target.ids.max()) >= len(ours):
        raise InvalidConfig(f"{after.path} has rows {ours.shape} and {model} {theirs.shape}; expected one made of it")
    texts = [np.frombuffer(text, np.uint8).astype(np.uint32).tobytes() for text in (*spelled, *more)]
    named = [texts[k] for k in by_rows(ours[target.ids], theirs).tolist()]
    recovered = score(named, target=target, truth=truth, commonest=_commonest(truth, set(texts)), nameable=set(texts))
    return {"name": NAME, "knows": BEFORE, **asdict(recovered)}


def _bytes(phrase: bytes) -> bytes:
    """Return the bytes of a text whose symbols are uint32, as `phrases` gives them."""
    return np.frombuffer(phrase, np.uint32).astype(np.uint8).tobytes()


def _commonest(truth: Table, nameable: set[bytes]) -> bytes:
    """Return the commonest phrase of a table that a public token says, which counts for the adversary's best guess."""
    spelled = phrases(truth)
    order = np.argsort(-truth.counts, kind="stable").tolist()
    return next((phrase for k in order if (phrase := spelled[k]) in nameable), spelled[int(order[0])])


def input_rows(run: Run) -> NDArray[np.float32]:
    """Return the input embedding of a run, (ids, channels) float32."""
    rows: NDArray[np.float32] = load_trained(run).get_input_embeddings().weight.detach().cpu().numpy()
    return rows


def by_rows(rows: NDArray[Any], known: NDArray[Any]) -> Guess:
    """Return for each of `rows` (k, c) the index (k,) of the row of `known` (m, c) with the largest cosine similarity.

    There is no one-to-one assignment, because rows of phrases that only one table has would take those of others. After
    `ult align` and 400 steps (vocabulary 2,048, tiny, wikitext-2 to medical abstracts), both tables have the phrases of
    75.9 % of ids. Of these this recovers all but 0.01 %, an assignment 0.1 % less, rows minus their mean 0.1 % less,
    Euclidean distances 0.2 % less.
    """
    first, second = _directions(rows), _directions(known)
    nearest = [(first[at : at + BLOCK] @ second.T).argmax(1) for at in range(0, len(first), BLOCK)]
    return np.concatenate(nearest)


def _directions(rows: NDArray[Any]) -> NDArray[Any]:
    directions: NDArray[Any] = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return directions
