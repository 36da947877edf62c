"""A line that loses nothing, over one that does: numbers, acknowledgements, and sending again."""

from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from errno import EIO

from ...stack.abi.bridge import (
    BRIDGE_ADDR_OCTETS,
    BRIDGE_HEADER,
    BRIDGE_WINDOW_FRAMES,
    BRIDGE_WRITE_OCTETS_MAX,
    FCS_OCTETS,
    BridgeKind,
)
from .carrier import Carrier
from .hdlc import FLAG_OCTET, Deframer, enframe
from .pace import Pace

__all__ = ["MS_FS", "BridgeError", "Link", "LinkCounters", "Receiver"]

Receiver = Callable[[BridgeKind, bytes], None]

MS_FS = 10**12
_HEADER_OCTETS = BRIDGE_HEADER.size_octets
_LONGEST_OCTETS = _HEADER_OCTETS + BRIDGE_ADDR_OCTETS + BRIDGE_WRITE_OCTETS_MAX
_WINDOW_PACES = 32  # Octets without acknowledgement, in frames of the longest length.
_AHEAD_PACES = 8  # Octets that wait for the line, likewise: what is there when a frame is lost goes out for nothing.
_AHEAD_LATENCY_PART = 10
_ANSWER_OCTETS = 8 * _LONGEST_OCTETS  # What may be on the line before an answer.
_TRIES = 30

_pack_header = BRIDGE_HEADER.struct.pack
_unpack_header = BRIDGE_HEADER.struct.unpack_from
_ACK, _REJECT, _WRITE = BridgeKind.ACK, BridgeKind.REJECT, BridgeKind.WRITE
_KINDS = frozenset(BridgeKind)
_OPENING = (BridgeKind.RESET, BridgeKind.HELLO)
_OVERHEAD_OCTETS = _HEADER_OCTETS + FCS_OCTETS + 1


class BridgeError(OSError):
    """The card cannot be reached, or not any more; the text says what to do."""


@dataclass
class LinkCounters:
    """What happened on a link.

    Parameters
    ----------
    frames_sent, frames_received : int
        Frames with a number, each counted once.
    frames_resent : int
        Frames that were sent again.
    rejects_sent, rejects_received : int
        How often an end found that a frame is missing.
    timeouts : int
        How often no acknowledgement came in time.
    writes : int
        Calls of the carrier's ``write``.
    """

    frames_sent: int = 0
    frames_received: int = 0
    frames_resent: int = 0
    rejects_sent: int = 0
    rejects_received: int = 0
    timeouts: int = 0
    writes: int = 0


