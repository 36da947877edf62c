"""Segments and errors that somebody else may have sent: they do no harm (RFC 5961, RFC 5927, RFC 7323, RFC 4987)."""

import random
from errno import ECONNRESET, EHOSTUNREACH

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from hardwire.stack import socket as api
from hardwire.stack.core.tcp_states import TCP_ESTABLISHED
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.tcp_pair import PORT, Scripted, seconds


@pytest.fixture
def peer():
    return Scripted()


@pytest.mark.parametrize("offset", [-100, 70000, 1 << 31])
def test_an_rst_outside_the_window_does_nothing(peer, offset):
    sock = peer.accept()
    peer.receive("R", seq=peer.seq + offset)
    assert sock.sk.sk_state == TCP_ESTABLISHED


def test_an_rst_inside_the_window_is_challenged_and_the_exact_one_counts(peer):
    sock = peer.accept()
    (answer,) = peer.receive("R", seq=peer.seq + 10)
    assert (answer.flags, answer.seq, answer.ack) == ("A", peer.ack, peer.seq)
    assert peer.mib["TcpExt:TCPChallengeACK"] == 1
    assert peer.receive("R", seq=peer.seq + 11) == []  # Not so soon again.
    peer.receive("R", seq=peer.seq)
    with raises(ECONNRESET):
        sock.recv(1)
    sock.close()
    peer.check_memory()


def test_a_syn_within_a_connection_is_challenged(peer):
    sock = peer.accept()
    (answer,) = peer.receive("S", seq=peer.seq + 5)
    assert (answer.flags, answer.ack) == ("A", peer.seq)
    assert peer.mib["TcpExt:TCPSYNChallenge"] == 1
    assert sock.sk.sk_state == TCP_ESTABLISHED


def test_an_ack_of_what_was_never_sent_is_answered_and_ignored(peer):
    sock = peer.accept()
    (answer,) = peer.receive("A", ack=peer.ack + 1000)
    assert answer.ack == peer.seq
    peer.receive("PA", b"forged", ack=peer.ack + (1 << 30), seq=peer.seq)
    with pytest.raises(BlockingIOError):
        sock.recv(10, api.MSG_DONTWAIT)


def test_an_old_time_stamp_is_refused(peer):
    sock = peer.accept(options=[("Timestamp", (1000, 0))])
    peer.tsval = 1010
    peer.receive("PA", b"new")
    assert sock.recv(10) == b"new"
    (answer,) = peer.receive("PA", b"old", seq=peer.seq, options=[("Timestamp", (900, 0))])
    assert answer.ack == peer.seq
    assert peer.mib["TcpExt:PAWSEstab"] == 1
    with pytest.raises(BlockingIOError):
        sock.recv(10, api.MSG_DONTWAIT)


def test_a_wrong_checksum_is_counted_and_dropped(peer):
    sock = peer.accept()
    frame = bytearray(peer.segment("PA", b"x" * 200))
    frame[-1] ^= 1
    peer.host.receive(bytes(frame))
    peer.run()
    assert (peer.mib["Tcp:InCsumErrors"], peer.mib["Tcp:InErrs"]) == (1, 1)
    with pytest.raises(BlockingIOError):
        sock.recv(10, api.MSG_DONTWAIT)


def icmp_about(segment, kind: int, code: int, **fields) -> bytes:
    inner = IP(src="10.0.0.2", dst="10.0.0.1") / TCP(bytes(segment)[:8] + bytes(12))
    outer = IP(src="10.0.0.1", dst="10.0.0.2") / ICMP(type=kind, code=code, **fields)
    return bytes(Ether(src=PEER_MAC, dst=MY_MAC) / outer / bytes(inner)[:28])


def test_an_icmp_error_ends_a_connect_but_not_a_connection(peer):
    sock, syn = peer.connecting()
    peer.host.receive(icmp_about(syn, 3, 1))
    peer.run()
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == EHOSTUNREACH
    other = peer.connect()
    other.send(b"x")
    (data,) = peer.sent()
    peer.host.receive(icmp_about(data, 3, 1))
    peer.run()
    assert other.sk.sk_state == TCP_ESTABLISHED
    sysctl(peer.net, "net.ipv4.tcp_retries2", 3)
    with raises(EHOSTUNREACH):
        other.recv(1)


def test_an_icmp_error_about_what_was_never_sent_is_ignored(peer):
    sock = peer.connect()
    sock.send(b"x")
    (data,) = peer.sent()
    data.seq += 5000
    peer.host.receive(icmp_about(data, 3, 4, nexthopmtu=600))
    peer.run()
    assert peer.mib["TcpExt:OutOfWindowIcmps"] == 1


