"""Choosing the slaves that send a frame (Linux: bond_main.c; Documentation/networking/bonding.rst)."""

from ...core.dev import dev_queue_xmit
from ...core.drop_reasons import SkbDropReason
from ...core.netdevice import NET_XMIT_DROP, NET_XMIT_SUCCESS, NetDevice
from ...core.skbuff import SkBuff, kfree_skb_reason
from ...core.skbuff_data import skb_clone, skb_copy_bits
from ...ethernet.eth import ETH_HLEN, ETH_P_IP
from .bonding import Bonding, BondLink, BondMode, Slave, XmitPolicy, bond_slave_can_tx, bond_slave_is_up, bonding_of

__all__ = ["bond_select_queue", "bond_start_xmit", "bond_xmit_hash"]

_ICMP, _IGMP, _TCP, _UDP, _DCCP, _ESP, _AH, _SCTP, _UDPLITE = 1, 2, 6, 17, 33, 50, 51, 132, 136
_WITH_PORTS = {_TCP: 0, _UDP: 0, _DCCP: 0, _ESP: 0, _AH: 4, _SCTP: 0, _UDPLITE: 0}  # And where they are.
_ICMP_WITH_ID = (0, 8, 13, 14)
_ICMP_ERRORS = (3, 4, 5, 11, 12)
_FRAGMENT = 0x1FFF  # Offset.
_LONGEST_HEADERS = 128


def bond_start_xmit(skb: SkBuff, dev: NetDevice) -> int:
    """Send a frame through the slave, or the slaves, that the mode says."""
    bond = bonding_of(dev)
    if not bond.slave_list:
        return bond_tx_drop(dev, skb)
    return _XMIT[bond.params.mode](skb, bond)


def bond_select_queue(dev: NetDevice, skb: SkBuff) -> int:
    """Choose a queue of the bond (``ndo_select_queue``): it has none of its own, and the slave chooses anew."""
    return 0


def bond_dev_queue_xmit(bond: Bonding, skb: SkBuff, slave_dev: NetDevice) -> int:
    """Send a frame through a slave."""
    skb.dev = slave_dev
    return dev_queue_xmit(skb)


def bond_tx_drop(dev: NetDevice, skb: SkBuff) -> int:
    """Drop a frame that no slave can send."""
    dev.core_stats.tx_dropped += 1
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
    return NET_XMIT_DROP


def _xmit_one(skb: SkBuff, bond: Bonding, slave: Slave | None) -> int:
    return bond_tx_drop(bond, skb) if slave is None else bond_dev_queue_xmit(bond, skb, slave.dev)


def bond_xmit_activebackup(skb: SkBuff, bond: Bonding) -> int:
    """Send through the active slave."""
    return _xmit_one(skb, bond, bond.curr_active_slave)


def bond_xmit_roundrobin(skb: SkBuff, bond: Bonding) -> int:
    """Send through the slave whose turn it is; IGMP through always the same one, behind which a switch looks for us."""
    if skb.protocol == ETH_P_IP and skb.view[skb.network_header + 9] == _IGMP:
        return _xmit_one(skb, bond, bond.curr_active_slave or bond_get_slave_by_id(bond, 0))
    number = bond_rr_gen_slave_id(bond) % len(bond.slave_list)
    return _xmit_one(skb, bond, bond_get_slave_by_id(bond, number))


def bond_rr_gen_slave_id(bond: Bonding) -> int:
    """Return whose turn it is."""
    packets = bond.params.packets_per_slave
    if not packets:
        return bond.kernel.platform.random_u32()
    bond.rr_tx_counter = bond.rr_tx_counter + 1 & 0xFFFFFFFF
    return bond.rr_tx_counter // packets


def bond_get_slave_by_id(bond: Bonding, number: int) -> Slave | None:
    """Return the first slave that can send, from a place on, then from the start."""
    slaves = bond.slave_list
    for slave in (*slaves[number:], *slaves[:number]):
        if bond_slave_can_tx(slave):
            return slave
    return None


