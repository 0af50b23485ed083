"""The cluster's processes: started apart from us, known by process id.

Each carries a variable in its environment. A recorded process id is ours only
while the process has it, so that one given out anew to a stranger is never
ended; and what a killed run started but did not record, or a containerd left
behind (its shims inherit the variable), is found again.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

from . import settings
from .shell import Failed, wait, write

MARK = "BAOCTL_CLUSTER_PART"


def mark_of(pid: int) -> str | None:
    """The part of the cluster that a process is, if any."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None
    if state == "Z":
        return None
    for entry in environment.split(b"\0"):
        if entry.startswith(MARK.encode() + b"="):
            return entry.partition(b"=")[2].decode()
    return None


def record() -> dict:
    """Who holds the machine's one cluster: the state folder, the process ids, whether it came up."""
    try:
        return json.loads(settings.HOLDER.read_text())
    except FileNotFoundError:
        return {}


def save(**changes):
    write(settings.HOLDER, json.dumps(record() | changes, indent=2) + "\n")


def pid(name: str) -> int | None:
    """The process id of a part, if it runs."""
    number = record().get("pids", {}).get(name)
    return number if number and mark_of(number) == name else None


def start(name: str, *command):
    """Starts a part in a session of its own, so that it outlives us; its output goes to its log."""
    settings.LOGS.mkdir(parents=True, exist_ok=True)
    with open(settings.LOGS / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            [str(c) for c in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env=os.environ | {MARK: name},
            cwd="/",
        )
    save(pids=record().get("pids", {}) | {name: process.pid})
    # The kernel shows the environment only a moment after the program has been started.
    wait(f"the start of {name}", 10, lambda: mark_of(process.pid) or process.poll() is not None, pause=0.005)


def stop(name: str, seconds=2.0):
    """Ends a part and waits for its end, not politely for long: nothing of it is kept."""
    if number := pid(name):
        end([number], seconds)
    pids = record().get("pids", {})
    pids.pop(name, None)
    if settings.HOLDER.exists():
        save(pids=pids)


def end(pids: list[int], seconds: float):
    """TERM, then KILL for what is left; returns when none is."""
    for number in pids:
        send(number, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while any(map(mark_of, pids)) and time.monotonic() < deadline:
        reap()
        time.sleep(0.02)
    for number in pids:
        if mark_of(number):
            send(number, signal.SIGKILL)
    wait(f"the end of {pids}", 10, lambda: reap() or not any(map(mark_of, pids)), pause=0.02)


def send(number: int, what: signal.Signals):
    try:
        os.kill(number, what)
    except ProcessLookupError:
        pass


def reap():
    """Takes the exit of children, which would otherwise stay as zombies."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def all_marked() -> list[int]:
    """Every process of a cluster on this machine, recorded or not."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and mark_of(int(entry.name))]


def require(name: str):
    """Says so at once when a part that was just started is gone."""
    if not pid(name):
        log = settings.LOGS / f"{name}.log"
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Failed(f"cluster: {name} ended; the end of {log}:\n{tail}")
