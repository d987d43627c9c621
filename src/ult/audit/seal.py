"""A seal on an audit: who has not the table that scored it cannot change a figure unseen.

It is an HMAC of the whole audit under the table, which is the owner's secret. Who has the table can seal what he likes:
that is the owner, who would fool himself.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from ult.errors import FormatError
from ult.owner.table import Table

_LABEL = b"ult-audit-seal/1\n"
_SEAL = "seal"


def sealed(audit: Mapping[str, Any], table: Table) -> dict[str, Any]:
    """Return an audit of JSON values with its `seal`."""
    return {**audit, _SEAL: _seal(audit, table)}


def check_seal(audit: Mapping[str, Any], table: Table, name: str) -> None:
    """Raise `FormatError` unless an audit is what `sealed` returned with this table."""
    told = audit.get(_SEAL)
    if told is None:
        raise FormatError(
            f"the audit of the {name} has no seal, for it was made without the table", hint=f"ult audit {name} -t TABLE"
        )
    if not isinstance(told, str) or not hmac.compare_digest(told.encode(), _seal(audit, table).encode()):
        raise FormatError(
            f"the audit of the {name} was changed since it was written, or another table sealed it",
            hint=f"audit again: ult audit {name}",
        )


def _seal(audit: Mapping[str, Any], table: Table) -> str:
    plain = json.loads(json.dumps({key: value for key, value in audit.items() if key != _SEAL}))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hmac.new(hashlib.sha256(_LABEL + table.cleartext()).digest(), text.encode(), "sha256").hexdigest()
