"""Weights split over the processes of a training (FSDP), as `accelerate launch --use_fsdp` asks for them.

Each process keeps its part of the weights, of their gradients and of the optimizer's state, and gathers a layer while
it computes it. Checkpoints and the run are written whole. Of the two ways that PyTorch has, `fully_shard` is used.
Accelerate splits nothing on CPUs; here it does, over gloo, so that what holds on GPUs can be tried anywhere.
"""

from __future__ import annotations

import os
from typing import Any

from ult.errors import InvalidConfig
from ult.host.extras import require
from ult.trainer.recipe import AT_ONCE, OPTIONS, Recipe

with require("torch", "accelerate", extra="train"):
    from accelerate import PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, parse_flag_from_env

FLAG, DEEPSPEED = "ACCELERATE_USE_FSDP", "ACCELERATE_USE_DEEPSPEED"  # what accelerate launch tells us
_SETTING = {  # of accelerate's plugin: the newer way, whole checkpoints, a part for each layer
    "FSDP_VERSION": "2",
    "FSDP_STATE_DICT_TYPE": "FULL_STATE_DICT",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
}
_WHOLE = (  # options that look at whole weights, or at what they were before they were split
    "epsilon",
    "lora",
    "freeze_body",
    "restrain_ngrams",
    "stop_memorised",
    "rows_per_table",
    "compile",
)


def splits_weights(state: PartialState) -> bool:
    """Return whether the launcher of this training asks for split weights, and there are processes to split them."""
    return state.num_processes > 1 and bool(parse_flag_from_env(FLAG))


def check_split_weights(recipe: Recipe, state: PartialState) -> None:
    """Raise `InvalidConfig` for a recipe that needs whole weights where they are to be split, and for DeepSpeed."""
    if parse_flag_from_env(DEEPSPEED):
        raise InvalidConfig(
            "accelerate launch asks for DeepSpeed, which splits weights in its own way",
            hint="accelerate launch --use_fsdp; to take less memory, --gradient-checkpointing or --lora 8",
        )
    if not splits_weights(state):
        return
    if recipe.model in AT_ONCE:
        raise InvalidConfig(f"model {recipe.model} has no layers to split", hint="leave out --use_fsdp")
    for option in (OPTIONS[name] for name in _WHOLE):
        if option.is_set(recipe):
            raise InvalidConfig(
                f"{option.name} needs whole weights, and accelerate launch asks for FSDP, which splits them",
                hint=f"accelerate launch without --use_fsdp, or leave out {option.flag}",
            )
    os.environ |= _SETTING


def split_on_cpus(trainer: Any) -> None:
    """Let the accelerator of a trainer split weights on CPUs too, where it would keep them whole."""
    if parse_flag_from_env(FLAG) and trainer.accelerator.distributed_type == DistributedType.MULTI_CPU:
        for state in (PartialState(), trainer.accelerator.state):  # the second is made anew from the first, often
            state.distributed_type = DistributedType.FSDP
        trainer.accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        trainer.is_fsdp_enabled = True


def whole_weights(trainer: Any) -> dict[str, Any] | None:
    """Return all weights on the main process, gathered from all; None if they are whole. It is a collective."""
    if not trainer.is_fsdp_enabled:
        return None
    weights: dict[str, Any] = trainer.accelerator.get_state_dict(trainer.model)
    first: dict[int, str] = {}
    for name, weight in trainer.model.named_parameters(remove_duplicate=False):
        if name in weights:  # a weight of two names was gathered twice, and is one again
            weights[name] = weights[first.setdefault(id(weight), name)]
    return weights
