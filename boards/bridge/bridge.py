"""The bridge between a serial line and a device on AXI: registers, card memory, writes and interrupt."""

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ...hdl.axi import Axi4Signature, AxiLiteSignature, connect_axi
from ...hdl.register_slice import RegisterSlice
from ...stack.abi.bridge import BRIDGE_RETRY_MS, BRIDGE_RETRY_WINDOWS
from .executor import Executor
from .forwarder import Forwarder
from .framing import Token
from .link import Link
from .memory import CardMemory
from .uart import BITS_PER_OCTET, UartRx, UartTx

__all__ = ["Bridge", "FrameMux", "retry_cycles_for"]

_ADDR_WIDTH_BITS = 64


def retry_cycles_for(*, clock_khz: int, baud: int, window_octets: int) -> int:
    """Return for how long to wait before frames are sent again.

    Examples
    --------
    >>> retry_cycles_for(clock_khz=125_000, baud=3_000_000, window_octets=4096)
    3538333
    """
    window_bits = BRIDGE_RETRY_WINDOWS * window_octets * BITS_PER_OCTET
    return window_bits * 1000 * clock_khz // baud + BRIDGE_RETRY_MS * clock_khz


class FrameMux(wiring.Component):
    """Join two streams of frames, frame by frame; the first goes first.

    Timing
    ------
    Domain ``sync``. Combinational from ``i`` to ``o`` and from ``o.ready`` to ``i``.

    Members
    -------
    i : In(stream.Signature(Token)).array(2)
        Frames.
    o : Out(stream.Signature(Token))
        The same frames.
    """

    i: In(stream.Signature(Token)).array(2)
    o: Out(stream.Signature(Token))

    def elaborate(self, platform):
        m = Module()
        inside, chosen, second = Signal(), Signal(), Signal()
        m.d.comb += [
            second.eq(Mux(inside, chosen, ~self.i[0].valid)),
            self.o.valid.eq(Mux(second, self.i[1].valid, self.i[0].valid)),
            self.o.payload.eq(Mux(second, self.i[1].payload, self.i[0].payload)),
            self.i[0].ready.eq(self.o.ready & ~second),
            self.i[1].ready.eq(self.o.ready & second),
        ]
        # Chosen for good once it was shown, taken or not.
        with m.If(self.o.valid):
            m.d.sync += [chosen.eq(second), inside.eq(~(self.o.ready & self.o.payload.end))]
        return m


class Bridge(wiring.Component):
    """Join a device to a host at the other end of a serial line, as :mod:`hardwire.stack.abi.bridge` says.

    What the device reads comes from the card's memory, what it writes goes to the host.

    Timing
    ------
    Domain ``sync``. See the parts.

    Parameters
    ----------
    clock_khz : int
        Frequency of ``sync``.
    baud : int
        Bits a second.
    memory_octets : int
        Size of the card's memory, a power of two from 4096 up.
    window_octets : int
        Octets to the host that are kept until they are acknowledged: 1024, 2048, 4096 or 8192.
    retry_cycles : int or None
        Cycles after which they are sent again; None: see `retry_cycles_for`.
    axi_width_bits, id_width_bits : int
        Data, 32 or 64, and ID of the device's bus.
    reg_addr_width : int
        Bits of a register's offset.

    Members
    -------
    uart_rx, uart_tx : In(1), Out(1)
        The line.
    axi : In(Axi4Signature(data_width=axi_width_bits, id_width=id_width_bits))
        The device's bus.
    axil : Out(AxiLiteSignature(addr_width=reg_addr_width))
        The device's registers.
    irq : In(1)
        The device's interrupt line.
    resetting : Out(1)
        Reset the device.
    heard : Out(1)
        High for one cycle for each good frame.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    def __init__(
        self,
        *,
        clock_khz: int,
        baud: int,
        memory_octets: int,
        window_octets: int = 4096,
        retry_cycles: int | None = None,
        axi_width_bits: int = 64,
        id_width_bits: int,
        reg_addr_width: int = 16,
    ) -> None:
        if retry_cycles is None:
            retry_cycles = retry_cycles_for(clock_khz=clock_khz, baud=baud, window_octets=window_octets)
        self._uart_rx = UartRx(clock_khz=clock_khz, baud=baud)
        self._uart_tx = UartTx(clock_khz=clock_khz, baud=baud)
        self._link = Link(memory_octets=memory_octets, window_octets=window_octets, retry_cycles=retry_cycles)
        bus = {"axi_width_bits": axi_width_bits, "id_width_bits": id_width_bits}
        self._memory = CardMemory(memory_octets=memory_octets, **bus)
        self._forwarder = Forwarder(**bus)
        self._executor = Executor(
            memory_octets=memory_octets, row_octets=axi_width_bits // 8, reg_addr_width=reg_addr_width
        )
        super().__init__(
            {
                "uart_rx": In(1, init=1),
                "uart_tx": Out(1, init=1),
                "axi": In(
                    Axi4Signature(addr_width=_ADDR_WIDTH_BITS, data_width=axi_width_bits, id_width=id_width_bits)
                ),
                "axil": Out(AxiLiteSignature(addr_width=reg_addr_width)),
                "irq": In(1),
                "resetting": Out(1),
                "heard": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.uart_rx = uart_rx = self._uart_rx
        m.submodules.uart_tx = uart_tx = self._uart_tx
        m.submodules.link = link = self._link
        mux, memory, forwarder, executor = FrameMux(), self._memory, self._forwarder, self._executor
        for name, part in (("mux", mux), ("memory", memory), ("forwarder", forwarder), ("executor", executor)):
            m.submodules[name] = ResetInserter(link.resetting)(part)
        m.d.comb += [
            uart_rx.rx.eq(self.uart_rx),
            link.rx.payload.eq(uart_rx.o.payload),
            link.rx.valid.eq(uart_rx.o.valid),
            self.uart_tx.eq(uart_tx.tx),
            self.resetting.eq(link.resetting),
            self.heard.eq(link.heard),
            *(getattr(memory, name).eq(getattr(executor, name)) for name in ("write_en", "write_addr", "write_data")),
            forwarder.irq.eq(self.irq),
            forwarder.limit.eq(executor.limit),
        ]
        wiring.connect(m, link.tx, uart_tx.i)
        wiring.connect(m, link.o, executor.i)
        for number, part in enumerate((executor, forwarder)):
            out = RegisterSlice(Token)
            m.submodules[f"out{number}"] = ResetInserter(link.resetting)(out)
            wiring.connect(m, part.o, out.i)
            wiring.connect(m, out.o, mux.i[number])
        wiring.connect(m, mux.o, link.i)
        wiring.connect(m, executor.axil, wiring.flipped(self.axil))
        for part in (memory, forwarder):
            connect_axi(m, wiring.flipped(self.axi), part.axi)
        return m
