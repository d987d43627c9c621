"""Signals in physical units: WFDB, EDF and WAV."""
