"""Forks at any moment: while other threads decode, resize, take memory and give it back."""

import subprocess
import sys

from tests.commands import ENVIRONMENT
from tests.images import EXAMPLES

_SOAK = """
import hashlib, os, signal, sys, threading
import vlmres

photo, forks = open(sys.argv[1], "rb").read(), int(sys.argv[2])
processor = vlmres.Processor("siglip", dtype="uint8", num_threads=4)

def call():
    return hashlib.sha256(processor([photo, photo])["pixel_values"]).hexdigest()

wanted = call()
over, wrong = threading.Event(), []

def work():
    while not over.is_set():
        if call() != wanted:
            wrong.append("a thread")
        processor.trim()

threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for number in range(forks):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # a child that hangs is ended by it
        same = call() == wanted and call() == wanted
        processor.trim()
        os._exit(0 if same else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        wrong.append(f"child {number}: {code}")
over.set()
for thread in threads:
    thread.join()
sys.exit(", ".join(wrong) or 0)
"""


def test_forks_beside_working_threads() -> None:
    """Each child, whatever the others held at its birth, makes the same pixels and ends."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _SOAK, str(EXAMPLES / "photo.jpg"), "12"],
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
