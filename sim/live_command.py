"""Our own commands that run until they are told to stop, run by a program."""

import json
import signal
import subprocess
import sys
import threading
from typing import IO, Any

__all__ = ["LiveCommand"]

_READY = {"tap": " is behind ", "wire": " are joined"}
_STOP_S = 60


class LiveCommand:
    """``hardwire tap`` or ``hardwire wire``, running; use it in a ``with``.

    Parameters
    ----------
    *words : str
        The command's words; ``--json`` is added.
    namespace : str or None
        Run it in this network namespace.

    Members
    -------
    process : Popen
        It, from when it is ready.
    said : list[str]
        Lines of its standard error so far.

    Raises
    ------
    RuntimeError
        If it ends before it is ready; the text is what it said.
    """

    def __init__(self, *words: str, namespace: str | None = None) -> None:
        prefix = [] if namespace is None else ["ip", "netns", "exec", namespace]
        command = [*prefix, sys.executable, "-c", "from hardwire.sim.cli import main; main()", *words, "--json"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line.rstrip("\n"))
            if _READY[words[0]] in line:
                break
        else:
            self.process.communicate()
            raise RuntimeError("\n".join(self.said))
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,), daemon=True)
        self._listener.start()

    def _listen(self, stderr: IO[str]) -> None:
        for line in stderr:
            self.said.append(line.rstrip("\n"))

    def stop(self, number: int = signal.SIGINT) -> dict[str, Any]:
        """Send it a signal, Ctrl-C's if none is given; return its report."""
        self.process.send_signal(number)
        assert self.process.stdout is not None
        report = self.process.stdout.read()
        self.process.wait(_STOP_S)
        self._listener.join(_STOP_S)
        if self.process.returncode:
            raise RuntimeError(f"exit status {self.process.returncode}: " + "\n".join(self.said))
        found: dict[str, Any] = json.loads(report)
        return found

    def __enter__(self) -> "LiveCommand":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(_STOP_S)
        for pipe in (self.process.stdout, self.process.stderr):
            assert pipe is not None
            pipe.close()
