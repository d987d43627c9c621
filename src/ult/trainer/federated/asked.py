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


def told_in(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the server says of the federation, as far as a run's `metrics.json` keeps it."""
    names = ("group", "rounds", "local_steps", "last_alone", "outer", "secure", "owners", "traffic")
    value = asked.get("done")
    return {name: value[name] for name in names if name in value} if isinstance(value, dict) else {}


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
