"""A run without its embedding rows, for others to build on, and the rows in a secret file, for the owner to put back.

The rows say what each id means to the model, and whoever has them and a model of known text can match the two. The
body alone reads no ids: a receiver gives it rows for a table of its own and learns them, the owner puts its own back.
What a body still tells of the records is a question for an audit, and is not answered here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ult.errors import FormatError, InvalidConfig, WrongTable
from ult.host import atomic
from ult.host.extras import require
from ult.host.free import check_free
from ult.owner import keyfile
from ult.public.published import released
from ult.public.run import WITHHELD, Run
from ult.trainer.models.embeddings import rows_of
from ult.trainer.models.load import load_trained, load_withheld
from ult.trainer.workdir import RUN, begin, deriving, save

with require("torch", extra="train"):
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load
    from safetensors.torch import save as dump

_FORMAT = "ult-rows/1"  # also the name under which the rows' file holds the digest of the body they belong to
_ROWS = ("input", "output")  # the second only where a model has output rows of their own


def withhold(
    run: str | Path,
    out: str | Path,
    rows: str | Path,
    *,
    passphrase: str | None = None,
    recipients: Sequence[str] = (),
    encrypt: bool = True,
    audited: dict[str, Any] | None = None,
    force: bool = False,
) -> dict[str, int]:
    """Write `out`, the run without its input and output rows, and `rows`, the age file that holds them.

    Both appear or neither. `audited` goes into its `metrics.json`, see `publish`. Returns how many weights went where,
    as "body" and "rows".
    Raises `InvalidConfig`, `OutputExists` or `OutputError`.
    """
    opened, out, rows = Run.open(run), Path(out), keyfile.real(rows)
    if out.resolve() in (rows.resolve(), *rows.resolve().parents):
        raise InvalidConfig(f"{rows} would lie in {out}, which is given away", hint="--rows elsewhere")
    encryptor = keyfile.encryptor(passphrase=passphrase, recipients=recipients, encrypt=encrypt)
    keyfile.check_place(rows, force=force)
    check_free(out, RUN, force=force)
    model = load_trained(opened)
    held = dict(zip(_ROWS, rows_of(model), strict=False))
    places = {weight.data_ptr() for weight in held.values()}
    body = {name: weight for name, weight in model.state_dict().items() if weight.data_ptr() not in places}
    with atomic.Claim(out) as given, atomic.Claim(rows) as kept:
        folder = begin(opened, given, {**released(opened.metrics), "embeddings": WITHHELD, "release": audited})
        save(model, folder, out, body)
        tensors = {name: weight.detach().cpu().contiguous() for name, weight in held.items()}
        secret = kept.folder / "new"
        keyfile.put(secret, encryptor(dump(tensors | {_FORMAT: _digest(Run.open(folder))})), rows)
        keyfile.check_place(rows, force=force)
        check_free(out, RUN, force=force)
        atomic.publish_together((given, folder, False), (kept, secret, True))
    of_rows = sum(weight.numel() for weight in held.values())
    return {"body": model.num_parameters() - of_rows, "rows": of_rows}


def publish(run: str | Path, out: str | Path, *, audited: dict[str, Any] | None = None, force: bool = False) -> int:
    """Write `out`, the run as others may have it, rows and all, without adapters or curves; return its weights.

    `audited` goes into its `metrics.json` as `release`: the verdict, and what risk was accepted. Raises as `withhold`.
    """
    opened, out = Run.open(run), Path(out)
    check_free(out, RUN, force=force)
    model = load_trained(opened)
    with deriving(opened, out, {**released(opened.metrics), "release": audited}, force=force) as folder:
        save(model, folder, out)
    return int(model.num_parameters())


def attach(
    body: str | Path,
    out: str | Path,
    rows: str | Path,
    *,
    passphrase: str | None = None,
    identities: Sequence[str] = (),
    force: bool = False,
) -> None:
    """Write `out`, the run that `withhold` made `body` and `rows` of.

    Raises `InvalidConfig` if `body` has rows, `WrongTable` if these are another's, `WrongKey`, `FormatError`,
    `MissingSource`, `OutputExists` or `OutputError`.
    """
    opened, out = Run.open(body), Path(out)
    if not opened.withheld:
        raise InvalidConfig(f"{opened.path} has its rows; expected what `ult release --private-embeddings` wrote")
    check_free(out, RUN, force=force)
    held = _read(Path(rows), keyfile.read(rows, passphrase=passphrase, identities=identities))
    if not torch.equal(held.pop(_FORMAT), _digest(opened)):
        raise WrongTable(f"the rows in {rows} were taken from another run than {opened.path}, or it was altered")
    model = load_withheld(opened)
    mine, theirs = rows_of(model), list(held.values())
    if [(*row.shape,) for row in mine] != [(*row.shape,) for row in theirs]:
        raise FormatError(f"the rows in {rows} are not of the shape that {opened.path} has")
    with torch.no_grad():
        for row, kept in zip(mine, theirs, strict=True):
            row.copy_(kept)
    with deriving(opened, out, {**opened.metrics, "embeddings": "keep"}, force=force) as folder:
        save(model, folder, out)


def _read(path: Path, payload: bytes) -> dict[str, Any]:
    strange = FormatError(f"{path} holds no rows of a run", hint="ult release --private-embeddings writes them")
    try:
        held: dict[str, Any] = load(payload)
    except SafetensorError:
        raise strange from None
    names = [_FORMAT, *_ROWS[: len(held) - 1]]
    if set(held) != set(names):
        raise strange
    return {name: held[name] for name in names}


def _digest(run: Run) -> Any:
    return torch.frombuffer(bytearray.fromhex(run.digest()), dtype=torch.uint8)
