"""A sink of frames from a packet stream in a cocotb bench."""

import random
from dataclasses import dataclass

import cocotb
from cocotb.triggers import RisingEdge

__all__ = ["PacketSink", "Received"]


@dataclass(frozen=True)
class Received:
    """A frame, and the cycles of its first and last beat."""

    octets: bytes
    error: bool
    first_cycle: int
    last_cycle: int


class PacketSink:
    """Take frames from the ports ``o_data``, ``o_keep``, ``o_last``, ``o_error``, ``o_valid`` of a component.

    Checks that the stream keeps its rules: ``keep`` is a run of ones from bit 0 up, full in every beat but the last,
    and a beat stands still until it is taken.
    """

    def __init__(self, dut, rng: random.Random, prefix: str = "o") -> None:
        self._clk = dut.clk
        self._payload = [getattr(dut, f"{prefix}_{name}") for name in ("data", "keep", "last", "error")]
        self._valid, self._ready = getattr(dut, f"{prefix}_valid"), getattr(dut, f"{prefix}_ready")
        self._lanes = len(self._payload[1])
        self._rng = rng
        self._ready.value = 0
        self.stalls = 0.0
        self.begun = 0  # Frames whose first beat was taken.
        self.frames: list[Received] = []
        cocotb.start_soon(self._run())

    async def _run(self) -> None:
        octets, first_cycle, waiting, now, ready = bytearray(), 0, None, 0, False
        while True:
            await RisingEdge(self._clk)
            now += 1
            valid = bool(self._valid.value)
            assert valid or waiting is None, "valid fell before ready"
            if valid:
                beat = tuple(int(signal.value) for signal in self._payload)
                assert waiting in (None, beat), "a beat changed while it waited"
                waiting = None if ready else beat
                if ready:
                    self.begun += not first_cycle
                    first_cycle = first_cycle or now
                    data, keep, last, error = beat
                    count = keep.bit_count()
                    assert keep == (1 << count) - 1
                    assert last or count == self._lanes
                    octets += data.to_bytes(self._lanes, "little")[:count]
                    if last:
                        self.frames.append(Received(bytes(octets), bool(error), first_cycle, now))
                        octets, first_cycle = bytearray(), 0
            ready = self._rng.random() >= self.stalls
            self._ready.value = ready
