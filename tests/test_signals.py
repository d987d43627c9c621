"""SIGTERM and SIGHUP, at the worst moments: a command clears up, says a line and has status 128 and their number."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import ult
from ult.cli import report, signals

pytestmark = pytest.mark.slow

RECORDS = [f"a record {n} of words {n % 7}" for n in range(300)]
# Sends a signal to itself as the first audit event of that name has arguments that hold the words.
AT = textwrap.dedent(
    """
    import os, signal, sys, time
    event, words, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    def hook(name, arguments):
        global event
        if name == event and words in " ".join(map(str, arguments[:2])):
            event = None
            os.kill(os.getpid(), number)
            time.sleep(5)
    signal.signal(number, signal.SIG_DFL)  # under nohup SIGHUP would stay ignored
    sys.addaudithook(hook)
    sys.argv = ["ult", *sys.argv[4:]]
    from ult.__main__ import main
    main()
    """
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    table = ult.Table.fit(RECORDS, vocabulary=ult.Vocabulary(400), min_records=1)
    table.save(folder / "t.ult", encrypt=False)
    (folder / "a.txt").write_text("\n".join(RECORDS) + "\n", encoding="utf-8")
    with ult.ShardWriter(
        folder / "a.shards", vocabulary=table.vocabulary, table=table.fingerprint, codec="text/bytes", column="text"
    ) as shards:
        shards.write(table.encode_batch(RECORDS), 1)
    return folder


@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 143), ("SIGHUP", 129)])
@pytest.mark.parametrize(
    ("event", "words", "command"),
    [
        ("os.rename", "o.txt", ["decode", "a.shards", "-t", "t.ult"]),
        ("open", "new", ["dedupe", "a.txt"]),
    ],
    ids=["decode", "dedupe"],
)
def test_records_do_not_stay_behind(name, status, event, words, command, made):
    before = sorted(made.iterdir())
    done = subprocess.run(
        [sys.executable, "-c", AT, event, words, str(int(signal.Signals[name])), *command, "-o", "o.txt"],
        cwd=made, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr.splitlines()[-1]) == (status, f"error: ended by {name}")
    assert "Traceback" not in done.stderr
    assert sorted(made.iterdir()) == before


@pytest.mark.parametrize("event", ["os.remove", "os.rmdir"])
def test_nothing_hidden_is_left_by_a_signal_while_a_finished_command_clears_up(event, made, tmp_path):
    """What would be left may be the old output, or the last checkpoint of a private run."""
    words = "owner.json" if event == "os.remove" else ".partial"
    out = tmp_path / "o.txt"
    done = subprocess.run(
        [sys.executable, "-c", AT, event, words, "15", "decode", "a.shards", "-t", "t.ult", "-o", str(out)],
        cwd=made, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 143, done.stderr
    assert list(tmp_path.iterdir()) == [out]
    assert out.read_text(encoding="utf-8").splitlines() == RECORDS


def test_all_processes_of_a_command_are_ended(made):
    """As `timeout`, Slurm and a closed terminal do: the signal goes to workers too, and the command says its line."""
    lines = "\n".join(f"{line} {n}" for n in range(300) for line in RECORDS[:100])
    (made / "long.txt").write_text(lines + "\n", encoding="utf-8")
    words = ["encode", "long.txt", "-t", "t.ult", "-o", "n.shards", "--part-bytes", "20000", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ult", *words], cwd=made, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while not list(made.glob(".n.shards.partial/shards/part-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "error: ended by SIGTERM" in err.splitlines()  # and maybe a hint on the parts that are finished
    assert "Traceback" not in err
    assert not list(made.glob(".n.shards.partial/tmp.*"))


def test_what_is_ignored_stays_ignored_and_only_the_main_thread_heeds(capsys):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        other = threading.Thread(target=signals.heed)
        other.start()
        other.join()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        signals.heed()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        with pytest.raises(signals.Terminated) as caught:
            signal.raise_signal(signal.SIGTERM)
        assert caught.value.number == signal.SIGTERM
        assert report(KeyboardInterrupt()) == 143  # what Ray makes of it
        assert capsys.readouterr().err == "error: ended by SIGTERM\n"
        signal.raise_signal(signal.SIGTERM)  # while it is cleared up
    finally:
        signals._last = float("-inf")
        signals._numbers.clear()
        for number, handler in before.items():
            signal.signal(number, handler)


def test_importing_sets_no_handler():
    code = "import signal; b = [signal.getsignal(n) for n in (2, 15, 1)]; import ult, ult.cli, ult.cli.signals; " \
        "assert b == [signal.getsignal(n) for n in (2, 15, 1)]"  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
