"""Translating to the address of the device that a packet leaves by (Linux: net/netfilter/nf_nat_masquerade.c)."""

from typing import TYPE_CHECKING, Any

from ..core.dev_register import register_netdevice_notifier, unregister_netdevice_notifier
from ..core.netdev_event import NetdevEvent
from ..ipv4.devinet import inet_select_addr
from ..ipv4.route import rt_nexthop
from ..ipv4.rtnetlink import RtScope
from .core import NF_ACCEPT, NF_DROP
from .nf_conntrack_common import IP_CT_DIR_ORIGINAL, IP_CT_DIR_REPLY
from .nf_conntrack_core import NfConn, nf_ct_get, nf_ct_iterate_cleanup_net
from .nf_nat_core import NF_NAT_MANIP_SRC, NfConnNat, NfNatRange, nf_ct_nat_ext_add, nf_nat_net, nf_nat_setup_info

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from ..ipv4.devinet import InIfaddr

__all__ = [
    "masq_device_event",
    "masq_inet_event",
    "nf_nat_masquerade_inet_register_notifiers",
    "nf_nat_masquerade_inet_unregister_notifiers",
    "nf_nat_masquerade_ipv4",
]


def nf_nat_masquerade_ipv4(skb: "SkBuff", range: NfNatRange, out: "NetDevice") -> int:
    """Give a packet's connection the address that its device has towards the next hop; return a verdict."""
    ct, _ = nf_ct_get(skb)
    assert ct is not None
    if not ct.tuples[IP_CT_DIR_ORIGINAL].saddr:
        return NF_ACCEPT  # A host that asks for its address (RFC 2131).
    rt: Any = skb.dst
    at = skb.network_header + 16
    nexthop = rt_nexthop(rt, int.from_bytes(skb.view[at : at + 4], "big"))
    newsrc = inet_select_addr(out.net, out, nexthop, RtScope.UNIVERSE)
    if not newsrc:
        return NF_DROP
    nf_ct_nat_ext_add(ct).masq_index = out.ifindex
    return nf_nat_setup_info(ct, NfNatRange((newsrc, newsrc), range.proto, range.random), NF_NAT_MANIP_SRC)


def _has_index(ct: NfConn, ifindex: int) -> bool:
    nat = ct.ext.get(NfConnNat)
    return nat is not None and nat.masq_index == ifindex


def masq_device_event(event: NetdevEvent, dev: "NetDevice") -> None:
    """End the connections that have the address of a device that goes down: it may come back with another."""
    if event == NetdevEvent.DOWN:
        nf_ct_iterate_cleanup_net(dev.net, lambda ct: _has_index(ct, dev.ifindex))


def masq_inet_event(ifa: "InIfaddr") -> None:
    """End the connections that have an address that goes."""
    dev = ifa.dev
    assert dev is not None
    nf_ct_iterate_cleanup_net(
        dev.net, lambda ct: _has_index(ct, dev.ifindex) and ct.tuples[IP_CT_DIR_REPLY].daddr == ifa.local
    )


def nf_nat_masquerade_inet_register_notifiers(net: "Net") -> None:
    """Follow devices and addresses, from the first rule that needs it on."""
    nat = nf_nat_net(net)
    nat.masquerade_users += 1
    if nat.masquerade_users == 1:
        register_netdevice_notifier(net, masq_device_event)
        net.ipv4.inetaddr_chain.append(masq_inet_event)


def nf_nat_masquerade_inet_unregister_notifiers(net: "Net") -> None:
    """Follow them no more when the last rule is gone."""
    net.nf.nat.masquerade_users -= 1
    if not net.nf.nat.masquerade_users:
        unregister_netdevice_notifier(net, masq_device_event)
        net.ipv4.inetaddr_chain.remove(masq_inet_event)
