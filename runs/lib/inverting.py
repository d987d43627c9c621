"""Row `split`: which ids a server finds in the hidden states that an owner sends.

An inverter learns from hidden states of text whose ids it knows, made by the ends that the server averages itself: with
public rows, and what it finds is right if the phrase is; or with the owner's own rows and table.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lib.federating import CONTEXT, SIZE, texts
from lib.session import Session
from lib.splitting import HELD, OWNERS, PROMPTS, PUBLIC, PUBLIC_BYTES, public, table, together
from ult.public.vocabulary import EOS, N_SPECIAL

DEPTHS = (
    1,
    2,
    3,
)  # blocks that an owner holds before the server; the deepest are those of the widest split and one more
KNOWN, ASKED = 10_000, 4_000  # hidden states that an inverter learns from, and is asked about
TRUE, OPEN = "true rows", "public rows"
NEAREST, LINEAR, NET = "nearest row", "linear", "net"
CHANCE = "the likeliest id"
SAME, PAIRS = "no rows", "any two"  # nearest other state, and chance
OWNER = OWNERS[0]


def inverted(session: Session, seed: int) -> dict[str, float]:
    """Return the shares of ids found in the first owner's hidden states, by "depth, rows, inverter"."""
    runs = {held: together(session, seed, held) for held in HELD}

    def each(at: Callable[[Session, str, int, int], dict[str, float]]) -> dict[str, float]:
        import torch

        torch.set_num_threads(1)
        found = {}
        for depth in DEPTHS:
            found |= at(session, runs[min(depth, max(HELD))]["runs"][0]["run"], depth, seed)
        return found

    settings = {"of": [runs[held]["origin"] for held in HELD], "known": KNOWN, "depths": DEPTHS}
    learned = session.once(f"inverted/{seed}", settings, lambda _: each(_learned))
    return learned | session.once(f"nearest/{seed}", settings, lambda _: each(_near))


def _learned(session: Session, run: str, depth: int, seed: int) -> dict[str, float]:
    """Return what inverters find that learn from hidden states of public text."""
    import torch

    model, theirs, states, asked = _asked(session, run, depth)
    own, open_table = table(session, OWNER), table(session, PUBLIC)
    learned, many = texts(session, PUBLIC, "train", PUBLIC_BYTES), session.sized(KNOWN, 2000)
    found = {}
    known = _stream(own, learned, many)
    seen = _states(model, known, depth)
    for name, hidden in ((LINEAR, 0), (NET, 256)):
        guessed = _inverter(seen, known, hidden, seed)(states)
        found[f"{depth}, {TRUE}, {name}"] = _right(guessed, asked)

    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(theirs.get_input_embeddings().weight)
    known = _stream(open_table, learned, many)
    seen = _states(model, known, depth)
    mine, others = _phrases(own), _phrases(open_table)
    for name, hidden in ((LINEAR, 0), (NET, 256)):
        guessed = _inverter(seen, known, hidden, seed)(states)
        found[f"{depth}, {OPEN}, {name}"] = _right(others[guessed], mine[asked])
    return found


def _near(session: Session, run: str, depth: int, _: int) -> dict[str, float]:
    """Return what the nearest row finds, and the nearest other hidden state, and chance."""
    model, theirs, states, asked = _asked(session, run, depth)
    mine, others = _phrases(table(session, OWNER)), _phrases(table(session, PUBLIC))
    rows, public_rows = (one.get_input_embeddings().weight.detach() for one in (model, theirs))
    counts = np.bincount(asked)
    return {
        f"{depth}, {TRUE}, {NEAREST}": _right(_nearest(states, rows), asked),
        f"{depth}, {OPEN}, {NEAREST}": _right(others[_nearest(states, public_rows)], mine[asked]),
        f"{depth}, {SAME}": _same(states, asked),
        f"{depth}, {CHANCE}": float(counts.max() / len(asked)),
        f"{depth}, {PAIRS}": float(((counts / len(asked)) ** 2).sum()),
    }


