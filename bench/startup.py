"""How long `import ult`, `ult --help` and the help of a verb take beside `python -c pass`.

Whole processes, in turns, wall time; modules are compiled before, as an install does.
"""

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from session import metric, of_rounds, write

ROUNDS = 25
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import ult": [sys.executable, "-c", "import ult"],
    "ult --help": [str(Path(sys.executable).with_name("ult")), "--help"],
    "ult encode --help": [str(Path(sys.executable).with_name("ult")), "encode", "--help"],
}
GOALS = {"import ult": "below 10", "ult --help": "below 20", "ult encode --help": "below 20"}
COMPILED = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main() -> None:
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for k in range(-1, ROUNDS):  # the first round warms up
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=COMPILED)
            if k >= 0:
                seconds[name].append(time.perf_counter() - started)
    bare = seconds["python -c pass"]
    metrics = [
        metric(name, "ult / python -c pass", of_rounds(ratios), n=ROUNDS, higher_is_better=False, unit="x",
               goal=goal)
        | {"rounds": ROUNDS, "ours": 1000 * statistics.median(seconds[name]),
           "peer": 1000 * statistics.median(bare), "speed": "ms"}
        for name, goal in GOALS.items()
        for ratios in [[a / b for a, b in zip(seconds[name], bare, strict=True)]]
    ]  # fmt: skip
    write("startup", "Starting", metrics, __doc__, command="python bench/startup.py")


if __name__ == "__main__":
    main()
