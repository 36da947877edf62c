"""What the NIC driver has the device receive, and tags in both directions, against a stand-in for the device."""

import random
from itertools import pairwise

import pytest

from hardwire.stack.abi import GLOBAL, MAC, RxStatus, TxFlags
from hardwire.stack.core.dev import dev_queue_xmit
from hardwire.stack.core.dev_addr_lists import (
    dev_mc_add,
    dev_mc_del,
    dev_set_allmulti,
    dev_set_promiscuity,
    dev_uc_add,
    dev_uc_del,
)
from hardwire.stack.core.dev_register import dev_change_features, dev_close, dev_open, dev_set_mac_address
from hardwire.stack.core.if_vlan import ETH_P_8021AD, ETH_P_8021Q, __vlan_hwaccel_put_tag
from hardwire.stack.core.netdevice import (
    NETIF_F_HW_VLAN_CTAG_FILTER,
    NETIF_F_HW_VLAN_CTAG_RX,
    NETIF_F_HW_VLAN_CTAG_TX,
    NETIF_F_RXCSUM,
)
from hardwire.stack.drivers.hardwire import hardwire_probe
from hardwire.stack.ethernet.eth import ether_crc
from hardwire.stack.vlan.vlan_core import vlan_vid_add, vlan_vid_del
from hardwire.tb.stack.driver_host import MAC as OWN
from hardwire.tb.stack.driver_host import PEER, Host
from hardwire.tb.stack.fake import make_kernel
from hardwire.tb.stack.nic_double import NicDouble

ALL_HOSTS = bytes.fromhex("01005e000001")  # 224.0.0.1, which every host is in.
GROUP = bytes.fromhex("01005e000005")
OTHER = bytes.fromhex("020000000009")
BROADCAST = b"\xff" * 6


def takes(host: Host, to: bytes, tag: int | None = None) -> bool:
    """Return whether the device receives a frame to an address, of a VLAN."""
    inner = b"\x88\xb5" + bytes(46)
    before = len(host.received)
    host.receive(to + PEER + (b"" if tag is None else b"\x81\x00" + tag.to_bytes(2, "big")) + inner)
    return len(host.received) > before


def test_a_new_device_receives_its_address_and_broadcast():
    host = Host()
    assert [takes(host, to) for to in (OWN, BROADCAST, GROUP, OTHER)] == [True, True, False, False]


def test_the_crc_of_an_address_is_what_the_filter_of_the_contract_wants():
    # Worked out bit by bit, the first on the wire first (IEEE Std 802.3-2022 3.2.9).
    rng = random.Random(1)
    for _ in range(50):
        addr = rng.randbytes(6)
        crc = 0xFFFFFFFF
        for octet in addr:
            for bit in range(8):
                feedback = crc >> 31 ^ (octet >> bit & 1)
                crc = (crc << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if feedback else 0)
        assert ether_crc(addr) == crc


def test_groups_pass_by_their_hash():
    host = Host()
    rng = random.Random(2)
    groups = [bytes([1]) + rng.randbytes(5) for _ in range(12)]
    for group in groups:
        dev_mc_add(host.dev, group)
        assert takes(host, group)
    hashes = {ether_crc(group) >> 26 for group in (ALL_HOSTS, *groups)}
    value = host.device.regs[MAC.address(MAC["HASH_HI"])] << 32 | host.device.regs[MAC.address(MAC["HASH_LO"])]
    assert value == sum(1 << bit for bit in hashes)
    for group in groups:
        dev_mc_del(host.dev, group)
    assert not any(takes(host, group) for group in groups if ether_crc(group) >> 26 != ether_crc(ALL_HOSTS) >> 26)


def test_all_groups_and_all_frames():
    host = Host()
    dev_set_allmulti(host.dev, 1)
    assert [takes(host, to) for to in (GROUP, OTHER)] == [True, False]
    dev_set_allmulti(host.dev, -1)
    assert not takes(host, GROUP)
    dev_set_promiscuity(host.dev, 1)
    assert [takes(host, to) for to in (GROUP, OTHER)] == [True, True]
    dev_set_promiscuity(host.dev, -1)
    assert [takes(host, to) for to in (GROUP, OTHER)] == [False, False]


def test_a_second_address_takes_promiscuous_mode():
    host = Host()
    dev_uc_add(host.dev, OTHER)
    assert takes(host, OTHER)
    dev_uc_del(host.dev, OTHER)
    assert not takes(host, OTHER)


def test_the_address_can_be_changed():
    host = Host()
    dev_set_mac_address(host.dev, OTHER)
    assert [takes(host, to) for to in (OWN, OTHER)] == [False, True]
    assert host.dev.dev_addr == OTHER


def test_what_was_set_while_the_device_was_down_holds_when_it_is_up():
    host = Host(open=False)
    dev_set_mac_address(host.dev, OTHER)
    dev_mc_add(host.dev, GROUP)
    vlan_vid_add(host.dev, ETH_P_8021Q, 7)
    dev_open(host.dev)
    assert [takes(host, to) for to in (OTHER, GROUP)] == [True, True]
    assert takes(host, OTHER, 7)
    dev_close(host.dev)
    dev_open(host.dev)
    assert takes(host, OTHER, 7)


def test_only_vlans_in_the_table_pass():
    host = Host()
    assert [takes(host, OWN, tag) for tag in (0, 7, 8)] == [True, False, False]
    vlan_vid_add(host.dev, ETH_P_8021Q, 7)
    vlan_vid_add(host.dev, ETH_P_8021AD, 8)  # Another kind of tag, which is not filtered.
    assert [takes(host, OWN, tag) for tag in (0, 7, 0x2007, 8)] == [True, True, True, False]
    vlan_vid_del(host.dev, ETH_P_8021Q, 7)
    vlan_vid_del(host.dev, ETH_P_8021AD, 8)
    assert [takes(host, OWN, tag) for tag in (0, 7)] == [True, False]
    vlan_vid_add(host.dev, ETH_P_8021Q, 0)
    vlan_vid_del(host.dev, ETH_P_8021Q, 0)
    assert takes(host, OWN, 0)


