"""Our host on a cable to a real Linux kernel, in real time, with faults on the way."""

import os
import random
import select
import socket as real
import time
from collections.abc import Callable
from hashlib import sha256

from hardwire.stack import socket as api
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.linux_peer import LinuxPeer
from hardwire.tb.stack.pair import PairHost

__all__ = ["LINUX", "OURS", "RealTime"]

OURS, LINUX = "10.0.0.1", "10.0.0.2"


class _End:
    """Where what our device sends goes."""

    def __init__(self, receive: Callable[[bytes], None]) -> None:
        self.receive = receive


class RealTime:
    """Our host, 10.0.0.1, whose clock is the real one, and a kernel's, 10.0.0.2.

    ``faults`` returns after how many ns each copy of a frame arrives; none: it is lost.
    """

    def __init__(self, linux: LinuxPeer, seed: int = 1) -> None:
        self.linux = linux
        self.platform = FakePlatform(seed)
        self.random = random.Random(seed)
        self.faults: Callable[[], list[int]] = lambda: [0]
        self.lost = 0
        features = NETIF_F_SG | NETIF_F_HW_CSUM
        self.host = PairHost(self.platform, bytes.fromhex("020000000001"), f"{OURS}/24", features=features)
        self.net = self.host.net
        self.host.dev.peer = _End(self._out)  # type: ignore[assignment]  # It takes frames, too.
        self.started = time.monotonic_ns() - self.platform.now_ns()

    def bad(self, *, loss: float, reorder: float, double: float, delay_ns: int) -> None:
        """Let the cable be a bad one."""

        def faults() -> list[int]:
            if self.random.random() < loss:
                self.lost += 1
                return []
            late = delay_ns // 2 if self.random.random() < reorder else delay_ns
            return [late, delay_ns + 1000] if self.random.random() < double else [late]

        self.faults = faults

    def _carry(self, frame: bytes, to: Callable[[bytes], object]) -> None:
        for delay in self.faults():
            if delay:
                self.platform.timer(self.platform.now_ns() + delay, lambda: to(frame))
            else:
                to(frame)

    def _out(self, frame: bytes) -> None:
        self._carry(frame, lambda octets: os.write(self.linux.fd, octets))

    def pump(self, done: Callable[[], bool], limit_s: float = 60) -> None:
        """Let time pass, and frames go to and fro, until something is the case."""
        end = time.monotonic() + limit_s
        while not done():
            assert time.monotonic() < end, "it takes too long"
            self.platform.advance(max(time.monotonic_ns() - self.started - self.platform.now_ns(), 0))
            if not select.select([self.linux.fd], [], [], 0.001)[0]:
                continue
            for _ in range(64):
                try:
                    frame = os.read(self.linux.fd, 65536)
                except BlockingIOError:
                    break
                self._carry(frame, self.host.receive)

    def theirs(self) -> real.socket:
        """Return a stream socket of the kernel's host that does not wait."""
        sock = self.linux.inside(lambda: real.socket(real.AF_INET, real.SOCK_STREAM))
        sock.setblocking(False)
        return sock

    def ours(self):
        """Return a stream socket of our host that does not wait."""
        sock = self.net.socket(api.AF_INET, api.SOCK_STREAM)
        sock.setblocking(False)
        return sock

    def connected(self, *, ours_first: bool):
        """Return both ends of a connection, ours first, that our side began or the other."""
        listener, client = (self.theirs(), self.ours()) if ours_first else (self.ours(), self.theirs())
        listener.setsockopt(api.SOL_SOCKET, api.SO_REUSEADDR, 1)
        listener.bind((LINUX if ours_first else OURS, 7000))
        listener.listen(5)
        try:
            client.connect(listener.getsockname())
        except BlockingIOError:
            pass
        found = []

        def accepted() -> bool:
            try:
                found.append(listener.accept()[0])
            except BlockingIOError:
                return False
            return True

        self.pump(accepted)
        listener.close()
        found[0].setblocking(False)
        return (client, found[0]) if ours_first else (found[0], client)

    def transfer(self, ours, theirs, size: int, back: int, limit_s: float = 120) -> None:
        """Send octets from us to the kernel, and ``back`` from there, at once; what comes is what went."""
        sources = [self.random.randbytes(size), self.random.randbytes(back)]
        ends = [(ours, theirs), (theirs, ours)]
        hashes = [sha256(), sha256()]
        sent, got = [0, 0], [0, 0]

        def step() -> bool:
            for way, (source, (tx, rx)) in enumerate(zip(sources, ends, strict=True)):
                try:
                    if sent[way] < len(source):
                        sent[way] += tx.send(source[sent[way] : sent[way] + 65536])
                except BlockingIOError:
                    pass
                try:
                    octets = rx.recv(1 << 18)
                except BlockingIOError:
                    continue
                hashes[way].update(octets)
                got[way] += len(octets)
            return got == [size, back]

        self.pump(step, limit_s)
        assert [h.hexdigest() for h in hashes] == [sha256(source).hexdigest() for source in sources]
