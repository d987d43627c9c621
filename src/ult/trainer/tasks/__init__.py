"""What tasks predict of records, labels and numbers: how a run tells them, and how good that is."""
