"""A whole simulated board at the far end of a pseudo-terminal, as a real one is at the far end of a serial port."""

import os
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hardwire.sim.devices import open_device
from hardwire.sim.world import World

__all__ = ["PtyCard", "pty_card"]

_SLICE_FS = 2 * 10**10  # Simulated time between two looks at the terminal.


class PtyCard:
    """The board, which runs in a thread of its own, as fast as it is simulated.

    Members
    -------
    device : str
        What the host opens.
    sent : list[bytes]
        Frames that have left by the board's cable, without FCS.
    """

    def __init__(self, path: str, fd: int) -> None:
        # It seems as slow as it is simulated: a real line of that rate would be no faster.
        self.device = f"uart:{path},baud=9600,phy=1"
        self.sent: list[bytes] = []
        self._fd = fd
        self._world = World()
        self._nic: Any = open_device("board-sim", host=self._world.host())
        self._nic.on_frames = lambda frames: self.sent.extend(frame.octets for frame in frames)
        self._nic.set_link(True)
        self._received: list[tuple[bytes, bytes]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def receive(self, octets: bytes, fcs: bytes) -> None:
        """Let a frame come in by the cable."""
        self._received.append((octets, fcs))

    def _run(self) -> None:
        nic, line = self._nic, self._nic.line
        os.set_blocking(self._fd, False)
        while not self._ended.is_set():
            try:
                line.write(os.read(self._fd, 4096))
            except BlockingIOError:
                pass
            while self._received:
                nic.receive(*self._received.pop(0))
            line.wait(line.time_fs + _SLICE_FS)
            octets = line.read()
            while octets:
                octets = octets[os.write(self._fd, octets) :]
            while self._world.signals:
                self._world.signals.popleft()()

    def start(self) -> None:
        """Let it run."""
        self._thread.start()

    def stop(self) -> None:
        """Let it stop."""
        self._ended.set()
        self._thread.join()


@contextmanager
def pty_card() -> Iterator[PtyCard]:
    """Run a board behind a pseudo-terminal."""
    far, near = os.openpty()
    tty.setraw(near)
    card = PtyCard(os.ttyname(near), far)
    card.start()
    try:
        yield card
    finally:
        card.stop()
        os.close(near)
        os.close(far)
