"""The blocks of pages, run as a reader would: `python console.py PAGES.json`, all pages in one process.

A page is `[name, [[language, code], ..]]`. Each has an empty folder and its own environment; its `python` blocks share
their names, its `console` blocks are lines of `$ command`, each followed by what it prints, if that is shown (`...` is
anything). `$ ! command` must fail. Verbs run in this process, so that torch is imported once; all else runs in bash.
What became of each page is printed, a line of JSON.
"""

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

from passphrases import cheap

FASTER = (
    (r"--steps \d+", "--steps 2"),
    (r"Recipe\(steps=\d+", "Recipe(steps=2"),
)  # than a page says: what is learned in so few is not looked at


def verb(words):
    """Run `ult`; return its status and what it printed."""
    from ult.__main__ import main

    said, status = io.StringIO(), 0
    sys.argv = ["ult", *words]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as done:
            status = int(done.code or 0)
        except BaseException:
            status = -1
            traceback.print_exc()
    return status, said.getvalue()


def command(line):
    """Run a line of a console; return its status and what it printed."""
    words = shlex.split(line, comments=True)
    if words[0] == "export":
        os.environ.update((name, value) for name, _, value in (word.partition("=") for word in words[1:]))
        return 0, ""
    if (
        words[0] == "ult"
        and not set(words) & {"|", ">", "<", "&&", "2>"}
        and "$(" not in line
        and ("'" in line or "*" not in line)
    ):
        return verb([os.path.expandvars(word) for word in words[1:]])
    done = subprocess.run(
        ["bash", "-c", line], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return done.returncode, done.stdout


def console(code):
    """Run a block of a console; return what went otherwise than it says, or nothing."""
    parts = re.split(r"^\$ ", code, flags=re.MULTILINE)
    if parts[0].strip():
        return f"it does not begin with a command: {parts[0]!r}"
    for part in parts[1:]:
        lines = part.rstrip("\n").split("\n")
        line = lines.pop(0)
        while line.endswith("\\"):
            line = line[:-1] + lines.pop(0)
        fails = line.startswith("! ")
        status, said = command(line.removeprefix("! "))
        if (status != 0) != fails:
            return f"$ {line}\nstatus {status}:\n{said}"
        pattern = r"[\s\S]*?".join(
            r"\s+".join(map(re.escape, word.split())) for word in "\n".join(lines).split("...")
        )  # fmt: skip
        if lines and not re.search(pattern, said):
            return f"$ {line}\nprinted\n{said}\nand not\n" + "\n".join(lines)
    return None


def page(blocks):
    """Run the blocks of a page in the folder that this process stands in; return what went wrong, or nothing."""
    names = {"__name__": "__main__"}
    for language, code in blocks:
        for slow, fast in FASTER:
            code = re.sub(slow, fast, code)
        if language == "console":
            wrong = console(code)
        else:
            wrong, said = None, io.StringIO()
            with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
                try:
                    exec(compile(code, "block", "exec"), names)  # noqa: S102
                except BaseException:
                    wrong = f"{code}\n{traceback.format_exc()}"
        if wrong:
            return wrong
    return None


def main():
    cheap().start()
    environment, home = dict(os.environ), Path.cwd()
    for name, blocks in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        began = time.process_time()
        with tempfile.TemporaryDirectory(prefix="ult-page-") as folder:
            os.chdir(folder)
            wrong = page(blocks)
            os.chdir(home)
        os.environ.clear()
        os.environ.update(environment)
        print(json.dumps({"page": name, "wrong": wrong, "seconds": round(time.process_time() - began, 1)}), flush=True)


if __name__ == "__main__":
    main()
