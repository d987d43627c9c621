"""Train a model on shards with a plain Hugging Face `Trainer`, then make a run of it.

    python examples/trainer.py --tiny -o out                       # on made-up notes, in seconds
    python examples/trainer.py notes.shards -o out --steps 2000    # on your own

Nothing here knows the table. `out/model` is what the `Trainer` wrote; `out/run` is a run, for `ult evaluate`,
`ult generate`, `ult audit model` and `ult release`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from tiny import write_tiny_shards
from transformers import (
    DataCollatorForLanguageModeling,
    LlamaConfig,
    LlamaForCausalLM,
    Trainer,
    TrainingArguments,
    set_seed,
)

import ult


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, save, adopt."""
    parser = argparse.ArgumentParser(description="Train on shards with a plain Hugging Face Trainer.")
    parser.add_argument("shards", nargs="?", type=Path, help="a shards folder")
    parser.add_argument("--tiny", action="store_true", help="make shards of 400 notes in OUT, and train on them")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder for the model and the run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--context", type=int, default=64, help="ids that the model sees at once")
    asked = parser.parse_args(arguments)
    if (asked.shards is None) != asked.tiny:
        parser.error("name a shards folder, or say --tiny")
    shards = ult.Shards(write_tiny_shards(asked.out) if asked.tiny else asked.shards)

    # Records between end ids, cut to the context: without these the model would never learn where a record stops.
    data = shards.to_datasets(context=asked.context)
    tokenizer = shards.vocabulary.tokenizer()
    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shards.vocabulary.size,  # of just this size: an id more, and `ult adopt` refuses it
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=asked.context,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(asked.out / "model"),
            max_steps=asked.steps,
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            logging_steps=10,
            save_strategy="no",
            report_to="none",  # losses tell of records: to nobody but this terminal
        ),
        train_dataset=data,
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm=False),
    )
    trainer.train()
    trainer.save_model(str(asked.out / "model"))

    ult.adopt(asked.out / "model", shards.path, asked.out / "run", context=asked.context)
    print(f"{asked.out / 'run'}: ult evaluate {asked.out / 'run'} {shards.path}")


if __name__ == "__main__":
    main()
