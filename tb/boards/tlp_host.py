"""A host on PCI Express: memory for the card's reads and writes, registers of the card, messages."""

# Ref: PCI Express Base Specification, revision 2.0, 2.2; Xilinx PG054, 3.3: octets of dwords are swapped

import random
from collections import deque

import cocotb
from cocotb.queue import Queue
from cocotb.triggers import RisingEdge

__all__ = ["TlpHost"]

_MEM_RD, _MEM_WR, _CPL_D = 0x00, 0x40, 0x4A
_DWORD = 4
_RCB_OCTETS = 64  # Completions may be cut at multiples of it.
_HOST_ID = 0x0008
_BAR = 0xF000_0000  # Where the host has put BAR0.


class TlpHost:
    """The host: takes packets from ``up_*``, gives them to ``down_*``, both with stalls.

    Parameters
    ----------
    dut
        Top of the bench.
    rng : random.Random
        Source of the choices.
    """

    base = 0x2000_0000

    def __init__(self, dut, rng: random.Random) -> None:
        self.dut = dut
        self.rng = rng
        self.octets = bytearray(1 << 16)
        self.messages = 0
        self.packets = {"reads": 0, "writes": 0}
        self._down: deque[list[int]] = deque()
        self._answers: Queue[int] = Queue()
        dut.down_valid.value = 0
        for task in (self._take(), self._give(), self._listen()):
            cocotb.start_soon(task)

    # What a driver does.

    async def write32(self, offset: int, value: int) -> None:
        """Write a register: posted."""
        self._down.append([_MEM_WR << 24 | 1, _HOST_ID << 16 | 0xF, _BAR + offset, _swap(value)])

    async def read32(self, offset: int) -> int:
        """Read a register."""
        self._down.append([_MEM_RD << 24 | 1, _HOST_ID << 16 | 0xF, _BAR + offset])
        return await self._answers.get()

    async def put(self, at: int, octets: bytes) -> None:
        """Write host memory."""
        self.octets[at : at + len(octets)] = octets

    async def get(self, at: int, count: int) -> bytes:
        """Read host memory."""
        return bytes(self.octets[at : at + count])

    async def interrupt(self) -> None:
        """Wait for a message."""
        while not self.messages:
            await RisingEdge(self.dut.clk)
        self.messages -= 1

    # Packets.

    async def _listen(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.messages += bool(self.dut.msi.value)

    async def _take(self) -> None:
        dut, packet = self.dut, []
        while True:
            dut.up_ready.value = ready = self.rng.random() < 0.7
            await RisingEdge(dut.clk)
            if ready and dut.up_valid.value:
                data, enables = int(dut.up_dat.value), int(dut.up_be.value)
                packet += [data >> 32 * half & 0xFFFFFFFF for half in (0, 1) if enables >> 4 * half & 0xF]
                if dut.up_last.value:
                    self._execute(packet)
                    packet = []

    def _execute(self, packet: list[int]) -> None:
        kind, length, place = packet[0] >> 24, packet[0] & 0x3FF, packet[2] - self.base
        if kind == _CPL_D:
            assert (packet[1] >> 13 & 7, length) == (0, 1), "completion status or length"
            self._answers.put_nowait(_swap(packet[3]))
            return
        assert packet[1] & 0xFF == (0xFF if length > 1 else 0x0F), "octet enables"
        assert (place & 0xFFF) + _DWORD * length <= 4096, "crosses 4 KiB"
        if kind == _MEM_WR:
            self.packets["writes"] += 1
            assert len(packet) == 3 + length <= 3 + 128 // _DWORD
            self.octets[place : place + _DWORD * length] = b"".join(word.to_bytes(4, "big") for word in packet[3:])
        else:
            assert kind == _MEM_RD, f"packet of kind {kind:#x}"
            self.packets["reads"] += 1
            self._complete(place, _DWORD * length, packet[1])

    def _complete(self, place: int, left: int, request: int) -> None:
        """Answer a read by one or more completions."""
        while left:
            end = place + left
            cuts = [*range((place // _RCB_OCTETS + 1) * _RCB_OCTETS, end, _RCB_OCTETS), end]
            count = self.rng.choice(cuts) - place
            words = [int.from_bytes(self.octets[at : at + 4], "big") for at in range(place, place + count, 4)]
            head = [_CPL_D << 24 | count // 4, left, request & 0xFFFFFF00 | place & 0x7F]
            self._down.append(head + words)
            place, left = place + count, left - count

    async def _give(self) -> None:
        dut = self.dut
        while True:
            while not self._down:
                await RisingEdge(dut.clk)
            packet = self._down.popleft()
            for at in range(0, len(packet), 2):
                pair = packet[at : at + 2]
                dut.down_dat.value = sum(word << 32 * half for half, word in enumerate(pair))
                dut.down_be.value = 0xFF if len(pair) == 2 else 0x0F
                dut.down_first.value = at == 0
                dut.down_last.value = at + 2 >= len(packet)
                dut.down_valid.value = 1
                await RisingEdge(dut.clk)
                while not dut.down_ready.value:
                    await RisingEdge(dut.clk)
                dut.down_valid.value = 0
                while self.rng.random() < 0.2:
                    await RisingEdge(dut.clk)


def _swap(word: int) -> int:
    return int.from_bytes(word.to_bytes(4, "big"), "little")
