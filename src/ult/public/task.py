"""What a run can be trained for."""

TASKS = ("lm", "classify", "seq2seq")  # predict the next id; a kept label; a target from its source
