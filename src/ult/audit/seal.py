"""A seal on an audit: whoever lacks the table that scored it cannot change a figure unnoticed.

The seal is an HMAC of the whole audit, keyed by the table, which is the owner's secret. Whoever has the table can seal
anything, but that is the owner, who would only deceive himself.
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
    """Return the audit, a document of JSON values, with its `seal` added."""
    return {**audit, _SEAL: _seal(audit, table)}


def check_seal(audit: Mapping[str, Any], table: Table, name: str) -> None:
    """Raise `FormatError` unless `sealed` with this table returned the audit; `name` is what was audited."""
    seal = audit.get(_SEAL)
    if seal is None:
        raise FormatError(
            f"the audit of the {name} has no seal, because it was made without the table",
            hint=f"ult audit {name} -t TABLE",
        )
    if not isinstance(seal, str) or not hmac.compare_digest(seal.encode(), _seal(audit, table).encode()):
        raise FormatError(
            f"the audit of the {name} was changed since it was written, or another table sealed it",
            hint=f"audit again: ult audit {name}",
        )


def _seal(audit: Mapping[str, Any], table: Table) -> str:
    plain = json.loads(json.dumps({key: value for key, value in audit.items() if key != _SEAL}))
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"))
    return hmac.new(hashlib.sha256(_LABEL + table.cleartext()).digest(), text.encode(), "sha256").hexdigest()
