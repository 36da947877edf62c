"""The host's side of the bridge's link in Python: knows nothing of time but what it is told."""

from collections import deque

from hardwire.stack.abi.bridge import BRIDGE_HEADER, BRIDGE_HELLO, BRIDGE_WINDOW_FRAMES, BridgeKind
from hardwire.tb.boards.hdlc import Decoder, encode

__all__ = ["BridgePeer"]

_HEADER = BRIDGE_HEADER.size_octets


class BridgePeer:
    """Number frames, acknowledge, repeat: go-back-N.

    Parameters
    ----------
    retry_ns : float
        After so long without a new acknowledgement, frames are sent again.

    Members
    -------
    retry_ns : float
        The same; may be changed.
    hold_acks : bool
        Acknowledge no more than by now.
    received : deque of (BridgeKind, bytes)
        Frames with a number from the card, in order.
    hello : dict or None
        What the last HELLO said.
    sent_again, rejects : int
        Frames that went out more than once; REJECTs from the card.
    decoder : Decoder
        Counts damaged frames.
    """

    def __init__(self, *, retry_ns: float) -> None:
        self.retry_ns = retry_ns
        self.decoder = Decoder()
        self.received: deque[tuple[BridgeKind, bytes]] = deque()
        self.sent_again = self.rejects = 0
        self.hold_acks = False
        self._nonce: int | None = None
        self._restart()

    def _restart(self) -> None:
        self._frames: list[tuple[BridgeKind, bytes]] = []  # All that have a number, from number 0 on.
        self._oldest = self._next = self._sent = self._expected = self._shown = 0
        self._owed = self._reject = self._told = False
        self._progress_ns = 0.0
        self.hello: dict[str, int] | None = None

    @property
    def unacknowledged(self) -> int:
        """Frames that the card has not acknowledged."""
        return len(self._frames) - self._oldest

    def reset(self, nonce: int) -> None:
        """Forget everything; RESET goes out until HELLO comes."""
        self._restart()
        self.received.clear()
        self._nonce = nonce
        self._progress_ns = -self.retry_ns

    def send(self, kind: BridgeKind, body: bytes) -> None:
        """Queue a frame."""
        self._frames.append((kind, body))

    def feed(self, octet: int, now_ns: float) -> None:
        """Take an octet from the card."""
        frame = self.decoder.feed(octet)
        if frame is not None:
            self._take(frame, now_ns)

    def _take(self, frame: bytes, now_ns: float) -> None:
        kind, seq, ack = BridgeKind(frame[0]), frame[1], frame[2]
        body = frame[_HEADER:]
        if kind is BridgeKind.HELLO:
            hello = BRIDGE_HELLO.unpack(body)
            if hello["nonce"] == self._nonce:
                self._nonce, self.hello = None, hello
            return
        if self._nonce is not None:
            return
        progress = (ack - self._oldest) & 0xFF
        assert self._oldest + progress <= self._sent, "the card acknowledges what was not sent"
        if progress:
            self._oldest += progress
            self._next = max(self._next, self._oldest)
            self._progress_ns = now_ns
        if kind is BridgeKind.REJECT:
            self.rejects += 1
            self._next = self._oldest
        if kind < BridgeKind.WRITE:
            return
        ahead = (seq - self._expected) & 0xFF
        if ahead == 0:
            self.received.append((kind, body))
            self._expected += 1
            self._owed, self._told = True, False
        elif ahead > 256 - 128:
            self._owed = True
        elif not self._told:
            self._reject = self._told = True

    def next_octets(self, now_ns: float) -> bytes:
        """Return the octets of the next frame to send, or none."""
        if self._nonce is not None:
            if now_ns - self._progress_ns < self.retry_ns:
                return b""
            self._progress_ns = now_ns
            return self._emit(BridgeKind.RESET, 0, self._nonce.to_bytes(4, "little"))
        if self._oldest == self._next:
            self._progress_ns = now_ns
        elif now_ns - self._progress_ns > self.retry_ns:
            self._next, self._progress_ns = self._oldest, now_ns
        if self._reject:
            self._reject = False
            return self._emit(BridgeKind.REJECT, self._next, b"")
        if self._next < len(self._frames) and self._next - self._oldest < BRIDGE_WINDOW_FRAMES:
            kind, body = self._frames[self._next]
            self._next += 1
            self.sent_again += self._next <= self._sent
            self._sent = max(self._sent, self._next)
            return self._emit(kind, self._next - 1, body)
        if self._owed and not self.hold_acks:
            return self._emit(BridgeKind.ACK, self._next, b"")
        return b""

    def _emit(self, kind: BridgeKind, number: int, body: bytes) -> bytes:
        if not self.hold_acks:
            self._owed, self._shown = False, self._expected
        return encode(bytes((kind, number & 0xFF, self._shown & 0xFF)) + body)
