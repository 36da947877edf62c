"""Decide ahead of each frame what is to be done with it."""

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.desc import TxFlags
from ..arp_cache import ArpFound
from ..ram_fifo import RamFifo
from .command import ChecksumCommand, ChecksumMode, FrameCommand, TxTag

__all__ = ["FramePlan", "FramePlanner"]

_HEADER_MIN_OCTETS, _HEADER_MAX_OCTETS = 20, 60  # Of IPv4: RFC 791 §3.1.
_LONG_BITS = 6  # A header of more bits is too long.


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


class FramePlanner(wiring.Component):
    """Decode the commands of frames and look up their next hops, several frames ahead of their octets.

    With ``TxFlags.CSUM_IPV4`` or ``CSUM_L4``, ``l3_start`` and ``csum_start`` are even and 20 to 60 octets apart. If
    both ``CSUM_PARTIAL`` and ``CSUM_L4`` are set, ``CSUM_L4`` counts.

    Timing
    ------
    Domain ``sync``. ``lookup`` follows ``frame`` by 1 cycle, ``o`` by 6, or ``result`` by 1. One frame each 4 cycles.
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

        command, new = self.frame.payload, orders.i.payload

        def has(flag: TxFlags):
            return (command.flags & flag) != 0

        m.d.comb += [
            self.frame.ready.eq(orders.i.ready & ~self.lookup.valid),
            orders.i.valid.eq(self.frame.valid & ~self.lookup.valid),
            new.resolve.eq(has(TxFlags.RESOLVE)),
            new.checksum.ipv4.eq(has(TxFlags.CSUM_IPV4)),
            new.checksum.mode.eq(
                Mux(
                    has(TxFlags.CSUM_L4),
                    ChecksumMode.L4,
                    Mux(has(TxFlags.CSUM_PARTIAL), ChecksumMode.PARTIAL, ChecksumMode.NONE),
                )
            ),
            new.checksum.l3_start.eq(command.l3_start),
            new.checksum.csum_start.eq(command.csum_start),
            new.checksum.csum_offset.eq(command.csum_offset),
            new.tag.present.eq(has(TxFlags.VLAN)),
            new.tag.tci.eq(command.vlan_tci),
        ]
        with m.If(self.frame.valid & self.frame.ready):
            m.d.sync += [self.lookup.valid.eq(new.resolve), self.lookup.payload.eq(command.next_hop)]
        with m.Elif(self.lookup.ready):
            m.d.sync += self.lookup.valid.eq(0)

        # Sums, a cycle after what they are made of.
        order, loaded = Signal(_Order), Signal()
        checksum = order.checksum
        add, beyond = Signal(17), Signal(17)
        header_octets, header_long, odd = Signal(_LONG_BITS), Signal(), Signal()
        difference = (checksum.csum_start - checksum.l3_start)[:17]
        sums_valid, sums_ready = Signal(), Signal()
        m.d.comb += orders.o.ready.eq(~loaded)
        m.d.sync += [
            sums_valid.eq(loaded & ~sums_ready),
            header_octets.eq(difference),
            header_long.eq(difference[_LONG_BITS:].any()),
            odd.eq(checksum.l3_start[0] | checksum.csum_start[0]),
            # The transport checksum's first octet; without one, the IPv4 header's last but one.
            beyond.eq(checksum.csum_start + add),
        ]
        with m.If(~loaded):
            next_checksum = orders.o.payload.checksum
            m.d.sync += [
                loaded.eq(orders.o.valid),
                order.eq(orders.o.payload),
                add.eq(Mux(next_checksum.mode != ChecksumMode.NONE, next_checksum.csum_offset, (1 << 17) - 2)),
            ]
        with m.Elif(sums_ready):
            m.d.sync += loaded.eq(0)

        # Judgement.
        wants_ipv4, wants_any, bad_header = Signal(), Signal(), Signal()
        m.d.comb += [
            wants_ipv4.eq(checksum.ipv4 | (checksum.mode == ChecksumMode.L4)),
            wants_any.eq(checksum.ipv4 | (checksum.mode != ChecksumMode.NONE)),
            bad_header.eq(
                odd | header_long | (header_octets < _HEADER_MIN_OCTETS) | (header_octets > _HEADER_MAX_OCTETS)
            ),
        ]
        free, go = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.o.valid | self.o.ready),
            go.eq(sums_valid & (self.result.valid | ~order.resolve)),
            sums_ready.eq(free & go),
            self.result.ready.eq(free & sums_valid & order.resolve),
        ]
        plan = self.o.payload
        with m.If(free):
            m.d.sync += [
                self.o.valid.eq(go),
                plan.resolve.eq(order.resolve),
                plan.hit.eq(self.result.payload.hit),
                plan.mac.eq(self.result.payload.mac),
                plan.misplaced.eq((wants_ipv4 & bad_header) | (wants_any & beyond[-1])),
                plan.beyond.eq(Mux(wants_any, beyond, 0)),
                plan.checksum.eq(checksum),
                plan.tag.eq(order.tag),
            ]
        return m
