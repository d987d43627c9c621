"""The events of FHIR's resources: what was when, its value, and its text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ult.data.events.codes import GENDER, of_fhir
from ult.data.events.resource import Resource
from ult.data.events.rows import BIRTH, DEATH
from ult.errors import SourceError

_US = "http://hl7.org/fhir/us/core/StructureDefinition"
_DEMOGRAPHY = (f"{_US}/us-core-race", f"{_US}/us-core-ethnicity")
_NOT = {"entered-in-error", "not-done", "cancelled", "refuted"}  # of which the event never was
_VALUES = ("Range", "Ratio", "SampledData", "Period", "Attachment", "Reference")  # that have no place in an event


_LEFT = {  # parts of a resource that no event holds, and that are counted; those that say more of it, or when it ended
    "Encounter": ("period.end", "reasonCode", "reasonReference", "diagnosis", "hospitalization.dischargeDisposition"),
    "Condition": ("abatementDateTime", "abatementPeriod", "abatementAge", "abatementString", "severity", "note"),
    "AllergyIntolerance": ("reaction", "criticality", "note"),
    "MedicationRequest": ("reasonCode", "reasonReference", "dosageInstruction", "dispenseRequest", "note"),
    "Immunization": ("reasonCode", "reaction", "note"),
    "Observation": ("effectivePeriod.end", "interpretation", "referenceRange", "dataAbsentReason", "note"),
    "Procedure": (
        "performedPeriod.end",
        "occurrencePeriod.end",
        "reasonCode",
        "reasonReference",
        "complication",
        "note",
    ),
    "Patient": ("maritalStatus", "multipleBirthBoolean", "multipleBirthInteger"),
}


class Event(NamedTuple):
    """An event as FHIR writes it, its subject apart."""

    time: str | None
    code: str
    value: str | None = None
    unit: str | None = None
    text: str | None = None


Medication = Callable[[Resource, str], str]  # from a resource and a reference in it to a code
Skip = Callable[[str], None]  # told what is not read


def events(resource: Resource, medication: Medication, skip: Skip) -> Iterator[Event]:
    """Yield the events of a resource of `KINDS`. Raises `SourceError` for one that is not as FHIR has it."""
    if why := _never_was(resource):
        skip(f"{resource.kind} ({why})")
        return
    if resource.document.get("modifierExtension"):  # which may say that it means something else
        skip(f"{resource.kind} with a modifierExtension")
        return
    for path in _LEFT.get(resource.kind, ()):
        if resource.has(path):
            skip(f"{resource.kind}.{path}")
    for event in _EVENTS[resource.kind](resource, medication, skip):
        if event.code:
            yield event
        else:
            skip(f"{resource.kind} without a code")


def subject(resource: Resource, skip: Skip) -> str:
    """Return the id of the patient that a resource is of, or the empty string if it is of something else."""
    if resource.kind == "Patient":
        found = resource.text("id")
        if not found:
            raise SourceError(f"{resource.place}: the Patient has no id")
        return found
    where = "patient" if resource.kind in ("AllergyIntolerance", "Immunization") else "subject"
    reference = resource.text(f"{where}.reference")
    kind, _, found = reference.partition("/_history/")[0].rpartition("/")
    kind = kind.rpartition("/")[2]
    if reference.startswith("urn:uuid:"):
        return reference.removeprefix("urn:uuid:")
    if found and kind == "Patient":
        return found
    if found and kind in ("Group", "Device", "Location"):
        skip(f"{resource.kind} of a {kind}")
        return ""
    raise SourceError(f"{resource.place}: {where} names no patient; expected a reference such as Patient/ID")


def _never_was(resource: Resource) -> str:
    """Return why an event never was, or the empty string."""
    said = [resource.text("status"), *(one.text("code") for one in resource.parts("verificationStatus.coding"))]
    if resource.flag("doNotPerform"):
        return "doNotPerform"
    return next((one for one in said if one in _NOT), "")


def _patient(resource: Resource, _: Medication, skip: Skip) -> Iterator[Event]:
    if gender := resource.text("gender"):
        yield Event(None, of_fhir(GENDER, gender))
    for extension in resource.parts("extension"):
        if extension.text("url") in _DEMOGRAPHY:
            for part in extension.parts("extension"):
                if part.text("url") in ("ombCategory", "detailed"):
                    yield Event(None, part.code("valueCoding"))
    if birth := resource.time("birthDate"):
        yield Event(birth, BIRTH)
    death = resource.time("deceasedDateTime")
    if death or resource.flag("deceasedBoolean"):
        yield Event(death, DEATH)


def _encounter(resource: Resource, _: Medication, skip: Skip) -> Iterator[Event]:
    time = resource.time("period.start")
    for code in [*resource.codes("class"), *resource.codes("type")] or [""]:
        yield Event(time, code)


def _coded(where: str, *times: str) -> Callable[[Resource, Medication, Skip], Iterator[Event]]:
    """Return the reader of resources that have one code and one time, at the first of `times` that is there."""

    def read(resource: Resource, _: Medication, skip: Skip) -> Iterator[Event]:
        yield Event(resource.time(*times), resource.code(where))

    return read


def _medication(resource: Resource, medication: Medication, skip: Skip) -> Iterator[Event]:
    reference = resource.text("medicationReference.reference") or resource.text("medication.reference.reference")
    code = resource.code("medicationCodeableConcept") or resource.code("medication.concept")
    yield Event(resource.time("authoredOn"), code or (medication(resource, reference) if reference else ""))


def _observation(resource: Resource, _: Medication, skip: Skip) -> Iterator[Event]:
    time = resource.time("effectiveDateTime", "effectivePeriod.start", "effectiveInstant", "issued")
    components = resource.parts("component")
    value = _value(resource, skip)
    if any(value) or not components:
        yield Event(time, resource.code("code"), *value)
    for component in components:
        yield Event(time, component.code("code"), *_value(component, skip))


def _value(of: Resource, skip: Skip) -> tuple[str | None, str | None, str | None]:
    """Return value, unit and text of an observation or of a component of one."""
    if quantity := of.part("valueQuantity"):
        value = quantity.number("value")
        unit = quantity.text("code") or quantity.text("unit")
        return (quantity.text("comparator") + value if value else None), unit or None, None
    for kind in _VALUES:
        if of.document.get(f"value{kind}") is not None:
            skip(f"value{kind} of an Observation")
    flag = of.flag("valueBoolean")
    text = of.code("valueCodeableConcept") or of.text("valueString") or of.text("valueDateTime") or of.text("valueTime")
    return of.number("valueInteger") or None, None, text or (None if flag is None else str(flag).lower())


def _document(resource: Resource, _: Medication, skip: Skip) -> Iterator[Event]:
    time, code = resource.time("date", "context.period.start"), resource.code("type")
    for note in resource.notes():
        if note is None:
            skip("attachment of a DocumentReference that is no text in it")
        else:
            yield Event(time, code, text=note)


_EVENTS: dict[str, Callable[[Resource, Medication, Skip], Iterator[Event]]] = {
    "Patient": _patient,
    "Encounter": _encounter,
    "Condition": _coded("code", "onsetDateTime", "onsetPeriod.start", "recordedDate"),
    "AllergyIntolerance": _coded("code", "onsetDateTime", "onsetPeriod.start", "recordedDate"),
    "MedicationRequest": _medication,
    "Immunization": _coded("vaccineCode", "occurrenceDateTime", "recorded"),
    "Observation": _observation,
    "Procedure": _coded(
        "code", "performedDateTime", "performedPeriod.start", "occurrenceDateTime", "occurrencePeriod.start"
    ),
    "DocumentReference": _document,
}
KINDS = tuple(_EVENTS)  # in this order at one time
