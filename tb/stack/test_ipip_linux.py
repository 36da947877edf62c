"""Tunnels against what a real kernel, Linux 6.1, sent in the same scenarios: frame by frame, and its counters."""

import json
from pathlib import Path

import pytest

from hardwire.stack.core.dev_register import dev_get_stats, dev_open, dev_set_mtu
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import addr_add, neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.stack.ipv4.ipip import (
    IFLA_IPTUN_LINK,
    IFLA_IPTUN_LOCAL,
    IFLA_IPTUN_PMTUDISC,
    IFLA_IPTUN_REMOTE,
    IFLA_IPTUN_TOS,
    IFLA_IPTUN_TTL,
    ipip_link_ops,
)
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC
from hardwire.tb.stack.ipip_scenarios import COUNTERS, SCENARIOS, Scenario, normal
from hardwire.tb.stack.pair import PairHost

LINUX = json.loads((Path(__file__).parent / "golden" / "ipip.json").read_text())


def add(host: PairHost, name: str, words: dict[str, str]):
    """Make a tunnel as ``ip link add NAME type ipip`` does with these words."""
    data = {}
    for key, value in words.items():
        if key in ("local", "remote"):
            data[IFLA_IPTUN_LOCAL if key == "local" else IFLA_IPTUN_REMOTE] = ipv4_from_text(value)
        elif key == "dev":
            data[IFLA_IPTUN_LINK] = host.net.dev_by_name[value].ifindex
        elif key == "pmtudisc":
            data[IFLA_IPTUN_PMTUDISC] = 0
        else:
            number = 1 if value == "inherit" else int(value, 0)
            data[IFLA_IPTUN_TTL if key == "ttl" else IFLA_IPTUN_TOS] = number
    return ipip_link_ops.newlink(host.net, name, data, None)


def host_of(scenario: Scenario) -> PairHost:
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM)
    addr_add(host.dev, "10.0.0.3/24")
    inet_forward_change(host.net, True)
    host.net.ipv4.sysctl_icmp_ratemask = 0
    host.net.ipv4.devconf_all.send_redirects = host.net.ipv4.devconf_dflt.send_redirects = 0
    host.dev.ip_ptr.cnf.send_redirects = 0
    for number in (1, 5, 77):
        neigh_add(host.dev, f"10.0.0.{number}", f"02:00:00:00:00:{number:02x}")
    for number, (name, words) in enumerate(scenario.tunnels.items()):
        dev = add(host, name, words)
        if scenario.mtu:
            dev_set_mtu(dev, scenario.mtu)
        dev_open(dev)
        addr_add(dev, f"172.16.{number}.2/24")
    for prefix, via, dev in scenario.routes:
        route_add(host.net, prefix, via=via or None, dev=host.net.dev_by_name[dev])
    return host


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_tunnel_does_what_linux_does(name):
    scenario, linux = SCENARIOS[name], LINUX[name]
    host = host_of(scenario)
    assert {tun: host.net.dev_by_name[tun].mtu for tun in scenario.tunnels} == linux["mtu"]
    for frame, wanted in zip(scenario.frames, linux["sent"], strict=True):
        before = len(host.dev.sent)
        host.receive(frame)
        host.platform.advance(1_000_000)
        assert [normal(one).hex() for one in host.dev.sent[before:]] == wanted
    for tun, counters in linux["stats"].items():
        mine = dev_get_stats(host.net.dev_by_name[tun])
        assert {key: getattr(mine, key) for key in COUNTERS} == counters, tun
    host.platform.advance(60_000_000_000)
    assert len(host.platform.buffers) == 0
