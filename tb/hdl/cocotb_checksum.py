"""The transmit checksum block under Verilator, with frames by scapy and of every other kind."""

import random

from cocotb.triggers import ClockCycles
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_RR
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Packet, Raw

from hardwire.tb.cocotb_test import bench_test
from hardwire.tb.hdl.checksum_harness import ChecksumHarness
from hardwire.tb.hdl.checksum_model import L4, NONE, PARTIAL, Command, filled, random_case

MAX_OCTETS = 9018
CSUM_OFFSET = {UDP: 6, TCP: 16, ICMP: 2}


def ether(tags: int) -> Packet:
    packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for tag in range(tags):
        packet /= Dot1Q(vlan=100 + tag)
    return packet


def udp_frame(rng: random.Random, payload: bytes, *, tags: int = 0, options: int = 0) -> Packet:
    ip = IP(src=f"10.0.{rng.randrange(256)}.1", dst="10.0.0.2", id=rng.randrange(1 << 16), ttl=rng.randrange(1, 256))
    ip.options = [IPOption_NOP()] * options
    return ether(tags) / ip / UDP(sport=rng.randrange(1 << 16), dport=9000) / Raw(payload)


def case(packet: Packet, mode: int, rng: random.Random) -> tuple[bytes, Command, bytes]:
    """Return a frame whose checksums are not filled in, its command, and the frame that should come out."""
    expected = bytes(packet)
    packet = Ether(expected)
    network = packet[IP] if IP in packet else packet[IPv6]
    transport = network.payload
    l3_start = len(expected) - len(network)
    csum_start = len(expected) - len(transport)
    field = csum_start + CSUM_OFFSET[type(transport)]
    frame = bytearray(expected)
    if IP in packet:
        frame[l3_start + 10 : l3_start + 12] = rng.randbytes(2)
    command = Command(int(IP in packet), mode, l3_start * (IP in packet), csum_start, field - csum_start)
    if mode == L4:
        frame[field : field + 2] = rng.randbytes(2)
    elif mode == PARTIAL:
        frame[field : field + 2] = seed_of(expected[csum_start:], field - csum_start)
    return bytes(frame), command, expected


def seed_of(transport: bytes, at: int) -> bytes:
    """Return the pseudo header's sum: what is missing between the transport octets and a right checksum."""
    without = transport[:at] + b"\0\0" + transport[at + 2 :]
    own = int.from_bytes(filled(without, Command(0, PARTIAL, 0, 0, at))[at : at + 2], "big") ^ 0xFFFF
    right = int.from_bytes(transport[at : at + 2], "big") ^ 0xFFFF
    return ((right - own) % 0xFFFF).to_bytes(2, "big")


def header_sum(frame: bytes) -> int:
    """Return the plain sum of the IPv4 header's words, but for its checksum."""
    return sum(int.from_bytes(frame[at : at + 2], "big") for at in range(14, 34, 2) if at != 24)


@bench_test
async def frames_by_scapy_get_their_checksums(dut):
    bench = ChecksumHarness(dut, stalls=0.25)
    await bench.start()
    rng = bench.rng
    for _ in range(150):
        payload = rng.randbytes(rng.choice((rng.randrange(64), rng.randrange(1473))))
        packet = udp_frame(rng, payload, tags=rng.randrange(3), options=rng.randrange(0, 41, 4))
        mode = rng.choice((L4, PARTIAL))
        kind = rng.randrange(3)
        if kind == 1:
            packet[IP].remove_payload()
            packet[IP].proto = 6
            packet /= TCP(sport=1, dport=2, seq=rng.getrandbits(32)) / Raw(payload)
        elif kind == 2:
            packet[IP].remove_payload()
            packet[IP].proto = 1
            packet /= ICMP(id=rng.randrange(1 << 16)) / Raw(payload)
            mode = PARTIAL
        frame, command, expected = case(packet, mode, rng)
        model = filled(frame, command)
        if kind != 1:  # (A TCP checksum of 0 may be sent as either 0 or 0xFFFF.)
            assert kind == 2 or model == expected
        bench.send(frame, command, error=rng.random() < 0.1)
    await bench.finish()


