"""Files of rows in parts: to train on, to validate on, to test on."""
