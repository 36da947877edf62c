"""Netfilter: order of hooks, every verdict, and the send path through LOCAL_OUT and POST_ROUTING."""

from errno import EACCES, EPERM

import pytest

from hardwire.stack.netfilter.core import (
    NF_ACCEPT,
    NF_DROP,
    NF_DROP_ERR,
    NF_HOOK_COND,
    NF_INET_FORWARD,
    NF_INET_LOCAL_IN,
    NF_INET_LOCAL_OUT,
    NF_INET_POST_ROUTING,
    NF_INET_PRE_ROUTING,
    NF_IP_PRI_CONNTRACK,
    NF_IP_PRI_FILTER,
    NF_IP_PRI_FIRST,
    NF_IP_PRI_LAST,
    NF_IP_PRI_MANGLE,
    NF_IP_PRI_NAT_DST,
    NF_IP_PRI_NAT_SRC,
    NF_IP_PRI_RAW,
    NF_QUEUE,
    NF_REPEAT,
    NF_STOLEN,
    NF_STOP,
    NfHookOps,
    nf_register_net_hook,
    nf_reinject,
    nf_unregister_net_hook,
)
from hardwire.tb.stack.inet_host import PEER, InetHost


@pytest.fixture
def host():
    return InetHost()


def hook(host, hooknum, verdict, priority=NF_IP_PRI_FILTER):
    """Register a hook that gives the verdicts of a list, then ACCEPT, or always the same; return what it saw."""
    seen = []

    def function(priv, skb, state):
        seen.append((state.hook, skb.len, state.out_dev.name))
        if isinstance(verdict, list):
            return verdict.pop(0) if verdict else NF_ACCEPT
        return verdict

    ops = NfHookOps(function, hooknum, priority)
    nf_register_net_hook(host.net, ops)
    return seen, ops


def send(host):
    return host.socket().sendto(b"abcd", PEER)


def test_a_datagram_passes_local_out_then_post_routing(host):
    order = []
    for hooknum in range(5):
        nf_register_net_hook(
            host.net,
            NfHookOps(lambda priv, skb, state: order.append((priv, state.sk)) or NF_ACCEPT, hooknum, 0, hooknum),
        )
    sock = host.socket()
    sock.sendto(b"x", PEER)
    assert order == [(NF_INET_LOCAL_OUT, sock.sk), (NF_INET_POST_ROUTING, sock.sk)]
    assert (NF_INET_PRE_ROUTING, NF_INET_LOCAL_IN, NF_INET_FORWARD) == (0, 1, 2)


def test_hooks_run_by_priority_then_by_age(host):
    order = []
    priorities = [
        NF_IP_PRI_FILTER,
        NF_IP_PRI_LAST,
        NF_IP_PRI_RAW,
        NF_IP_PRI_NAT_SRC,
        NF_IP_PRI_FIRST,
        NF_IP_PRI_MANGLE,
        NF_IP_PRI_FILTER,
        NF_IP_PRI_CONNTRACK,
        NF_IP_PRI_NAT_DST,
    ]
    for number, priority in enumerate(priorities):
        ops = NfHookOps(lambda priv, skb, state: order.append(priv) or NF_ACCEPT, NF_INET_LOCAL_OUT, priority, number)
        nf_register_net_hook(host.net, ops)
    send(host)
    assert order == [4, 2, 7, 5, 8, 0, 6, 3, 1]


@pytest.mark.parametrize("hooknum", [NF_INET_LOCAL_OUT, NF_INET_POST_ROUTING])
def test_drop_frees_the_packet_and_tells_the_sender(host, hooknum):
    hook(host, hooknum, NF_DROP)
    after, _ = hook(host, hooknum, NF_ACCEPT, NF_IP_PRI_LAST)
    with pytest.raises(OSError, match=rf"\[Errno {EPERM}\]"):
        send(host)
    assert after == []
    assert host.frames() == []
    assert host.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    assert host.mib["Ip:OutDiscards"] == 1
    host.check_memory()


def test_drop_may_carry_its_own_errno(host):
    hook(host, NF_INET_LOCAL_OUT, NF_DROP_ERR(EACCES))
    with pytest.raises(OSError, match=rf"\[Errno {EACCES}\]"):
        send(host)


def test_stolen_takes_the_packet(host):
    stolen = []
    ops = NfHookOps(lambda priv, skb, state: stolen.append(skb) or NF_STOLEN, NF_INET_LOCAL_OUT)
    nf_register_net_hook(host.net, ops)
    assert send(host) == 4
    assert host.frames() == []
    assert stolen[0].len == 32


def test_repeat_asks_the_same_hook_again(host):
    seen, _ = hook(host, NF_INET_LOCAL_OUT, [NF_REPEAT, NF_REPEAT])
    after, _ = hook(host, NF_INET_LOCAL_OUT, NF_ACCEPT, NF_IP_PRI_LAST)
    send(host)
    assert (len(seen), len(after), len(host.frames())) == (3, 1, 1)


def test_stop_accepts_without_asking_the_rest(host):
    hook(host, NF_INET_LOCAL_OUT, NF_STOP)
    after, _ = hook(host, NF_INET_LOCAL_OUT, NF_DROP, NF_IP_PRI_LAST)
    assert send(host) == 4
    assert (after, len(host.frames())) == ([], 1)


def test_queue_without_a_handler_drops_unless_it_may_be_bypassed(host):
    _, ops = hook(host, NF_INET_LOCAL_OUT, NF_QUEUE)
    with pytest.raises(ProcessLookupError):  # ESRCH
        send(host)
    assert host.kernel.drop_counts() == {"NETFILTER_DROP": 1}
    nf_unregister_net_hook(host.net, ops)
    hook(host, NF_INET_LOCAL_OUT, NF_QUEUE | 0x8000)
    assert send(host) == 4
    assert len(host.frames()) == 1
    host.check_memory()


@pytest.mark.parametrize(
    ("verdict", "first", "later", "frames"),
    [(NF_ACCEPT, 1, 1, 1), (NF_REPEAT, 2, 1, 1), (NF_STOP, 1, 0, 1), (NF_DROP, 1, 0, 0), (NF_STOLEN, 1, 0, 0)],
)
def test_a_queued_packet_goes_on_where_it_was(host, verdict, first, later, frames):
    queued = []
    host.net.nf.queue_handler = lambda entry: queued.append(entry) or 0
    seen, _ = hook(host, NF_INET_LOCAL_OUT, [NF_QUEUE | 7 << 16])
    after, _ = hook(host, NF_INET_LOCAL_OUT, NF_ACCEPT, NF_IP_PRI_LAST)
    assert send(host) == 4
    (entry,) = queued
    assert (entry.queue, host.frames()) == (7, [])
    nf_reinject(entry, verdict)
    assert (len(seen), len(after), len(host.frames())) == (first, later, frames)
    if verdict != NF_STOLEN:
        host.check_memory()


def test_a_condition_may_leave_the_hook_out(host):
    seen, _ = hook(host, NF_INET_POST_ROUTING, NF_DROP)
    arguments = (NF_INET_POST_ROUTING, host.net, None, None, None, host.dev, lambda net, sk, skb: 42)
    assert NF_HOOK_COND(*arguments, False) == 42
    assert seen == []


def test_there_are_five_hooks(host):
    for hooknum in (-1, 5):
        with pytest.raises(ValueError, match=f"hooknum must be in 0..4, not {hooknum}"):
            nf_register_net_hook(host.net, NfHookOps(lambda *_: NF_ACCEPT, hooknum))
