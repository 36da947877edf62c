"""The receive side of the NIC's bench: frames on GMII, buffers in host memory, and what is to become of them."""

from collections import deque

from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.stack.abi import MAC, RX_ALIGN_OCTETS, RX_CPL, RX_DESC, RXQ, STATS
from hardwire.tb.hdl.nic_harness import Harness
from hardwire.tb.hdl.rx_ring_model import Buffer, RxRingModel

__all__ = ["ReceiveHarness"]

_DESCRIPTORS, _COMPLETIONS, _BUFFERS = 0x2_0000_0000, 0x3_0000_0000, 1 << 40
_PREAMBLE_AND_SFD = bytes([0x55] * 7 + [0xD5])
_GAP_OCTETS = 12


class ReceiveHarness(Harness):
    """The NIC with its surroundings, and the receive half of a little driver."""

    def __init__(self, dut) -> None:
        super().__init__(dut)
        self.model = RxRingModel()
        self.posted: deque[Buffer] = deque()
        self._blocks: dict[int, Buffer] = {}

    async def start_receiving(self, *, log2: int) -> None:
        """Set the queue up, and receive frames to any address."""
        for name in ("gmii_rxd", "gmii_rx_dv", "gmii_rx_er"):
            getattr(self.dut, name).value = 0
        await self.start()
        self._size = 1 << log2
        self._tail = self._next = self._used = 0
        self._phase = 1
        self._descriptors = bytearray(self._size * RX_DESC.size_octets)
        self._completions = bytearray(self._size * RX_CPL.size_octets)
        for name, place in (("BASE", _DESCRIPTORS), ("CPL_BASE", _COMPLETIONS)):
            await self.set(RXQ, f"{name}_LO", value=place & 0xFFFFFFFF)
            await self.set(RXQ, f"{name}_HI", value=place >> 32)
        await self.set(RXQ, "SIZE", log2=log2)
        await self.set(RXQ, "CTRL", enable=1)
        await self.settle()

    async def filter(self, *, strip: bool) -> None:
        """Receive frames to any address; take tags off, or do not."""
        await self.set(MAC, "RX_CTRL", promiscuous=1, vlan_strip=strip)
        await self.settle()

    def read(self, address: int, length: int) -> bytes:
        """Read a descriptor, for the bus model."""
        at = address - _DESCRIPTORS
        if not 0 <= at < len(self._descriptors):
            return super().read(address, length)
        if any(address <= bad < address + length for bad in self.bad):
            raise OSError("injected")
        return bytes(self._descriptors[at : at + length])

    async def write(self, address: int, octets: bytes) -> None:
        """Write a completion, or into a buffer, for the bus model."""
        at = address - _COMPLETIONS
        if 0 <= at < len(self._completions):
            if self.rng.random() < self.write_errors:
                self.write_failures += 1
                raise OSError("injected")
            self._completions[at : at + len(octets)] = octets
            return
        buffer = self._blocks.get(address // RX_ALIGN_OCTETS)
        assert buffer is not None, f"write of {len(octets)} octets to {address:#x}, where no buffer is"
        for place, octet in enumerate(octets, address - buffer.addr):
            assert place not in buffer.octets, "written twice"
            buffer.octets[place] = octet
        if buffer.refuses:
            raise OSError("injected")

    def random_buffer(self, length: int) -> Buffer:
        """Return a buffer somewhere in host memory."""
        while True:
            addr = _BUFFERS | RX_ALIGN_OCTETS * self.rng.getrandbits(28)
            buffer = Buffer(addr, length, self.rng.getrandbits(32))
            if not any(block in self._blocks for block in _blocks(buffer)):
                return buffer

    def put_buffer(self, buffer: Buffer) -> None:
        """Fill the next descriptor, without telling the device."""
        assert len(self.posted) < self._size - 1
        at = self._tail * RX_DESC.size_octets
        self._descriptors[at : at + RX_DESC.size_octets] = RX_DESC.pack(
            addr=buffer.addr, length=buffer.length, cookie=buffer.cookie
        )
        places = range(_DESCRIPTORS + at, _DESCRIPTORS + at + RX_DESC.size_octets)
        self.bad.difference_update(places)
        if buffer.unreadable:
            self.bad.add(self.rng.choice(places))
        if not buffer.bad:
            self._blocks |= dict.fromkeys(_blocks(buffer), buffer)
        self.posted.append(buffer)
        self._tail = (self._tail + 1) % self._size

    async def post(self) -> None:
        """Tell the device what was put."""
        await self.set(RXQ, "TAIL", index=self._tail)

    async def carry(self, frame: bytes, *, error_at: int | None = None) -> None:
        """Let a frame, FCS in, come from the PHY, with ``rx_er`` at one of its octets if so wished."""
        dut = self.dut
        dut.gmii_rx_dv.value = 1
        for at, octet in enumerate(_PREAMBLE_AND_SFD + frame, -len(_PREAMBLE_AND_SFD)):
            dut.gmii_rxd.value = octet
            dut.gmii_rx_er.value = at == error_at
            await RisingEdge(dut.clk)
        dut.gmii_rx_dv.value = dut.gmii_rx_er.value = 0
        await ClockCycles(dut.clk, _GAP_OCTETS)

    async def finish(self) -> None:
        """Wait for silence, and compare all that was completed."""
        await ClockCycles(self.dut.clk, 80)
        deadline = self.cycle + 100_000
        while not self.dut.idle.value:
            assert self.cycle < deadline, "the device does not come to rest"
            await ClockCycles(self.dut.clk, 20)
        while (completion := self._completion())["phase"] == self._phase:
            covered = [self.posted.popleft()]
            self._used += 1
            while (self._used - 1) % self._size != completion["index"]:
                covered.append(self.posted.popleft())
                self._used += 1
            self.model.complete(completion, covered, self._used)
            for buffer in covered:
                for block in () if buffer.bad else _blocks(buffer):
                    del self._blocks[block]
            self._next = (self._next + 1) % self._size
            self._phase ^= not self._next
        assert not self.model.frames, "frames were not completed"
        await self.set(RXQ, "CPL_TAIL", index=self._next)

    def _completion(self) -> dict[str, int]:
        at = self._next * RX_CPL.size_octets
        return RX_CPL.unpack(bytes(self._completions[at : at + RX_CPL.size_octets]))

    async def counter(self, name: str) -> int:
        """Read a counter of 64 bits."""
        low = await self.get(STATS, f"{name}_LO")
        return low["value"] | (await self.get(STATS, f"{name}_HI"))["value"] << 32


def _blocks(buffer: Buffer) -> range:
    first = buffer.addr // RX_ALIGN_OCTETS
    return range(first, first + buffer.length // RX_ALIGN_OCTETS)