class Link:
    """One end of a bridge: frames with a number arrive at the other end once and in order, or it says that it fails.

    Nothing is sent but by :meth:`pump`, so that what was queued since goes out in one piece.

    Parameters
    ----------
    carrier : Carrier
        The line.
    receive : callable
        Called with each frame that arrives: its kind, and what is after the header. Kinds without a number but ACK and
        REJECT come, too, out of order and maybe never.
    latency_fs : int
        How late an answer may come, beside the time of its octets on the line.
    governs : bool
        Tell the other end by LIMIT how long its frames are to be: the host does.

    Members
    -------
    counters : LinkCounters
        What happened.
    is_open : bool
        Frames with a number are taken.
    orders_queued, orders_done : int
        Frames with a number, but for WRITE, that were queued, and that were acknowledged.
    pace : Pace
        How long the WRITE frames are that go out.
    """

    def __init__(self, carrier: Carrier, receive: Receiver, *, latency_fs: int = MS_FS, governs: bool = True) -> None:
        self.counters = LinkCounters()
        self._carrier = carrier
        self._receive = receive
        self._latency_fs = latency_fs
        self._governs = governs
        self._deframer = Deframer(_LONGEST_OCTETS)
        self._line_free_fs = 0
        self.close()

    def restart(self) -> None:
        """Let both ways start anew with number 0: the card was reset."""
        self.close()
        self.is_open = True

    def close(self) -> None:
        """Forget what was queued or under way, and take frames of RESET and HELLO only, until :meth:`restart`."""
        self.is_open = False
        self.orders_queued = self.orders_done = 0
        self.pace = Pace()
        self._rx_pace = Pace()
        self._limit = self._rx_pace.octets  # What the other end was told.
        self._damaged = self._deframer.damaged
        self._queue: deque[tuple[int, bytes]] = deque()
        self._sent: deque[tuple[int, bytes]] = deque()  # Without acknowledgement.
        self._again = 0  # Of these, from here on they are to be sent again,
        self._under_way_octets = 0  # and so many octets are before that.
        self._first = 0  # Number of the first of them.
        self._expected = 0
        self._gap: int | None = None  # How far behind the missing frame the last one was that was not it.
        self._owes_ack = self._owes_reject = False
        self._tries = 0
        self._retry_fs = 0

    # What goes out.

    def send(self, kind: BridgeKind, octets: bytes) -> None:
        """Queue a frame with a number."""
        self._queue.append((kind, octets))
        self.orders_queued += 1

    def write(self, address: int, octets: bytes) -> None:
        """Queue WRITE frames for a run of memory, cut where that is due."""
        self._queue.append((_WRITE, address.to_bytes(BRIDGE_ADDR_OCTETS, "little") + octets))

    def send_unnumbered(self, kind: BridgeKind, octets: bytes) -> None:
        """Send a frame without a number at once."""
        self._emit([self._frame(kind, self._first + len(self._sent), octets)])

    @property
    def idle(self) -> bool:
        """Nothing is queued or without acknowledgement."""
        return not self._queue and not self._sent

    @property
    def deadline_fs(self) -> int | None:
        """When :meth:`pump` must be called though nothing comes; None: it need not."""
        if not self._sent:
            return None
        if self._may_send:
            return min(self._retry_fs, self._line_free_fs - self._ahead_fs // 2)
        return self._retry_fs

    @property
    def damaged(self) -> int:
        """How often what came was no frame."""
        return self._deframer.damaged

    @property
    def octets_received(self) -> int:
        """Octets that have come in all."""
        return self._deframer.octets

    def report(self) -> dict[str, int]:
        """Return the counters by name."""
        return {**asdict(self.counters), "damaged": self.damaged}

    def pump(self) -> bool:
        """Take what has come and send what may be sent; return whether a frame has come.

        Raises
        ------
        BridgeError
            If nothing has come from the other end for long that is a frame.
        """
        octets = self._carrier.read()
        heard = False
        if octets:
            for frame in self._deframer.feed(octets):
                heard |= self._take(frame)
            self._adapt()
        if self._sent and self._carrier.time_fs >= self._retry_fs:
            self._time_out()
        if self._owes_ack or self._owes_reject or self._may_send:
            self._fill()
        return heard

    @property
    def _may_send(self) -> bool:
        """The window has room for a frame that waits."""
        waits = self._again < len(self._sent) or (self._queue and len(self._sent) < BRIDGE_WINDOW_FRAMES)
        return bool(waits) and self._under_way_octets < _WINDOW_PACES * self.pace.octets

    @property
    def _ahead_fs(self) -> int:
        """How much the line may be given in advance, so that it is never idle."""
        return _AHEAD_PACES * self.pace.octets * self._carrier.octet_fs + self._latency_fs // _AHEAD_LATENCY_PART

    def _fill(self) -> None:
        """Send what window and line have room for."""
        sent = self._sent
        frames: list[bytes] = []
        if self._owes_reject:
            self._owes_reject = False
            self.counters.rejects_sent += 1
            frames.append(self._frame(_REJECT, self._first + len(sent)))
        most = BRIDGE_ADDR_OCTETS + self.pace.octets
        busy_fs = max(self._line_free_fs - self._carrier.time_fs, 0)
        room_octets = (self._ahead_fs - busy_fs) // self._carrier.octet_fs
        resent = fresh = 0
        while room_octets > 0 and self._may_send:
            if self._again < len(sent):
                resent += 1
            else:
                sent.append(self._next(most))
                fresh += 1
            kind, octets = sent[self._again]
            frames.append(self._frame(kind, self._first + self._again, octets))
            length = len(octets) + _OVERHEAD_OCTETS
            self._under_way_octets += length
            room_octets -= length
            self._again += 1
        if not frames and self._owes_ack:
            frames.append(self._frame(_ACK, self._first + len(sent)))
        if frames:
            self.counters.frames_sent += fresh
            self.counters.frames_resent += resent
            self._emit(frames)
            if fresh or resent:
                self._retry_later()

    def _next(self, most: int) -> tuple[int, bytes]:
        """Take the next frame out of the queue, a WRITE with its address of at most so many octets.

        Only now is it cut: one that was sent stays as it is, for the other end may have it.
        """
        kind, octets = item = self._queue.popleft()
        if kind != _WRITE or len(octets) <= most:
            return item
        rest = int.from_bytes(octets[:BRIDGE_ADDR_OCTETS], "little") + most - BRIDGE_ADDR_OCTETS
        self._queue.appendleft((kind, rest.to_bytes(BRIDGE_ADDR_OCTETS, "little") + octets[most:]))
        return kind, octets[:most]

    def _frame(self, kind: int, number: int, octets: bytes = b"") -> bytes:
        return enframe(_pack_header(kind, number & 255, self._expected) + octets)

    def _emit(self, frames: list[bytes]) -> None:
        """Write frames in one piece; each of them acknowledges."""
        octets = FLAG_OCTET + b"".join(frames)
        self._owes_ack = False
        self.counters.writes += 1
        carrier = self._carrier
        self._line_free_fs = max(self._line_free_fs, carrier.time_fs) + len(octets) * carrier.octet_fs
        carrier.write(octets)

    def _retry_later(self) -> None:
        """Expect an acknowledgement once all that was written is over the line."""
        carrier = self._carrier
        free_fs = max(self._line_free_fs, carrier.time_fs)
        self._retry_fs = free_fs + self._latency_fs + _ANSWER_OCTETS * carrier.octet_fs

    def _time_out(self) -> None:
        self._tries += 1
        if self._tries > _TRIES:
            raise BridgeError(EIO, "the card does not answer any more: is it still connected and powered?")
        self.counters.timeouts += 1
        self._go_back()

    def _go_back(self) -> None:
        """Send all again that was not acknowledged."""
        self.pace.error()
        self._again = self._under_way_octets = 0

    # What comes in.

    def _take(self, frame: bytes) -> bool:
        """Take a good frame; return whether it was what somebody waits for."""
        if len(frame) < _HEADER_OCTETS or frame[0] not in _KINDS:
            return False
        kind, number, ack = _unpack_header(frame)
        if not self.is_open and kind not in _OPENING:
            return False  # Of an earlier session.
        self._tries = 0
        self._take_ack(ack)
        if kind < _WRITE:
            if kind == _REJECT:
                self._take_reject(ack)
            elif kind != _ACK:
                self._receive(BridgeKind(kind), frame[_HEADER_OCTETS:])
            return bool(kind != _ACK)
        ahead = (number - self._expected) & 255
        if ahead:
            self._take_other(ahead)
            return False
        self._expected = (number + 1) & 255
        self._owes_ack = True
        self._gap = None
        self.counters.frames_received += 1
        self._rx_pace.good(1)
        self._receive(BridgeKind(kind), frame[_HEADER_OCTETS:])
        return True

    def _take_other(self, ahead: int) -> None:
        """See to a frame that is not the next: one that was here before, or one behind a gap.

        A gap is rejected once, and again if frames behind it come that came before: the other end has sent from the gap
        on again, and the frame was lost once more.
        """
        if ahead > BRIDGE_WINDOW_FRAMES:
            self._owes_ack = True
            return
        if self._gap is None or ahead <= self._gap:
            self._owes_reject = True
            self._rx_pace.error()
        self._gap = ahead

    def _take_ack(self, ack: int) -> None:
        acked = (ack - self._first) & 255
        if not 0 < acked <= len(self._sent):
            return
        for _ in range(acked):
            kind, octets = self._sent.popleft()
            if self._again:
                self._again -= 1
                self._under_way_octets -= len(octets) + _OVERHEAD_OCTETS
            self.orders_done += kind != _WRITE
        self._first = ack
        self.pace.good(acked)
        self._retry_later()

    def _take_reject(self, ack: int) -> None:
        self.counters.rejects_received += 1
        if self._sent and ack == self._first:
            self._go_back()

    def _adapt(self) -> None:
        """Tell the other end how long its frames are to be."""
        if not self.is_open:
            return
        if self._deframer.damaged != self._damaged:
            self._damaged = self._deframer.damaged
            self._rx_pace.error()
        if self._governs and self._rx_pace.octets != self._limit:
            self._limit = self._rx_pace.octets
            self.send(BridgeKind.LIMIT, self._limit.to_bytes(2, "little"))
