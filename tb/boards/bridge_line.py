"""The bridge with the host's end of the serial line, so that a test meets octets instead of bits."""

import random
from collections.abc import Callable

import cocotb
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

from hardwire.boards.bridge.uart import UartRx, UartTx
from hardwire.tb.boards.bridge_peer import BridgePeer

__all__ = ["HostEnd", "OnLine"]


class OnLine(wiring.Component):
    """A component with ``uart_rx`` and ``uart_tx``, its other ports, and octets at the other end of the line.

    Parameters
    ----------
    component : wiring.Component
        What is on the line.
    clock_khz, baud : int
        Clock, and rate of the line.
    """

    def __init__(self, component: wiring.Component, *, clock_khz: int, baud: int) -> None:
        self._component = component
        self._rx, self._tx = (one(clock_khz=clock_khz, baud=baud) for one in (UartRx, UartTx))
        self._others = {n: one for n, one in component.signature.members.items() if not n.startswith("uart_")}
        host = {"host_rx": Out(stream.Signature(8, always_ready=True)), "host_tx": In(stream.Signature(8))}
        super().__init__(self._others | host)

    def elaborate(self, platform):
        m = Module()
        m.submodules.component = component = self._component
        m.submodules.rx = rx = self._rx
        m.submodules.tx = tx = self._tx
        m.d.comb += [
            component.uart_rx.eq(tx.tx),
            rx.rx.eq(component.uart_tx),
            self.host_rx.valid.eq(rx.o.valid),
            self.host_rx.payload.eq(rx.o.payload),
        ]
        wiring.connect(m, wiring.flipped(self.host_tx), tx.i)
        for name, member in self._others.items():
            inner, outer = getattr(component, name), getattr(self, name)
            if member.is_port:
                m.d.comb += outer.eq(inner) if member.flow == Out else inner.eq(outer)
            elif member.flow == Out:
                wiring.connect(m, inner, wiring.flipped(outer))
            else:
                wiring.connect(m, wiring.flipped(outer), inner)
        return m


class HostEnd:
    """Carry octets between a peer and the line, some of them damaged or lost.

    Parameters
    ----------
    dut
        Top of the bench, an `OnLine`.
    peer : BridgePeer
        The host.
    rng : random.Random
        Source of the faults.

    Members
    -------
    faults : dict[str, float]
        Odds of an octet's being flipped or lost: ``to_card``, ``to_host``.
    octets : dict[str, int]
        Octets that went each way.
    """

    def __init__(self, dut, peer: BridgePeer, rng: random.Random) -> None:
        self._dut = dut
        self._peer = peer
        self._rng = rng
        self.faults = {"to_card": 0.0, "to_host": 0.0}
        self.octets = {"to_card": 0, "to_host": 0}
        dut.host_tx_valid.value = 0
        cocotb.start_soon(self._receive())
        cocotb.start_soon(self._send())

    def _spoil(self, octet: int, way: str) -> int | None:
        self.octets[way] += 1
        if self._rng.random() >= self.faults[way]:
            return octet
        return None if self._rng.random() < 0.5 else octet ^ 1 << self._rng.randrange(8)

    async def _receive(self) -> None:
        dut = self._dut
        while True:
            await RisingEdge(dut.host_rx_valid)
            octet = self._spoil(int(dut.host_rx.value), "to_host")
            if octet is not None:
                self._peer.feed(octet, get_sim_time("ns"))

    async def _send(self) -> None:
        dut = self._dut
        while True:
            octets = self._peer.next_octets(get_sim_time("ns"))
            if not octets:
                dut.host_tx_valid.value = 0
                await ClockCycles(dut.clk, 50)
            for octet in octets:
                sent = self._spoil(octet, "to_card")
                if sent is not None:
                    dut.host_tx.value = sent
                    dut.host_tx_valid.value = 1
                    await RisingEdge(dut.host_tx_ready)
                    await RisingEdge(dut.clk)

    async def until(self, condition: Callable[[], bool], cycles: int = 200) -> None:
        """Wait until something is true; look each so many cycles."""
        while not condition():
            await ClockCycles(self._dut.clk, cycles)