def _asked(session: Session, run: str, depth: int) -> tuple[Any, Any, Any, NDArray[np.int64]]:
    """Return the owner's model and the public one, and hidden states that the owner sends, with their ids."""
    from ult.public.run import Run
    from ult.trainer.models.load import load_trained

    model, theirs = load_trained(Run.open(run)), load_trained(Run.open(public(session)["run"]))
    ids = _stream(table(session, OWNER), texts(session, OWNER, "train"), session.sized(ASKED, 500))
    return model, theirs, _states(model, ids, depth), ids


def _stream(code: Any, records: list[str], most: int) -> NDArray[np.int64]:
    """Return the ids of records, so many, without what stands between them."""
    every = np.concatenate([one.astype(np.int64) for one in code.encode_batch(records)])
    return every[: most - most % CONTEXT]


def _states(model: Any, ids: NDArray[np.int64], depth: int) -> Any:
    """Return the hidden states (n, channels) of ids after so many blocks, as they are sent."""
    import torch

    from ult.trainer.split.wire import Hidden, packed, unpacked

    found = []
    for block in torch.from_numpy(ids).split(16 * CONTEXT):
        read = block.view(-1, CONTEXT)
        read = torch.cat([torch.full_like(read[:, :1], EOS), read], 1)
        kept: list[Any] = []
        hook = model.model.layers[depth - 1].register_forward_hook(lambda _m, _i, out, kept=kept: kept.append(out))
        with torch.inference_mode():
            model(input_ids=read, use_cache=False)
        hook.remove()
        hidden = Hidden(kept[0][0, :PROMPTS], kept[0][:, PROMPTS:])
        shapes = (tuple(hidden.prompts.shape), tuple(hidden.ids.shape))
        told = unpacked(packed(hidden, "float16"), "float16", "an owner", shapes)
        found.append(told.ids[:, 1:].flatten(0, 1))
    return torch.cat(found)


def _nearest(states: Any, rows: Any) -> NDArray[np.int64]:
    import torch

    a, b = (torch.nn.functional.normalize(one - one.mean(0), dim=1) for one in (states, rows[N_SPECIAL:]))
    return np.asarray((a @ b.T).argmax(1) + N_SPECIAL)


def _same(states: Any, ids: NDArray[np.int64]) -> float:
    """Return of ids that occur again how often the nearest other hidden state is of the same id: it takes no rows."""
    import torch

    unit = torch.nn.functional.normalize(states - states.mean(0), dim=1)
    near = (unit @ unit.T).fill_diagonal_(-2).argmax(1)
    again = np.bincount(ids)[ids] > 1
    return float(np.mean((ids[near.numpy()] == ids)[again]))


def _inverter(states: Any, ids: NDArray[np.int64], hidden: int, seed: int) -> Any:
    """Return what guesses ids of hidden states, learned from some: a linear layer, or a net with one hidden layer."""
    import torch

    torch.manual_seed(seed)
    mean, spread = states.mean(0), states.std(0) + 1e-6
    layers = [torch.nn.Linear(states.shape[1], hidden), torch.nn.GELU()] if hidden else []
    net = torch.nn.Sequential(*layers, torch.nn.Linear(hidden or states.shape[1], SIZE))
    true, passes = torch.from_numpy(ids), 6
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    total = passes * -(-len(true) // 256)
    rates = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, total)
    for _ in range(passes):
        for some in torch.randperm(len(true)).split(256):
            cost = torch.nn.functional.cross_entropy(net((states[some] - mean) / spread), true[some])
            optimizer.zero_grad()
            cost.backward()
            optimizer.step()
            rates.step()

    def guess(asked: Any) -> NDArray[np.int64]:
        with torch.inference_mode():
            return np.asarray(net((asked - mean) / spread).argmax(1))

    return guess


def _right(guessed: NDArray[Any], true: NDArray[Any]) -> float:
    return float(np.mean(guessed == true))


def _phrases(code: Any) -> NDArray[Any]:
    """Return what each id of a table spells, as bytes; the special ids, and those that it leaves unused, nothing."""
    spelled = [bytes(one.astype("u1")) for one in code.spellings()]
    return np.array([*[b""] * N_SPECIAL, *spelled, *[b""] * (SIZE - N_SPECIAL - len(spelled))], object)
