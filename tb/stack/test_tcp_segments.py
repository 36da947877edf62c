"""One host and segments made by hand: what RFC 9293 and its successors want of each."""

import random
from errno import ECONNREFUSED, ECONNRESET, ETIMEDOUT

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.tcp_states import TCP_ESTABLISHED, TCP_SYN_RECV, TCP_SYN_SENT
from hardwire.stack.sysctl import sysctl
from hardwire.tb.stack.inet_host import MS, raises
from hardwire.tb.stack.tcp_pair import PORT, Scripted, seconds


@pytest.fixture
def peer():
    return Scripted()


def test_a_syn_has_the_options_of_linux(peer):
    sock = peer.connect()
    names = [name for name, _ in peer.syn.options]
    assert names == ["MSS", "SAckOK", "Timestamp", "NOP", "WScale"]
    assert dict(peer.syn.options)["MSS"] == 1460
    assert peer.syn.window == 64240
    sock.close()


def test_a_syn_ack_has_the_options_that_the_syn_has(peer):
    peer.accept(options=[("SAckOK", b""), ("Timestamp", (5, 0)), ("NOP", None), ("WScale", 7)])
    names = [name for name, _ in peer.synack.options]
    assert names == ["MSS", "SAckOK", "Timestamp", "NOP", "WScale"]
    assert dict(peer.synack.options)["Timestamp"][1] == 5


def test_a_plain_syn_gets_a_plain_answer(peer):
    peer.accept()
    assert [name for name, _ in peer.synack.options] == ["MSS"]


def test_segments_are_no_longer_than_the_peer_takes(peer):
    sock = peer.accept(mss=500)
    sock.send(b"x" * 1200)
    assert [len(bytes(segment.payload)) for segment in peer.sent()] == [500, 500, 200]


