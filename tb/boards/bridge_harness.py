"""A host, and a device in Python, around the host bridge."""

import logging
import random
from collections.abc import Callable

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AddressSpace, AxiLiteBus, AxiLiteSlave, AxiMasterRead, AxiReadBus, AxiWriteBus, MemoryRegion
from cocotbext.axi.axi_channels import AxiAWSource, AxiBSink, AxiWSource

from hardwire.stack.abi.bridge import BRIDGE_REG_READ, BRIDGE_REG_VALUE, BRIDGE_REG_WRITE, BridgeKind
from hardwire.tb.bench import parameters, seed
from hardwire.tb.boards.bridge_line import HostEnd
from hardwire.tb.boards.bridge_peer import BridgePeer
from hardwire.tb.hdl.read_memory import pauses

__all__ = ["OCTET_NS", "REGISTERS_OCTETS", "BridgeHarness", "started"]

OCTET_NS = 640
REGISTERS_OCTETS = 1 << 12
_RETRY_NS = 1000 * OCTET_NS


class BridgeHarness:
    """The bridge with its surroundings.

    Members
    -------
    host_memory : dict[int, int]
        Octets that the card has written, by address.
    events : list of (BridgeKind, int)
        What came besides: values of registers, levels of the interrupt line; and the lengths of writes.
    """

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.memory_octets: int = parameters()["memory_octets"]
        self.beat_octets: int = parameters()["axi_width_bits"] // 8
        self.host_memory: dict[int, int] = {}
        self.events: list[tuple[BridgeKind, int]] = []

    async def start(self) -> None:
        """Reset the bridge and say hello."""
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.irq.value = 0
        self.peer = BridgePeer(retry_ns=_RETRY_NS)
        self.line = HostEnd(dut, self.peer, self.rng)
        # What resets the device resets its models.
        self.reader = AxiMasterRead(AxiReadBus.from_prefix(dut, "axi"), dut.clk, dut.resetting)
        bus = AxiWriteBus.from_prefix(dut, "axi")
        self.aw = AxiAWSource(bus.aw, dut.clk, dut.resetting)
        self.w = AxiWSource(bus.w, dut.clk, dut.resetting)
        self.b = AxiBSink(bus.b, dut.clk, dut.resetting)
        self.registers = MemoryRegion(REGISTERS_OCTETS)
        space = AddressSpace(REGISTERS_OCTETS)
        space.register_region(self.registers, 0)
        self.slave = AxiLiteSlave(AxiLiteBus.from_prefix(dut, "axil"), dut.clk, dut.resetting, target=space)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await self.reset(self.rng.getrandbits(32))

    async def reset(self, nonce: int) -> dict[str, int]:
        """Send RESET; return what HELLO says."""
        self.peer.reset(nonce)
        self.host_memory.clear()
        self.events.clear()
        await self.line.until(lambda: self.peer.hello is not None)
        self.b.clear()  # A write may have ended while RESET was on the line.
        assert self.peer.hello is not None
        return self.peer.hello

    def stall(self, *odds: float) -> None:
        """Choose odds of stalls for every channel of the buses, out of these."""
        slave = self.slave
        axil = (slave.write_if.aw_channel, slave.write_if.w_channel, slave.write_if.b_channel)
        channels = (*axil, slave.read_if.ar_channel, slave.read_if.r_channel, self.aw, self.w, self.b)
        for channel in (*channels, self.reader.ar_channel, self.reader.r_channel):
            chosen = self.rng.choice(odds)
            if chosen:
                channel.set_pause_generator(pauses(random.Random(self.rng.random()), chosen))
            else:  # Takes less time than one that never stalls.
                channel.clear_pause_generator()
                channel.pause = False

    # The host.

    def write(self, address: int, octets: bytes, *, part_octets: int = 256) -> None:
        """Queue WRITE frames."""
        for at in range(0, len(octets), part_octets):
            part = octets[at : at + part_octets]
            self.peer.send(BridgeKind.WRITE, (address + at).to_bytes(4, "little") + part)

    def limit(self, octets: int) -> None:
        """Queue a LIMIT frame."""
        self.peer.send(BridgeKind.LIMIT, octets.to_bytes(2, "little"))

    def set(self, offset: int, value: int) -> None:
        """Queue a register's write."""
        self.peer.send(BridgeKind.REG_WRITE, BRIDGE_REG_WRITE.pack(offset=offset, value=value))

    async def get(self, offset: int) -> dict[str, int]:
        """Read a register."""
        self.peer.send(BridgeKind.REG_READ, BRIDGE_REG_READ.pack(offset=offset))
        before = len(self.events)
        await self.until(lambda: any(kind is BridgeKind.REG_VALUE for kind, _ in self.events[before:]))
        (value,) = (value for kind, value in self.events[before:] if kind is BridgeKind.REG_VALUE)
        return BRIDGE_REG_VALUE.unpack(value.to_bytes(8, "little"))

    def take(self) -> None:
        """Do what the frames from the card say."""
        while self.peer.received:
            kind, body = self.peer.received.popleft()
            if kind is BridgeKind.WRITE:
                address, octets = int.from_bytes(body[:4], "little"), body[4:]
                self.host_memory |= {address + at: octet for at, octet in enumerate(octets)}
                self.events.append((kind, len(octets)))
            else:
                self.events.append((kind, int.from_bytes(body, "little")))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Take frames until something is true."""

        def true() -> bool:
            self.take()
            return condition()

        await self.line.until(true)

    async def sent(self) -> None:
        """Wait until the card has acknowledged everything."""
        await self.until(lambda: not self.peer.unacknowledged)

    # The device.

    def burst(self, address: int, beats: list[tuple[int, int]], *, number: int = 0) -> None:
        """Start a write of the device: data and strobe of each beat."""
        beat_log2 = self.beat_octets.bit_length() - 1
        self.aw.send_nowait(
            self.aw._transaction_obj(awid=number, awaddr=address, awlen=len(beats) - 1, awsize=beat_log2, awburst=1)
        )
        for at, (data, strobe) in enumerate(beats):
            last = at == len(beats) - 1
            self.w.send_nowait(self.w._transaction_obj(wdata=data, wstrb=strobe, wlast=last))

    def beats(self, octets: bytes) -> list[tuple[int, int]]:
        """Return the beats that carry octets, the last one perhaps in part."""
        size = self.beat_octets
        parts = [octets[at : at + size] for at in range(0, len(octets), size)]
        return [(int.from_bytes(part, "little"), (1 << len(part)) - 1) for part in parts]

    async def response(self) -> tuple[int, int]:
        """Return ID and response of the next write."""
        await self.until(lambda: not self.b.empty())
        answer = self.b.recv_nowait()
        return int(answer.bid), int(answer.bresp)


async def started(dut) -> BridgeHarness:
    """Return a harness after reset."""
    harness = BridgeHarness(dut)
    await harness.start()
    return harness
