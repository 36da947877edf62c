"""Carry frames between the clock of the MAC and those of a PHY, octet by octet."""

# Ref: IEEE Std 802.3-2022, 4.4.2 (gap), 35.2.2 (GMII) and 35.4.2.3 (clock tolerance)

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .crossing import CrossingFifo

__all__ = ["ElasticRx", "ElasticTx", "PhyOctet"]

_DEPTH = 16
_GAP_OCTETS = 12  # 4.4.2
_PREAMBLE_AND_FCS_OCTETS = 8 + 4
_PPM = 200  # One clock is 100 ppm fast, the other one slow.
_JITTER_OCTETS = 2  # A synchroniser shows an octet one cycle later than another one.


class PhyOctet(data.Struct):
    """An octet time on GMII. ``dv`` is ``TX_EN`` or ``RX_DV``, ``error`` ``TX_ER`` or ``RX_ER``.

    ``odd``, in the first one without ``dv``: half an octet was left over.
    """

    octet: 8
    error: 1
    dv: 1
    odd: 1


def _write(m: Module, fifo: CrossingFifo, octet: PhyOctet, enable: Value) -> None:
    """Put the octets of frames into a queue, and the octet time behind each frame, as its end."""
    inside = Signal()
    m.d.comb += [fifo.i.payload.eq(octet), fifo.i.valid.eq(enable & (octet.dv | inside))]
    with m.If(fifo.i.valid & fifo.i.ready):
        m.d.write += inside.eq(octet.dv)


class ElasticTx(wiring.Component):
    """Carry frames to a PHY that takes an octet in each of its octet times.

    A frame starts when its first octet is so long there that neither the difference of the clocks nor the synchroniser
    can starve it later; it ends ``start_octets`` late, too, so that gaps keep their length, but never less than 12
    octet times (4.4.2). If the writing side is the faster one, ``enable`` holds it up; if it is more than 200 ppm
    slower, frames may starve: octets that are not there go out as ``error`` (35.2.2.5).

    Timing
    ------
    ``i`` and ``enable`` in domain ``write``, ``o`` and ``o_enable`` in domain ``read``. From an octet to its way out:
    ``start_octets`` and 1 octet times, 1 cycle of ``write``, 3 to 4 of ``read``. ``o`` and ``enable`` come from
    registers. While no frame is inside no register changes.

    Parameters
    ----------
    max_frame_octets : int
        Longest frame, without FCS.

    Members
    -------
    i : In(PhyOctet)
        Octet times; taken in cycles with ``enable`` high.
    enable : Out(1)
        There is room for an octet: to ``MacTx.enable``.
    o : Out(PhyOctet)
        Octet times.
    o_enable : In(1), init=1
        An octet time ends in this cycle.

    Raises
    ------
    ValueError
        If ``max_frame_octets`` is so large that the queue cannot hold what a frame must be ahead.
    """

    def __init__(self, *, max_frame_octets: int = 9018) -> None:
        longest_octets = max_frame_octets + _PREAMBLE_AND_FCS_OCTETS
        self.start_octets = -(-longest_octets * _PPM // 1_000_000) + _JITTER_OCTETS
        if not 0 < max_frame_octets or self.start_octets > _DEPTH // 2:
            raise ValueError(f"max_frame_octets must be in 1..29988, not {max_frame_octets!r}")
        super().__init__({"i": In(PhyOctet), "enable": Out(1), "o": Out(PhyOctet), "o_enable": In(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CrossingFifo(shape=PhyOctet, depth=_DEPTH)
        m.d.comb += self.enable.eq(fifo.i.ready)
        _write(m, fifo, self.i, self.enable)

        waited = Signal(range(self.start_octets + 1))
        gap = Signal(range(_GAP_OCTETS))
        sending, go = Signal(), Signal()
        m.d.comb += [
            go.eq(sending | (gap == 0) & (waited == self.start_octets)),
            fifo.o.ready.eq(go & self.o_enable),
        ]
        with m.If(self.o_enable):
            with m.If(go):
                m.d.read += [sending.eq(1), waited.eq(0), self.o.eq(fifo.o.payload)]
                with m.If(~fifo.o.valid):
                    m.d.read += [self.o.dv.eq(1), self.o.error.eq(1)]
                with m.Elif(~fifo.o.payload.dv):
                    m.d.read += [sending.eq(0), gap.eq(_GAP_OCTETS - 1)]
            with m.Else():
                with m.If(gap != 0):
                    m.d.read += gap.eq(gap - 1)
                with m.If(fifo.o.valid & (waited != self.start_octets)):
                    m.d.read += waited.eq(waited + 1)
        return m


class ElasticRx(wiring.Component):
    """Carry frames from a PHY to a MAC that takes octets as they come.

    The reading side is not paced, so a gap may shrink to the one octet time that ends a frame. It must not be more than
    200 ppm slower than the octets: where it is, octets are lost, but never the end of a frame.

    Timing
    ------
    ``i`` and ``i_enable`` in domain ``write``, ``o`` and ``enable`` in domain ``read``. Latency 1 cycle of ``write``
    and 3 to 4 of ``read``. ``enable`` comes from a register, ``o`` from a memory whose address is one. While no frame
    is inside no register changes.

    Members
    -------
    i : In(PhyOctet)
        Octet times.
    i_enable : In(1), init=1
        An octet time ends in this cycle.
    o : Out(PhyOctet)
        The octets of frames, and after each frame one octet time without ``dv``.
    enable : Out(1)
        ``o`` is such a one, in this cycle only: to ``MacRx.enable``.
    """

    i: In(PhyOctet)
    i_enable: In(1, init=1)
    o: Out(PhyOctet)
    enable: Out(1)

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CrossingFifo(shape=PhyOctet, depth=_DEPTH)
        _write(m, fifo, self.i, self.i_enable)
        m.d.comb += [fifo.o.ready.eq(1), self.enable.eq(fifo.o.valid), self.o.eq(fifo.o.payload)]
        return m
