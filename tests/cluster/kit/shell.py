"""Running commands, waiting, and writing files whole."""

import os
import subprocess
import time
from pathlib import Path


class Failed(SystemExit):
    """Ends the program with a message for a person."""


def run(*command, stdin: str | bytes | None = None, check=True, **options) -> subprocess.CompletedProcess:
    """Runs a command to its end; its error output is the message when it fails."""
    text = not isinstance(stdin, bytes)
    done = subprocess.run([str(c) for c in command], input=stdin, capture_output=True, text=text, **options)
    if check and done.returncode:
        error = done.stderr if text else done.stderr.decode(errors="replace")
        raise Failed(f"cluster: {' '.join(map(str, command))}: exit {done.returncode}\n{error.strip()}")
    return done


def wait(what: str, seconds: float, ready, pause=0.1):
    """Waits until `ready()` is true and returns it; names what did not come."""
    end = time.monotonic() + seconds
    while True:
        if found := ready():
            return found
        if time.monotonic() > end:
            raise Failed(f"cluster: {what}: not within {seconds:.0f} s")
        time.sleep(pause)


def write(path: Path, content: str | bytes, mode=0o644):
    """Writes a file so that a reader sees all of it or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.chmod(mode)
    os.replace(part, path)
