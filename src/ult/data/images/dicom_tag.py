"""Tags of DICOM headers that may be kept, by their keywords, and which of them may say who somebody is.

The profile of confidentiality of the standard (PS3.15, table E.1-1) names several hundred attributes to remove. These
rules take whole classes of them: names, dates, free text and numbers of instances by their types, and what describes
patients, staff, places and devices by their keywords.
"""

from __future__ import annotations

from typing import Any

from ult.errors import SourceError
from ult.host.extras import require

_TYPES = {
    "PN": "names of people",
    "DA": "dates",
    "DT": "dates",
    "TM": "times of day",
    "UI": "numbers that stand for a patient or a visit",
    "LT": "free text",
    "ST": "free text",
    "UT": "free text",
    "UC": "free text",
}
_HARMLESS = ("PatientAge", "PatientSex", "PatientSize", "PatientWeight", "PatientPosition", "PatientOrientation")
_TELLING = (
    "Patient", "Institution", "Station", "Physician", "Operator", "Address", "Telephone", "Comments", "Description",
    "AccessionNumber", "StudyID", "IssuerOf", "Serial", "DeviceUID", "Requesting", "Responsible", "Insurance",
    "Admission", "Visit", "Region", "Country", "Occupation", "Ethnic", "Military", "Religious", "PersonName", "History",
    "FillerOrder", "PlacerOrder", "PerformedProcedureStepID", "ScheduledProcedureStepID", "RequestedProcedureID",
    "MedicalRecord", "Confidentiality",
)  # fmt: skip


def is_keyword(name: str) -> bool:
    """Return whether `name` is the keyword of a tag of the standard, such as "Modality"."""
    with require("pydicom", extra="dicom"):
        from pydicom.datadict import tag_for_keyword
    return tag_for_keyword(name) is not None


def identifies(keyword: str) -> str:
    """Return what of somebody the values of a tag may tell, or the empty string.

    >>> identifies("PatientName"), identifies("StudyDate"), identifies("Modality"), identifies("SOPClassUID")
    ('names of people', 'dates', '', '')
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tag = tag_for_keyword(keyword)
    if tag is None or keyword in _HARMLESS or keyword.endswith(("ClassUID", "SyntaxUID")):
        return ""
    if kind := _TYPES.get(dictionary_VR(tag)):
        return kind
    return "who or where somebody was" if any(word in keyword for word in _TELLING) else ""


def text(name: str, data: Any, keyword: str) -> str | None:
    """Return the value of a tag as text, several joined by a backslash, or None if the header of `name` lacks it."""
    from pydicom.multival import MultiValue

    if keyword not in data:
        return None
    value = data[keyword].value
    if value is None or data[keyword].VR == "SQ" or isinstance(value, bytes):
        if value is None:
            return None
        raise SourceError(f"{name}: {keyword} is of type {data[keyword].VR}; expected text or numbers to keep")
    return "\\".join(map(str, value)) if isinstance(value, MultiValue | list) else str(value)
