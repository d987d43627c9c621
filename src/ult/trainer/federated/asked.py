"""What a group's server asks of an owner, and what the owner answers: a line of JSON, and a body after it or none."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ult.errors import FormatError
from ult.trainer.federated.group import Group

_DRAWN = re.compile(r"[0-9a-f]{32}")


def task(says: Mapping[str, Any], body: bytes = b"") -> bytes:
    """Return the bytes that ask for something, with the body that it is about."""
    return json.dumps(says).encode() + b"\n" + body


def read_task(data: bytes, group: Group) -> tuple[dict[str, Any], bytes]:
    """Return what a task asks, and the body in it. Raises `FormatError`."""
    head, _, body = data.partition(b"\n")
    try:
        asked = json.loads(head)
        named = asked["group"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FormatError("the server asks for nothing that a server asks for") from error
    if named != group.digest:
        raise FormatError(f"the server has another group than {group.path}", hint="the group's folder as it is now")
    return asked, body


def round_in(asked: Mapping[str, Any], group: Group) -> int:
    """Return the round, from 0, that a task is of. Raises `FormatError`."""
    value = asked.get("round")
    if type(value) is not int or not 0 <= value < group.plan.rounds:
        raise FormatError(f"the server asks for round {value!r:.40} of {group.plan.rounds}")
    return value


def members_in(asked: Mapping[str, Any], group: Group) -> dict[str, str]:
    """Return the owners of a masked sum, and what each drew for it.

    Raises `FormatError` for strangers, and for fewer than the group's plan says.
    """
    value, owners = asked.get("with"), group.plan.owners
    if not isinstance(value, dict) or not all(
        name in owners and isinstance(drawn, str) and _DRAWN.fullmatch(drawn) for name, drawn in value.items()
    ):
        raise FormatError("the server asks for a sum with others than this group's owners")
    if len(value) < (fewest := group.plan.fewest(len(owners))):
        raise FormatError(f"the server asks for a sum of {len(value)} owners; the group agreed on {fewest} or more")
    return value


def told_in(asked: Mapping[str, Any], group: Group) -> dict[str, Any]:
    """Return what an owner's `metrics.json` says of the federation: its group, as the owner has it itself.

    Only how many owners there were, and the bytes of their messages, are the server's word. Raises `FormatError`.
    """
    said, plan = asked.get("done"), group.plan
    try:
        owners, up, down = counts = [said["owners"], said["traffic"]["up"], said["traffic"]["down"]]  # type: ignore[index]
    except (KeyError, TypeError) as error:
        raise FormatError("the server does not say how many owners there were and what they sent") from error
    right = all(type(one) is int and 0 <= one < 2**53 for one in counts)
    if not right or (plan.owners and owners != len(plan.owners)):
        raise FormatError(f"the server says that {owners!r:.40} owners sent {up!r:.40} bytes; expected counts")
    own = {name: getattr(plan, name) for name in ("rounds", "local_steps", "last_alone", "outer", "secure")}
    return {"group": group.digest, **own, "owners": owners, "traffic": {"up": up, "down": down}}


def ready(drawn: str) -> bytes:
    """Return the answer of an owner who has trained, with what it drew for its change."""
    return json.dumps({"ready": drawn}).encode()


def read_ready(data: bytes, sender: str) -> str:
    """Return what an owner drew for its change. Raises `FormatError`, naming it."""
    try:
        drawn = json.loads(data[:4096])["ready"]
        if isinstance(drawn, str) and _DRAWN.fullmatch(drawn):
            return drawn
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise FormatError(f"{sender} sent no word that it is ready")
