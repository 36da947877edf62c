"""The receiving half of the link: frames that are whole, in order and once."""

from amaranth.hdl import Cat, Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ...hdl.block_ram import BlockRam
from ...stack.abi.bridge import BRIDGE_HEADER, BRIDGE_HELLO, BRIDGE_WINDOW_FRAMES, BridgeKind
from .framing import FRAME_OCTETS_MAX, CheckedToken, Token

__all__ = ["FrameBuffer", "Receiver"]

_DEPTH = 2048  # A DP16KD of ECP5; seven of the longest frames.
_MARGIN_BITS = 3  # What comes until it shows that the buffer is full, and an end, are less than 8.
_KIND, _SEQ, _ACK = (BRIDGE_HEADER[name].lsb // 8 for name in ("kind", "seq", "ack"))


class FrameBuffer(wiring.Component):
    """Queue of frames whose octets are shown only when the frame has been accepted.

    Timing
    ------
    Domain ``sync``. A token a cycle; ``o`` comes 3 cycles after ``accept``, from registers. No combinational path.

    Parameters
    ----------
    depth : int
        Tokens that have room, a power of two that two of the longest frames fit in.

    Members
    -------
    i : In(stream.Signature(8, always_ready=True))
        Octets of the frame that is coming.
    accept, refuse : In(1), In(1)
        The frame has ended: keep it; forget it. None of ``i`` comes in that cycle.
    fits : Out(1)
        There was room for all octets of the frame so far, and its end.
    o : Out(stream.Signature(Token))
        Frames that were accepted.

    Raises
    ------
    ValueError
        If ``depth`` is not such a number.
    """

    def __init__(self, *, depth: int = _DEPTH) -> None:
        if depth & (depth - 1) or depth < 2 * FRAME_OCTETS_MAX:
            raise ValueError(f"depth must be a power of two from {2 * FRAME_OCTETS_MAX} up, not {depth!r}")
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(8, always_ready=True)),
                "accept": In(1),
                "refuse": In(1),
                "fits": Out(1),
                "o": Out(stream.Signature(Token)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        bits = ceil_log2(self._depth)
        m.submodules.ram = ram = BlockRam(shape=Token.as_shape().size, depth=self._depth)
        written, base, fetched = Signal(bits), Signal(bits), Signal(bits)
        space, full, failed = Signal(bits, init=-1), Signal(), Signal()
        some, on_the_way = Signal(), Signal()
        following = Signal(bits)
        m.d.comb += [
            following.eq(written + 1),
            self.fits.eq(~failed & ~full),
            ram.write_en.eq((self.i.valid & ~full) | self.accept),
            ram.write_addr.eq(written),
            ram.write_data.eq(Cat(self.i.payload, self.accept)),
            some.eq(base != fetched),
            ram.read_en.eq(~self.o.valid | self.o.ready),
            ram.read_addr.eq(fetched),
            self.o.payload.eq(ram.read_data),
        ]
        m.d.sync += [space.eq(fetched + ~written), full.eq(~space[_MARGIN_BITS:].any())]
        with m.If(self.refuse):
            m.d.sync += [written.eq(base), failed.eq(0)]
        with m.Elif(self.accept):
            m.d.sync += [written.eq(following), base.eq(following), failed.eq(0)]
        with m.Elif(self.i.valid):
            with m.If(full):
                m.d.sync += failed.eq(1)
            with m.Else():
                m.d.sync += written.eq(following)
        with m.If(ram.read_en):
            m.d.sync += [on_the_way.eq(some), self.o.valid.eq(on_the_way)]
            with m.If(some):
                m.d.sync += fetched.eq(fetched + 1)
        return m


class Receiver(wiring.Component):
    """Accept good frames with the number that is next, after the first RESET; tell what the others want.

    A frame for which there is no room is not accepted, as if it were lost. What a frame acknowledges counts whatever
    becomes of the frame, so nothing that waits for an acknowledgement can wait for ever.

    Timing
    ------
    Domain ``sync``. All outputs come from registers. Pulses come 2 cycles after the frame's end.

    Members
    -------
    i : In(stream.Signature(CheckedToken, always_ready=True))
        All frames.
    o : Out(stream.Signature(Token))
        Frames with a number, each once and in order: kind, then what comes after the header.
    expected : Out(8)
        Number of the next frame to accept.
    heard : Out(1)
        A good frame came; for one cycle each, as the next ones.
    ack : Out(8)
        What it acknowledges, valid with ``heard``.
    rejected : Out(1)
        It was REJECT.
    owed : Out(1)
        It wants an acknowledgement.
    missed : Out(1)
        One before it is missing: the first time since the last accepted frame.
    started : Out(1)
        It was RESET. Numbers start anew, the queue is empty.
    nonce : Out(BRIDGE_HELLO["nonce"].width)
        What came with the last RESET.
    unusable : Out(BRIDGE_HELLO["rejected"].width)
        Number of frames that were not good, since power-up, not since a reset; after the greatest comes 0.
    """

    i: In(stream.Signature(CheckedToken, always_ready=True))
    o: Out(stream.Signature(Token))
    expected: Out(8)
    heard: Out(1)
    ack: Out(8)
    rejected: Out(1)
    owed: Out(1)
    missed: Out(1)
    started: Out(1)
    nonce: Out(BRIDGE_HELLO["nonce"].width)
    unusable: Out(BRIDGE_HELLO["rejected"].width)

    def elaborate(self, platform):
        m = Module()
        buffer = FrameBuffer()
        m.submodules.buffer = ResetInserter(self.started)(buffer)
        wiring.connect(m, buffer.o, wiring.flipped(self.o))
        kind, seq = Signal(8), Signal(8)
        nonce_octets = len(self.nonce) // 8
        octets = Signal(range(BRIDGE_HEADER.size_octets + nonce_octets + 1))
        in_body = Signal()
        token = self.i.payload
        octet_stb, end_stb = Signal(), Signal()
        m.d.comb += [
            octet_stb.eq(self.i.valid & ~token.end),
            end_stb.eq(self.i.valid & token.end),
            buffer.i.payload.eq(token.octet),
            buffer.i.valid.eq(octet_stb & ((octets == _KIND) | in_body)),
        ]
        with m.If(octet_stb):
            with m.Switch(octets):
                with m.Case(_KIND):
                    m.d.sync += kind.eq(token.octet)
                with m.Case(_SEQ):
                    m.d.sync += seq.eq(token.octet)
                with m.Case(_ACK):
                    m.d.sync += [self.ack.eq(token.octet), in_body.eq(1)]
            with m.If(in_body & (kind == BridgeKind.RESET) & (octets != BRIDGE_HEADER.size_octets + nonce_octets)):
                m.d.sync += self.nonce.eq(Cat(self.nonce[8:], token.octet))
            with m.If(octets != BRIDGE_HEADER.size_octets + nonce_octets):
                m.d.sync += octets.eq(octets + 1)
        with m.If(end_stb):
            m.d.sync += [octets.eq(0), in_body.eq(0)]
            with m.If(~token.good):
                m.d.sync += self.unusable.eq(self.unusable + 1)
        self._judge(m, buffer, kind, seq, ended=end_stb)
        return m

    def _judge(self, m: Module, buffer: FrameBuffer, kind: Signal, seq: Signal, *, ended: Signal) -> None:
        """Decide on a frame that has ended."""
        # Of its number from the one that is due. What follows from it is there two cycles after the number; the octet
        # of the acknowledgement and the end still come after that.
        distance = Signal(8)
        numbered, is_next, missing = Signal(), Signal(), Signal()
        told = Signal()  # That one is missing.
        opened = Signal()  # After power-up nothing counts before RESET: a host goes on that has not noticed.
        judged, good = Signal(), Signal()
        m.d.sync += [
            numbered.eq((kind >= BridgeKind.WRITE) & opened),
            is_next.eq(distance == 0),
            missing.eq(distance < (1 << len(distance)) - BRIDGE_WINDOW_FRAMES),
            distance.eq(seq - self.expected),
            judged.eq(ended),
            good.eq(ended & self.i.payload.good),
        ]

        accept, begin = Signal(), Signal()
        m.d.comb += [
            accept.eq(good & numbered & is_next & buffer.fits),
            begin.eq(good & (kind == BridgeKind.RESET)),
            buffer.accept.eq(accept),
            buffer.refuse.eq(judged & ~accept),
        ]
        m.d.sync += [
            self.heard.eq(good),
            self.rejected.eq(good & (kind == BridgeKind.REJECT)),
            self.owed.eq(good & numbered & ~missing | accept),
            self.missed.eq(good & numbered & missing & ~is_next & ~told),
            self.started.eq(begin),
        ]
        with m.If(begin):
            m.d.sync += [self.expected.eq(0), told.eq(0), opened.eq(1)]
        with m.Elif(accept):
            m.d.sync += [self.expected.eq(self.expected + 1), told.eq(0)]
        with m.Elif(good & numbered & missing & ~is_next):
            m.d.sync += told.eq(1)
