"""A source of frames for a packet stream in a cocotb bench."""

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cocotb
from cocotb.triggers import Event, RisingEdge

from hardwire.tb.bench import seed

__all__ = ["PacketSource"]


@dataclass(frozen=True)
class _Frame:
    octets: bytes
    error: bool
    stalls: Callable[[int], int]
    accepted: Event


class PacketSource:
    """Drive the ports ``i_data``, ``i_keep``, ``i_last``, ``i_error``, ``i_valid`` of a component.

    Parameters
    ----------
    dut
        Top of the bench.
    prefix : str
        Start of the ports' names.
    """

    def __init__(self, dut, prefix: str = "i") -> None:
        self._clk = dut.clk
        self._data, self._keep, self._last, self._error, self._valid, self._ready = (
            getattr(dut, f"{prefix}_{name}") for name in ("data", "keep", "last", "error", "valid", "ready")
        )
        self.beat_octets = len(self._keep)
        self._queue: deque[_Frame] = deque()
        self._queued = Event()
        self._valid.value = 0
        self._rng = random.Random(seed())
        cocotb.start_soon(self._run())

    def send(
        self, octets: Iterable[int], *, error: bool = False, stalls: Callable[[int], int] = lambda beat: 0
    ) -> Event:
        """Queue a frame; the event is set when its first beat is accepted.

        ``stalls(beat)`` tells for how many cycles ``valid`` is low before each beat.
        """
        frame = _Frame(bytes(octets), error, stalls, Event())
        self._queue.append(frame)
        self._queued.set()
        return frame.accepted

    async def _run(self) -> None:
        while True:
            while not self._queue:
                self._queued.clear()
                await self._queued.wait()
            await self._send(self._queue.popleft())

    async def _send(self, frame: _Frame) -> None:
        beats = range(0, max(len(frame.octets), 1), self.beat_octets)
        for number, start in enumerate(beats):
            for _ in range(frame.stalls(number)):
                self._scramble()
                await RisingEdge(self._clk)
            chunk = frame.octets[start : start + self.beat_octets]
            last = start == beats[-1]
            self._data.value = int.from_bytes(chunk, "little")
            self._keep.value = (1 << len(chunk)) - 1
            self._last.value = last
            self._error.value = last and frame.error
            self._valid.value = 1
            await RisingEdge(self._clk)
            while not int(self._ready.value):
                await RisingEdge(self._clk)
            self._valid.value = 0
            self._scramble()
            if number == 0:
                frame.accepted.set()

    def _scramble(self) -> None:
        """Without ``valid`` nothing else means anything."""
        rng = self._rng
        for signal in (self._data, self._keep, self._last, self._error):
            signal.value = rng.getrandbits(len(signal))
