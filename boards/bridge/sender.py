"""The sending half of the link: numbers, acknowledgements, and what was sent kept until it is acknowledged."""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...hdl.block_ram import BlockRam
from ...stack.abi.bridge import BRIDGE_HEADER, BRIDGE_HELLO, BRIDGE_WINDOW_FRAMES, BridgeKind
from .framing import FRAME_OCTETS_MAX, Token

__all__ = ["KEPT_TOKENS_MAX", "WINDOWS_OCTETS", "Sender"]

# The longest frame in the window: its seq and ack are not kept, its end is.
KEPT_TOKENS_MAX = FRAME_OCTETS_MAX - BRIDGE_HEADER.size_octets + 2
WINDOWS_OCTETS = (1024, 2048, 4096, 8192)
_HELLO_OCTETS = BRIDGE_HELLO.size_octets


class Sender(wiring.Component):
    """Give frames numbers, send them, keep them until they are acknowledged, send them again if they are not.

    The other side's REJECT, or ``retry_cycles`` without a new acknowledgement while one is due, make it start again
    from the oldest frame that was not acknowledged. An acknowledgement takes effect between two frames. Every frame
    carries one; if one is owed and nothing else to be sent, it is sent alone.

    Timing
    ------
    Domain ``sync``. An octet each three cycles. ``o`` comes from registers, ``i.ready`` through a gate.

    Parameters
    ----------
    window_octets : int
        Octets to keep: one of WINDOWS_OCTETS. A frame takes two more than it has behind its header.
    retry_cycles : int
        Cycles after which frames are sent again.

    Members
    -------
    i : In(stream.Signature(Token))
        Frames with a number: kind, then what comes after the header. Accepted at once from the first octet to the end,
        if there is room for the longest.
    o : Out(stream.Signature(Token))
        All frames.
    expected : In(8)
        Number of the next frame expected from the other side.
    heard, ack, rejected, owed, missed : In
        Of the receiver, see `Receiver`.
    hello : In(1)
        Send HELLO before anything else.
    hello_body : In(8 * BRIDGE_HELLO.size_octets)
        What it says.
    hello_sent : Out(1)
        High for one cycle: it was.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, window_octets: int, retry_cycles: int) -> None:
        if window_octets not in WINDOWS_OCTETS:
            raise ValueError(f"window_octets must be 1024, 2048, 4096 or 8192, not {window_octets!r}")
        if retry_cycles < 1:
            raise ValueError(f"retry_cycles must be at least 1, not {retry_cycles!r}")
        self._window_octets = window_octets
        self._retry_cycles = retry_cycles
        super().__init__(
            {
                "i": In(stream.Signature(Token)),
                "o": Out(stream.Signature(Token)),
                "expected": In(8),
                "heard": In(1),
                "ack": In(8),
                "rejected": In(1),
                "owed": In(1),
                "missed": In(1),
                "hello": In(1),
                "hello_body": In(8 * _HELLO_OCTETS),
                "hello_sent": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        place_bits = ceil_log2(self._window_octets)
        m.submodules.window = window = BlockRam(shape=Token.as_shape().size, depth=self._window_octets)
        # Where each frame starts.
        m.submodules.starts = starts = BlockRam(shape=place_bits, depth=BRIDGE_WINDOW_FRAMES + 1)
        oldest, sending, newest = Signal(8), Signal(8), Signal(8)  # Not acknowledged; goes next; comes next.
        oldest_at, sending_at = Signal(place_bits), Signal(place_bits)
        m.d.comb += [starts.read_en.eq(1), window.read_en.eq(1), window.read_addr.eq(sending_at)]
        unacknowledged = Signal(8)
        m.d.sync += unacknowledged.eq(newest - oldest)
        self._keep(m, window, starts, oldest_at, newest, unacknowledged)

        acked, ack_waits, passes = Signal(8), Signal(), Signal()
        asked, progress, heard = Signal(), Signal(8), Signal()
        beyond = Signal(8)
        m.d.comb += [starts.read_addr.eq(acked), beyond.eq(acked + ~sending)]
        m.d.sync += [
            asked.eq(self.heard),
            progress.eq(self.ack + ~oldest),  # Less one.
            heard.eq(asked & (progress < unacknowledged)),
            passes.eq(~beyond[-1]),  # More are acknowledged than went out since it was started again.
        ]
        go_back = Signal()
        expired = self._retry(m, idle=sending == oldest, progress=heard)
        owed, reject = Signal(), Signal()
        with m.If(self.rejected | expired):
            m.d.sync += go_back.eq(1)
        with m.If(heard):
            m.d.sync += [acked.eq(self.ack), ack_waits.eq(1)]

        what = Signal(BridgeKind)
        count = Signal(range(_HELLO_OCTETS + 1))
        free, there = Signal(), Signal()
        since_moved = Signal(2)
        kept = Token(window.read_data)
        hello_octet = Signal(8)
        moved = Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            there.eq(since_moved.all()),
        ]
        with m.Switch(count):
            for number in range(_HELLO_OCTETS):
                with m.Case(number):
                    m.d.comb += hello_octet.eq(self.hello_body[8 * number :])
        m.d.sync += since_moved.eq(Mux(moved, 0, Cat(1, since_moved[0])))
        with m.If(self.o.ready):
            m.d.sync += self.o.valid.eq(0)

        def send(octet: Value, *, end: Value | int = 0) -> None:
            m.d.sync += [self.o.valid.eq(1), self.o.payload.octet.eq(octet), self.o.payload.end.eq(end)]

        wait = Signal(2)
        with m.FSM():
            with m.State("Idle"):
                m.d.sync += [wait.eq(0), count.eq(0)]
                with m.If(ack_waits):
                    m.d.sync += ack_waits.eq(0)
                    m.next = "Acknowledged"
                with m.Elif(go_back):
                    m.d.sync += [go_back.eq(0), sending.eq(oldest), sending_at.eq(oldest_at)]
                    m.d.comb += moved.eq(1)
                with m.Elif(self.hello):
                    m.d.sync += what.eq(BridgeKind.HELLO)
                    m.next = "Kind"
                with m.Elif(reject):
                    m.d.sync += [what.eq(BridgeKind.REJECT), reject.eq(0)]
                    m.next = "Kind"
                with m.Elif(sending != newest):
                    m.d.sync += what.eq(BridgeKind.WRITE)
                    m.next = "Kind"
                with m.Elif(owed):
                    m.d.sync += what.eq(BridgeKind.ACK)
                    m.next = "Kind"
            with m.State("Acknowledged"):
                m.d.sync += wait.eq(Mux(heard, 0, wait + 1))
                with m.If(wait.all() & ~heard):
                    m.d.sync += [oldest.eq(acked), oldest_at.eq(starts.read_data)]
                    with m.If(passes):
                        m.d.sync += go_back.eq(1)
                    m.next = "Idle"
            with m.State("Kind"):
                with m.If(what != BridgeKind.WRITE):
                    with m.If(free):
                        send(what)
                        m.next = "Seq"
                with m.Elif(free & there):
                    send(kept.octet)
                    m.d.comb += moved.eq(1)
                    m.d.sync += sending_at.eq(sending_at + 1)
                    m.next = "Seq"
            with m.State("Seq"):
                with m.If(free):
                    send(sending)
                    m.next = "Ack"
            with m.State("Ack"):
                with m.If(free):
                    send(self.expected)
                    m.d.sync += owed.eq(0)
                    with m.Switch(what):
                        with m.Case(BridgeKind.WRITE):
                            m.next = "Body"
                        with m.Case(BridgeKind.HELLO):
                            m.next = "Hello"
                        with m.Default():
                            m.next = "End"
            with m.State("Body"):
                with m.If(free & there):
                    send(kept.octet, end=kept.end)
                    m.d.comb += moved.eq(1)
                    m.d.sync += sending_at.eq(sending_at + 1)
                    with m.If(kept.end):
                        m.d.sync += sending.eq(sending + 1)
                        m.next = "Idle"
            with m.State("Hello"):
                with m.If(free):
                    send(hello_octet)
                    m.d.sync += count.eq(count + 1)
                    with m.If(count == _HELLO_OCTETS - 1):
                        m.d.comb += self.hello_sent.eq(1)
                        m.next = "End"
            with m.State("End"):
                with m.If(free):
                    send(Const(0, 8), end=1)
                    m.next = "Idle"
        # Behind what clears them: what comes in the same cycle is not in the frame that is under way.
        with m.If(self.owed):
            m.d.sync += owed.eq(1)
        with m.If(self.missed):
            m.d.sync += reject.eq(1)
        return m

    def _keep(self, m: Module, window, starts, oldest_at: Signal, newest: Signal, unacknowledged: Signal) -> None:
        """Write frames into the window."""
        written = Signal(len(oldest_at))
        first, room, ended = Signal(init=1), Signal(), Signal(3)
        taken, token, end_taken = Signal(), Signal(Token), Signal()
        space = Signal(len(written))
        m.d.comb += [
            end_taken.eq(taken & token.end),
            # What room there is shows three cycles after a frame has ended.
            self.i.ready.eq(~first | (room & ~ended.any())),
            window.write_en.eq(taken),
            window.write_addr.eq(written),
            window.write_data.eq(token.as_value()),
            starts.write_en.eq(end_taken),
            starts.write_addr.eq(newest + 1),
            starts.write_data.eq(written + 1),
        ]
        m.d.sync += [
            space.eq(oldest_at + ~written),
            room.eq((space[3:] >= -(-KEPT_TOKENS_MAX // 8)) & (unacknowledged != BRIDGE_WINDOW_FRAMES)),
            taken.eq(self.i.valid & self.i.ready),
            token.eq(self.i.payload),
            ended.eq(Cat(self.i.valid & self.i.ready & self.i.payload.end, ended)),
        ]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += first.eq(self.i.payload.end)
        with m.If(taken):
            m.d.sync += written.eq(written + 1)
        with m.If(end_taken):
            m.d.sync += newest.eq(newest + 1)

    def _retry(self, m: Module, *, idle: Value, progress: Value) -> Value:
        """Return that no acknowledgement has come for too long; counting starts again then."""
        left = Signal(range(self._retry_cycles + 1), init=self._retry_cycles)
        expired = Signal()
        m.d.sync += expired.eq(left == 0)
        with m.If(idle | progress | expired):
            m.d.sync += [left.eq(self._retry_cycles), expired.eq(0)]
        with m.Else():
            m.d.sync += left.eq(left - 1)
        return expired