def test_first_sequence_numbers_depend_on_the_flow_and_the_time(peer):
    numbers = set()
    for port in range(41000, 41010):
        peer.peer_port, peer.seq = port, 1000
        sock = peer.accept()
        numbers.add(peer.isn)
        sock.setsockopt(api.SOL_SOCKET, api.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        peer.sent()
    assert len(numbers) == 10


def test_a_segment_to_nobody_is_answered_with_rst(peer):
    (answer,) = peer.receive("S", seq=77)
    assert (answer.flags, answer.seq, answer.ack) == ("RA", 0, 78)
    (answer,) = peer.receive("A", seq=77, ack=4711)
    assert (answer.flags, answer.seq, answer.ack) == ("R", 4711, 0)
    assert peer.receive("R", seq=77) == peer.receive("RA", seq=77, ack=3) == []
    (answer,) = peer.receive("PA", b"abc", seq=77, ack=9)
    assert (answer.flags, answer.seq) == ("R", 9)


def test_a_listener_refuses_an_ack_and_ignores_rst(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(1)
    (answer,) = peer.receive("A", ack=55)
    assert (answer.flags, answer.seq) == ("R", 55)
    assert peer.receive("R") == peer.receive("F", seq=3) == []
    assert listener.sk.qlen == 0


def test_a_syn_ack_is_repeated_and_given_up(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(1)
    sysctl(peer.net, "net.ipv4.tcp_synack_retries", 2)
    assert len(peer.receive("S", options=[("MSS", 1460)])) == 1
    peer.run(seconds(30))
    assert [segment.flags for segment in peer.sent()] == ["SA", "SA"]
    assert listener.sk.qlen == 0
    listener.close()
    peer.run(seconds(1))
    peer.check_memory()


def test_a_syn_that_comes_again_is_answered_again(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", PORT))
    listener.listen(1)
    (first,) = peer.receive("S", options=[("MSS", 1460)])
    peer.run(seconds(0.6))
    (again,) = peer.receive("S", seq=1000, options=[("MSS", 1460)])
    assert again.seq == first.seq


def test_an_ack_of_what_was_not_sent_refuses_a_syn_sent(peer):
    sock, syn = peer.connecting()
    peer.peer_port, peer.port = PORT, syn.sport
    (answer,) = peer.receive("SA", ack=syn.seq + 500)
    assert (answer.flags, answer.seq) == ("R", syn.seq + 500)
    assert sock.sk.sk_state == TCP_SYN_SENT
    assert peer.receive("RA", ack=syn.seq) == []  # Not the number: it may be forged.
    assert sock.sk.sk_state == TCP_SYN_SENT
    peer.receive("RA", ack=syn.seq + 1)
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == ECONNREFUSED


def test_syns_of_both_cross_each_other(peer):
    sock, syn = peer.connecting()
    peer.peer_port, peer.port = PORT, syn.sport
    (answer,) = peer.receive("S", options=[("MSS", 1000)])
    assert (answer.flags, answer.seq, answer.ack) == ("SA", syn.seq, peer.seq)
    assert sock.sk.sk_state == TCP_SYN_RECV
    peer.receive("A", ack=syn.seq + 1)
    assert sock.sk.sk_state == TCP_ESTABLISHED


def test_data_out_of_order_is_told_of_by_blocks_and_handed_over_in_order(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    start = peer.seq
    (ack,) = peer.receive("PA", b"C" * 10, seq=start + 20)
    assert (ack.ack, dict(ack.options)["SAck"]) == (start, (start + 20, start + 30))
    (ack,) = peer.receive("PA", b"E" * 10, seq=start + 40)
    assert dict(ack.options)["SAck"] == (start + 40, start + 50, start + 20, start + 30)
    (ack,) = peer.receive("PA", b"D" * 10, seq=start + 30)
    assert dict(ack.options)["SAck"] == (start + 20, start + 50)
    (ack,) = peer.receive("PA", b"A" * 10, seq=start)
    assert (ack.ack, dict(ack.options)["SAck"]) == (start + 10, (start + 20, start + 50))
    (ack,) = peer.receive("PA", b"B" * 10, seq=start + 10)
    assert (ack.ack, [name for name, _ in ack.options if name == "SAck"]) == (start + 50, [])
    assert sock.recv(100) == b"".join(letter * 10 for letter in (b"A", b"B", b"C", b"D", b"E"))
    (ack,) = peer.receive("PA", b"B" * 10, seq=start + 10)
    assert dict(ack.options)["SAck"] == (start + 10, start + 20)  # A D-SACK.
    assert peer.mib["TcpExt:TCPDSACKOldSent"] == 1


def test_pieces_that_overlap_are_put_together_once(peer):
    sock = peer.accept(options=[("SAckOK", b"")])
    start = peer.seq
    text = bytes(range(200))
    rng = random.Random(7)
    for _ in range(60):
        low = rng.randrange(200)
        high = min(200, low + rng.randrange(1, 40))
        peer.receive("PA", text[low:high], seq=start + low)
    for low in range(0, 200, 50):
        peer.receive("PA", text[low : low + 50], seq=start + low)
    assert sock.recv(1000) == text
    assert sock.sk.out_of_order_queue == []
    sock.close()


def test_a_fin_that_comes_early_ends_only_when_all_is_there(peer):
    sock = peer.accept()
    start = peer.seq
    peer.receive("FA", b"world", seq=start + 6)
    with pytest.raises(BlockingIOError):
        sock.recv(10, api.MSG_DONTWAIT)
    peer.receive("PA", b"hello ", seq=start)
    assert (sock.recv(20), sock.recv(20)) == (b"hello world", b"")


def test_short_segments_wait_for_the_acknowledgement_of_the_last(peer):
    sock = peer.accept()
    sock.send(b"a")
    sock.send(b"b")
    sock.send(b"c")
    (first,) = peer.sent()
    assert bytes(first.payload) == b"a"
    (second,) = peer.receive("A", ack=peer.ack + 1)
    assert bytes(second.payload) == b"bc"


def test_without_nagle_they_go_at_once(peer):
    sock = peer.accept()
    sock.setsockopt(api.SOL_TCP, api.TCP_NODELAY, 1)
    for letter in (b"a", b"b", b"c"):
        sock.send(letter)
    assert [bytes(segment.payload) for segment in peer.sent()] == [b"a", b"b", b"c"]


def test_what_is_corked_waits_for_a_whole_segment_or_the_end_of_the_cork(peer):
    sock = peer.accept(mss=100)
    sock.setsockopt(api.SOL_TCP, api.TCP_CORK, 1)
    sock.send(b"x" * 60)
    assert peer.sent() == []
    sock.send(b"x" * 60)
    assert [len(bytes(segment.payload)) for segment in peer.sent()] == [100]
    sock.setsockopt(api.SOL_TCP, api.TCP_CORK, 0)
    peer.receive("A", ack=peer.ack + 100)
    peer.run(seconds(1))
    sock.send(b"head", api.MSG_MORE)


def test_acks_are_delayed_in_a_dialogue_but_two_segments_are_acknowledged_at_once(peer):
    sock = peer.accept()
    for _ in range(30):  # Until it is in no hurry any more.
        peer.receive("PA", b"question")
        sock.recv(100)
        sock.send(b"answer")
        peer.ack += 6
        peer.receive("A")
    assert peer.receive("PA", b"question") == []
    peer.run(39 * MS)
    assert peer.sent() == []
    peer.run(170 * MS)
    (ack,) = peer.sent()
    assert ack.ack == peer.seq
    assert peer.mib["TcpExt:DelayedACKs"] >= 1


def test_a_lost_segment_is_sent_again_twice_as_late_each_time(peer):
    sock = peer.accept()
    sock.send(b"x")
    times = []
    for _ in range(4000):
        peer.run(4 * MS)
        times += [peer.platform.now_ns() // MS for _ in peer.sent()]
    gaps = [later - earlier for earlier, later in zip(times[1:], times[2:], strict=False)]
    assert len(gaps) >= 4
    assert all(abs(later - 2 * earlier) <= 8 for earlier, later in zip(gaps, gaps[1:], strict=False))
    assert peer.mib["TcpExt:TCPTimeouts"] == len(times) - 1


def test_a_window_of_nothing_is_probed_and_opens_again(peer):
    sock = peer.accept()
    peer.receive("A", window=0)
    sock.send(b"x" * 10)
    assert peer.sent() == []
    peer.run(seconds(10))
    probes = peer.sent()
    assert len(probes) >= 3
    assert {(str(probe.flags), probe.seq, len(probe.payload)) for probe in probes} == {("A", peer.ack - 1, 0)}
    (data,) = peer.receive("A", window=1000)
    assert bytes(data.payload) == b"x" * 10


def test_the_window_that_is_told_never_shrinks(peer):
    sock = peer.accept()
    right = 0
    for _ in range(200):
        for segment in peer.receive("PA", b"x" * 1000):
            edge = segment.ack + segment.window
            assert edge >= right
            right = edge
        if right <= peer.seq:
            break
    peer.run(seconds(1))
    total = 0
    while True:
        try:
            total += len(sock.recv(1 << 20, api.MSG_DONTWAIT))
        except BlockingIOError:
            break
    assert total <= 200_000
    assert any(segment.window > 10000 for segment in peer.sent())


def test_urgent_data_is_beside_the_rest(peer):
    sock = peer.accept()
    peer.receive("PAU", b"abcX", urgptr=4)
    peer.receive("PA", b"def")
    assert sock.poll(0x2, 0) == 0x2  # POLLPRI
    assert sock.recv(1, api.MSG_OOB) == b"X"
    assert sock.recv(10) == b"abc"
    assert sock.recv(10) == b"def"
    sock.send(b"!", api.MSG_OOB)
    (segment,) = [segment for segment in peer.sent() if segment.payload]
    assert (str(segment.flags), segment.urgptr) == ("PAU", 1)


def test_time_wait_answers_and_takes_a_new_syn(peer):
    sock = peer.accept()
    sock.close()
    (fin,) = peer.sent()
    peer.ack = fin.seq + 1
    (ack,) = peer.receive("FA")
    assert ack.ack == peer.seq
    peer.run(seconds(1))
    (again,) = peer.receive("FA", seq=peer.seq - 1)
    assert again.ack == peer.seq
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.setsockopt(api.SOL_SOCKET, api.SO_REUSEADDR, 1)
    info = peer.net.ipv4.tcp_hashinfo
    (tw,) = info.ehash.values()
    tw.sk_reuse = True
    listener.bind(("10.0.0.2", PORT))
    listener.listen(1)
    (synack,) = peer.receive("S", seq=peer.seq + 100000, options=[("MSS", 1460)])
    assert (synack.flags, synack.ack) == ("SA", peer.seq + 100001)
    assert info.tw_count == 0


def test_congestion_is_told_of_once_a_window_and_answered(peer):
    sysctl(peer.net, "net.ipv4.tcp_ecn", 1)
    sock, syn = peer.connecting()
    assert str(syn.flags) == "SEC"
    peer.peer_port, peer.port, peer.ack = PORT, syn.sport, syn.seq + 1
    peer.receive("SAE", options=[("MSS", 1000)])
    sock.send(b"x" * 10000)
    window = sock.sk.snd_cwnd
    peer.sent()
    peer.receive("AE", ack=peer.ack + 1000)
    assert peer.mib["TcpExt:TCPDeliveredCE"] == 1
    peer.receive("AE", ack=peer.ack + 10000)
    assert sock.sk.snd_cwnd < window
    sock.send(b"y" * 100)
    (data,) = [segment for segment in peer.sent() if segment.payload]
    assert "C" in str(data.flags)


def test_keepalive_that_nobody_answers_ends_it(peer):
    sock = peer.accept()
    for option, value in ((api.TCP_KEEPIDLE, 2), (api.TCP_KEEPINTVL, 1), (api.TCP_KEEPCNT, 2)):
        sock.setsockopt(api.SOL_TCP, option, value)
    sock.setsockopt(api.SOL_SOCKET, api.SO_KEEPALIVE, 1)
    with raises(ETIMEDOUT):
        sock.recv(1)
    flags = [str(segment.flags) for segment in peer.sent()]
    assert flags == ["A", "A", "RA"]


def test_what_was_taken_before_an_error_is_said_first_and_the_error_then(peer):
    sock = peer.accept()
    rst = peer.segment("R")
    peer.platform.timer(peer.platform.now_ns() + 10 * MS, lambda: peer.host.receive(rst))
    taken = sock.send(b"x" * 5_000_000)
    assert 0 < taken < 5_000_000
    with raises(ECONNRESET):
        sock.send(b"x")


def test_what_arrives_together_with_the_end_of_a_handshake_is_not_lost(peer):
    listener = peer.net.socket(api.AF_INET, api.SOCK_STREAM)
    listener.bind(("10.0.0.2", peer.port))
    listener.listen(5)
    (synack,) = peer.receive("S", options=[("MSS", 1460)])
    peer.ack = synack.seq + 1
    peer.host.dev.arrived.append(peer.segment("A"))
    peer.host.dev.arrived.append(peer.segment("PA", b"hello"))
    peer.seq += 5
    assert peer.receive("FA")
    peer.run(100 * MS)
    sock, _ = listener.accept()
    assert (sock.recv(100), sock.recv(100)) == (b"hello", b"")
    assert peer.mib["Tcp:AttemptFails"] == 0
