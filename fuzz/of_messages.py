"""Messages between the owners of a federation and its server, in both ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from of_runs import metrics_document
from reading import Made

NAMES, DRAWN = ("lab", "north", "south"), "0123456789abcdef" * 2


def _group(folder: Path) -> Any:
    """Return a group of the smallest body there is."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from ult.trainer.federated.body import body_of
    from ult.trainer.federated.group import Group, write
    from ult.trainer.federated.plan import Plan

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=8, intermediate_size=8, num_hidden_layers=3, num_attention_heads=1,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=True,
    )  # fmt: skip
    model, plan = LlamaForCausalLM(config), Plan(rounds=2, owners=NAMES, secure=True)
    told = {"plan": {"rounds": 2, "owners": NAMES, "secure": True}, "model": "tiny", "seed": 0, "from_run": None}
    write(folder / "group", model, body_of(model), told, folder / "group")
    opened = Group.open(folder / "group")
    assert opened.plan == plan
    return opened


def change(folder: Path) -> Made:
    """What an owner tells, as it is and masked."""
    import torch
    from safetensors.torch import save

    from ult.errors import UltError
    from ult.trainer.federated.body import check_change, packed, received, unpacked

    body = _group(folder).body()
    shapes = {name: (*weight.shape,) for name, weight in body.items()}
    whole = save({name: torch.zeros(shape, dtype=torch.int32) for name, shape in shapes.items()})

    def read(data: bytes) -> None:
        try:
            received(data, shapes, "north")
        except UltError:
            check_change(unpacked(data, shapes, "north"), "north")

    return [packed(body), bytes(whole)], read


def task(folder: Path) -> Made:
    """What a server asks of an owner."""
    from ult.trainer.federated.asked import members_in, read_task, round_in, told_in
    from ult.trainer.federated.asked import task as asking

    group = _group(folder)
    traffic = metrics_document()["steps"]
    seeds: list[dict[str, Any]] = [
        {"round": 1},
        {"round": 0, "with": dict.fromkeys(NAMES, DRAWN)},
        {"done": {"owners": 3, "traffic": {"up": traffic, "down": traffic}, "rounds": 2}},
    ]

    def read(data: bytes) -> None:
        asked, _ = read_task(data, group)
        if "with" in asked:
            members_in(asked, group)
        if "done" in asked:
            told_in(asked, group)
        else:
            round_in(asked, group)

    return [asking({"group": group.digest, **one}) for one in seeds], read


def ready(_: Path) -> Made:
    """What an owner answers that has trained."""
    from ult.trainer.federated.asked import read_ready
    from ult.trainer.federated.asked import ready as said

    return [said(DRAWN)], lambda data: read_ready(data, "north")


def hidden(folder: Path) -> Made:
    """Hidden states that an owner sends, gradients after them, and what it is answered."""
    import torch

    from ult.trainer.federated.group import model_of
    from ult.trainer.models.prompted import Prompted
    from ult.trainer.split.cut import GRADIENTS, STATES, Gap, Server
    from ult.trainer.split.wire import Hidden, packed, unpacked

    server = Server(Prompted.of(model_of(_group(folder)), 2), 1, "float16")
    given = Hidden(torch.ones(2, 8), torch.ones(3, 4, 8))
    plain = packed(given, "float16")

    def read(data: bytes) -> None:
        found = unpacked(data, "float16", "north", ((None, 8), (None, None, 8)))
        assert all(bool(torch.isfinite(part).all()) for part in found)
        server.answer(STATES, data)
        server.answer(STATES, plain)
        server.answer(GRADIENTS, data)
        Gap(2, "float16", lambda what, message: data)(torch.ones(3, 6, 8))

    return [plain, packed(Hidden(given.prompts * 1e-9, given.ids), "float16")], read