def bond_3ad_xor_xmit(skb: SkBuff, bond: Bonding) -> int:
    """Send through the slave that a hash of the headers chooses, so that frames of a flow stay in order."""
    slaves = bond.usable_slaves
    return _xmit_one(skb, bond, slaves[bond_xmit_hash(bond, skb) % len(slaves)] if slaves else None)


def bond_xmit_broadcast(skb: SkBuff, bond: Bonding) -> int:
    """Send through all slaves."""
    usable = [slave for slave in bond.slave_list if slave.link == BondLink.UP and bond_slave_is_up(slave)]
    if not usable:
        return bond_tx_drop(bond, skb)
    sent = False
    for slave in usable[:-1]:
        sent |= bond_dev_queue_xmit(bond, skb_clone(skb), slave.dev) == NET_XMIT_SUCCESS
    sent |= bond_dev_queue_xmit(bond, skb, usable[-1].dev) == NET_XMIT_SUCCESS
    if sent:
        return NET_XMIT_SUCCESS
    bond.core_stats.tx_dropped += 1
    return NET_XMIT_DROP


def bond_xmit_hash(bond: Bonding, skb: SkBuff) -> int:
    """Return a frame's hash by the bond's policy; numbers of several octets are those of a little-endian host."""
    policy = bond.params.xmit_policy
    headers = skb_copy_bits(skb, 0, min(skb.len, _LONGEST_HEADERS))
    flow = _flow(headers, ETH_HLEN) if policy != XmitPolicy.LAYER2 and skb.protocol == ETH_P_IP else None
    if flow is None:
        return bond_eth_hash(headers)
    addresses, ports = flow
    return bond_ip_hash(bond_eth_hash(headers) if policy == XmitPolicy.LAYER23 else ports, addresses, policy)


def bond_eth_hash(headers: bytes) -> int:
    """Return the hash of a link header."""
    return headers[5] ^ headers[11] ^ int.from_bytes(headers[12:14], "big")


def bond_ip_hash(value: int, addresses: int, policy: XmitPolicy) -> int:
    """Return the hash of a packet, from that of what is around or within it."""
    value ^= addresses
    value ^= value >> 16
    value ^= value >> 8
    # Ports of clients are often even.
    return value >> 1 if policy == XmitPolicy.LAYER34 else value


def _flow(headers: bytes, at: int) -> tuple[int, int] | None:
    """Return both addresses of an IPv4 header, mixed, and what tells flows between them apart; None if there is none.

    Of an ICMP error it is the packet that it is about.
    """
    if len(headers) < at + 20 or headers[at] >> 4 != 4 or headers[at] & 15 < 5:
        return None
    addresses = int.from_bytes(headers[at + 12 : at + 16], "little") ^ int.from_bytes(
        headers[at + 16 : at + 20], "little"
    )
    protocol, behind = headers[at + 9], at + (headers[at] & 15) * 4
    if int.from_bytes(headers[at + 6 : at + 8], "big") & (_FRAGMENT | 0x2000):
        return addresses, 0
    if protocol in _WITH_PORTS:
        ports = behind + _WITH_PORTS[protocol]
        return addresses, int.from_bytes(headers[ports : ports + 4].ljust(4, b"\0"), "little")
    if protocol == _ICMP and len(headers) >= behind + 8:
        kind, code = headers[behind], headers[behind + 1]
        if kind in _ICMP_ERRORS:
            return _flow(headers, behind + 8) or (addresses, 0)
        if kind in _ICMP_WITH_ID:
            ident = int.from_bytes(headers[behind + 4 : behind + 6], "big") or 1
            return addresses, kind | code << 8 | ident << 16
    return addresses, 0


_XMIT = {
    BondMode.ROUNDROBIN: bond_xmit_roundrobin,
    BondMode.ACTIVEBACKUP: bond_xmit_activebackup,
    BondMode.XOR: bond_3ad_xor_xmit,
    BondMode.BROADCAST: bond_xmit_broadcast,
    BondMode.AD: bond_3ad_xor_xmit,
}
