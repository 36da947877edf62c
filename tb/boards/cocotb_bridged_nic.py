"""The whole card on a serial line under Verilator: a host that knows only frames of the bridge, and a PHY."""

import random
import zlib

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge
from cocotbext.eth import GmiiFrame, GmiiSink, GmiiSource

from hardwire.stack.abi import (
    DEVICE_ID,
    GLOBAL,
    MAC,
    RX_CPL,
    RX_DESC,
    RX_PAD_OCTETS,
    RXQ,
    TX_CPL,
    TX_DESC,
    TXQ,
    RxStatus,
    TxFlags,
    TxStatus,
)
from hardwire.stack.abi.bridge import BRIDGE_REG_READ, BRIDGE_REG_VALUE, BRIDGE_REG_WRITE, BridgeKind
from hardwire.stack.abi.model import Block
from hardwire.tb.bench import parameters, seed
from hardwire.tb.boards.bridge_line import HostEnd
from hardwire.tb.boards.bridge_peer import BridgePeer
from hardwire.tb.cocotb_test import bench_test

_TX_RING, _RX_RING, _PAYLOAD = 0, 4096, 8192  # In the card's memory.
_TX_CPL_RING, _RX_CPL_RING, _RX_BUFFERS = 0x8000_0000, 0x8000_1000, 0x8000_2000  # In the host's.
_BUFFER_OCTETS = 2048


class Host:
    """A driver that fits on a page."""

    def __init__(self, dut) -> None:
        self.dut = dut
        self.rng = random.Random(seed())
        self.peer = BridgePeer(retry_ns=700_000)
        self.memory: dict[int, int] = {}
        self.values: list[int] = []
        self.irqs: list[int] = []

    async def start(self) -> None:
        """Power up, reset, set both queues up."""
        dut = self.dut
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())
        dut.mdio_i.value = 1
        dut.odd_nibble.value = 0
        dut.tx_enable.value = dut.rx_enable.value = 1
        self.wire_in = GmiiSource(dut.gmii_rxd, dut.gmii_rx_er, dut.gmii_rx_dv, dut.clk, dut.rst)
        self.wire_out = GmiiSink(dut.gmii_txd, dut.gmii_tx_er, dut.gmii_tx_en, dut.clk, dut.rst)
        self.line = HostEnd(dut, self.peer, self.rng)
        dut.rst.value = 1
        await ClockCycles(dut.clk, 4)
        dut.rst.value = 0
        await self.reset()

    async def reset(self) -> None:
        """Send RESET, and set both queues up."""
        self.peer.reset(self.rng.getrandbits(32))
        await self.line.until(lambda: self.peer.hello is not None)
        self.memory.clear()
        for block, ring, cpl_ring in ((TXQ, _TX_RING, _TX_CPL_RING), (RXQ, _RX_RING, _RX_CPL_RING)):
            for name, place in (("BASE", ring), ("CPL_BASE", cpl_ring)):
                self.set(block, f"{name}_LO", value=place)
                self.set(block, f"{name}_HI", value=0)
            self.set(block, "SIZE", log2=2)
            self.set(block, "CTRL", enable=1)
        self.set(MAC, "RX_CTRL", promiscuous=1)

    def set(self, block: Block, name: str, **fields: int) -> None:
        """Write a register."""
        body = BRIDGE_REG_WRITE.pack(offset=block.address(block[name]), value=block[name].pack(**fields))
        self.peer.send(BridgeKind.REG_WRITE, body)

    async def get(self, block: Block, name: str) -> int:
        """Read a register."""
        self.peer.send(BridgeKind.REG_READ, BRIDGE_REG_READ.pack(offset=block.address(block[name])))
        await self.until(lambda: bool(self.values))
        return self.values.pop()

    def write(self, address: int, octets: bytes) -> None:
        """Write the card's memory, in whole words."""
        octets += bytes(-len(octets) % 8)
        for at in range(0, len(octets), 256):
            self.peer.send(BridgeKind.WRITE, (address + at).to_bytes(4, "little") + octets[at : at + 256])

    def read(self, address: int, octets: int) -> bytes:
        """Read host memory."""
        return bytes(self.memory.get(at, 0) for at in range(address, address + octets))

    def take(self) -> None:
        """Do what the card says."""
        while self.peer.received:
            kind, body = self.peer.received.popleft()
            match kind:
                case BridgeKind.WRITE:
                    address = int.from_bytes(body[:4], "little")
                    self.memory |= {address + at: octet for at, octet in enumerate(body[4:])}
                case BridgeKind.REG_VALUE:
                    answer = BRIDGE_REG_VALUE.unpack(body)
                    assert answer["resp"] == 0
                    self.values.append(answer["value"])
                case BridgeKind.IRQ:
                    self.irqs.append(body[0])

    async def until(self, condition) -> None:
        """Take frames until something is true."""

        def true() -> bool:
            self.take()
            return condition()

        await self.line.until(true)


