"""Medical events of patients: MEDS, FHIR and OMOP data as the same rows, a patient's one after another, by time."""
