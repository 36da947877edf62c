"""A host, and a device in Python, around the host bridge."""

import logging
import random

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles
from cocotbext.axi import AddressSpace, AxiBus, AxiLiteBus, AxiLiteSlave, AxiMaster, MemoryRegion

from hardwire.stack.abi.bridge import BridgeKind
from hardwire.tb.bench import parameters, seed
from hardwire.tb.boards.bridge_line import HostEnd
from hardwire.tb.boards.bridge_peer import BridgePeer

__all__ = ["BridgeHarness", "started"]

OCTET_NS = 800
_REGISTERS_OCTETS = 1 << 12


class BridgeHarness:
    """The bridge with its surroundings."""

    def __init__(self, dut) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.ERROR)
        self.dut = dut
        self.rng = random.Random(seed())
        self.memory_octets: int = parameters()["memory_octets"]
        self.host_memory: dict[int, int] = {}
        self.irqs: list[int] = []
        self.values: list[tuple[int, int]] = []

    async def start(self) -> None:
        """Reset the bridge and say hello."""
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.irq.value = 0
        self.peer = BridgePeer(retry_ns=2 * 600 * OCTET_NS)
        self.line = HostEnd(dut, self.peer, self.rng)
        self.device = AxiMaster(AxiBus.from_prefix(dut, "axi"), dut.clk, dut.rst)
        self.registers = MemoryRegion(_REGISTERS_OCTETS)
        space = AddressSpace(_REGISTERS_OCTETS)
        space.register_region(self.registers, 0)
        self.slave = AxiLiteSlave(AxiLiteBus.from_prefix(dut, "axil"), dut.clk, dut.rst, target=space)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await self.reset(self.rng.getrandbits(32))

    async def reset(self, nonce: int) -> dict[str, int]:
        """Send RESET; return what HELLO says."""
        self.peer.reset(nonce)
        await self.line.until(lambda: self.peer.hello is not None)
        assert self.peer.hello is not None
        return self.peer.hello

    def write(self, address: int, octets: bytes) -> None:
        """Queue WRITE frames."""
        for at in range(0, len(octets), 256):
            part = octets[at : at + 256]
            self.peer.send(BridgeKind.WRITE, (address + at).to_bytes(4, "little") + part)

    async def sent(self) -> None:
        """Wait until the card has acknowledged everything."""
        await self.line.until(lambda: not self.peer.unacknowledged)


async def started(dut) -> BridgeHarness:
    """Return a harness after reset."""
    harness = BridgeHarness(dut)
    await harness.start()
    return harness
