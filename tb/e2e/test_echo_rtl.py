"""The worked example: one echo request of 40 octets to 172.16.48.1, byte for byte on the wire, and its reply."""

from scapy.layers.inet import ICMP, IP
from scapy.layers.l2 import Ether

from hardwire.sim.lan import Lan
from hardwire.sim.machine import Setup
from hardwire.sim.world import World
from hardwire.stack import socket as api
from hardwire.tb.bench import seed

HERE, THERE = "172.16.48.2", "172.16.48.1"


def test_an_echo_request_by_hand_is_answered() -> None:
    lan = Lan(
        World(seed=seed()),
        [
            Setup(address=f"{HERE}/24", mac=bytes.fromhex("020000000002")),
            Setup(address=f"{THERE}/24", mac=bytes.fromhex("020000000001")),
        ],
    )
    sent: list[bytes] = []
    received: list[bytes] = []
    card = lan.machines[0].nic
    card.on_frames = lambda frames: sent.extend(frame.octets for frame in frames)
    card.on_received = lambda frames: received.extend(frame.octets for frame in frames)
    request = bytes(ICMP(type=8, id=0x1234, seq=1) / (b"E" * 32))
    assert len(request) == 40
    reply = bytes(ICMP(type=0, id=0x1234, seq=1) / (b"E" * 32))

    def program() -> None:
        with lan.machines[0].net.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP) as sock:
            assert sock.sendto(request, (THERE, 0)) == 40
            packet, address = sock.recvfrom(100)
            assert (packet[20:], address) == (reply, (THERE, 0))
            assert len(packet) == 60

    lan.world.run(program)
    (there,) = [octets for octets in sent if octets[12:14] == b"\x08\x00"]
    (back,) = [octets for octets in received if octets[12:14] == b"\x08\x00"]
    for octets, source, target, message in ((there, HERE, THERE, request), (back, THERE, HERE, reply)):
        # The identification is up to the sender; the rest is RFC 791's and RFC 792's.
        packet = Ether(dst="02:00:00:00:00:01", src="02:00:00:00:00:02") / IP(
            src=source, dst=target, id=int.from_bytes(octets[18:20], "big"), flags=Ether(octets)[IP].flags, proto=1
        )
        if source == THERE:
            packet.src, packet.dst = packet.dst, packet.src
        assert octets[:74] == bytes(packet / message)
