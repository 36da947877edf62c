"""What the counters of frames on the wire are to add, for either way."""

# Ref: RFC 2819, the groups etherStats and etherHistory

from amaranth import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..stack.abi.regs import STATS
from .rx.frame import RxEnd, RxFrameStatus

__all__ = ["Rmon", "RmonFrame", "RxRmon"]


class RmonFrame(data.Struct):
    """A good frame: its octets with FCS, and to whom it went."""

    octets: 16
    broadcast: 1
    multicast: 1


_BINS = {
    lower: name
    for name in (r.name.lower().removeprefix("tx_").removesuffix("_lo") for r in STATS.registers)
    if name[0].isdigit() and not name.endswith("_hi")
    for lower in [int(name.split("_")[0])]
}
_KINDS = ("frames", "octets", "broadcast", "multicast", *_BINS.values())
_ERRORS = {
    RxFrameStatus.NO_SFD: "no_sfd",
    RxFrameStatus.SYMBOL_ERROR: "symbol_errors",
    RxFrameStatus.OVERSIZE: "oversize",
    RxFrameStatus.JABBER: "jabbers",
    RxFrameStatus.UNDERSIZE: "undersize",
    RxFrameStatus.FRAGMENT: "fragments",
    RxFrameStatus.ALIGNMENT_ERROR: "alignment_errors",
    RxFrameStatus.FCS_ERROR: "fcs_errors",
}


def _at_least(value: Value, limit: int) -> Value:
    """Compare with a constant, in gates without a carry chain."""
    result: Value | int = 1
    for number, bit in enumerate(value):
        result = bit & result if limit >> number & 1 else bit | result
    return Value.cast(result)


def _additions(way: str) -> dict[str, int]:
    """Return the members of `Rmon.add` and their widths."""
    return {f"{way}_{kind}": 16 if kind == "octets" else 1 for kind in _KINDS}


class Rmon(wiring.Component):
    """Count good frames, by size and by addressee.

    Timing
    ------
    Domain ``sync``. ``add`` comes one cycle after the frame, from registers.

    Parameters
    ----------
    way : str
        ``tx`` or ``rx``.

    Members
    -------
    frame : In(stream.Signature(RmonFrame, always_ready=True))
        A good frame. One of less than 64 octets counts as one of 64.
    add : Out(data.StructLayout)
        For `CounterBank`, members of the same names: ``tx_frames``, ``tx_octets``, ``tx_broadcast``, ``tx_multicast``,
        and the sizes ``tx_64`` to ``tx_1519_max``.

    Raises
    ------
    ValueError
        If ``way`` is neither.
    """

    def __init__(self, *, way: str) -> None:
        if way not in ("tx", "rx"):
            raise ValueError(f"way must be tx or rx, not {way!r}")
        self._way = way
        layout = data.StructLayout(_additions(way))
        super().__init__({"frame": In(stream.Signature(RmonFrame, always_ready=True)), "add": Out(layout)})

    def elaborate(self, platform):
        m = Module()
        way, frame = self._way, self.frame.payload
        m.d.sync += self.add.eq(0)
        with m.If(self.frame.valid):
            m.d.sync += [
                self.add[f"{way}_frames"].eq(1),
                self.add[f"{way}_octets"].eq(frame.octets),
                self.add[f"{way}_broadcast"].eq(frame.broadcast),
                self.add[f"{way}_multicast"].eq(frame.multicast),
            ]
            lowers = sorted(_BINS)
            reached = [Value.cast(1), *(_at_least(frame.octets, lower) for lower in lowers[1:]), Value.cast(0)]
            for number, lower in enumerate(lowers):
                m.d.sync += self.add[f"{way}_{_BINS[lower]}"].eq(reached[number] & ~reached[number + 1])
        return m


class RxRmon(wiring.Component):
    """Count each carrier event of the receive side in one of nine counters, and the good frames as `Rmon` does.

    Timing
    ------
    Domain ``sync``. ``add`` comes one cycle after the event, from registers.

    Members
    -------
    end : In(stream.Signature(RxEnd, always_ready=True))
        The end of a carrier event.
    add : Out(data.StructLayout)
        For `CounterBank`, members of the same names: those of `Rmon` for ``rx``, and ``rx_fcs_errors``,
        ``rx_alignment_errors``, ``rx_symbol_errors``, ``rx_undersize``, ``rx_fragments``, ``rx_oversize``,
        ``rx_jabbers``, ``rx_no_sfd``.
    """

    def __init__(self) -> None:
        members = _additions("rx") | {f"rx_{name}": 1 for name in _ERRORS.values()}
        super().__init__(
            {"end": In(stream.Signature(RxEnd, always_ready=True)), "add": Out(data.StructLayout(members))}
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.good = good = Rmon(way="rx")
        end = self.end.payload
        m.d.comb += [
            good.frame.valid.eq(self.end.valid & (end.status == RxFrameStatus.OK)),
            *(good.frame.payload[name].eq(end[name]) for name in ("octets", "broadcast", "multicast")),
            *(self.add[name].eq(good.add[name]) for name in good.add.shape().members),
        ]
        for status, name in _ERRORS.items():
            hit = Signal(name=name)
            m.d.sync += hit.eq(self.end.valid & (end.status == status))
            m.d.comb += self.add[f"rx_{name}"].eq(hit)
        return m
