"""Our gateware block on frames that a simulated card has really sent."""

from amaranth.sim import Simulator
from hardwire.stack.socket import AF_PACKET, SOCK_RAW

from hdl.packet import ReadingTap
from sim.reading import ETHERTYPE, Reading

READINGS = [Reading(number, 0x1234_0000 + number) for number in range(20)]


def frames_of(host):
    """Let a host send readings in raw frames, and a datagram between any two; return the octets on the wire."""
    raw = host.net.socket(AF_PACKET, SOCK_RAW, 0)
    raw.bind(("eth0", 0))
    for reading in READINGS:
        raw.send(b"\xff" * 6 + host.dev.dev_addr + ETHERTYPE.to_bytes(2, "big") + reading.emit())
        host.net.socket().sendto(b"not for us", ("10.0.0.9", 9))
    host.world.advance(10_000_000)
    return [frame.octets for frame in host.nic.take_frames()]


def beats_of(frame):
    for at in range(0, len(frame), 4):
        part = frame[at : at + 4]
        yield {
            "data": int.from_bytes(part, "little"),
            "keep": (1 << len(part)) - 1,
            "last": int(at + 4 >= len(frame)),
            "error": 0,
        }


def test_tap_finds_every_reading_and_nothing_else(host):
    frames = frames_of(host)
    assert len(frames) > len(READINGS)  # ARP requests for the other datagrams.
    random = host.world.random("stalls")
    dut = ReadingTap(ETHERTYPE)
    found = []

    async def feed(ctx):
        for frame in frames:
            for beat in beats_of(frame):
                while random.random() < 0.2:
                    await ctx.tick()
                ctx.set(dut.i.payload, beat)
                ctx.set(dut.i.valid, 1)
                await ctx.tick().until(dut.i.ready)
                ctx.set(dut.i.valid, 0)
        for _ in range(20):
            await ctx.tick()

    async def take(ctx):
        while True:
            ctx.set(dut.o.ready, random.random() < 0.5)
            _, _, valid, ready, payload = await ctx.tick().sample(dut.o.valid, dut.o.ready, dut.o.payload)
            if valid and ready:
                found.append(Reading(payload.number, payload.value))

    simulator = Simulator(dut)
    simulator.add_clock(8e-9)
    simulator.add_testbench(feed)
    simulator.add_testbench(take, background=True)
    simulator.run()
    assert found == READINGS
