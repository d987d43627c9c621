"""An untrusted checkpoint is checked before transformers loads it."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "fuzz"))

from of_runs import run_folder

from ult.errors import FormatError
from ult.public.run import Run
from ult.trainer.models.load import load_trained


@pytest.fixture
def run(tmp_path):
    return Run.open(run_folder(tmp_path))


def asking(run, **changes):
    """Change the config of a run."""
    path = run.path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return run


def test_a_whole_checkpoint_is_loaded(run):
    assert load_trained(asking(run, attn_implementation="eager")).config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"attn_implementation": "org/kernel"}, "asks for attn_implementation 'org/kernel'"),
        ({"_attn_implementation": "org/kernel:sub"}, "asks for _attn_implementation"),
        ({"attn_implementation": {"text_config": "org/kernel"}}, "asks for attn_implementation"),
        ({"parts": [{"attn_implementation": "paged|org/kernel"}]}, "asks for attn_implementation"),
        ({"num_hidden_layers": 1001}, "asks for 1001 num_hidden_layers; expected at most 1000"),
        ({"num_labels": 10**9}, "asks for 1000000000 num_labels"),
        ({"vocab_size": 2**28}, "asks for a model of 2,147,484,[0-9]+ weights; its files hold [0-9,]+ bytes"),
        ({"hidden_size": 2**20, "head_dim": 2**20}, "asks for a model of"),
        ({"hidden_size": "a"}, "holds no model"),
    ],
)
def test_what_is_asked_for_is_refused_before_it_is_built(run, changes, said):
    with pytest.raises(FormatError, match=said):
        load_trained(asking(run, **changes))


@pytest.mark.parametrize("name", ["pytorch_model.bin", "../other/model.safetensors", "/model.safetensors", ""])
def test_an_index_names_safetensors_beside_it(run, name):
    index = {"metadata": {}, "weight_map": {"model.norm.weight": name}}
    (run.path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    with pytest.raises(FormatError, match="names other files than safetensors beside it"):
        load_trained(run)


def test_adapters_lead_to_no_other_model(run):
    (run.path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FormatError, match="adapters to another model"):
        load_trained(run)
