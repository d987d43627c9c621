"""Adapt a model to shards with PEFT: adapters in place of its body, and new embedding rows, for ids are new to it.

    python examples/lora.py --tiny -o out
    python examples/lora.py notes.shards --base some-model -o out --steps 2000

`--base` is any causal model of Hugging Face's in a folder. The adapters are merged before the model is saved, since a
run is one model; `ult train --lora 8 --model BASE` does the same in one command.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from peft import LoraConfig, get_peft_model
from tiny import write_tiny_shards
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
    set_seed,
)

import ult


def write_tiny_base(folder: Path) -> Path:
    """Write a model of another vocabulary, as a pre-trained one has."""
    config = LlamaConfig(
        vocab_size=1000,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Adapt, merge, save, adopt."""
    parser = argparse.ArgumentParser(description="Adapt a model to shards with PEFT.")
    parser.add_argument("shards", nargs="?", type=Path, help="a shards folder")
    parser.add_argument("--base", type=Path, help="a folder with a causal model, in safetensors")
    parser.add_argument("--tiny", action="store_true", help="make shards of 400 notes and a small model in OUT")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder for the model and the run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--context", type=int, default=64, help="ids that the model sees at once")
    asked = parser.parse_args(arguments)
    if asked.tiny == (asked.shards is not None and asked.base is not None):
        parser.error("name a shards folder and --base, or say --tiny")
    set_seed(0)
    shards = ult.Shards(write_tiny_shards(asked.out) if asked.tiny else asked.shards)
    base = write_tiny_base(asked.out / "base") if asked.tiny else asked.base

    model = AutoModelForCausalLM.from_pretrained(base, use_safetensors=True, local_files_only=True)
    model.resize_token_embeddings(shards.vocabulary.size, mean_resizing=False)
    model.get_input_embeddings().weight.data.normal_(0.0, 0.02)  # what its rows said were words of another vocabulary
    tied = model.config.tie_word_embeddings
    if not tied:
        model.get_output_embeddings().weight.data.normal_(0.0, 0.02)
    rows = ["embed_tokens"] if tied else ["embed_tokens", "lm_head"]
    adapted = get_peft_model(
        model, LoraConfig(r=asked.rank, lora_alpha=2 * asked.rank, target_modules="all-linear", modules_to_save=rows)
    )
    adapted.print_trainable_parameters()
    trainer = Trainer(
        model=adapted,
        args=TrainingArguments(
            output_dir=str(asked.out / "adapters"),
            max_steps=asked.steps,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=shards.to_datasets(context=asked.context),
        data_collator=DataCollatorForLanguageModeling(shards.vocabulary.tokenizer(), mlm=False),
    )
    trainer.train()
    adapted.merge_and_unload().save_pretrained(asked.out / "model")  # of adapters alone `ult adopt` makes no run
    ult.adopt(asked.out / "model", shards.path, asked.out / "run", context=asked.context)
    print(f"{asked.out / 'run'}: ult evaluate {asked.out / 'run'} {shards.path}")


if __name__ == "__main__":
    main()
