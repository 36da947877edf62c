"""Decide ahead of each frame what is to be done with it."""

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import TxFlags
from ..arp_cache import ArpFound
from ..ram_fifo import RamFifo
from .command import ChecksumCommand, ChecksumMode, FrameCommand, TxTag

__all__ = ["FramePlan", "FramePlanner"]

_HEADER_MIN_OCTETS, _HEADER_MAX_OCTETS = 20, 60  # Of IPv4: RFC 791 §3.1.


class FramePlan(data.Struct):
    """What to do with a frame.

    ``resolve``: write ``mac``, if it is a ``hit``. ``misplaced``: no frame can have checksums in these places.
    ``beyond``: the frame must have an octet after this one.
    """

    resolve: 1
    hit: 1
    mac: 48
    misplaced: 1
    beyond: 16
    checksum: ChecksumCommand
    tag: TxTag


class _Order(data.Struct):
    """What is kept of a frame's command."""

    resolve: 1
    checksum: ChecksumCommand
    tag: TxTag


class _Sums(data.Struct):
    """The same, and sums of it."""

    order: _Order
    header_octets: 17
    beyond: 17


class FramePlanner(wiring.Component):
    """Decode the commands of frames and look up their next hops, several frames ahead of their octets.

    With ``TxFlags.CSUM_IPV4`` or ``CSUM_L4``, ``l3_start`` and ``csum_start`` are even and 20 to 60 octets apart. If
    both ``CSUM_PARTIAL`` and ``CSUM_L4`` are set, ``CSUM_L4`` counts.

    Timing
    ------
    Domain ``sync``. ``lookup`` follows ``frame`` by 1 cycle, ``o`` by 5, or ``result`` by 1. One frame each 2 cycles.
    All outputs come from registers, ``result.ready`` through gates.

    Parameters
    ----------
    depth : int
        Frames that may wait, a power of two.

    Members
    -------
    frame : In(stream.Signature(FrameCommand))
        A frame will come.
    lookup : Out(stream.Signature(32))
        Next hops of those with ``TxFlags.RESOLVE``, to the ARP cache.
    result : In(stream.Signature(ArpFound))
        Its answers, in order.
    o : Out(stream.Signature(FramePlan))
        A plan for each frame.
    """

    def __init__(self, *, depth: int = 16) -> None:
        self._depth = depth
        super().__init__(
            {
                "frame": In(stream.Signature(FrameCommand)),
                "lookup": Out(stream.Signature(32)),
                "result": In(stream.Signature(ArpFound)),
                "o": Out(stream.Signature(FramePlan)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.orders = orders = RamFifo(shape=_Order, depth=self._depth)

        command, order = self.frame.payload, orders.i.payload

        def has(flag: TxFlags):
            return (command.flags & flag) != 0

        m.d.comb += [
            self.frame.ready.eq(orders.i.ready & ~self.lookup.valid),
            orders.i.valid.eq(self.frame.valid & ~self.lookup.valid),
            order.resolve.eq(has(TxFlags.RESOLVE)),
            order.checksum.ipv4.eq(has(TxFlags.CSUM_IPV4)),
            order.checksum.mode.eq(
                Mux(
                    has(TxFlags.CSUM_L4),
                    ChecksumMode.L4,
                    Mux(has(TxFlags.CSUM_PARTIAL), ChecksumMode.PARTIAL, ChecksumMode.NONE),
                )
            ),
            order.checksum.l3_start.eq(command.l3_start),
            order.checksum.csum_start.eq(command.csum_start),
            order.checksum.csum_offset.eq(command.csum_offset),
            order.tag.present.eq(has(TxFlags.VLAN)),
            order.tag.tci.eq(command.vlan_tci),
        ]
        with m.If(self.frame.valid & self.frame.ready):
            m.d.sync += [self.lookup.valid.eq(order.resolve), self.lookup.payload.eq(command.next_hop)]
        with m.Elif(self.lookup.ready):
            m.d.sync += self.lookup.valid.eq(0)

        # Sums.
        sums = Signal(_Sums)
        sums_valid, sums_ready = Signal(), Signal()
        checksum = orders.o.payload.checksum
        m.d.comb += orders.o.ready.eq(~sums_valid | sums_ready)
        with m.If(orders.o.ready):
            m.d.sync += [
                sums_valid.eq(orders.o.valid),
                sums.order.eq(orders.o.payload),
                sums.header_octets.eq(checksum.csum_start - checksum.l3_start),
                # The transport checksum's first octet; without one, the IPv4 header's last but one.
                sums.beyond.eq(
                    checksum.csum_start + Mux(checksum.mode != ChecksumMode.NONE, checksum.csum_offset, (1 << 17) - 2)
                ),
            ]

        # Judgement.
        checksum = sums.order.checksum
        wants_ipv4, wants_any, bad_header = Signal(), Signal(), Signal()
        m.d.comb += [
            wants_ipv4.eq(checksum.ipv4 | (checksum.mode == ChecksumMode.L4)),
            wants_any.eq(checksum.ipv4 | (checksum.mode != ChecksumMode.NONE)),
            bad_header.eq(
                Cat(checksum.l3_start[0], checksum.csum_start[0]).any()
                | (sums.header_octets < _HEADER_MIN_OCTETS)
                | (sums.header_octets > _HEADER_MAX_OCTETS)
            ),
        ]
        free, go = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            go.eq(sums_valid & (self.result.valid | ~sums.order.resolve)),
            sums_ready.eq(free & go),
            self.result.ready.eq(free & sums_valid & sums.order.resolve),
        ]
        plan = self.o.payload
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(go),
                plan.resolve.eq(sums.order.resolve),
                plan.hit.eq(self.result.payload.hit),
                plan.mac.eq(self.result.payload.mac),
                plan.misplaced.eq((wants_ipv4 & bad_header) | (wants_any & sums.beyond[-1])),
                plan.beyond.eq(Mux(wants_any, sums.beyond, 0)),
                plan.checksum.eq(checksum),
                plan.tag.eq(sums.order.tag),
            ]
        return m
