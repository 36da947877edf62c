"""What the checksum block's bench drives and watches it with."""

import logging
import random
from collections import deque

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, RisingEdge

from hardwire.tb.bench import parameters, seed
from hardwire.tb.hdl.checksum_model import Command, filled
from hardwire.tb.hdl.packet_sink import PacketSink

__all__ = ["ChecksumHarness"]


class ChecksumHarness:
    """Clock, a source of frames, one of commands, a sink, and what should come out.

    ``stalls`` of each is the share of cycles in which it does nothing.
    """

    def __init__(self, dut, *, stalls: float = 0.0) -> None:
        logging.getLogger(f"cocotb.{dut._name}").setLevel(logging.WARNING)
        self.dut = dut
        self.rng = random.Random(seed())
        self.octets = parameters()["width_bits"] // 8
        self.frame_stalls = self.command_stalls = stalls
        self.cycle = 0
        self.sums = 0
        self.last_in: list[int] = []  # Cycle of the last beat of each frame.
        self.expected: list[bytes] = []
        self._frames: deque[tuple[bytes, bool]] = deque()
        self._commands: deque[Command] = deque()
        dut.i_valid.value = 0
        dut.command_valid.value = 0
        dut.rst.value = 1
        self.sink = PacketSink(dut, self.rng)
        self.sink.stalls = stalls
        cocotb.start_soon(Clock(dut.clk, 8, unit="ns").start())

    async def start(self) -> None:
        """Reset the block and begin."""
        await ClockCycles(self.dut.clk, 4)
        self.dut.rst.value = 0
        cocotb.start_soon(self._count())
        cocotb.start_soon(self._feed_frames())
        cocotb.start_soon(self._feed_commands())

    def send(self, frame: bytes, command: Command, *, error: bool = False, expected: bytes | None = None) -> None:
        """Queue a frame and its command."""
        self._frames.append((frame, error))
        self._commands.append(command)
        if not error:
            self.expected.append(filled(frame, command) if expected is None else expected)

    async def finish(self, limit: int = 400_000) -> None:
        """Wait until all is out, and compare."""
        end = self.cycle + limit
        while len(self.sink.frames) < len(self.expected) or self._frames:
            await ClockCycles(self.dut.clk, 10)
            assert self.cycle < end, f"{len(self.sink.frames)} of {len(self.expected)} frames came out"
        await ClockCycles(self.dut.clk, 30)
        for number, (received, expected) in enumerate(zip(self.sink.frames, self.expected, strict=True)):
            assert received.octets == expected, f"frame {number}: {received.octets.hex()}, not {expected.hex()}"
            assert not received.error
        assert self.sums == len(self.expected)

    async def _count(self) -> None:
        while True:
            await RisingEdge(self.dut.clk)
            self.cycle += 1
            self.sums += int(self.dut.done.value)
            if int(self.dut.i_valid.value) and int(self.dut.i_ready.value) and int(self.dut.i_last.value):
                self.last_in.append(self.cycle)

    async def _pause(self, stalls: float) -> None:
        while stalls and self.rng.random() < stalls:
            await RisingEdge(self.dut.clk)

    async def _feed_frames(self) -> None:
        dut, width = self.dut, self.octets
        while True:
            while not self._frames:
                await RisingEdge(dut.clk)
            frame, error = self._frames[0]
            for at in range(0, len(frame), width):
                await self._pause(self.frame_stalls)
                chunk = frame[at : at + width]
                last = at + width >= len(frame)
                # What does not count is not 0: octets after the end, and error before the last beat.
                dut.i_data.value = int.from_bytes(chunk + self.rng.randbytes(width - len(chunk)), "little")
                dut.i_keep.value = (1 << len(chunk)) - 1
                dut.i_last.value = last
                dut.i_error.value = error if last else self.rng.randrange(2)
                dut.i_valid.value = 1
                await RisingEdge(dut.clk)
                while not int(dut.i_ready.value):
                    await RisingEdge(dut.clk)
                dut.i_valid.value = 0
            self._frames.popleft()

    async def _feed_commands(self) -> None:
        dut = self.dut
        while True:
            while not self._commands:
                await RisingEdge(dut.clk)
            await self._pause(self.command_stalls)
            for name, value in vars(self._commands.popleft()).items():
                getattr(dut, f"command_{name}").value = value
            dut.command_valid.value = 1
            await RisingEdge(dut.clk)
            while not int(dut.command_ready.value):
                await RisingEdge(dut.clk)
            dut.command_valid.value = 0
