"""Attacks on codes, tables, runs and mechanisms, and the report of what they recover.

`audit_code`, `audit_model`, `audit_table`, `audit_mechanism`, `audit_forget`, `audit_release`, `audit_synth` and
`audit_update` do what the commands `ult audit code` and so on do, and return an `Audit`; `read_records` shows what an
attacker reads of single records. The packages `code`, `model`, `mechanism`, `forget`, `release` and `synth` hold the
attacks.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ult.audit.code.audit import audit_code
    from ult.audit.code.reveal import ReadCell, read_records
    from ult.audit.forget.on_files import audit_forget
    from ult.audit.on_files import audit_mechanism, audit_model, audit_table
    from ult.audit.release.folder import audit_release
    from ult.audit.result import Audit
    from ult.audit.synth.audit import audit_synth
    from ult.audit.updated import audit_update

__all__ = [
    "Audit",
    "ReadCell",
    "audit_code",
    "audit_forget",
    "audit_mechanism",
    "audit_model",
    "audit_release",
    "audit_synth",
    "audit_table",
    "audit_update",
    "read_records",
]

_HOME = {
    "Audit": "ult.audit.result",
    "ReadCell": "ult.audit.code.reveal",
    "audit_code": "ult.audit.code.audit",
    "audit_forget": "ult.audit.forget.on_files",
    "audit_mechanism": "ult.audit.on_files",
    "audit_model": "ult.audit.on_files",
    "audit_release": "ult.audit.release.folder",
    "audit_synth": "ult.audit.synth.audit",
    "audit_table": "ult.audit.on_files",
    "audit_update": "ult.audit.updated",
    "read_records": "ult.audit.code.reveal",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOME:
        raise AttributeError(f"module 'ult.audit' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
