"""Earlier shards that a share of each batch is drawn from, as `--replay old.shards:0.1` names them."""

from __future__ import annotations

from dataclasses import dataclass

from ult.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class Replay:
    """A shards folder, as it was named, and the share of each batch that is drawn from it."""

    path: str
    share: float

    @classmethod
    def read(cls, text: str) -> Replay:
        """Return what a text such as `old.shards:0.1` names. Raises `InvalidConfig`.

        >>> Replay.read("s3://bucket/old.shards:0.25")
        Replay(path='s3://bucket/old.shards', share=0.25)
        """
        path, _, said = text.rpartition(":")
        try:
            share = float(said)
        except ValueError:
            share = 0.0
        if not path or not 0 < share < 1:
            raise InvalidConfig(
                f"replay is {text!r:.80}; expected shards and a share between 0 and 1", hint="--replay old.shards:0.1"
            )
        return cls(path, share)
