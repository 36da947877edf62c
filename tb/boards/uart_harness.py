"""Both halves of a UART in one component."""

from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hardwire.boards.bridge.uart import UartRx, UartTx

__all__ = ["Uart"]


class Uart(wiring.Component):
    """Receiver and transmitter.

    Parameters
    ----------
    clock_khz, baud : int
        Clock, and rate of the line.
    """

    rx: In(1, init=1)
    o: Out(stream.Signature(8, always_ready=True))
    i: In(stream.Signature(8))
    tx: Out(1, init=1)

    def __init__(self, *, clock_khz: int, baud: int) -> None:
        self._parameters = {"clock_khz": clock_khz, "baud": baud}
        super().__init__()

    def elaborate(self, platform):
        m = Module()
        m.submodules.receiver = receiver = UartRx(**self._parameters)
        m.submodules.transmitter = transmitter = UartTx(**self._parameters)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.o.payload.eq(receiver.o.payload),
            self.o.valid.eq(receiver.o.valid),
            self.tx.eq(transmitter.tx),
        ]
        wiring.connect(m, wiring.flipped(self.i), transmitter.i)
        return m
