"""The receive datapath between MAC and RX ring."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..packet import check_width_bits, packet_layout, packet_signature
from ..register_slice import RegisterSlice
from .buffer import RxBuffer, check_buffer_octets
from .checksum import RxChecksum
from .filter import SETTINGS, RxFilter
from .frame import RxEnd, RxFrame

__all__ = ["RxPath"]


class RxPath(wiring.Component):
    """Filter frames, verify their checksums and keep the wanted ones until the RX ring takes them.

    Each good frame leaves by ``frame`` or is counted: ``filtered`` or ``missed``. Bad ones leave no trace.

    Timing
    ------
    Domain ``sync``. One beat a cycle; at least 2 cycles between two frames, 5 from a last beat to the next one, and a
    good frame has at least 4 beats. From a last beat to ``frame.valid`` 9 cycles if no other frame is under way, from
    ``frame.ready`` to the first beat 4 cycles, to the next ``frame.valid`` as many as the frame has beats, and 1.
    ``drop`` frees the frame at once. No combinational path from ``o.ready``.

    Parameters
    ----------
    width_bits : int
        Width of a beat.
    buffer_octets : int
        Room for frames, a power of two.
    max_frame_octets : int
        Longest good frame, without FCS.

    Members
    -------
    i, end : In
        From the MAC, see :class:`.filter.RxFilter`.
    address, promiscuous, all_multicast, broadcast, vlan_filter, hash, vlan_write, vlan_vid, vlan_member, clear : In
        Settings, see there.
    frame, drop, o, stored, filtered, missed
        To the RX ring and its counters, see :class:`.buffer.RxBuffer`.
    clearing : Out(1)
        The table of VLANs is being emptied.
    busy : Out(1)
        A frame is inside, or the same.
    """

    def __init__(self, *, width_bits: int, buffer_octets: int, max_frame_octets: int) -> None:
        self._width_bits = check_width_bits(width_bits)
        self._buffer_octets = check_buffer_octets(buffer_octets, width_bits)
        self._max_frame_octets = max_frame_octets
        super().__init__(
            {
                "i": In(stream.Signature(packet_layout(width_bits), always_ready=True)),
                "end": In(stream.Signature(RxEnd, always_ready=True)),
                **SETTINGS,
                "frame": Out(stream.Signature(RxFrame)),
                "drop": In(1),
                "o": Out(packet_signature(width_bits)),
                "stored": Out(1),
                "filtered": Out(1),
                "missed": Out(1),
                "clearing": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        width = {"width_bits": self._width_bits}
        m.submodules.filter = rx_filter = RxFilter(**width)
        m.submodules.checksum = checksum = RxChecksum(**width, max_frame_octets=self._max_frame_octets)
        m.submodules.buffer = buffer = RxBuffer(**width, buffer_octets=self._buffer_octets)
        # The memory's enable is far from those who say when a beat is taken.
        m.submodules.stage = stage = RegisterSlice(self.o.payload.shape())
        for part in (rx_filter, checksum, buffer):
            m.d.comb += [part.i.payload.eq(self.i.payload), part.i.valid.eq(self.i.valid)]
        for part in (rx_filter, buffer):
            m.d.comb += [part.end.payload.eq(self.end.payload), part.end.valid.eq(self.end.valid)]
        m.d.comb += [getattr(rx_filter, name).eq(getattr(self, name)) for name in SETTINGS]
        m.d.comb += [
            buffer.accept.eq(rx_filter.accept),
            buffer.csum.eq(checksum.csum),
            buffer.flags.eq(checksum.flags),
            buffer.done.eq(checksum.done),
            buffer.drop.eq(self.drop),
            *(getattr(self, name).eq(getattr(buffer, name)) for name in ("stored", "filtered", "missed")),
            self.clearing.eq(rx_filter.busy),
            self.busy.eq(buffer.busy | stage.o.valid | rx_filter.busy),
        ]
        wiring.connect(m, wiring.flipped(self.frame), buffer.frame)
        wiring.connect(m, buffer.o, stage.i)
        wiring.connect(m, wiring.flipped(self.o), stage.o)
        return m
