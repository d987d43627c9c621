"""The trainer's wing: ids in, a run out. It never sees a table, a codec or a record."""

import warnings

# Said in notebooks, and at the import of Hugging Face's libraries alone; no bar of theirs is shown here.
warnings.filterwarnings("ignore", message="IProgress not found")
