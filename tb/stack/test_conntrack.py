"""Connections: how long they live, how many there may be, and what else they are good for."""

from hardwire.stack.core.dev_register import dev_close, dev_open
from hardwire.stack.iproute import addr_add, addr_del
from hardwire.stack.netfilter.core import NF_ACCEPT, nf_reinject
from hardwire.stack.netfilter.nf_conntrack_standalone import ct_cpu_seq_show, ct_seq_show
from hardwire.stack.nft import nft
from hardwire.stack.proc import proc_net
from hardwire.tb.stack.inet_host import SECOND, InetHost
from hardwire.tb.stack.nat import MASQUERADE, ROUTER, THERE, Nat, filtering


def test_connections_end_when_their_time_is_over():
    nat = Nat()
    nat.here.sendto(b"x", THERE)
    nat.run(10_000_000)
    source = nat.there.recvfrom(10)[1]
    (line,) = ct_seq_show(nat.r.net)
    assert line.startswith("ipv4     2 udp      17 29 ")
    assert "[UNREPLIED]" in line
    nat.platform.advance(29 * SECOND)
    nat.there.sendto(b"y", source)
    nat.run()
    assert nat.here.recv(10) == b"y"
    assert "[UNREPLIED]" not in ct_seq_show(nat.r.net)[0]
    assert proc_net(nat.r.net, "nf_conntrack") == ct_seq_show(nat.r.net)[0] + "\n"
    nat.run(3 * SECOND)
    nat.here.sendto(b"z", THERE)  # It has lasted for more than 2 s: a stream.
    nat.run(10_000_000)
    (line,) = ct_seq_show(nat.r.net)
    assert line.startswith("ipv4     2 udp      17 119 ")
    assert "[ASSURED]" in line
    nat.platform.advance(119 * SECOND)
    assert len(ct_seq_show(nat.r.net)) == 1
    nat.platform.advance(2 * SECOND)
    nat.there.sendto(b"late", source)
    nat.run()
    assert not ct_seq_show(nat.r.net) or "10.0.1.1" not in ct_seq_show(nat.r.net)[0]


def test_a_timer_ends_what_nobody_asks_for_and_stops_then():
    nat = Nat()
    nat.exchange()
    assert nat.ct.count == 1
    nat.platform.advance(200 * SECOND)
    assert (nat.ct.count, nat.ct.hash, nat.ct.conntracks, nat.r.net.nf.nat.bysource) == (0, {}, {}, {})
    assert nat.ct.gc_timer.timer is None


def test_a_full_table_drops_new_connections_and_says_so():
    nat = Nat()
    nat.ct.sysctl_max = 1
    nat.exchange()
    other = nat.a.socket()
    other.sendto(b"x", THERE)
    nat.run()
    assert nat.ct.stat["drop"] == 1
    assert nat.r.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert nat.r.kernel.log[-1] == "nf_conntrack: nf_conntrack: table full, dropping packet"
    assert nat.exchange() == (ROUTER, 5000)


def test_in_a_full_table_what_is_not_assured_makes_room():
    nat = Nat()
    nat.ct.sysctl_max = 4
    nat.ct.htable_size = 4
    for _ in range(8):
        sock = nat.a.socket()
        sock.sendto(b"x", THERE)
        nat.run()
        nat.there.recv(10)
    assert nat.ct.count == 4
    assert nat.ct.stat["early_drop"] == 4


def test_connections_of_a_device_that_goes_down_end():
    nat = Nat()
    nat.exchange()
    dev_close(nat.r.dev)
    assert nat.ct.count == 1
    dev_close(nat.far)
    assert nat.ct.count == 0


def test_connections_of_an_address_that_goes_end():
    nat = Nat()
    nat.exchange()
    addr_add(nat.far, "10.0.3.1/24")
    addr_del(nat.far, "10.0.3.1/24")
    assert nat.ct.count == 1
    addr_del(nat.far, "10.0.2.254/24")
    assert nat.ct.count == 0


def test_what_is_dropped_behind_the_translation_is_forgotten():
    nat = Nat(MASQUERADE + filtering("udp dport 9000 drop", "postrouting", 200))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert (nat.ct.count, nat.r.net.nf.nat.bysource) == (0, {})


def test_a_packet_that_is_not_tracked_is_not_translated():
    rules = "table ip raw {\nchain pre {\ntype filter hook prerouting priority raw\nudp sport 5000 notrack\n}\n"
    nat = Nat(MASQUERADE + rules + "chain f {\ntype filter hook forward priority 0\nct state untracked counter\n}\n}")
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.there.recvfrom(10) == (b"x", ("10.0.1.1", 5000))
    assert "ct state untracked counter packets 1 bytes 29" in nat.nft("list ruleset")


def test_marks_of_connections_come_back_to_packets():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority 0
                ct direction original meta mark set 0x15 ct mark set meta mark
                ct direction reply meta mark set ct mark
                meta mark 0x15 counter
            }
        }"""
    )
    nat.exchange()
    assert "meta mark 0x00000015 counter packets 2 " in nat.nft("list ruleset")
    assert "mark=21 " in ct_seq_show(nat.r.net)[0]


def test_two_packets_of_one_new_connection_that_wait_share_it():
    nat = Nat(filtering("udp dport 9000 queue num 3") + MASQUERADE)
    held = []
    nat.r.net.nf.queue_handler = lambda entry: held.append(entry) or 0
    nat.here.sendto(b"1", THERE)
    nat.here.sendto(b"2", THERE)
    nat.run()
    for entry in held:
        nf_reinject(entry, NF_ACCEPT)
    nat.run()
    assert {nat.there.recvfrom(10)[0] for _ in held} == {b"1", b"2"}
    assert (nat.ct.count, nat.ct.stat["clash_resolve"]) == (1, 1)


def test_what_a_host_sends_to_itself_is_one_connection():
    host = InetHost()
    dev_open(host.net.loopback_dev)
    nft(host.net, filtering("ct state new counter", "input"))
    server, client = host.socket(), host.socket()
    server.bind(("127.0.0.1", 7))
    client.sendto(b"x", ("127.0.0.1", 7))
    data, source = server.recvfrom(10)
    server.sendto(data, source)
    assert client.recv(10) == b"x"
    assert host.net.nf.conntrack.count == 1
    assert "counter packets 1 " in nft(host.net, "list ruleset")


def test_counters_are_shown_as_proc_shows_them():
    nat = Nat()
    nat.exchange()
    names, values = ct_cpu_seq_show(nat.r.net)
    table = dict(zip(names.split(), (int(value, 16) for value in values.split()), strict=True))
    assert (table["entries"], table["invalid"], table["drop"]) == (1, 0, 0)