@bench_test
async def every_length_around_the_edges_is_right(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    header = len(udp_frame(bench.rng, b""))
    lengths = [*range(70), *range(1466, 1474), *range(MAX_OCTETS - header - 8, MAX_OCTETS - header + 1)]
    for length in lengths:
        packet = udp_frame(bench.rng, bench.rng.randbytes(length))
        frame, command, expected = case(packet, bench.rng.choice((L4, PARTIAL)), bench.rng)
        bench.send(frame, command, expected=expected)
    await bench.finish()


@bench_test
async def fields_at_any_alignment_are_right(dut):
    bench = ChecksumHarness(dut, stalls=0.15)
    await bench.start()
    for _ in range(600):
        frame, command = random_case(bench.rng, max_octets=200)
        bench.send(frame, command, error=bench.rng.random() < 0.1)
    await bench.finish()


@bench_test
async def a_computed_udp_checksum_of_zero_goes_out_as_ffff(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for mode in (L4, PARTIAL):
        for length in (2, 3, 30, 1000):
            packet = udp_frame(bench.rng, bytes(length))
            right = int.from_bytes(bytes(packet)[40:42], "big")
            packet[Raw].load = right.to_bytes(2, "big") + bytes(length - 2)
            frame, command, expected = case(packet, mode, bench.rng)
            assert expected[40:42] == b"\xff\xff"
            bench.send(frame, command, expected=expected)
    await bench.finish()


@bench_test
async def a_header_sum_that_needs_two_carries_is_valid(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for source in ("10.0.0.1", "127.255.64.0", "192.168.77.1", "255.255.255.255"):
        packet = udp_frame(bench.rng, b"x")
        packet[IP].src = source
        packet[IP].dst = "255.255.255.254"
        packet[IP].id = 0
        packet[IP].id = 0xFFFF - header_sum(bytes(packet)) % 0x10000
        total = header_sum(bytes(packet))
        assert (total & 0xFFFF) + (total >> 16) > 0xFFFF
        frame, command, expected = case(packet, L4, bench.rng)
        bench.send(frame, command, expected=expected)
    await bench.finish()


@bench_test
async def ipv6_udp_goes_through_csum_start_and_csum_offset(dut):
    bench = ChecksumHarness(dut, stalls=0.2)
    await bench.start()
    for length in (*range(20), 1000, 1452):
        packet = ether(length % 2) / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP(sport=length + 1, dport=9000)
        frame, command, expected = case(packet / Raw(bench.rng.randbytes(length)), PARTIAL, bench.rng)
        bench.send(frame, command, expected=expected)
    await bench.finish()


@bench_test
async def options_and_tags_move_the_fields(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for tags in range(4):
        for options in range(0, 41, 4):
            for mode in (L4, PARTIAL):
                packet = udp_frame(bench.rng, b"hardwire", tags=tags, options=options)
                frame, command, expected = case(packet, mode, bench.rng)
                bench.send(frame, command, expected=expected)
        packet = (
            ether(tags) / IP(src="10.0.0.1", dst="10.0.0.2", options=IPOption_RR(length=7)) / ICMP() / Raw(b"ping!")
        )
        frame, command, expected = case(packet, PARTIAL, bench.rng)
        bench.send(frame, command)
    await bench.finish()


@bench_test
async def frames_with_error_vanish(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for number in range(300):
        frame, command, expected = case(udp_frame(bench.rng, bytes([number % 256]) * (number % 50)), L4, bench.rng)
        bench.send(frame, command, error=number % 3 != 0, expected=expected)
    for _ in range(6):
        bench.send(bench.rng.randbytes(MAX_OCTETS), Command(), error=True)
    bench.send(b"the end of it all", Command())
    await bench.finish()


@bench_test
async def back_to_back_frames_have_no_bubble_and_4_cycles_of_latency(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for number in range(200):
        payload = bytes(18 if number < 100 else bench.rng.randrange(18, 200))
        frame, command, expected = case(udp_frame(bench.rng, payload), L4, bench.rng)
        bench.send(frame, command, expected=expected)
    await bench.finish()
    bound = 4 if bench.octets <= 8 else 8
    beats = 0
    # The first frame waits for its command: the block is full of frames from the second one on.
    for number, frame in enumerate(bench.sink.frames):
        count = -(-len(frame.octets) // bench.octets)
        assert frame.last_cycle - frame.first_cycle == count - 1, "gap inside a frame"
        beats += count if number else 0
    assert bench.last_in[-1] - bench.last_in[0] == beats, "gap between frames going in"
    # The sink counts cycles from its start, four before the bench does.
    shift = 4
    latencies = {out.first_cycle - shift - last for out, last in zip(bench.sink.frames, bench.last_in, strict=True)}
    assert min(latencies) == bound, latencies
    # A longer frame before a short one holds up the latter, but the first of equal ones does not.
    first = {o.first_cycle - shift - last for o, last in list(zip(bench.sink.frames, bench.last_in, strict=True))[:100]}
    assert first == {bound}, first


@bench_test
async def queues_of_different_depth_do_not_lose_step_when_one_fills(dut):
    bench = ChecksumHarness(dut)
    bench.sink.stalls = 1.0
    await bench.start()
    for number in range(120):
        mode = (L4, PARTIAL, NONE)[number % 3]
        frame, command, _ = case(udp_frame(bench.rng, bytes(number)), mode, bench.rng)
        command = command if number % 7 else Command()
        bench.send(frame, command, error=number % 5 == 0)
    await ClockCycles(dut.clk, 3000)  # First the queue of sums fills,
    bench.sink.stalls = 0.0
    await bench.finish()
    bench.sink.stalls = 1.0
    for number in range(12):  # then the ring.
        packet = udp_frame(bench.rng, bench.rng.randbytes(6000 + number))
        bench.send(*case(packet, L4, bench.rng)[:2], error=number % 5 == 0)
    await ClockCycles(dut.clk, 12 * 6000 // bench.octets)
    bench.sink.stalls = 0.5
    await bench.finish()


@bench_test
async def a_frame_larger_than_the_ring_does_not_deadlock(dut):
    bench = ChecksumHarness(dut)
    await bench.start()
    for length in (MAX_OCTETS, 20_000, 100, 40_000, MAX_OCTETS):
        frame = bench.rng.randbytes(length)
        bench.send(frame, Command(0, PARTIAL, 0, 14, 40))
        if length > MAX_OCTETS:
            bench.expected.pop()
    await bench.finish()


@bench_test
async def a_frame_waits_for_its_command(dut):
    bench = ChecksumHarness(dut)
    bench.command_stalls = 0.97
    await bench.start()
    for _ in range(30):
        bench.send(*random_case(bench.rng, max_octets=100))
    await bench.finish()
    bench.command_stalls, bench.frame_stalls = 0.0, 0.9
    for _ in range(30):
        bench.send(*random_case(bench.rng, max_octets=100))
    await bench.finish()
