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
    more), one beat a cycle. From ``done`` to ``result`` 2 cycles. Packet outputs come from registers; see
    ``FrameStage`` for ``i.ready``.

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
        One for each of them, there before its first beat; to be taken before its ``done`` or with it.
    done : In(stream.Signature({"underrun": 1}))
        One for each frame that the MAC ended; always accepted.
    result : Out(stream.Signature({"status": 8}))
        One for each frame, in order: a ``TxStatus``.
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
                "done": In(stream.Signature(data.StructLayout({"underrun": 1}))),
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
        wiring.connect(m, checksum.o, wiring.flipped(self.o))
        # A tag's frame has a verdict inside `order` at least as long, which limits them. It comes after many gates.
        m.submodules.tags = tags = ShortFifo(shape=TxTag, depth=_DEPTH, always_room=True)
        m.d.sync += [tags.i.valid.eq(stage.tag.valid), tags.i.payload.eq(stage.tag.payload)]
        wiring.connect(m, tags.o, wiring.flipped(self.tag))
        wiring.connect(m, wiring.flipped(self.done), order.done)
        wiring.connect(m, order.result, wiring.flipped(self.result))

        inside = Signal(range(4 * _DEPTH))
        entered, left = self.frame.valid & self.frame.ready, self.result.valid & self.result.ready
        m.d.sync += inside.eq(inside + entered - left)
        m.d.comb += [
            stage.abort.eq(self.abort),
            self.summed.eq(checksum.done),
            self.idle.eq((inside == 0) & ~self.frame.valid),
        ]
        return m
