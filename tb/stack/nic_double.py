"""A stand-in for the NIC's registers and rings, for unit tests of the driver; the real tests run on the gateware."""

from collections.abc import Callable

from hardwire.stack.abi import (
    ARP,
    DEVICE_ID,
    GLOBAL,
    MAC,
    RXQ,
    STATS,
    TX_CPL,
    TX_DESC,
    TXQ,
    VERSION,
    ArpOp,
    Block,
    TxFlags,
    TxStatus,
)
from hardwire.stack.drivers.bus import Direction
from hardwire.tb.stack.fake import FakeBuffer, FakePlatform
from hardwire.tb.stack.phy_double import MdioDouble
from hardwire.tb.stack.rx_double import RxDouble

__all__ = ["DmaDouble", "NicDouble"]

BUS_OFFSET = 0x2_0000_0000
_RXQ = {RXQ.address(register): register.name for register in RXQ.registers}
_STATS = {STATS.address(register): (register.name[:-3], register.name.endswith("_HI")) for register in STATS.registers}


class DmaDouble:
    """The DMA API over the memory of a fake platform.

    What is mapped for the device to read is in ``mapped``, for it to write in ``receiving``. ``fail_map`` counts down
    to a mapping that fails.
    """

    def __init__(self, platform: FakePlatform) -> None:
        self.platform = platform
        self.mapped: dict[int, int] = {}
        self.receiving: dict[int, int] = {}
        self.coherent: dict[int, FakeBuffer] = {}
        self.fail_map = -1

    def alloc_coherent(self, size_octets: int) -> FakeBuffer:
        """Return memory aligned to its size."""
        size = max(4096, 1 << (size_octets - 1).bit_length())
        self.platform.next_addr = -(-self.platform.next_addr // size) * size
        buffer = self.platform.kmalloc(size)
        buffer.addr += BUS_OFFSET
        buffer.view[:] = bytes(size)
        self.coherent[buffer.addr] = buffer
        return buffer

    def free_coherent(self, buffer: FakeBuffer) -> None:
        """Take it back."""
        del self.coherent[buffer.addr]
        buffer.addr -= BUS_OFFSET
        self.platform.kfree(buffer)

    def map(self, addr: int, length_octets: int, direction: Direction) -> int:
        """Map memory."""
        if not self.fail_map:
            raise OSError(12, "fail_map")
        self.fail_map -= 1
        bus_addr = addr + BUS_OFFSET
        assert bus_addr not in self.mapped
        assert bus_addr not in self.receiving
        self._find(bus_addr, length_octets)
        self._of(direction)[bus_addr] = length_octets
        return bus_addr

    def unmap(self, bus_addr: int, length_octets: int, direction: Direction) -> None:
        """Unmap it."""
        assert self._of(direction).pop(bus_addr) == length_octets

    def _of(self, direction: Direction) -> dict[int, int]:
        assert direction != Direction.BIDIRECTIONAL
        return self.mapped if direction == Direction.TO_DEVICE else self.receiving

    def _find(self, bus_addr: int, length_octets: int) -> memoryview:
        addr = bus_addr - BUS_OFFSET
        for buffer in self.platform.buffers.values():
            at = addr - buffer.addr
            if 0 <= at <= at + length_octets <= len(buffer.view):
                return buffer.view[at : at + length_octets]
        raise AssertionError(f"no memory at {addr:#x}")

    def read(self, bus_addr: int, length_octets: int) -> bytes:
        """Read as the device does, from mapped memory only."""
        assert any(at <= bus_addr and bus_addr + length_octets <= at + n for at, n in self.mapped.items())
        return bytes(self._find(bus_addr, length_octets))

    def write(self, bus_addr: int, octets: bytes) -> None:
        """Write as the device does."""
        end = bus_addr + len(octets)
        assert any(at <= bus_addr and end <= at + n for at, n in self.receiving.items())
        self._find(bus_addr, len(octets))[:] = octets


class NicDouble:
    """Registers, one TX queue, and what came out of it in ``frames``: the octets and the first descriptor.

    ``rx`` is the receive side, ``mdio`` the way to a PHY, ``counters`` what STATS shows. It sends only while ``run`` is
    called. ``statuses`` are the status of the next frames; after them come OK. While
    ``stuck`` it sends nothing until it is reset; while ``dead`` a reset has no end either.
    """

    def __init__(self, platform: FakePlatform, *, rx_queues: int = 1) -> None:
        self.platform = platform
        self.dma = DmaDouble(platform)
        self.rx = RxDouble(self)
        self.mdio = MdioDouble(platform)
        self.counters: dict[str, int] = {}
        self.latched = 0
        self.frames: list[tuple[bytes, dict[str, int]]] = []
        self.statuses: list[TxStatus] = []
        self.handler: Callable[[], None] | None = None
        self.regs: dict[int, int] = {}
        self.arp: dict[int, int] = {}
        self.active: set[int] = set()
        self.arp_limit = 256
        self.stuck = self.dead = False
        self.armed = False
        self.head = self.cpl = 0
        self.doorbells: list[int] = []
        self.writes: list[tuple[int, int]] = []
        for register, values in (
            (GLOBAL["ID"], {"value": DEVICE_ID}),
            (GLOBAL["VERSION"], {"major": VERSION[0]}),
            (
                GLOBAL["QUEUES"],
                {"tx_queues": 1, "tx_ring_log2_max": 15, "rx_queues": rx_queues, "rx_ring_log2_max": 12},
            ),
            (GLOBAL["WIDTHS"], {"stream_octets": 8, "axi_octets": 8, "arp_sets_log2": 6, "arp_ways": 4}),
            (GLOBAL["LIMITS"], {"max_frame_octets": 9018}),
            (GLOBAL["FEATURES"], {"tx_flags": 0x7F, "rx_features": 0x7}),
            (GLOBAL["CLOCK"], {"khz": 125000}),
        ):
            self.regs[GLOBAL.address(register)] = register.pack(**values)

    # Mmio and Irq.

    def read32(self, offset: int) -> int:
        """Read a register."""
        if offset == TXQ.address(TXQ["STATUS"]):
            if self.dead:
                return TXQ["STATUS"].pack(running=1, resetting=1)
            ctrl = self.regs.get(TXQ.address(TXQ["CTRL"]), 0)
            if not ctrl & 1 and not self.stuck:
                self.run()
            return int(self.stuck)
        if offset in _STATS:
            name, half = _STATS[offset]
            if not half:
                self.latched = self.counters.get(name, 0)
            return self.latched >> 32 * half & 0xFFFFFFFF
        if offset in _RXQ:
            return self.rx.read32(_RXQ[offset])
        if offset == MAC.address(MAC["MDIO_STATUS"]):
            return self.mdio.status()
        return self.regs.get(offset, 0)

    def write32(self, offset: int, value: int) -> None:
        """Write a register."""
        self.writes.append((offset, value))
        self.regs[offset] = value
        if offset == TXQ.address(TXQ["TAIL"]):
            self.doorbells.append(value)
        elif offset in _RXQ:
            self.rx.write32(_RXQ[offset], value)
        elif offset == MAC.address(MAC["MDIO"]):
            self.mdio.start(value)
        elif offset == MAC.address(MAC["VLAN"]):
            fields = MAC["VLAN"].unpack(value)
            (self.rx.vlans.add if fields["member"] else self.rx.vlans.discard)(fields["vid"])
        elif offset == TXQ.address(TXQ["CTRL"]) and value & TXQ["CTRL"]["reset"].mask and not self.dead:
            self.stuck = False
            self.statuses = [TxStatus.ABORTED] * 9999
            self.run(limit=2)  # The others were not fetched.
            self.statuses = []
            self.head = self.cpl = 0
            self.regs[offset] = self.regs[TXQ.address(TXQ["TAIL"])] = 0
        elif offset == TXQ.address(TXQ["IRQ"]):
            self.armed = bool(value & TXQ["IRQ"]["enable"].mask)
        elif offset == TXQ.address(TXQ["CPL_TAIL"]):
            self.armed |= bool(value & TXQ["CPL_TAIL"]["arm"].mask)
        elif offset == ARP.address(ARP["OP"]):
            self._arp(ArpOp(value))

    def _arp(self, op: ArpOp) -> None:
        def get(name: str) -> int:
            return self.regs.get(ARP.address(ARP[name]), 0)

        status = {}
        if op == ArpOp.INSERT:
            if get("KEY") not in self.arp and len(self.arp) == self.arp_limit:
                key = next(iter(self.arp))
                del self.arp[key]
                status["evicted"] = 1
                self.regs[ARP.address(ARP["RESULT_KEY"])] = key
            self.arp[get("KEY")] = get("MAC_HI") << 32 | get("MAC_LO")
            self.active.discard(get("KEY"))
        elif op == ArpOp.DELETE:
            status["found"] = int(self.arp.pop(get("KEY"), None) is not None)
        elif op == ArpOp.FLUSH:
            self.arp.clear()
        elif get("INDEX") < len(self.arp):
            key, mac = list(self.arp.items())[get("INDEX")]
            status = {"found": 1, "active": int(key in self.active)}
            if op == ArpOp.READ_CLEAR:
                self.active.discard(key)
            self.regs[ARP.address(ARP["RESULT_KEY"])] = key
            self.regs[ARP.address(ARP["RESULT_MAC_LO"])] = mac & 0xFFFFFFFF
            self.regs[ARP.address(ARP["RESULT_MAC_HI"])] = mac >> 32
        self.regs[ARP.address(ARP["STATUS"])] = ARP["STATUS"].pack(**status)

    def request(self, handler: Callable[[], None]) -> None:
        """Set the handler."""
        self.handler = handler

    def free(self) -> None:
        """Forget the handler."""
        self.handler = None

    # What the device does.

    def count(self, name: str) -> None:
        """Count an event."""
        self.counters[name] = self.counters.get(name, 0) + 1

    def interrupt(self) -> None:
        """Call the handler while the RX queue keeps the line high."""
        for _ in range(100):
            if not self.rx.line or self.handler is None:
                return
            self.handler()
        raise AssertionError("the interrupt line stays high")

    def memory(self, block: Block, low: str, high: str) -> FakeBuffer:
        """Return the memory that a queue's registers point at."""
        addr = self.regs[block.address(block[high])] << 32 | self.regs[block.address(block[low])]
        return self.dma.coherent[addr]

    def run(self, limit: int = 1 << 30) -> int:
        """Send frames that are posted, and interrupt; return how many."""
        log2 = self.regs.get(TXQ.address(TXQ["SIZE"]), 1)
        count = 1 << log2
        sent = 0
        while sent < limit and self.head != self.regs.get(TXQ.address(TXQ["TAIL"]), 0) and not self.stuck:
            octets = b""
            first: dict[str, int] | None = None
            while True:
                ring = self.memory(TXQ, "BASE_LO", "BASE_HI")
                desc = TX_DESC.unpack(ring.view[32 * self.head : 32 * self.head + 32])
                assert bool(desc["flags"] & TxFlags.FIRST) == (first is None)
                first = first or desc
                octets += self.dma.read(desc["addr"], desc["length"])
                index = self.head
                self.head = (self.head + 1) % count
                if desc["flags"] & TxFlags.LAST:
                    break
            status = self.statuses.pop(0) if self.statuses else TxStatus.OK
            if status == TxStatus.OK:
                self.frames.append((octets, first))
                if first["flags"] & TxFlags.RESOLVE:
                    self.active.add(first["next_hop"])
            lap, at = divmod(self.cpl, count)
            entry = TX_CPL.pack(cookie=first["cookie"], index=index, status=status, phase=1 - lap % 2)
            self.memory(TXQ, "CPL_BASE_LO", "CPL_BASE_HI").view[16 * at : 16 * at + 16] = entry
            self.cpl += 1
            sent += 1
        if sent and self.armed and self.handler is not None:
            self.handler()
        return sent
