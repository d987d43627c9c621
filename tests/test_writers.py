"""Whatever writes an output does so by `ult.host.atomic`, in one of the ways that `test_atomic.py` tries."""

import re
from pathlib import Path

from test_atomic import VERBS
from ult.cli import verbs

ENDS = {  # by what each verb of the command line makes its outputs appear; None where it writes none
    "keygen": ["keygen"],
    "dedupe": ["decode to text", "decode to Parquet", "decode to images", "decode to npz"],
    "describe": ["describe"],
    "split": ["split"],
    "fit": ["fit"],
    "encode": ["encode"],
    "synth": ["fit", "encode", "train", "audit release"],
    "decode": ["decode to text", "decode to Parquet", "decode to images", "decode to npz"],
    "table update": ["fit"],
    "align": ["align"],
    "release": ["release", "align"],
    "rekey": ["rekey"],
    "shred": ["shred"],
    "audit code": ["audit --json", "fit"],
    "audit model": ["audit --json", "audit --png"],
    "audit table": ["audit --json", "audit --png"],
    "audit forget": ["audit --json", "audit --png"],
    "audit mechanism": ["audit --json"],
    "audit update": ["audit --json"],
    "audit release": ["audit release"],
    "audit synth": ["audit --json"],
    "train": ["train", "audit --json"],
    "average": ["align"],
    "distil": ["train"],
    "federate init": ["align"],
    "federate simulate": ["train"],
    "forget find": ["audit --json"],
    "forget table": ["fit"],
    "forget shards": ["generate"],
    "forget run": ["train"],
    "federate serve": ["train"],
    "federate join": ["train"],
    "evaluate": None,
    "generate": ["generate", "decode to text"],
    "predict": ["decode to text", "decode to Parquet"],
    "translate": ["generate"],
    "adopt": ["align"],
    "attach": ["align", "train"],
    "inspect": ["audit --png"],
    "demo": ["demo"],
}
BY_ITSELF = {  # files outside `ult.host` that rename or remove by themselves, and what
    "data/hub.py": "a cache of its own, in the temporary folder",
    "owner/keyfile.py": "a shredded file, cut in its place",
    "owner/pipeline/ray_engine.py": "the folder of a cluster's sockets, in the temporary folder",
    "owner/pipeline/resume.py": "finished parts, within its Claim",
    "owner/pipeline/summing.py": "counts that were added up, in a hidden folder of this call",
    "trainer/away.py": "what was uploaded, or fetched for this process",
    "trainer/train.py": "packed ids, within its Claim",
    "trainer/workdir.py": "torn checkpoints, within its Claim",
}
REPLACES = re.compile(
    r"\.(rename|unlink|rmdir|rmtree|symlink_to|hardlink_to)\(|\bos\.(replace|remove|link|truncate)\(|rmtree,"
)


def test_every_verb_makes_its_outputs_appear_by_what_is_tried_here():
    assert set(verbs.VERBS) == set(ENDS)
    assert {end for ends in ENDS.values() for end in ends or ()} == set(VERBS)


def test_only_the_host_renames_and_removes():
    source = Path(verbs.__file__).parent.parent
    files = {path.relative_to(source).as_posix(): path.read_text(encoding="utf-8") for path in source.rglob("*.py")}
    found = {name for name, text in files.items() if REPLACES.search(text) and not name.startswith("host/")}
    assert found == set(BY_ITSELF), "outputs are made to appear, and removed, by ult.host.atomic"
