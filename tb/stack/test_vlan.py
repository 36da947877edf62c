"""Devices of VLANs: making, showing, sending, and following the devices below."""

import json

import pytest

from hardwire.stack import socket as api
from hardwire.stack.core.dev_register import dev_get_stats
from hardwire.stack.core.netdevice import IFF_UP
from hardwire.stack.drivers.bonding import BondMode
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.tb.stack.bonds import Bonds
from hardwire.tb.stack.test_veth import Namespaces


class Vlans(Namespaces):
    """Two namespaces on a cable, eth0 each; ``ip`` runs a command in both, with the number of each for ``N``."""

    def __init__(self) -> None:
        super().__init__(2)
        self.join(0, "10.0.0.1/24", 1, "10.0.0.2/24")

    def ip(self, *commands: str) -> None:
        """Run commands in both, and let what follows happen."""
        for command in commands:
            for number, net in enumerate(self.nets, 1):
                ip(net, command.replace("N", str(number)))
        self.run(1_000_000_000)

    def seen(self, protocol: int = 3):
        """Return a packet socket on the second one's cable."""
        sock = self.nets[1].socket(api.AF_PACKET, api.SOCK_RAW, protocol)
        sock.bind(("veth0", protocol))
        sock.setblocking(False)
        return sock


UP = (
    "link add link veth0 name v5 type vlan id 5",
    "addr add 10.5.0.N/24 dev v5",
    "link set v5 up",
)


@pytest.fixture
def two() -> Vlans:
    return Vlans()


def exchange(two: Namespaces, size: int = 100) -> bytes:
    """Send octets from 10.5.0.1 to 10.5.0.2, and return what arrives."""
    with two.nets[0].socket() as here, two.nets[1].socket() as there:
        there.bind(("10.5.0.2", 9000))
        there.setblocking(False)
        here.sendto(bytes(range(256)) * (size // 256 + 1), ("10.5.0.2", 9000))
        two.run()
        return there.recv(10_000)


def test_a_link_is_shown_as_ip_shows_it(two):
    two.ip(
        "link add link veth0 name v5 type vlan id 5", "link add link veth0 name q type vlan protocol 802.1ad id 4094"
    )
    net = two.nets[0]
    assert "3: v5@veth0: <BROADCAST,MULTICAST> mtu 1500 qdisc noop state DOWN" in ip(net, "link show v5")
    assert "\n    vlan protocol 802.1Q id 5 <REORDER_HDR> " in ip(net, "-d link show v5")
    assert "\n    vlan protocol 802.1ad id 4094 <REORDER_HDR> " in ip(net, "-d link show q")
    (link,) = json.loads(ip(net, "-d -j link show v5"))
    assert link["link"] == "veth0"
    assert link["address"] == net.dev_by_name["veth0"].dev_addr.hex(":")
    assert link["linkinfo"] == {
        "info_kind": "vlan",
        "info_data": {"protocol": "802.1Q", "id": 5, "flags": ["REORDER_HDR"]},
    }
    assert [link["ifname"] for link in json.loads(ip(net, "-j link show type vlan"))] == ["v5", "q"]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("link veth0 type vlan id 5", "veth0 has VLAN 5"),
        ("link veth0 type vlan id 4095", "VLAN 4095 is not in 0..4094"),
        ("link veth0 type vlan", "a VLAN needs a number"),
        ("type vlan id 6", "a VLAN needs a device below it"),
        ("link lo type vlan id 6", "lo has no VLANs"),
        ("link veth0 type vlan protocol 802.1x id 6", 'argument "802.1x" is wrong: protocol is invalid'),
        ("link veth0 name v5 type vlan id 6", "there is a device v5"),
    ],
)
def test_impossible_ones_are_refused(two, words, error):
    two.ip("link add link veth0 name v5 type vlan id 5")
    info = two.nets[0].dev_by_name["veth0"].vlan_info
    before = dict(info.vids), dict(info.devs)
    with pytest.raises(CommandError, match=error):
        ip(two.nets[0], f"link add {words}")
    assert (info.vids, info.devs) == before