def test_the_filter_is_switched_off_and_on_with_the_vlans_of_the_meantime():
    host = Host()
    dev_change_features(host.dev, 0, NETIF_F_HW_VLAN_CTAG_FILTER)
    assert takes(host, OWN, 9)
    vlan_vid_add(host.dev, ETH_P_8021Q, 7)
    assert host.device.rx.vlans == {0}
    dev_change_features(host.dev, NETIF_F_HW_VLAN_CTAG_FILTER, NETIF_F_HW_VLAN_CTAG_FILTER)
    assert [takes(host, OWN, tag) for tag in (7, 9)] == [True, False]


def test_one_vlan_is_written_each_sixteen_cycles():
    host = Host(open=False)
    cycles = 0
    read32, write32 = host.device.read32, host.device.write32
    written = []

    def counted_read(offset: int) -> int:
        nonlocal cycles
        cycles += 5
        return cycles & 0xFFFFFFFF if offset == GLOBAL.address(GLOBAL["CYCLES_LO"]) else read32(offset)

    def counted_write(offset: int, value: int) -> None:
        if offset == MAC.address(MAC["VLAN"]):
            written.append(cycles)
        write32(offset, value)

    host.device.read32, host.device.write32 = counted_read, counted_write
    for vid in range(1, 20):
        vlan_vid_add(host.dev, ETH_P_8021Q, vid)
    dev_open(host.dev)
    assert len(written) == 19 + 20
    assert all(later - earlier >= 16 for earlier, later in pairwise(written))
    assert max(later - earlier for earlier, later in pairwise(written)) < 400


def test_a_tag_is_taken_off_and_travels_beside_the_frame():
    host = Host()
    vlan_vid_add(host.dev, ETH_P_8021Q, 7)
    assert takes(host, OWN, 0xA007)
    received = host.received[-1]
    assert (received.vlan_tci, received.octets[12:14]) == (0xA007, b"\x88\xb5")
    assert takes(host, OWN)
    assert host.received[-1].vlan_tci is None
    dev_change_features(host.dev, 0, NETIF_F_HW_VLAN_CTAG_RX)
    seen = []
    host.device.rx.receive, receive = lambda octets: seen.append(receive(octets)), host.device.rx.receive
    assert takes(host, OWN, 0xA007)
    assert seen == [RxStatus.OK]
    assert not host.device.regs[MAC.address(MAC["RX_CTRL"])] & MAC["RX_CTRL"]["vlan_strip"].mask


@pytest.mark.parametrize("frags", [(), (b"more",)])
def test_a_tag_beside_a_sent_frame_goes_into_its_descriptor(frags):
    host = Host()
    skb = host.skb(b"tagged", frags)
    __vlan_hwaccel_put_tag(skb, ETH_P_8021Q, 0x6123)
    dev_queue_xmit(skb)
    dev_queue_xmit(host.skb(b"plain"))
    host.device.run()
    fields = [(bool(d["flags"] & TxFlags.VLAN), d["vlan_tci"]) for _, d in host.device.frames]
    assert fields == [(True, 0x6123), (False, 0)]


@pytest.mark.parametrize("checksummed", [False, True])
def test_a_tag_and_a_checksum_go_together(checksummed):
    host = Host()
    skb = host.ip_skb()
    __vlan_hwaccel_put_tag(skb, ETH_P_8021Q, 5)
    if checksummed:
        skb.ip_summed = 3
        skb.csum_start = skb.data + 34
        skb.csum_offset = 6
    dev_queue_xmit(skb)
    host.device.run()
    flags = TxFlags(host.device.frames[0][1]["flags"])
    assert flags & TxFlags.VLAN
    assert bool(flags & TxFlags.CSUM_PARTIAL) == checksummed
    assert flags & TxFlags.CSUM_IPV4


def test_features_are_those_that_the_device_has():
    vlan = NETIF_F_HW_VLAN_CTAG_RX | NETIF_F_HW_VLAN_CTAG_FILTER | NETIF_F_HW_VLAN_CTAG_TX
    assert Host().dev.features & (vlan | NETIF_F_RXCSUM) == vlan | NETIF_F_RXCSUM
    kernel, platform = make_kernel()
    device = NicDouble(platform)
    device.regs[GLOBAL.address(GLOBAL["FEATURES"])] = GLOBAL["FEATURES"].pack(tx_flags=3, rx_features=1)
    dev = hardwire_probe(kernel.init_net, device, device.dma, [device], mac=OWN)
    assert dev.features & (vlan | NETIF_F_RXCSUM) == NETIF_F_RXCSUM


def test_a_device_that_receives_nothing_is_not_asked_to():
    kernel, platform = make_kernel()
    device = NicDouble(platform, rx_queues=0)
    dev = hardwire_probe(kernel.init_net, device, device.dma, [device], mac=OWN)
    dev_open(dev)
    dev_set_mac_address(dev, OTHER)
    dev_change_features(dev, 0)
    assert not any(MAC.base <= offset < MAC.base + 0x100 for offset, _ in device.writes)
    assert dev.ethtool_ops.get_ringparam().rx_max_pending == 0
    assert dev.ethtool_ops.get_coalesce().rx_max_coalesced_frames == 0
    with pytest.raises(OSError, match="the NIC receives nothing"):
        dev.ethtool_ops.set_ringparam(rx_pending=16)
    dev_close(dev)
    assert not platform.buffers
