"""End with the process that started us, and take along everything that we started."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

import psutil


def stop_everything(code: int = 143) -> None:
    """Kill all descendants of this process, then end it with exit status ``code``."""
    for child in psutil.Process().children(recursive=True):
        try:
            child.kill()
        except psutil.NoSuchProcess:  # it ended by itself in the meantime
            continue
    os._exit(code)


def yield_with_us() -> None:
    """Give the processes that we started our own low priority among sessions, where Linux has one for each session.

    A kernel lives in a session of its own: without this, ``nice`` would not hold it back from other people's work.
    """
    niceness = os.nice(0)
    for child in psutil.Process().children(recursive=True) if niceness > 0 else ():
        with contextlib.suppress(OSError):  # no such file on other systems, or a process that has ended
            Path(f"/proc/{child.pid}/autogroup").write_text(str(niceness))


def end_with_parent(poll_s: float = 0.5) -> None:
    """Watch the parent from a thread; when it is gone, or asks us to end, call `stop_everything`.

    Without this a killed ``make book`` would leave its training runs behind: the kernel of a notebook
    lives in a session of its own and gets no signal of its terminal.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(poll_s)
        stop_everything()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        stop_everything(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    threading.Thread(target=watch, daemon=True, name="lifeline").start()
