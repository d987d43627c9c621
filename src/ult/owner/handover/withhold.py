"""Split a run into a body without embedding rows, for others, and a secret file of the rows, for the owner.

The rows say what each id means to the model; whoever has them and a model of known text can match the two. The body
alone cannot read ids. A receiver gives it new rows for a table of its own and trains them; the owner attaches the
secret rows again. What a body still reveals of the records is for an audit to say; nothing here answers it.
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
from ult.owner.handover.belonging import check_body, check_no_counts
from ult.public.published import released, without_seed
from ult.public.run import WITHHELD, Run
from ult.trainer.models.embeddings import rows_of
from ult.trainer.models.load import load_trained, load_withheld
from ult.trainer.models.tensors import tensors_in
from ult.trainer.workdir import RUN, begin, deriving, save

with require("torch", extra="train"):
    import torch
    from safetensors.torch import save as dump

_FORMAT = "ult-rows/1"  # also the name of the tensor, in the file of rows, that holds the digest of their body
_ROWS = ("input", "output")  # "output" only if the model's output rows are not its input rows


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
    """Write `out`, the run without its input and output rows, and `rows`, an age file with these rows.

    Either both appear or neither. `audited` is stored in the `metrics.json` of `out`, as `publish` does. Returns the
    number of weights in the "body" and in the "rows". Raises `InvalidConfig`, `OutputExists` or `OutputError`.
    """
    opened, out, rows = Run.open(run), Path(out), keyfile.real(rows)
    if out.resolve() in (rows.resolve(), *rows.resolve().parents):
        raise InvalidConfig(f"{rows} would lie in {out}, which is given away", hint="--rows elsewhere")
    encryptor = keyfile.encryptor(passphrase=passphrase, recipients=recipients, encrypt=encrypt)
    keyfile.check_place(rows, force=force)
    check_free(out, RUN, force=force)
    model = load_trained(opened)
    check_body(model, opened.path)
    held = dict(zip(_ROWS, rows_of(model), strict=False))
    places = {weight.data_ptr() for weight in held.values()}
    body = {name: weight for name, weight in model.state_dict().items() if weight.data_ptr() not in places}
    with atomic.Claim(out) as given, atomic.Claim(rows) as kept:
        folder = begin(opened, given, {**without_seed(_released(opened, audited)), "embeddings": WITHHELD})
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
    """Write `out`, the run for others with its rows, but without adapters or curves; return its number of weights.

    `audited` is stored in its `metrics.json` as `release`: the verdict, and the risk that was accepted. Raises
    `InvalidConfig` for n-grams, `OutputExists` or `OutputError`.
    """
    opened, out = Run.open(run), Path(out)
    check_free(out, RUN, force=force)
    model = load_trained(opened)
    check_no_counts(model, opened.path)
    with deriving(opened, out, _released(opened, audited), force=force) as folder:
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
    """Write `out`, the run that `withhold` split into `body` and `rows`.

    Raises `InvalidConfig` if `body` has its rows, `WrongTable` if the rows are those of another run, `WrongKey`,
    `FormatError`, `MissingSource`, `OutputExists` or `OutputError`.
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


def _released(run: Run, audited: dict[str, Any] | None) -> dict[str, Any]:
    """Return what the metrics of a released run say; `from_digest` is that of the run before."""
    return {**released(run.metrics), "from_digest": run.digest(), "release": audited}


def _read(path: Path, payload: bytes) -> dict[str, Any]:
    strange = FormatError(f"{path} holds no rows of a run", hint="ult release --private-embeddings writes them")
    held = tensors_in(payload, strange)
    names = [_FORMAT, *_ROWS[: len(held) - 1]]
    if set(held) != set(names):
        raise strange
    return {name: held[name] for name in names}


def _digest(run: Run) -> Any:
    return torch.frombuffer(bytearray.fromhex(run.digest()), dtype=torch.uint8)
