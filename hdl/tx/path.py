"""The transmit path: from the octets of frames to frames for the MAC."""

from amaranth.hdl import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..arp_cache import ArpFound
from ..packet import packet_signature
from ..short_fifo import ShortFifo
from .checksum import TxChecksum
from .command import FrameCommand, TxTag
from .frame_stage import FrameStage
from .plan import FramePlanner
from .result_order import ResultOrder

__all__ = ["TxPath"]

_DEPTH = 16  # Frames that wait for their octets, and frames between here and the MAC's end of them.


class TxPath(wiring.Component):
    """Make frames ready for the MAC, and say what became of each.

    A frame gets its destination address from the ARP cache, where the command asks for it, and its checksums. One that
    must not be sent vanishes; its ``result`` says why, the first of these that holds:

    * ABORTED: ``abort`` was high when its last beat came;
    * BAD_LENGTH: shorter than an Ethernet header, longer with its tag than ``max_frame_octets``, or its last part was
      empty;
    * PAYLOAD_ERROR: ``i`` had ``error``;
    * BAD_CHECKSUM_FIELD: a checksum field or header lies outside the frame, or an IPv4 header starts or ends at an odd
      place or has less than 20 or more than 60 octets;
    * RESOLVE_MISS: the cache does not know the next hop.

    Timing
    ------
    Domain ``sync``. From a frame's last beat in to its first beat out 6 cycles (see ``TxChecksum`` for where it is 4
    more), one beat a cycle and a cycle more for each frame; no gap inside it. From its first beat out to ``result`` 3
    cycles. Packet outputs come from registers; see ``FrameStage`` for ``i.ready``.

    Parameters
    ----------
    width_bits : int
        Width of the packet streams: 32, 64 or 128.
    max_frame_octets : int
        Longest frame, without FCS, its tag in.

    Members
    -------
    frame : In(stream.Signature(FrameCommand))
        One for each frame, before its octets or with them.
    i : In(packet_signature(width_bits))
        Octets of the frames, of any length.
    lookup : Out(stream.Signature(32))
        To the ARP cache.
    found : In(stream.Signature(ArpFound))
        Its answers.
    o : Out(packet_signature(width_bits))
        Frames to send; ``error`` is never set. They have no tag yet: checksums and places do not count it.
    tag : Out(stream.Signature(TxTag))
        One for each of them, there before its first beat; to be taken before the first beat of the next but one.
    result : Out(stream.Signature({"status": 8}))
        One for each frame, in order: a ``TxStatus``. OK comes as soon as the first beat was taken: all of the frame is
        here, so nothing can go wrong any more.
    abort : In(1)
        Drop what is not on its way to the MAC.
    summed : Out(1)
        High for one cycle for each frame whose checksums are known.
    idle : Out(1)
        Nothing inside.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(self, *, width_bits: int = 64, max_frame_octets: int = 9018) -> None:
        self._shape = {"width_bits": width_bits, "max_frame_octets": max_frame_octets}
        super().__init__(
            {
                "frame": In(stream.Signature(FrameCommand)),
                "i": In(packet_signature(width_bits)),
                "lookup": Out(stream.Signature(32)),
                "found": In(stream.Signature(ArpFound)),
                "o": Out(packet_signature(width_bits)),
                "tag": Out(stream.Signature(TxTag)),
                "result": Out(stream.Signature(data.StructLayout({"status": 8}))),
                "abort": In(1),
                "summed": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.planner = planner = FramePlanner(depth=_DEPTH)
        m.submodules.stage = stage = FrameStage(**self._shape)
        m.submodules.checksum = checksum = TxChecksum(**self._shape)
        m.submodules.order = order = ResultOrder(depth=_DEPTH)

        wiring.connect(m, wiring.flipped(self.frame), planner.frame)
        wiring.connect(m, planner.lookup, wiring.flipped(self.lookup))
        wiring.connect(m, wiring.flipped(self.found), planner.result)
        wiring.connect(m, planner.o, stage.plan)
        wiring.connect(m, wiring.flipped(self.i), stage.i)
        wiring.connect(m, stage.o, checksum.i)
        wiring.connect(m, stage.command, checksum.command)
        wiring.connect(m, stage.verdict, order.verdict)
        m.d.comb += stage.room.eq(order.room)
        wiring.connect(m, checksum.o, wiring.flipped(self.o))
        # A tag's frame has a verdict inside `order`, which limits them, or is one of two that the MAC has begun with.
        # It comes after many gates.
        m.submodules.tags = tags = ShortFifo(shape=TxTag, depth=_DEPTH, always_room=True)
        m.d.sync += [tags.i.valid.eq(stage.tag.valid), tags.i.payload.eq(stage.tag.payload)]
        wiring.connect(m, tags.o, wiring.flipped(self.tag))
        wiring.connect(m, order.result, wiring.flipped(self.result))

        starts = Signal(init=1)  # The next beat out is the first of its frame.
        m.d.sync += order.sent.eq(self.o.valid & self.o.ready & starts)
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += starts.eq(self.o.payload.last)

        inside = Signal(range(4 * _DEPTH))
        entered, left = Signal(), Signal()
        m.d.sync += [
            entered.eq(self.frame.valid & self.frame.ready),
            left.eq(self.result.valid & self.result.ready),
            inside.eq(inside + entered - left),
        ]
        m.d.comb += [
            stage.abort.eq(self.abort),
            self.summed.eq(checksum.done),
            self.idle.eq((inside == 0) & ~entered & ~self.frame.valid & ~self.o.valid),
        ]
        return m
