"""Changes that a server can add up, and cannot read one by one.

Each pair of owners shares a secret that the server does not have. An owner writes its change in whole numbers, adds for
each other owner a stream of numbers that the secret makes, and one of the pair subtracts it; so the streams cancel in
the sum of all, and in nothing less. A message is as long as the plain one.

Nobody can be left out of a sum once it is agreed whose it is. So it is agreed late: first all train and say that they
are ready; then the server names those who are, and only for them does each of them mask, once in a round (`once`). An
owner who is told another set than the others makes noise of the sum, so a server that lies learns nothing. One who is
lost after it was named costs the others the round: two sums that differ by one owner would show that owner's change.
(SecAgg+ saves such a round by shares of masks, but the one in Flower 1.41 draws its masks by a Mersenne Twister from 28
bits, which a server can try.) With two owners each is what the sum leaves when the other takes its own away, so three
are the least.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ult.errors import InvalidConfig, MissingSource, TrainingError
from ult.host.extras import require
from ult.host.regular import read
from ult.trainer.federated.body import Body, Shapes, received
from ult.trainer.federated.plan import LEAST

with require("torch", "safetensors", extra="train"):
    import torch
    from safetensors.torch import save

STEP = 2.0**-24  # a change is rounded to a multiple of it
RANGE = 4.0  # the greatest change of a weight in a round
_MOST = 2**31 * STEP / RANGE  # owners whose sum is sure to fit 32 bits
_SECRET = 4096  # bytes of a file with a secret, at most; and at least
_SHORT = 32


def masked(change: Body, me: str, secrets: Mapping[str, bytes], about: str) -> bytes:
    """Return the message that carries a change, masked for the other owners of a sum, whose secrets are given by name.

    `about` is the `label` of the sum; no other message may be masked for the same. Raises `TrainingError` for a
    change beyond `RANGE`, which a sum could not hold.
    """
    if not LEAST <= len(secrets) + 1 <= _MOST:
        raise InvalidConfig(f"{len(secrets) + 1} owners; expected {LEAST} to {_MOST:.0f} for a masked sum")
    found = {}
    for name in sorted(change):
        values = change[name].double().numpy()
        if not (np.abs(values) <= RANGE).all():
            raise TrainingError(
                f"{name} changed by more than {RANGE:g} in a round, which a masked sum does not hold",
                hint="a lower --learning-rate",
            )
        total = np.rint(values / STEP).astype(np.int64).astype(np.uint32)
        for other, secret in secrets.items():
            stream = _stream(secret, f"{about} {min(me, other)} {max(me, other)} {name}", total.shape)
            total = total + stream if me < other else total - stream
        found[name] = torch.from_numpy(total.view(np.int32))
    return bytes(save(found))


def label(group: str, number: int, body: str, members: Mapping[str, str]) -> str:
    """Return what a stream is of: a group and a body, by their digests, a round, and the owners of a sum.

    These are given with what each drew for it. As an owner draws something new for every change, no two changes are
    ever masked with the same stream; and no sum comes of owners who were given different bodies.
    """
    return json.dumps([group, number, body, sorted(members.items())])


def mean_of(messages: Sequence[bytes], shapes: Shapes, owners: Sequence[str]) -> Body:
    """Return the mean of the changes in the masked messages of all owners of a sum.

    Raises `FormatError`, naming an owner, and `TrainingError` if the masks do not cancel.
    """
    totals = {name: np.zeros(shape, np.uint32) for name, shape in shapes.items()}
    for owner, message in zip(owners, messages, strict=True):
        for name, values in received(message, shapes, owner).items():
            totals[name] = totals[name] + values.numpy().view(np.uint32)
    sums = {name: total.view(np.int32).astype(np.float64) * STEP for name, total in totals.items()}
    if any(np.abs(one).max(initial=0.0) > RANGE * len(messages) for one in sums.values()):
        raise TrainingError(
            "the masks of the owners do not cancel", hint="one secret for each pair, the same on both sides"
        )
    return {name: torch.from_numpy((one / len(messages)).astype(np.float32)) for name, one in sums.items()}


def _stream(secret: bytes, about: str, shape: tuple[int, ...]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint32]]:
    """Return numbers that nobody without the secret can tell from random ones (SHAKE-256, its key in front)."""
    key = hashlib.sha256(b"ult-masked-sum/1\n" + secret).digest()
    data = hashlib.shake_256(key + about.encode()).digest(4 * int(np.prod(shape, dtype=np.int64)))
    return np.frombuffer(data, "<u4").astype(np.uint32).reshape(shape)


def secret_in(path: Path) -> bytes:
    """Return the secret in a file, any bytes. Raises `MissingSource` or `InvalidConfig`."""
    try:
        found = read(path, _SECRET)
    except FileNotFoundError:
        raise MissingSource(
            f"{path} is not there; expected a secret", hint=f"head -c 32 /dev/urandom >{path}"
        ) from None
    if len(found) < _SHORT:
        raise InvalidConfig(f"the secret in {path} is of {len(found)} bytes; expected {_SHORT} or more")
    return found


def check_secrets(owners: Sequence[str], me: str, given: Mapping[str, object]) -> None:
    """Raise `InvalidConfig` unless an owner is one of the group's and has a secret with each other one."""
    if me not in owners:
        raise InvalidConfig(f"{me} is no owner of this group; expected one of {', '.join(owners)}")
    others = set(owners) - {me}
    if set(given) != others:
        wanted = " ".join(f"--secret {one}=FILE" for one in sorted(others))
        raise InvalidConfig(
            f"secrets with {', '.join(sorted(given)) or 'nobody'} were given; expected one with each other owner",
            hint=wanted,
        )
