"""Fragmentation: the fast path over prepared skbs and the slow one that copies, checked with scapy."""

from errno import EMSGSIZE

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, defragment
from scapy.layers.l2 import Ether

from hardwire.stack import socket as api
from hardwire.stack.core.skbuff import skb_get
from hardwire.stack.core.skbuff_data import skb_clone, skb_linearize
from hardwire.stack.iproute import addr_add
from hardwire.stack.ipv4 import ip_output_fragment
from hardwire.stack.ipv4.ip_options import ip_options_compile
from hardwire.stack.netfilter.core import NF_ACCEPT, NF_INET_POST_ROUTING, NfHookOps, nf_register_net_hook
from hardwire.tb.stack.inet_host import PEER, InetHost

# Not to be copied, to be copied (router alert, security), not to be copied.
OPTIONS = b"\x07\x07\x04\x00\x00\x00\x00\x94\x04\x00\x00\x01\x82\x0b" + bytes(9) + b"\x01"


def at_post_routing(host, function):
    """Have a function change each packet before it is fragmented."""
    ops = NfHookOps(lambda priv, skb, state: function(skb) or NF_ACCEPT, NF_INET_POST_ROUTING)
    nf_register_net_hook(host.net, ops)


def whole(host, size):
    """Return what scapy puts together from the frames: the datagram's payload."""
    packets = [Ether(frame)[IP] for frame in host.dev.frames]
    for packet in packets:
        check = packet.chksum
        del packet.chksum
        assert IP(bytes(packet)).chksum == check
    (packet,) = defragment(packets)
    del packet.chksum, packet.len
    packet = IP(bytes(packet))
    assert packet.len == packet.ihl * 4 + 8 + size
    return bytes(packet.payload)[8:]


def is_sum_right(host, size):
    """Return whether software's UDP checksum verifies."""
    (datagram,) = host.datagrams()
    return len(datagram.payload) == size


@given(size=st.integers(1473, 20000), mtu=st.sampled_from([68, 576, 577, 1280, 1500, 9000]), slow=st.booleans())
@settings(max_examples=80, deadline=None)
def test_scapy_puts_the_fragments_together_again(size, mtu, slow):
    host = InetHost()
    host.dev.mtu = mtu
    if slow:
        at_post_routing(host, skb_linearize)
    data = bytes(at * 31 >> 3 & 0xFF for at in range(size))
    assert host.socket().sendto(data, PEER) == size
    lengths = [len(frame) - 34 for frame in host.dev.frames]
    room = mtu - 20 & ~7
    assert all(length == room for length in lengths[:-1])
    assert lengths[-1] <= mtu - 20
    if len(lengths) > 1:
        assert host.mib["Ip:FragCreates"] == len(lengths)
        assert host.mib["Ip:FragOKs"] == 1
        assert whole(host, size) == data
        assert is_sum_right(host, size)
    host.check_memory()


def test_the_fast_path_does_not_copy(monkeypatch):
    host = InetHost()
    monkeypatch.setattr(ip_output_fragment, "ip_frag_next", lambda *_: pytest.fail("a copy"))
    host.dev.hold = True
    sock = host.socket()
    sock.sendto(bytes(4000), PEER)
    assert len(host.dev.held) == 3
    # Each fragment's memory counts for itself now, and all of it for the sender.
    assert all(skb.sk is sock.sk for skb in host.dev.held)
    assert sock.sk.sk_wmem_alloc == sum(skb.truesize for skb in host.dev.held)
    host.release()
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def clone_of(host):
    clones = []
    at_post_routing(host, lambda skb: clones.append(skb_clone(skb)))
    return clones


def reference_to_fragment(host):
    taken = []
    at_post_routing(host, lambda skb: taken.append(skb_get(skb.frag_list)))
    return taken


@pytest.mark.parametrize("unready", [clone_of, reference_to_fragment])
def test_what_is_shared_takes_the_slow_path_and_stays_as_it_was(unready):
    from hardwire.stack.core.skbuff import consume_skb

    host = InetHost()
    held = unready(host)
    sock = host.socket()
    sock.sendto(b"x" * 4000, PEER)
    assert whole(host, 4000) == b"x" * 4000
    for skb in held:
        consume_skb(skb)
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()


def test_a_larger_link_header_takes_the_slow_path(monkeypatch):
    host = InetHost()
    at_post_routing(host, lambda skb: setattr(host.dev, "needed_headroom", 64))
    host.socket().sendto(b"x" * 4000, PEER)
    assert whole(host, 4000) == b"x" * 4000
    host.check_memory()