async def started(dut) -> Host:
    """Return a host after reset."""
    host = Host(dut)
    await host.start()
    return host


async def _send_and_check(host: Host, number: int, octets: bytes) -> None:
    """Send a frame by the descriptor of that number; compare what is on the wire and what is told of it."""
    cookie = host.rng.getrandbits(32)
    host.write(_PAYLOAD, octets)
    flags = TxFlags.FIRST | TxFlags.LAST
    descriptor = TX_DESC.pack(addr=_PAYLOAD, length=len(octets), flags=flags, cookie=cookie)
    host.write(_TX_RING + number * TX_DESC.size_octets, descriptor)
    host.irqs.clear()
    host.set(TXQ, "IRQ", enable=1)
    host.set(TXQ, "TAIL", index=number + 1)
    seen = await host.wire_out.recv()
    padded = octets + bytes(max(0, 60 - len(octets)))
    assert bytes(seen.get_payload(strip_fcs=False)) == padded + zlib.crc32(padded).to_bytes(4, "little")
    # The interrupt comes behind the completion.
    await host.until(lambda: bool(host.irqs))
    assert host.irqs == [1]
    at = _TX_CPL_RING + number * TX_CPL.size_octets
    completion = TX_CPL.unpack(host.read(at, TX_CPL.size_octets))
    assert completion["phase"] == 1
    assert (completion["status"], completion["index"], completion["cookie"]) == (TxStatus.OK, number, cookie)
    host.set(TXQ, "CPL_TAIL", index=number + 1)
    host.set(TXQ, "IRQ", enable=0, pending=1)
    await host.until(lambda: host.irqs == [1, 0])


async def _receive_and_check(host: Host, number: int, octets: bytes) -> None:
    """Let a frame come in; compare what is in host memory."""
    cookie = host.rng.getrandbits(32)
    buffer = _RX_BUFFERS + number * _BUFFER_OCTETS
    descriptor = RX_DESC.pack(addr=buffer, length=_BUFFER_OCTETS, cookie=cookie)
    host.write(_RX_RING + number * RX_DESC.size_octets, descriptor)
    host.set(RXQ, "TAIL", index=number + 1)
    await host.until(lambda: not host.peer.unacknowledged)
    await ClockCycles(host.dut.clk, 400)
    await host.wire_in.send(GmiiFrame.from_payload(octets))
    at = _RX_CPL_RING + number * RX_CPL.size_octets
    await host.until(lambda: at + RX_CPL.size_octets - 1 in host.memory)
    completion = RX_CPL.unpack(host.read(at, RX_CPL.size_octets))
    assert (completion["status"], completion["index"], completion["cookie"]) == (RxStatus.OK, number, cookie)
    assert completion["length"] == len(octets)
    assert host.read(buffer + RX_PAD_OCTETS, len(octets)) == octets


@bench_test
async def the_host_reads_the_cards_identity(dut):
    host = await started(dut)
    assert await host.get(GLOBAL, "ID") == DEVICE_ID
    assert GLOBAL["CLOCK"].unpack(await host.get(GLOBAL, "CLOCK"))["khz"] == parameters()["clock_khz"]
    assert dut.host_seen.value == 1


@bench_test
async def frames_go_out_and_come_in(dut):
    host = await started(dut)
    for number, octets in enumerate((60, 14 + host.rng.randrange(1400))):
        frame = bytes.fromhex("020000000001020000000002") + host.rng.randbytes(octets - 12)
        await _send_and_check(host, number, frame)
        await _receive_and_check(host, number, frame.ljust(60, b"\0"))


@bench_test
async def reset_puts_the_card_back(dut):
    host = await started(dut)
    frame = host.rng.randbytes(100)
    await _send_and_check(host, 0, frame)
    assert TXQ["HEAD"].unpack(await host.get(TXQ, "HEAD"))["index"] == 1
    await host.reset()
    assert TXQ["HEAD"].unpack(await host.get(TXQ, "HEAD"))["index"] == 0
    await _send_and_check(host, 0, frame)


@bench_test
async def the_phys_adapter_paces_the_mac(dut):
    host = await started(dut)

    async def pace() -> None:
        while True:
            dut.tx_enable.value = 1
            await RisingEdge(dut.clk)
            dut.tx_enable.value = 0
            await ClockCycles(dut.clk, 9)

    cocotb.start_soon(pace())
    octets, cycles = host.rng.randbytes(80), 0
    host.write(_PAYLOAD, octets)
    flags = TxFlags.FIRST | TxFlags.LAST
    host.write(_TX_RING, TX_DESC.pack(addr=_PAYLOAD, length=len(octets), flags=flags))
    host.set(TXQ, "TAIL", index=1)
    await RisingEdge(dut.gmii_tx_en)
    while dut.gmii_tx_en.value:
        cycles += 1
        await RisingEdge(dut.clk)
    assert abs(cycles - 10 * (8 + 80 + 4)) < 10
