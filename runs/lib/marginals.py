"""Synthetic tables by AIM or MST of dpmm, the baselines of row `synth`: run by a python of its own, which has dpmm.

    PYTHON runs/lib/marginals.py train.csv domain.json made.csv --method mst --epsilon 3 --delta 1e-5 --rows 1000 ...

`domain.json` says of each column what is public: `{"lower", "upper"}` of a number, `{"categories"}` of any other.
"""

from __future__ import annotations

import argparse
import json
import warnings

import numpy as np
import pandas as pd
from dpmm.pipelines import AIMPipeline, MSTPipeline


def main() -> None:
    """Fit, generate, and write the table with numbers as whole as they were."""
    parser = argparse.ArgumentParser()
    for name in ("train", "domain", "made"):
        parser.add_argument(name)
    parser.add_argument("--method", choices=("aim", "mst"), required=True)
    for name, kind in (("epsilon", float), ("delta", float), ("rows", int), ("seed", int)):
        parser.add_argument(f"--{name}", type=kind, required=True)
    parser.add_argument("--iterations", type=int, required=True, help="of the fit to the noisy marginals")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    with open(asked.domain, encoding="utf-8") as file:  # noqa: PTH123
        domain = json.load(file)
    numbers = [name for name, one in domain.items() if "lower" in one]
    kinds = {name: str for name in domain if name not in numbers}
    gone = {name: ["", "?"] for name in numbers}
    table = pd.read_csv(asked.train, dtype=kinds, keep_default_na=False, na_values=gone)
    whole = {name for name in numbers if (table[name].dropna() % 1 == 0).all()}
    for name, one in domain.items():
        table[name] = (
            table[name].astype(float) if "lower" in one else table[name].astype(pd.CategoricalDtype(one["categories"]))
        )
    kind = {"aim": AIMPipeline, "mst": MSTPipeline}[asked.method]
    names = list(domain)  # fitting adds columns to it
    model = kind(
        epsilon=asked.epsilon,
        delta=asked.delta,
        proc_epsilon=0.1 * asked.epsilon,
        n_jobs=1,
        gen_kwargs={"n_iters": asked.iterations},
    )
    model.fit(table, domain=domain, random_state=asked.seed)
    made = model.generate(n_records=asked.rows, random_state=asked.seed)[names]
    for name in whole:
        made[name] = np.floor(made[name]).astype("Int64")
    made.to_csv(asked.made, index=False, float_format="%.4g")


if __name__ == "__main__":
    main()