def test_segments_get_shorter_when_the_way_says_so(peer):
    sock = peer.connect()
    sock.send(b"x" * 2920)
    first, *_ = peer.sent()
    peer.host.receive(icmp_about(first, 3, 4, nexthopmtu=600))
    peer.run()
    again = [segment for segment in peer.sent() if segment.payload]
    assert again
    assert max(len(segment.payload) for segment in again) <= 560
    assert peer.mib["TcpExt:TCPTimeouts"] == 0


def test_syn_cookies_make_a_connection_out_of_an_ack_alone(peer):
    sysctl(peer.net, "net.ipv4.tcp_syncookies", 2)
    options = [("SAckOK", b""), ("Timestamp", (5, 0)), ("NOP", None), ("WScale", 6)]
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(5)
    (synack,) = peer.receive("S", options=[("MSS", 1440), *options])
    assert (listener.sk.qlen, peer.net.ipv4.tcp_hashinfo.ehash) == (0, {})
    echo = dict(synack.options)["Timestamp"][0]
    peer.ack = synack.seq + 1
    # A guess is none.
    (rst,) = peer.receive("A", ack=peer.ack + 1000, options=[("Timestamp", (6, echo))])
    assert (rst.flags, peer.mib["TcpExt:SyncookiesFailed"]) == ("R", 1)
    peer.receive("A", options=[("Timestamp", (6, echo))])
    sock, _ = listener.accept()
    opt = sock.sk.rx_opt
    assert (opt.mss_clamp, opt.snd_wscale, opt.sack_ok, opt.tstamp_ok) == (1440, 6, True, True)
    peer.receive("PA", b"hello", options=[("Timestamp", (7, echo))])
    assert sock.recv(10) == b"hello"
    assert (peer.mib["TcpExt:SyncookiesSent"], peer.mib["TcpExt:SyncookiesRecv"]) == (1, 1)


def test_a_flood_of_syns_leaves_room_for_others(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(8)
    for number in range(400):
        peer.peer_port = 1024 + number
        peer.receive("S", seq=number, options=[("MSS", 1460)])
    assert listener.sk.qlen <= 9
    assert len(peer.net.ipv4.tcp_hashinfo.ehash) <= 9
    assert peer.mib["TcpExt:SyncookiesSent"] > 380
    peer.peer_port = 60000
    (synack,) = peer.receive("S", options=[("MSS", 1460)])
    peer.ack = synack.seq + 1
    peer.receive("PA", b"through")
    sock, _ = listener.accept()
    assert sock.recv(10) == b"through"


def test_mutated_segments_do_no_harm(peer):
    """Nothing crashes, memory is given back, and what the program reads is what the true peer has sent."""
    rng = random.Random(11)
    sock = peer.accept(options=[("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 3)])
    other = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    other.bind(("10.0.0.2", PORT + 1))
    other.listen(3)
    got = b""
    sent = b""
    for number in range(1500):
        peer.tsval = 10 + number
        flags = rng.choice(["PA", "A", "S", "SA", "FA", "R", "RA", "PAU", "FSRPAU", ""])
        payload = rng.randbytes(rng.randrange(60))
        if number % 2:
            # A forger knows the ports, but no number: each field may be anything else, with a right checksum.
            seq = peer.seq + rng.randrange(1 << 30, 3 << 30)
            options = [("Timestamp", (rng.getrandbits(32), 0)), ("SAck", (rng.getrandbits(32), rng.getrandbits(32)))]
            ack, urgent = rng.getrandbits(32), rng.getrandbits(16)
            frame = peer.segment(flags, payload, seq=seq, ack=ack, options=options[rng.randrange(3) :], urgptr=urgent)
        else:
            octets = bytearray(peer.segment(flags, payload))
            for _ in range(rng.randrange(1, 4)):
                octets[rng.randrange(34, len(octets))] ^= rng.randrange(1, 256)
            if rng.random() < 0.3:
                del octets[rng.randrange(34, len(octets)) :]
            frame = bytes(octets)
        peer.host.receive(frame)
        peer.run(0)
        if not number % 10 and sock.sk.sk_state == TCP_ESTABLISHED:
            text = b"%d;" % number
            peer.receive("PA", text)
            sent += text
            try:
                got += sock.recv(1000, api.MSG_DONTWAIT)
            except BlockingIOError:
                pass
    assert sock.sk.sk_state == TCP_ESTABLISHED
    assert got == sent
    peer.run(seconds(100))
    sock.close()
    other.close()
    peer.run(seconds(2000))
    peer.check_memory()