@pytest.mark.parametrize("size", [0, 1, 1472, 4000])
@pytest.mark.parametrize("protocol", ["802.1q", "802.1ad"])
def test_datagrams_pass_with_the_tag_on_the_cable(two, size, protocol):
    two.ip(UP[0].replace("vlan", f"vlan protocol {protocol}"), *UP[1:])
    assert exchange(two) == bytes(range(256))
    with two.seen() as seen:
        arrived = exchange(two, size)
        assert len(arrived) == (size // 256 + 1) * 256
        frame, *_ = seen.recvmsg(2000)
    # A packet socket below sees the frame without the tag, which is beside it.
    assert frame[12:14] == b"\x08\x00"
    sent, received = (dev_get_stats(net.dev_by_name["v5"]) for net in two.nets)
    assert sent.tx_packets == received.rx_packets > 0
    assert sent.tx_bytes - received.rx_bytes == 14 * sent.tx_packets


def test_a_vlan_inside_a_vlan_has_two_tags(two):
    two.ip(
        "link add link veth0 name outer type vlan id 7",
        "link add link outer name v5 type vlan id 5",
        "link set outer up",
        *UP[1:],
    )
    assert exchange(two) == bytes(range(256))
    (outer, inner) = (dev_get_stats(two.nets[0].dev_by_name[name]) for name in ("outer", "v5"))
    assert outer.tx_bytes - inner.tx_bytes == 4 * inner.tx_packets


def test_other_vlans_and_untagged_frames_do_not_arrive(two):
    two.ip(*UP)
    ip(two.nets[1], "link del v5")
    ip(two.nets[1], "link add link veth0 name v5 type vlan id 6")
    ip(two.nets[1], "addr add 10.5.0.2/24 dev v5")
    ip(two.nets[1], "link set v5 up")
    with pytest.raises(BlockingIOError):
        exchange(two)
    assert dev_get_stats(two.nets[1].dev_by_name["v5"]).rx_packets == 0


def test_mtu_address_and_state_follow_the_device_below_until_they_are_set(two):
    two.ip(*UP)
    net = two.nets[0]
    below, vlan = net.dev_by_name["veth0"], net.dev_by_name["v5"]
    ip(net, "link set veth0 mtu 1400")
    assert vlan.mtu == 1400
    with pytest.raises(CommandError, match="veth0 has an MTU of 1400 only"):
        ip(net, "link set v5 mtu 1401")
    ip(net, "link set v5 mtu 1300")
    ip(net, "link set veth0 mtu 1500")
    assert vlan.mtu == 1300
    ip(net, "link set veth0 address 02:00:00:00:00:77")
    assert vlan.dev_addr == below.dev_addr == bytes.fromhex("020000000077")
    ip(net, "link set v5 address 02:00:00:00:00:55")
    ip(net, "link set veth0 address 02:00:00:00:00:78")
    assert vlan.dev_addr == bytes.fromhex("020000000055")
    assert list(below.uc) == [vlan.dev_addr]
    ip(net, "neigh flush dev v5")
    ip(two.nets[1], "neigh flush dev v5")
    assert exchange(two) == bytes(range(256))
    ip(net, "link set v5 address 02:00:00:00:00:78")
    assert list(below.uc) == []
    ip(net, "link set veth0 down")
    assert not vlan.flags & IFF_UP
    with pytest.raises(CommandError, match="veth0 is down"):
        ip(net, "link set v5 up")
    ip(net, "link set veth0 up")
    two.run(1_000_000_000)
    assert ",UP,LOWER_UP>" in ip(net, "link show v5")
    ip(two.nets[1], "link set veth0 down")
    two.run(1_000_000_000)
    assert "<NO-CARRIER,BROADCAST,MULTICAST,UP>" in ip(net, "link show v5")


def test_modes_are_handed_down_while_it_is_up(two):
    two.ip(*UP)
    net = two.nets[0]
    below = net.dev_by_name["veth0"]
    ip(net, "link set v5 promisc on allmulticast on")
    assert (below.promiscuity, below.allmulti) == (1, 1)
    ip(net, "link set v5 down")
    ip(net, "link set v5 promisc off allmulticast off")
    assert (below.promiscuity, below.allmulti) == (0, 0)
    ip(net, "link set v5 promisc on")
    ip(net, "link set v5 up")
    assert (below.promiscuity, below.allmulti) == (1, 0)
    ip(net, "link del v5")
    assert (below.promiscuity, below.allmulti, below.vlan_info, list(below.mc)) == (0, 0, None, list(below.mc))


@pytest.mark.parametrize("command", ["link del veth0", "link del inner", "link del v5"])
def test_it_goes_with_the_device_below_and_leaves_nothing(two, command):
    two.ip(
        *UP,
        "link add link v5 name inner type vlan id 6",
        "link set inner up",
        "link add br0 type bridge",
        "link set inner master br0",
    )
    net = two.nets[0]
    ip(net, command)
    left = {"link del veth0": [], "link del inner": ["veth0", "v5"], "link del v5": ["veth0"]}[command]
    assert [name for name in net.dev_by_name if name not in ("lo", "br0")] == left
    assert net.dev_by_name["br0"].slaves == []
    if left:
        assert (net.dev_by_name["veth0"].vlan_info is None) == (left == ["veth0"])


@pytest.mark.parametrize("kind", ["vlan id 9", "macvlan"])
def test_what_stands_on_a_bridge_cannot_be_its_port(two, kind):
    net = two.nets[0]
    ip(net, "link add br0 type bridge")
    ip(net, f"link add link br0 name above type {kind}")
    with pytest.raises(CommandError, match="above stands on br0"):
        ip(net, "link set above master br0")
    assert net.dev_by_name["br0"].slaves == []


def test_slaves_of_a_bond_receive_its_vlans():
    bonds = Bonds(BondMode.ACTIVEBACKUP)
    ip(bonds.bd, "link add link bond0 name v5 type vlan id 5")
    vids = [slave.vlan_info.vids for slave in bonds.slaves]
    assert vids == [{(0x8100, 5): 1}] * 2
    ip(bonds.bd, "link set s1 nomaster")
    assert bonds.slaves[0].vlan_info is None
    ip(bonds.bd, "link set s1 master bond0")
    assert bonds.slaves[0].vlan_info is not None
    ip(bonds.bd, "link del v5")
    assert [slave.vlan_info for slave in bonds.slaves] == [None, None]


def test_the_device_below_a_macvlan_receives_its_vlans(two):
    net = two.nets[0]
    ip(net, "link add link veth0 name m type macvlan")
    ip(net, "link add link m name v5 type vlan id 5")
    assert net.dev_by_name["veth0"].vlan_info.vids == {(0x8100, 5): 1}
    ip(net, "link del m")
    assert net.dev_by_name["veth0"].vlan_info is None
    assert "v5" not in net.dev_by_name