@pytest.mark.parametrize("slow", [False, True])
def test_options_are_copied_as_rfc_791_says(slow):
    host = InetHost()
    if slow:
        at_post_routing(host, skb_linearize)
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_OPTIONS, OPTIONS)
    sock.sendto(b"x" * 4000, PEER)
    first, *others = host.packets()
    assert len(others) == 2
    assert first.options == OPTIONS[:3].replace(b"\x04", b"\x08") + bytes([10, 0, 0, 1]) + OPTIONS[7:]
    for packet in others:
        assert packet.options == b"\x01" * 7 + OPTIONS[7:]
    assert sum(len(packet.payload) for packet in (first, *others)) == 4008
    host.check_memory()


def test_options_are_checked_when_they_are_set():
    assert ip_options_compile(b"\x01\x00\x07") == b"\x01\0\0\0"
    with pytest.raises(OSError, match="twice"):
        ip_options_compile(b"\x07\x03\x04\x01" * 2)


def test_a_fragment_can_be_fragmented_again():
    """Offsets go on from the packet's own, and its last fragment still says that there is more."""
    host = InetHost()

    def make_fragment(skb):
        skb_linearize(skb)
        at = skb.network_header + 6
        skb.view[at : at + 2] = (0x2000 | 100).to_bytes(2, "big")

    at_post_routing(host, make_fragment)
    host.socket().sendto(bytes(4000), PEER)
    packets = host.packets()
    assert [packet.frag_offset_octets for packet in packets] == [800, 800 + 1480, 800 + 2960]
    assert all(packet.more_fragments for packet in packets)


@pytest.mark.parametrize("slow", [False, True])
def test_an_mtu_that_shrinks_on_the_way_out_still_fits(slow):
    host = InetHost()
    if slow:
        at_post_routing(host, skb_linearize)
    at_post_routing(host, lambda skb: setattr(host.dev, "mtu", 600))
    host.socket().sendto(b"x" * 1400, PEER)  # Left to the device to sum, so software has to do it now.
    assert len(host.dev.frames) == 3
    assert whole(host, 1400) == b"x" * 1400
    assert is_sum_right(host, 1400)
    host.check_memory()


@pytest.mark.parametrize(("connected", "recverr", "told"), [(0, 0, 0), (0, 1, EMSGSIZE), (1, 0, EMSGSIZE)])
def test_df_on_the_way_out_is_emsgsize_and_may_wait_for_the_next_call(connected, recverr, told):
    host = InetHost()
    at_post_routing(host, lambda skb: setattr(host.dev, "mtu", 600))
    sock = host.socket()
    sock.setsockopt(api.IPPROTO_IP, api.IP_MTU_DISCOVER, api.IP_PMTUDISC_DO)
    sock.setsockopt(api.IPPROTO_IP, api.IP_RECVERR, recverr)
    if connected:
        sock.connect(PEER)
    with pytest.raises(OSError, match=rf"\[Errno {EMSGSIZE}\]"):
        sock.sendto(bytes(1400), PEER)
    assert host.mib["Ip:FragFails"] == 1
    assert host.kernel.drop_counts() == {"PKT_TOO_BIG": 1}
    assert sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR) == told
    assert len(sock.sk.sk_error_queue) == recverr
    sock.close()
    host.check_memory()


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("nth", range(4))
def test_an_error_amid_the_fragments_frees_the_rest(slow, nth, monkeypatch):
    host = InetHost()
    addr_add(host.dev, "10.1.0.1/24")
    if slow:
        at_post_routing(host, skb_linearize)
    sent = []

    def output(net, sk, skb):
        from hardwire.stack.core.skbuff import consume_skb

        sent.append(skb.len)
        consume_skb(skb)
        return -5 if len(sent) == nth + 1 else 0

    monkeypatch.setattr("hardwire.stack.ipv4.ip_output.ip_finish_output2", output)
    sock = host.socket()
    if nth < 3:
        with pytest.raises(OSError, match=r"\[Errno 5\]"):
            sock.sendto(bytes(4000), PEER)
        assert host.mib["Ip:FragFails"] == 1
    else:
        sock.sendto(bytes(4000), PEER)
    assert len(sent) == min(nth + 1, 3)
    assert sock.sk.sk_wmem_alloc == 0
    host.check_memory()
