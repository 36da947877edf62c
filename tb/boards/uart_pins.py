"""The far end of a serial line on a board's pins, as a carrier of the bridge: octets in Python, bits on the pins."""

from collections import deque
from typing import Any

import cocotb
from cocotb.task import resume
from cocotb.triggers import Event, FallingEdge, First, Timer
from cocotb.utils import get_sim_time

from hardwire.stack.abi.bridge import FLAG

__all__ = ["UartPins"]

_FS_PER_PS = 1000
_UART_BITS = 10


class UartPins:
    """A `Carrier` for the world inside ``run_world``.

    Parameters
    ----------
    dut : object
        cocotb's handle of the board.
    bit_ns : int
        Time of a bit.

    Members
    -------
    misframed : int
        Octets from the card without a stop bit.
    """

    def __init__(self, dut: Any, *, bit_ns: int) -> None:
        self.octet_fs = _UART_BITS * bit_ns * 10**6
        self.misframed = 0
        self._dut = dut
        self._bit_ns = bit_ns
        self._to_card: deque[int] = deque()
        self._from_card = bytearray()
        self._wanted, self._came = Event(), Event()
        dut.uart_rx.value = 1
        cocotb.start_soon(self._send())
        cocotb.start_soon(self._receive())

    @property
    def time_fs(self) -> int:
        """The simulator's time."""
        return round(get_sim_time("ps")) * _FS_PER_PS

    def write(self, octets: bytes) -> None:
        """Queue octets for the card."""
        self._to_card.extend(octets)

    def read(self) -> bytes:
        """Return the octets that have come since the last call."""
        octets = bytes(self._from_card)
        self._from_card.clear()
        return octets

    def wait(self, until_fs: int) -> None:
        """Let the simulator run until a frame has come, or to that time."""
        resume(self._wait)(until_fs)

    def close(self) -> None:
        """Do nothing: the pins stay."""

    async def _wait(self, until_fs: int) -> None:
        if self._to_card:
            self._wanted.set()
        self._came.clear()
        left_ps = (until_fs - self.time_fs) // _FS_PER_PS
        await First(Timer(max(left_ps, 1), "ps"), self._came.wait())

    async def _send(self) -> None:
        line, bit = self._dut.uart_rx, Timer(self._bit_ns, "ns")
        while True:
            while self._to_card:
                bits = self._to_card.popleft() << 1 | 1 << 9
                for number in range(_UART_BITS):
                    line.value = bits >> number & 1
                    await bit
            self._wanted.clear()
            await self._wanted.wait()

    async def _receive(self) -> None:
        line, bit, half = self._dut.uart_tx, Timer(self._bit_ns, "ns"), Timer(self._bit_ns // 2, "ns")
        start = FallingEdge(line)
        while True:
            await start
            await half
            bits = 0
            for number in range(_UART_BITS - 1):
                await bit
                bits |= int(line.value) << number
            if not bits >> 8:
                self.misframed += 1
                continue
            self._from_card.append(bits & 0xFF)
            if bits & 0xFF == FLAG:
                self._came.set()
