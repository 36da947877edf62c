"""Read the octets of frames from host memory."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from ..axi import Axi4ReadSignature, check_axi_width_bits
from ..packet import check_width_bits, packet_signature
from .gather import Gather
from .reorder import ReorderBuffer, check_outstanding
from .split import BurstSplitter, Part, check_burst_octets

__all__ = ["DmaRead"]


class DmaRead(wiring.Component):
    """Read the parts of frames from host memory and join them into packets without holes.

    Parts may have any address and length. Bursts never cross 4 KiB; up to ``outstanding`` are under way at a time, and
    their responses may come in any order, interleaved too. An error response sets ``error`` on the frame's last beat;
    the frame is still as long as it would be. A part of length 0 is skipped, but if it is the frame's last one, the
    frame ends with a beat that has ``keep`` 0 and ``error``.

    Timing
    ------
    Domain ``sync``. 2 cycles from ``request`` to ``axi.arvalid``; 8 cycles from a response to the beat that it fills
    (9 if the bus is wider than the stream). One beat of the narrower side a cycle, besides one cycle a frame where
    the last chunk fills a beat and starts another. ``axi.rready`` is always high. All outputs come from registers;
    ``axi.arready`` passes some gates.

    Parameters
    ----------
    stream_width_bits : int
        Width of the packet stream: 32, 64 or 128.
    axi_width_bits : int
        Width of the host bus: 32 to 512.
    outstanding : int
        Bursts under way: 2, 4, 8 or 16.
    burst_octets : int
        Longest burst: a power of two, 2 to 256 beats, at most 4,096 octets.

    Members
    -------
    request : In(stream.Signature(Part))
        Parts of frames.
    axi : Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=ceil_log2(outstanding)))
        Host bus.
    o : Out(packet_signature(stream_width_bits))
        Frames.
    idle : Out(1)
        Nothing inside and nothing under way.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        *,
        stream_width_bits: int = 64,
        axi_width_bits: int = 64,
        outstanding: int = 8,
        burst_octets: int = 256,
    ) -> None:
        check_width_bits(stream_width_bits)
        check_axi_width_bits(axi_width_bits)
        check_outstanding(outstanding)
        check_burst_octets(burst_octets, axi_width_bits)
        self._stream_width_bits = stream_width_bits
        self._bus = {"axi_width_bits": axi_width_bits, "burst_octets": burst_octets}
        self._outstanding = outstanding
        super().__init__(
            {
                "request": In(stream.Signature(Part)),
                "axi": Out(Axi4ReadSignature(data_width=axi_width_bits, id_width=ceil_log2(outstanding))),
                "o": Out(packet_signature(stream_width_bits)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        chunk_octets = min(self._stream_width_bits, self._bus["axi_width_bits"]) // 8
        m.submodules.split = split = BurstSplitter(**self._bus)
        m.submodules.reorder = reorder = ReorderBuffer(
            **self._bus, chunk_octets=chunk_octets, outstanding=self._outstanding
        )
        m.submodules.gather = gather = Gather(chunk_octets=chunk_octets, width_bits=self._stream_width_bits)
        wiring.connect(m, wiring.flipped(self.request), split.part)
        wiring.connect(m, split.address, reorder.address)
        wiring.connect(m, split.run, reorder.run)
        wiring.connect(m, reorder.axi, wiring.flipped(self.axi))
        wiring.connect(m, reorder.o, gather.i)
        wiring.connect(m, gather.o, wiring.flipped(self.o))
        m.d.comb += self.idle.eq(split.idle & reorder.idle & gather.idle)
        return m
