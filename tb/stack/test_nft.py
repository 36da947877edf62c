"""Rules: what they let pass, count, limit, queue and log, and their text."""

from contextlib import suppress
from errno import EAFNOSUPPORT, EBUSY, EINVAL, EPERM

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from hardwire.sim.trace import Tracer
from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_open
from hardwire.stack.core.net import Net
from hardwire.stack.netfilter.core import NF_ACCEPT, NF_DROP, nf_reinject
from hardwire.stack.nft import nft
from hardwire.tb.stack.inet_host import SECOND, InetHost, raises
from hardwire.tb.stack.nat import MASQUERADE, ROUTER, THERE, Nat, filtering
from hardwire.tb.stack.routed import Routed


def test_without_rules_no_hook_is_asked():
    routed = Routed()
    here, there = routed.a.socket(), routed.b.socket()
    there.bind(THERE)

    def send() -> list[str]:
        with Tracer(lambda: 0) as tracer:
            here.sendto(b"x", THERE)
            routed.run()
        return [call.name for root in tracer.roots for _, call in root.walk()]

    assert "nf_hook_slow" not in send()
    nft(routed.r.net, MASQUERADE)
    assert "nf_conntrack_in" in send()
    nft(routed.r.net, "flush ruleset")
    assert routed.r.net.nf.hooks_ipv4 == [()] * 5
    assert "nf_hook_slow" not in send()


def test_a_chain_alone_has_only_its_own_hook():
    routed = Routed()
    nft(routed.r.net, filtering("udp dport 1 drop"))
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [0, 0, 1, 0, 0]
    nft(routed.r.net, "add rule t f ct state new accept")
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [2, 1, 1, 2, 1]
    nft(routed.r.net, "flush chain t f")
    assert [len(hooks) for hooks in routed.r.net.nf.hooks_ipv4] == [0, 0, 1, 0, 0]


def test_a_dropped_packet_is_counted():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority filter; policy drop
                udp dport 9000 accept
                counter
            }
        }"""
    )
    nat.here.sendto(b"x", ("10.0.2.1", 9001))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.there.recv(10) == b"x"
    assert nat.r.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert "counter packets 1 bytes 29" in nat.nft("list ruleset")
    assert len(nat.platform.buffers) == 0


def test_a_sender_is_told_what_its_own_host_drops():
    host = InetHost()
    nft(host.net, filtering("udp dport 9 drop", "output"))
    with raises(EPERM):
        host.socket().sendto(b"x", ("10.0.0.2", 9))


def test_a_limit_lets_a_burst_pass_and_then_its_rate():
    nat = Nat(
        """table ip t {
            chain f {
                type filter hook forward priority 0
                limit rate 10/second burst 3 packets accept
                drop
            }
        }"""
    )

    def passed(count: int) -> int:
        before = nat.b.mib["Ip:InDelivers"]
        for _ in range(count):
            nat.here.sendto(b"x", THERE)
        nat.run()
        return nat.b.mib["Ip:InDelivers"] - before

    assert passed(1) == 1
    nat.platform.advance(SECOND)
    assert passed(10) == 3
    nat.platform.advance(SECOND // 10)
    assert passed(10) == 1
    nat.platform.advance(10 * SECOND)
    assert passed(10) == 3


@pytest.mark.parametrize(("verdict", "arrives"), [(NF_ACCEPT, True), (NF_DROP, False)])
def test_others_decide_about_what_is_queued(verdict, arrives):
    nat = Nat(filtering("udp dport 9000 queue num 3") + MASQUERADE)
    held = []
    nat.r.net.nf.queue_handler = lambda entry: held.append(entry) or 0
    nat.here.sendto(b"x", THERE)
    nat.run()
    (entry,) = held
    assert entry.queue == 3
    nf_reinject(entry, verdict)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == arrives


def test_a_queue_that_nobody_takes_lets_pass_only_with_bypass():
    nat = Nat(filtering("udp dport 9000 queue num 3"))
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == 0
    nat.nft("flush chain t f\nadd rule t f queue num 3 bypass")
    nat.here.sendto(b"x", THERE)
    nat.run()
    assert nat.b.mib["Ip:InDelivers"] == 1


def test_a_packet_is_logged_as_linux_writes_it():
    nat = Nat(filtering('log prefix "seen: "'))
    nat.here.setsockopt(api.IPPROTO_IP, api.IP_TOS, 0x10)
    nat.here.sendto(bytes(32), THERE)
    nat.run()
    (line,) = nat.r.kernel.log
    ident = Ether(nat.far.sent[-1])[IP].id
    assert line == (
        "seen: IN=eth0 OUT=eth1 MAC=02:00:00:00:01:02:02:00:00:00:01:01:08:00 SRC=10.0.1.1 DST=10.0.2.1 LEN=60 "
        f"TOS=0x10 PREC=0x00 TTL=63 ID={ident} DF PROTO=UDP SPT=5000 DPT=9000 LEN=40 "
    )


def test_another_namespace_logs_only_if_it_may():
    host = InetHost()
    net = Net(host.kernel)
    nft(net, filtering("log", "output"))
    dev_open(net.loopback_dev)
    net.socket().sendto(b"x", ("127.0.0.1", 9))
    assert not host.kernel.log
    net.nf.sysctl_nf_log_all_netns = True
    net.socket().sendto(b"x", ("127.0.0.1", 9))
    assert host.kernel.log[0].startswith("IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 ")


def test_a_script_is_carried_out_as_a_whole_or_not_at_all():
    nat = Nat()
    before = nat.nft("list ruleset")
    hooks = list(nat.r.net.nf.hooks_ipv4)
    with raises(EBUSY):
        nat.nft(
            """flush chain nat post
            add table t
            add chain t c { type filter hook forward priority 0; policy drop; }
            add chain t x
            add rule t c ct state new counter jump x
            delete chain t x"""
        )
    assert nat.nft("list ruleset") == before
    assert nat.r.net.nf.hooks_ipv4 == hooks
    assert nat.exchange() == (ROUTER, 5000)


def test_an_error_names_its_place():
    host = InetHost()
    for script, place in (("add table t\nadd chain t c\nadd rule t c udp dport x", "3:24"), ("add table ip &", "1:14")):
        with pytest.raises(OSError, match=f"Errno {EINVAL}. {place}: "):
            nft(host.net, script)
    with raises(EAFNOSUPPORT):
        nft(host.net, "add table inet t")


WORDS = (
    "add create delete flush list insert replace table chain rule ruleset ip t c x { } ; type filter nat route hook "
    "forward output postrouting prerouting priority 0 - 10 srcnat policy accept drop udp tcp icmp dport sport saddr "
    "9000 10.0.0.1 10.0.0.0/8 1-5 , : & | == != < ct state new established mark set meta counter log prefix jump goto "
    "masquerade snat dnat to redirect reject with limit rate 5/second queue num handle index comment iifname eth* ! 0x "
    "( ) / /33 -1 99999999999"
).split()
TEXTS = st.lists(st.sampled_from([*WORDS, "\n", '"a b"', '"']), max_size=25).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(st.one_of(st.text(max_size=60), TEXTS))
def test_any_text_is_understood_or_refused_with_an_errno(text):
    host = InetHost()
    for script in (text, filtering(text), "add table t\nadd chain t x\nadd chain t c\nadd rule t c " + text):
        with suppress(OSError):
            nft(host.net, script)
        listed = nft(host.net, "list ruleset")
        nft(host.net, "flush ruleset\n" + listed)
        assert nft(host.net, "list ruleset") == listed
