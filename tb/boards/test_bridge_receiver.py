"""The receiving half of the bridge's link, frame by frame in the Amaranth simulator."""

import random

import pytest
from amaranth.sim import Simulator

from hardwire.boards.bridge.receiver import Receiver
from hardwire.stack.abi.bridge import BridgeKind
from hardwire.tb.bench import seed


class Told:
    """What a receiver did with frames: those accepted, and pulses by name."""

    def __init__(self, frames: list[bytes]) -> None:
        self.accepted: list[bytes] = []
        self.pulses = dict.fromkeys(("heard", "owed", "missed", "started"), 0)
        self._frames = frames
        self._dut = Receiver()
        self._rng = random.Random(seed())
        simulator = Simulator(self._dut)
        simulator.add_clock(8e-9)
        simulator.add_testbench(self._send)
        simulator.add_testbench(self._take, background=True)
        simulator.add_testbench(self._count, background=True)
        simulator.run()

    async def _send(self, ctx) -> None:
        i = self._dut.i
        for frame in self._frames:
            for octet, end in [*((octet, 0) for octet in frame), (0, 1)]:
                ctx.set(i.payload, {"octet": octet, "end": end, "good": end})
                ctx.set(i.valid, 1)
                await ctx.tick()
                ctx.set(i.valid, 0)
                await ctx.tick().repeat(self._rng.randrange(4, 8))
        await ctx.tick().repeat(50)

    async def _take(self, ctx) -> None:
        frame = bytearray()
        ctx.set(self._dut.o.ready, 1)
        async for _, _, valid, token in ctx.tick().sample(self._dut.o.valid, self._dut.o.payload):
            if valid and token.end:
                self.accepted.append(bytes(frame))
                frame.clear()
            elif valid:
                frame.append(token.octet)

    async def _count(self, ctx) -> None:
        async for _, _, *values in ctx.tick().sample(*(getattr(self._dut, name) for name in self.pulses)):
            for name, value in zip(self.pulses, values, strict=True):
                self.pulses[name] += value


def frame(kind: BridgeKind, seq: int = 0, body: bytes = b"") -> bytes:
    return bytes((kind, seq, 0)) + body


@pytest.mark.parametrize("seq", [0, 1, 127, 200, 255])
def test_before_the_first_reset_no_frame_is_accepted_nor_asked_for(seq: int) -> None:
    told = Told([frame(BridgeKind.REG_WRITE, seq, bytes(8)), frame(BridgeKind.ACK, seq)])
    assert told.accepted == []
    assert told.pulses == {"heard": 2, "owed": 0, "missed": 0, "started": 0}


def test_after_a_reset_frames_come_in_order_once_and_gaps_are_told_of_once() -> None:
    reset = frame(BridgeKind.RESET, 77, b"1234")
    ones = [frame(BridgeKind.WRITE, seq, bytes((seq,)) * 12) for seq in range(4)]
    told = Told([ones[0], reset, ones[0], ones[0], ones[2], ones[3], ones[1], ones[2]])
    assert told.accepted == [bytes((BridgeKind.WRITE,)) + bytes((seq,)) * 12 for seq in range(3)]
    assert told.pulses == {"heard": 8, "owed": 4, "missed": 1, "started": 1}
