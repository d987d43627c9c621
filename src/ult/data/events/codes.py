"""Names of code systems: what FHIR calls by an address has the name of the OMOP vocabulary."""

from __future__ import annotations

_HL7 = "http://terminology.hl7.org/CodeSystem"
_VOCABULARIES = {
    "http://snomed.info/sct": "SNOMED",
    "http://loinc.org": "LOINC",
    "http://www.nlm.nih.gov/research/umls/rxnorm": "RxNorm",
    "http://hl7.org/fhir/sid/ndc": "NDC",
    "http://hl7.org/fhir/sid/cvx": "CVX",
    "http://hl7.org/fhir/sid/icd-10": "ICD10",
    "http://hl7.org/fhir/sid/icd-10-cm": "ICD10CM",
    "http://hl7.org/fhir/sid/icd-10-pcs": "ICD10PCS",
    "http://www.cms.gov/Medicare/Coding/ICD10": "ICD10PCS",
    "http://fhir.de/CodeSystem/bfarm/icd-10-gm": "ICD10GM",
    "http://fhir.de/CodeSystem/bfarm/ops": "OPS",
    "http://hl7.org/fhir/sid/icd-9-cm": "ICD9CM",
    "http://www.whocc.no/atc": "ATC",
    "http://www.ama-assn.org/go/cpt": "CPT4",
    "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets": "HCPCS",
    "http://unitsofmeasure.org": "UCUM",
}
_CODES = {  # what OMOP has other codes for
    ("http://hl7.org/fhir/administrative-gender", "male"): "Gender:M",
    ("http://hl7.org/fhir/administrative-gender", "female"): "Gender:F",
    ("http://hl7.org/fhir/administrative-gender", "other"): "Gender:O",
    ("http://hl7.org/fhir/administrative-gender", "unknown"): "Gender:U",
    (f"{_HL7}/v3-ActCode", "IMP"): "Visit:IP",
    (f"{_HL7}/v3-ActCode", "AMB"): "Visit:OP",
    (f"{_HL7}/v3-ActCode", "EMER"): "Visit:ER",
}
GENDER = "http://hl7.org/fhir/administrative-gender"


def of_fhir(system: str, code: str) -> str:
    """Return `vocabulary:code`; a system without the name of a vocabulary stands as FHIR writes it, `system|code`.

    >>> of_fhir("http://loinc.org", "8302-2"), of_fhir("http://a.org/labs", "x"), of_fhir("", "x")
    ('LOINC:8302-2', 'http://a.org/labs|x', 'x')
    """
    if same := _CODES.get((system, code)):
        return same
    vocabulary = _VOCABULARIES.get(system)
    return f"{vocabulary}:{code}" if vocabulary else f"{system}|{code}" if system else code
