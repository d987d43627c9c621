"""What a run can be trained for."""

TASKS = ("lm", "classify", "regress", "seq2seq")  # predict the next id; a kept label or number; a target of a source
LABELS = ("classify", "regress")  # those that predict what is kept beside a record
VALUE = ("value",)  # what the output of a run for regress is called, in the place of classes
