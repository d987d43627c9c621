"""Train on shards larger than memory: parts are read, and verified, as they are needed.

    python examples/streaming.py --tiny -o out
    python examples/streaming.py a.shards b.shards -o out --steps 5000

Shards of one table make one stream. What `datasets` would keep in its cache is not written here.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import datasets
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
    """Train on a stream, save, adopt."""
    parser = argparse.ArgumentParser(description="Train on a stream of shards.")
    parser.add_argument("shards", nargs="*", type=Path, help="shards folders of one table")
    parser.add_argument("--tiny", action="store_true", help="make shards of 400 notes in OUT, and train on them")
    parser.add_argument("-o", "--out", type=Path, required=True, help="a folder for the model and the run")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--context", type=int, default=64, help="ids that the model sees at once")
    parser.add_argument("--buffer", type=int, default=10_000, help="records in memory at once, of which one is drawn")
    asked = parser.parse_args(arguments)
    if bool(asked.shards) == asked.tiny:
        parser.error("name shards folders, or say --tiny")
    many = [ult.Shards(path) for path in ([write_tiny_shards(asked.out)] if asked.tiny else asked.shards)]

    streams = [shards.to_datasets(context=asked.context, streaming=True) for shards in many]
    stream = datasets.concatenate_datasets([one.select_columns(["input_ids"]) for one in streams])
    stream = stream.shuffle(seed=0, buffer_size=asked.buffer)

    vocabulary = many[0].vocabulary
    set_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary.size,
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=asked.context,
            pad_token_id=vocabulary.pad_id,
            bos_token_id=vocabulary.bos_id,
            eos_token_id=vocabulary.eos_id,
        )
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(asked.out / "model"),
            max_steps=asked.steps,  # a stream has no length
            per_device_train_batch_size=16,
            learning_rate=3e-3,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=stream,
        data_collator=DataCollatorForLanguageModeling(vocabulary.tokenizer(), mlm=False),
    )
    trainer.train()
    trainer.save_model(str(asked.out / "model"))
    ult.adopt(asked.out / "model", [shards.path for shards in many], asked.out / "run", context=asked.context)
    print(f"{asked.out / 'run'}: ult evaluate {asked.out / 'run'} {many[0].path}")


if __name__ == "__main__":
    main()
