"""The link: frames that come once and in order, over a carrier of octets that loses and damages them."""

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...stack.abi.bridge import BRIDGE_HELLO, BRIDGE_VERSION
from .framing import Deframer, Enframer, Token
from .receiver import Receiver
from .sender import Sender

__all__ = ["Link"]

_RESET_CYCLES = 16


class Link(wiring.Component):
    """Carry frames with numbers both ways, and answer RESET with HELLO.

    Timing
    ------
    Domain ``sync``. See `Sender` and `Receiver`. RESET in a good frame makes ``resetting`` high 3 cycles later.

    Parameters
    ----------
    memory_octets : int
        What HELLO says.
    window_octets, retry_cycles : int
        See `Sender`.

    Members
    -------
    rx : In(stream.Signature(8, always_ready=True))
        Octets from the carrier.
    tx : Out(stream.Signature(8))
        Octets to the carrier.
    i, o : In(stream.Signature(Token)), Out(stream.Signature(Token))
        Frames to the host, frames from the host: kind, then what comes after the header.
    resetting : Out(1)
        The host has sent RESET: all behind the link is to be reset. High for 16 cycles.
    heard : Out(1)
        High for one cycle for each good frame.
    """

    def __init__(self, *, memory_octets: int, window_octets: int, retry_cycles: int) -> None:
        self._memory_octets = memory_octets
        self._window_octets = window_octets
        self._sender = Sender(window_octets=window_octets, retry_cycles=retry_cycles)
        super().__init__(
            {
                "rx": In(stream.Signature(8, always_ready=True)),
                "tx": Out(stream.Signature(8)),
                "i": In(stream.Signature(Token)),
                "o": Out(stream.Signature(Token)),
                "resetting": Out(1),
                "heard": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        sender, enframer = self._sender, Enframer()
        m.submodules.deframer = deframer = Deframer()
        m.submodules.receiver = receiver = Receiver()
        m.submodules.sender = ResetInserter(self.resetting)(sender)
        m.submodules.enframer = ResetInserter(self.resetting)(enframer)
        m.d.comb += [deframer.i.payload.eq(self.rx.payload), deframer.i.valid.eq(self.rx.valid)]
        m.d.comb += [receiver.i.payload.eq(deframer.o.payload), receiver.i.valid.eq(deframer.o.valid)]
        # What is behind the link does not take anything while it is reset.
        m.d.comb += [
            self.o.payload.eq(receiver.o.payload),
            self.o.valid.eq(receiver.o.valid & ~self.resetting),
            receiver.o.ready.eq(self.o.ready & ~self.resetting),
        ]
        wiring.connect(m, wiring.flipped(self.i), sender.i)
        wiring.connect(m, sender.o, enframer.i)
        wiring.connect(m, enframer.o, wiring.flipped(self.tx))
        for name in ("expected", "heard", "ack", "rejected", "owed", "missed"):
            m.d.comb += getattr(sender, name).eq(getattr(receiver, name))

        left = Signal(range(_RESET_CYCLES))
        values = {
            "nonce": receiver.nonce,
            "version": BRIDGE_VERSION,
            "rejected": receiver.unusable,
            "memory_octets": self._memory_octets,
            "window_octets": self._window_octets,
        }
        m.d.comb += [
            self.heard.eq(receiver.heard),
            *(sender.hello_body[one.lsb :][: one.width].eq(values[one.name]) for one in BRIDGE_HELLO.members),
        ]
        with m.If(self.resetting):
            m.d.sync += [left.eq(left - 1), self.resetting.eq(left != 0)]
        with m.If(sender.hello_sent):
            m.d.sync += sender.hello.eq(0)
        with m.If(receiver.started):
            m.d.sync += [self.resetting.eq(1), left.eq(_RESET_CYCLES - 1), sender.hello.eq(1)]
        return m
