"""A network namespace of the real kernel, which goes when we do."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EACCES, EEXIST, EPERM, errorcode

from pyroute2 import netns

__all__ = ["KernelError", "Namespace"]

# It waits for the end of its input, which comes when we end, however that happens. A session of its own and ignored
# signals keep it alive when a terminal or a process group is told to stop.
_GUARD = 'trap "" INT TERM HUP; exec >/dev/null 2>&1; cat; umount -l "$1"; rm -f "$1"'
_PATIENCE_S = 10


class KernelError(Exception):
    """The real kernel refused something; the text is one line that says what to do."""

    @classmethod
    def of(cls, what: str, number: int | None) -> "KernelError":
        """Return the error for what failed with an errno."""
        if number in (EPERM, EACCES):
            return cls(f"{what}: not permitted: it needs root; run it with sudo")
        return cls(f"{what}: {os.strerror(number or 0)} ({errorcode.get(number or 0, number)})")


class Namespace:
    """A network namespace, as ``ip netns`` knows it.

    One that is not there is made, and removed by :meth:`close`, or, should this process die first, by a little guard
    process. One that is there already is used as it is, and stays.

    Parameters
    ----------
    name : str
        Its name.

    Members
    -------
    made : bool
        Whether it was made here.

    Raises
    ------
    ValueError
        If the name is impossible.
    KernelError
        If it cannot be made.
    """

    def __init__(self, name: str) -> None:
        if not name or name in (".", "..") or "/" in name or "\0" in name or not name.isascii() or len(name) > 255:
            raise ValueError(f"{name!r} is no name for a namespace")
        self.name = name
        self._path = os.path.join(netns.NETNS_RUN_DIR, name)
        self._guard: subprocess.Popen[bytes] | None = None
        self.made = not os.path.exists(self._path)
        if self.made:
            self._make()

    def _make(self) -> None:
        words = ["sh", "-c", _GUARD, "netns-guard", self._path]
        self._guard = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)
        try:
            netns.create(self.name)
        except OSError as error:
            if error.errno == EEXIST:  # Somebody was faster.
                self._guard.kill()
                self.made = False
            self.close()
            if self.made:
                raise KernelError.of(f"cannot make the namespace {self.name}", error.errno) from error

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in the namespace: devices and sockets that this thread makes meanwhile are made there.

        Raises
        ------
        KernelError
            If it is gone, or is not to be entered.
        """
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            try:
                netns.setns(self.name, flags=0)
            except OSError as error:
                raise KernelError.of(f"cannot enter the namespace {self.name}", error.errno) from error
            try:
                yield
            finally:
                netns.setns(before)
        finally:
            os.close(before)

    def close(self) -> None:
        """Remove the namespace, if it was made here; programs that are still in it stay there."""
        if self._guard is not None:
            self._guard.communicate(timeout=_PATIENCE_S)
            self._guard = None

    def __enter__(self) -> "Namespace":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
