"""Packet sockets on veth, against the golden traces that were taken there."""

from dataclasses import replace
from socket import htons

from hardwire.stack import socket as api
from hardwire.tb.stack.golden import Rules, compare, read_golden
from hardwire.tb.stack.test_veth import RECEIVED, SENT, Namespaces, changed, traced, warmed

RULES = Rules.read("receive", "veth", "packet")
RULES = replace(RULES, ends={}, cut=RULES.cut - {"do_softirq"})  # Followed through the driver and the receive side.


def two_namespaces() -> Namespaces:
    namespaces = Namespaces(2)
    namespaces.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")
    return namespaces


def test_a_frame_goes_from_a_packet_socket_to_a_program_on_the_path_of_11a():
    two = two_namespaces()
    here, there = warmed(two, ("10.0.0.1", 5000), ("10.0.0.2", 9000))
    with two.nets[0].socket(api.AF_PACKET, api.SOCK_RAW, htons(3)) as tap:
        here.sendto(bytes(32), ("10.0.0.2", 9000))
        frame = tap.recv(100)
    frame = frame[:40] + bytes(2) + frame[42:]  # The device would have summed it.
    two.run()
    assert there.recv(100) == bytes(32)
    sock = two.nets[0].socket(api.AF_PACKET, api.SOCK_RAW, 0)
    sock.bind(("veth0", 0))
    before = [dict(net.mib) for net in two.nets]
    golden = read_golden("11a")
    sent = traced(lambda: sock.send(frame), "__x64_sys_sendto")
    compare(golden["A: send 74 byte frame"], sent, RULES)
    heard = traced(lambda: there.recv(100) == bytes(32) or [], "__x64_sys_recvfrom")
    compare(golden["B: recvfrom (udp)"], heard, RULES, ["udp_recvmsg"])
    assert [changed(net, mib) for net, mib in zip(two.nets, before, strict=True)] == [{}, RECEIVED]


def test_taps_at_both_ends_see_a_datagram_on_the_path_of_11b():
    two = two_namespaces()
    here, there = warmed(two, ("10.0.0.1", 5000), ("10.0.0.2", 9000))
    taps = [net.socket(api.AF_PACKET, api.SOCK_RAW, htons(3)) for net in two.nets]
    for tap in taps:
        tap.bind(("veth0", 3))
    before = [dict(net.mib) for net in two.nets]
    golden = read_golden("11b")
    sent = traced(lambda: here.sendto(bytes(32), ("10.0.0.2", 9000)), "__x64_sys_sendto")
    compare(golden["A: sendto 32 bytes"], sent, RULES, ["packet_rcv"])
    frames = []
    for tap, name in zip(taps, "AB", strict=True):
        heard = traced(lambda tap=tap: frames.append(tap.recv(100)), "__x64_sys_recvfrom")
        compare(golden[f"tap {name}: recvfrom"], heard, RULES)
    heard = traced(lambda: frames.append(there.recv(100)), "__x64_sys_recvfrom")
    compare(golden["B: recvfrom (udp)"], heard, RULES, ["udp_recvmsg"])
    assert [len(frame) for frame in frames] == [74, 74, 32]
    assert frames[0] == frames[1]
    assert [changed(net, mib) for net, mib in zip(two.nets, before, strict=True)] == [SENT, RECEIVED]
