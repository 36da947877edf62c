"""Segments with faults to connections in every state: no crash, no accepted forgery (RFC 9293, RFC 5961, RFC 7323)."""

from errno import EAGAIN, EPIPE

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.tcp_states import TCP_ESTABLISHED, TCP_SYN_RECV
from hardwire.stack.sysctl import sysctl
from hardwire.tb.bench import seed
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.tcp_memory import check_queues
from hardwire.tb.stack.tcp_mutated import STATES, Attacked
from hardwire.tb.stack.tcp_oracle import FIN
from hardwire.tb.stack.tcp_pair import PORT, Scripted, seconds

SEED = seed()
_BATCH = 500


def attack(segments: int) -> None:
    """Send so many segments with faults; nothing is changed by one that must not, and all is counted."""
    print(f"HARDWIRE_SEED={SEED}")
    world = Attacked(SEED)
    for number in range(segments):
        try:
            world.step()
            if not number % _BATCH:
                world.check()
        except Exception as error:
            raise AssertionError(f"HARDWIRE_SEED={SEED}, segment {number}: {error}") from error
    world.close()
    print({f"{state}{' refused' if no else ''}": number for (state, no), number in sorted(world.counts.items())})
    for state in STATES:
        assert world.counts[state, True] > segments // 200
        assert world.counts[state, False] > segments // 2000 or state == "CLOSED"


def test_mutated_segments_change_nothing_that_they_must_not():
    attack(6_000)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_million_mutated_segments_change_nothing_that_they_must_not():
    attack(1_000_000)


@pytest.fixture
def peer():
    return Scripted()


def test_data_behind_the_fin_of_the_peer_is_not_delivered(peer):
    sock = peer.accept()
    peer.receive("FA", b"last")
    assert sock.recv(10) == b"last"
    (answer,) = peer.receive("PA", b"t\0and more", seq=peer.seq - 2)
    assert answer.flags == "R"
    assert peer.mib["TcpExt:TCPAbortOnData"] == 1
    with raises(EPIPE):
        sock.send(b"x")
    assert sock.recv(10) == b""


def test_what_came_early_and_is_behind_the_fin_is_not_delivered(peer):
    sock = peer.accept()
    sock.shutdown(api.SHUT_WR)
    peer.sent()
    peer.ack += 1
    peer.receive("A")
    peer.receive("PA", b"0123456789", seq=peer.seq + 3)
    peer.receive("FA", b"abcde")
    assert (sock.recv(100), sock.recv(100)) == (b"abcde", b"")


def test_in_a_simultaneous_open_an_ack_must_acknowledge_the_syn(peer):
    sock, syn = peer.connecting()
    peer.peer_port, peer.port = PORT, syn.sport
    peer.receive("S", options=[("MSS", 1000)])
    (answer,) = peer.receive("PA", b"forged", ack=syn.seq, seq=peer.seq)
    assert (answer.flags, answer.seq) == ("R", syn.seq)
    assert sock.sk.sk_state == TCP_SYN_RECV
    peer.receive("A", ack=syn.seq + 1)
    assert sock.sk.sk_state == TCP_ESTABLISHED


def test_data_with_an_acknowledgement_that_is_much_too_old_is_not_taken(peer):
    """RFC 5961 §5.2, on the fast path as well."""
    sock = peer.accept()
    for _ in range(2):  # Then memory is set apart, and the next one goes the short way.
        peer.receive("PA", b"genuine")
    peer.receive("PA", b"forged", ack=peer.ack - 70_000, seq=peer.seq)
    assert sock.recv(100) == b"genuinegenuine"
    with raises(EAGAIN):
        sock.recv(10, api.MSG_DONTWAIT)
    sock.send(b"x")
    peer.receive("PA", b"overtaken", ack=peer.ack)  # One that is only a little too old is good.
    assert sock.recv(10) == b"overtaken"


def test_a_longer_piece_takes_the_place_of_a_shorter_one_with_the_same_number(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    start = peer.seq
    peer.receive("PA", b"4567", seq=start + 4)
    (ack,) = peer.receive("PA", b"456789", seq=start + 4)
    assert dict(ack.options)["SAck"] == (start + 4, start + 8, start + 4, start + 10)  # A D-SACK in front.
    assert len(sock.sk.out_of_order_queue) == 1
    check_queues(sock.sk)
    peer.receive("PA", b"0123", seq=start)
    assert sock.recv(20) == b"0123456789"


def test_packets_that_are_fewer_after_a_part_was_acknowledged_are_counted_so(peer):
    sock = peer.accept(mss=1000, options=[("SAckOK", b"")])
    sysctl(peer.net, "net.ipv4.tcp_early_retrans", 0)  # No probe, but the timer.
    sock.send(b"x" * 1100)
    assert sock.sk.packets_out == 2
    peer.receive("A", ack=peer.ack + 600)
    peer.run(seconds(1))
    assert peer.mib["TcpExt:TCPTimeouts"] > 0
    assert sock.sk.packets_out == 1  # What is left of both.
    check_queues(sock.sk)
    peer.receive("A", ack=peer.ack + 1100)
    assert sock.sk.packets_out == 0


def test_an_ack_of_all_but_the_fin_of_a_long_packet_leaves_what_can_be_sent_again(peer):
    sock = peer.accept(mss=100, options=[("SAckOK", b"")])
    sock.send(b"x" * 1000)  # As much as the first window takes.
    sock.send(b"x" * 500)
    sock.shutdown(api.SHUT_WR)
    peer.ack += 1000
    peer.receive("A")
    (packet,) = sock.sk.tcp_rtx_queue
    assert (packet.cb.segs, packet.cb.tcp_flags & FIN) == (5, FIN)
    peer.receive("A", ack=peer.ack + 500)
    check_queues(sock.sk)
    peer.run(seconds(5))  # First a probe of the tail, then timeouts.
    check_queues(sock.sk)
    again = peer.sent()
    assert {(segment.seq, str(segment.flags), bytes(segment.payload)) for segment in again} == {
        (peer.ack + 500, "FPA", b"")
    }
    assert peer.mib["TcpExt:TCPTimeouts"] > 0
    peer.receive("A", ack=peer.ack + 501)
    assert (sock.sk.packets_out, len(sock.sk.tcp_rtx_queue)) == (0, 0)


def test_a_probe_of_the_tail_is_cut_by_the_size_that_segments_have_now(peer):
    """Blocks to tell of make segments shorter: there are more of them then than the size before them would give."""
    sock = peer.accept(mss=88, options=[("SAckOK", b"")])
    for gap in range(3):
        peer.receive("PA", b"x", seq=peer.seq + 10 + 10 * gap)
    sock.send(b"y" * 600)
    assert sock.sk.tcp_rtx_queue[-1].cb.segs > 600 // 88 + 1
    peer.sent()
    (ack,) = peer.receive("PA", b"x" * 40)
    assert ack.ack == peer.seq
    peer.run(seconds(3))
    check_queues(sock.sk)
    assert peer.mib["TcpExt:TCPLossProbes"] == 1
    assert b"".join(bytes(segment.payload) for segment in peer.sent()).strip(b"y") == b""


def test_an_rst_that_is_refused_does_not_change_the_time_stamp_of_a_request(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(5)
    peer.receive("S", options=[("MSS", 1460), ("Timestamp", (100, 0))])
    (request,) = listener.sk.listen_opts.values()
    peer.receive("R", b"xx", seq=peer.seq - 1, options=[("Timestamp", (1 << 30, 0))])
    assert request.ts_recent == 100
    assert listener.sk.qlen == 1
