"""Network address translation: what connections are translated to (Linux: net/netfilter/nf_nat_core.c; RFC 3022)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import ref

from ..uapi import IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP
from .core import (
    NF_ACCEPT,
    NF_DROP,
    NF_INET_LOCAL_IN,
    NF_INET_POST_ROUTING,
    NfHookOps,
    nf_register_net_hook,
    nf_unregister_net_hook,
)
from .nf_conntrack_common import (
    CTINFO2DIR,
    IP_CT_DIR_ORIGINAL,
    IP_CT_DIR_REPLY,
    IP_CT_NEW,
    IP_CT_RELATED,
    IP_CT_RELATED_REPLY,
    IPS_CONFIRMED,
    IPS_DST_NAT,
    IPS_DST_NAT_DONE,
    IPS_DYING,
    IPS_NAT_MASK,
    IPS_SRC_NAT,
    IPS_SRC_NAT_DONE,
)
from .nf_conntrack_core import NfConn, nf_conntrack_alter_reply, nf_conntrack_tuple_taken, nf_ct_ext_add, nf_ct_get
from .nf_conntrack_tuple import NfConntrackTuple, nf_ct_invert_tuple

if TYPE_CHECKING:
    from ..core.net import Net
    from ..core.skbuff import SkBuff
    from .core import NfHookState

__all__ = [
    "HOOK2MANIP",
    "NF_NAT_MANIP_DST",
    "NF_NAT_MANIP_SRC",
    "NetnsNat",
    "NfConnNat",
    "NfNatRange",
    "hash_by_src",
    "nf_ct_nat_ext_add",
    "nf_in_range",
    "nf_nat_alloc_null_binding",
    "nf_nat_inet_fn",
    "nf_nat_initialized",
    "nf_nat_net",
    "nf_nat_packet",
    "nf_nat_register_fn",
    "nf_nat_setup_info",
    "nf_nat_unregister_fn",
]

NF_NAT_MANIP_SRC = 0
NF_NAT_MANIP_DST = 1

_MAX_ATTEMPTS = 128
_MIN_ATTEMPTS = 16
_WITH_PORTS = (IPPROTO_TCP, IPPROTO_UDP)


def HOOK2MANIP(hook: int) -> int:  # noqa: N802 - the kernel's name
    """Return what is translated at a hook: sources of what leaves, destinations of what comes."""
    return NF_NAT_MANIP_SRC if hook in (NF_INET_POST_ROUTING, NF_INET_LOCAL_IN) else NF_NAT_MANIP_DST


@dataclass(frozen=True, slots=True)
class NfNatRange:
    """Where a connection is translated to (Linux: ``struct nf_nat_range2``).

    Members
    -------
    addr : tuple[int, int] or None
        First and last address; None: the address stays.
    proto : tuple[int, int] or None
        First and last port or ICMP identifier; None: the same if it is free.
    random : bool
        Any port will do.
    persistent : bool
        Give a client the same address for all servers.
    """

    addr: tuple[int, int] | None = None
    proto: tuple[int, int] | None = None
    random: bool = False
    persistent: bool = False


class NfConnNat:
    """What NAT remembers of a connection: the device whose address it has (Linux: ``struct nf_conn_nat``)."""

    __slots__ = ("masq_index",)

    def __init__(self) -> None:
        self.masq_index = 0


class NetnsNat:
    """What NAT keeps in a namespace.

    Members
    -------
    bysource : dict[int, list]
        Connections by the hash of their source: what a source got once, it gets again (RFC 4787 §4.1).
    chains : list[list[NfHookOps]]
        Rules of each hook, in order of priority.
    hooks : list[NfHookOps]
        What is registered for them.
    masquerade_users : int
        How many rules translate to a device's address.
    """

    def __init__(self, net: "Net") -> None:
        self.bysource: dict[int, list[ref[NfConn]]] = {}
        self.chains: list[list[NfHookOps]] = [[] for _ in range(5)]
        self.hooks: list[NfHookOps] = []
        self.hash_rnd = net.kernel.platform.random_u32()
        self.masquerade_users = 0


def nf_nat_net(net: "Net") -> NetnsNat:
    """Return what NAT keeps in a namespace, made if needed."""
    if not hasattr(net.nf, "nat"):
        net.nf.nat = NetnsNat(net)
    return net.nf.nat


def nf_nat_register_fn(net: "Net", ops: NfHookOps, hooks: tuple[NfHookOps, ...]) -> None:
    """Let a chain say how new connections are translated; ``hooks`` do it, from the first chain on."""
    nat = nf_nat_net(net)
    chain = nat.chains[ops.hooknum]
    chain.append(ops)
    chain.sort(key=lambda entry: entry.priority)
    if not nat.hooks:
        nat.hooks += hooks
        for entry in hooks:
            nf_register_net_hook(net, entry)


def nf_nat_unregister_fn(net: "Net", ops: NfHookOps) -> None:
    """Forget a chain; with the last one translation ends."""
    nat = net.nf.nat
    nat.chains[ops.hooknum].remove(ops)
    if not any(nat.chains):
        for entry in nat.hooks:
            nf_unregister_net_hook(net, entry)
        nat.hooks = []


def nf_ct_nat_ext_add(ct: NfConn) -> NfConnNat:
    """Return what NAT remembers of a connection, made if needed."""
    return ct.ext.get(NfConnNat) or nf_ct_ext_add(ct, NfConnNat)


def nf_nat_initialized(ct: NfConn, maniptype: int) -> bool:
    """Return whether it is settled how a connection's sources, or destinations, are translated."""
    return bool(ct.status & (IPS_SRC_NAT_DONE if maniptype == NF_NAT_MANIP_SRC else IPS_DST_NAT_DONE))


def hash_by_src(net: "Net", tuple: NfConntrackTuple) -> int:
    """Return the bucket of a source."""
    return hash((tuple.saddr, tuple.sport, tuple.protonum, net.nf.nat.hash_rnd))


def _port_in_range(tuple: NfConntrackTuple, maniptype: int, low: int, high: int) -> bool:
    """Return whether a tuple's port, or ICMP identifier, is one that may be (``l4proto_in_range``)."""
    if tuple.protonum == IPPROTO_ICMP or maniptype == NF_NAT_MANIP_SRC:
        return low <= tuple.sport <= high
    return low <= tuple.dport <= high


def nf_in_range(tuple: NfConntrackTuple, wanted: NfNatRange) -> bool:
    """Return whether a tuple's source is in a range as it is."""
    if wanted.addr is not None and not wanted.addr[0] <= tuple.saddr <= wanted.addr[1]:
        return False
    return wanted.proto is None or _port_in_range(tuple, NF_NAT_MANIP_SRC, *wanted.proto)


def nf_nat_used_tuple(tuple: NfConntrackTuple, ct: NfConn) -> bool:
    """Return whether answers to a tuple would be those of another connection."""
    reply = nf_ct_invert_tuple(tuple)
    assert reply is not None
    return nf_conntrack_tuple_taken(reply, ct)


def _find_appropriate_src(ct: NfConn, tuple: NfConntrackTuple, wanted: NfNatRange) -> NfConntrackTuple | None:
    """Return what the source of a tuple was translated to before, if it is in the range."""
    bysource = ct.net.nf.nat.bysource
    for entry in bysource.get(hash_by_src(ct.net, tuple), ()):
        other = entry()
        if other is None or other.status & IPS_DYING:
            continue
        orig = other.tuples[IP_CT_DIR_ORIGINAL]
        if (orig.saddr, orig.sport, orig.protonum) != (tuple.saddr, tuple.sport, tuple.protonum):
            continue
        source = nf_ct_invert_tuple(other.tuples[IP_CT_DIR_REPLY])
        assert source is not None
        result = tuple._replace(saddr=source.saddr, sport=source.sport)
        if nf_in_range(result, wanted):
            return result
    return None


def _find_best_ips(tuple: NfConntrackTuple, wanted: NfNatRange, maniptype: int) -> NfConntrackTuple:
    """Give a tuple an address of the range: the same one for the same two hosts (``find_best_ips_proto``)."""
    if wanted.addr is None:
        return tuple
    low, high = wanted.addr
    address = low
    if low != high:
        mixed = hash((tuple.saddr, 0 if wanted.persistent else tuple.daddr)) & 0xFFFFFFFF
        address += mixed * (high - low + 1) >> 32
    return tuple._replace(saddr=address) if maniptype == NF_NAT_MANIP_SRC else tuple._replace(daddr=address)


def _ports(tuple: NfConntrackTuple, wanted: NfNatRange, maniptype: int) -> tuple[int, int] | None:
    """Return first and last port to choose from; None if it has to stay (RFC 4787 §4.2.2: the same class of ports)."""
    if tuple.protonum == IPPROTO_ICMP:
        return wanted.proto or (0, 0xFFFF)
    if tuple.protonum not in _WITH_PORTS:
        return None
    if wanted.proto is not None:
        return wanted.proto
    if maniptype == NF_NAT_MANIP_DST:
        return None
    if tuple.sport >= 1024:
        return 1024, 65535
    return (600, 1023) if tuple.sport >= 512 else (1, 511)


def nf_nat_l4proto_unique_tuple(
    tuple: NfConntrackTuple, wanted: NfNatRange, maniptype: int, ct: NfConn
) -> NfConntrackTuple:
    """Give a tuple a port that makes it one of its own; if none is found, one that another has."""
    ports = _ports(tuple, wanted, maniptype)
    if ports is None:
        return tuple
    low, high = ports
    size = high - low + 1
    random_u32 = ct.net.kernel.platform.random_u32
    source = maniptype == NF_NAT_MANIP_SRC or tuple.protonum == IPPROTO_ICMP
    offset = random_u32() & 0xFFFF if wanted.random or maniptype != NF_NAT_MANIP_DST else 0
    attempts = min(size, _MAX_ATTEMPTS)
    while True:
        for number in range(attempts):
            port = low + (offset + number) % size
            tuple = tuple._replace(sport=port) if source else tuple._replace(dport=port)
            if not nf_nat_used_tuple(tuple, ct):
                return tuple
        if attempts >= size or attempts < _MIN_ATTEMPTS:
            return tuple
        attempts //= 2
        offset = random_u32() & 0xFFFF


def get_unique_tuple(orig: NfConntrackTuple, wanted: NfNatRange, ct: NfConn, maniptype: int) -> NfConntrackTuple:
    """Return a tuple in the range that no other connection has, as near to the original as can be."""
    if maniptype == NF_NAT_MANIP_SRC and not wanted.random:
        if nf_in_range(orig, wanted):
            if not nf_nat_used_tuple(orig, ct):
                return orig
        else:
            known = _find_appropriate_src(ct, orig, wanted)
            if known is not None and not nf_nat_used_tuple(known, ct):
                return known
    tuple = _find_best_ips(orig, wanted, maniptype)
    if not wanted.random:
        if wanted.proto is None:
            if not nf_nat_used_tuple(tuple, ct):
                return tuple
        elif _port_in_range(tuple, maniptype, *wanted.proto):
            if wanted.proto[0] == wanted.proto[1] or not nf_nat_used_tuple(tuple, ct):
                return tuple
    return nf_nat_l4proto_unique_tuple(tuple, wanted, maniptype, ct)


def nf_nat_setup_info(ct: NfConn, wanted: NfNatRange, maniptype: int) -> int:
    """Settle how a new connection's sources, or destinations, are translated; return a verdict."""
    if ct.status & IPS_CONFIRMED:
        return NF_ACCEPT
    curr = nf_ct_invert_tuple(ct.tuples[IP_CT_DIR_REPLY])
    assert curr is not None
    new = get_unique_tuple(curr, wanted, ct, maniptype)
    if new != curr:
        reply = nf_ct_invert_tuple(new)
        assert reply is not None
        nf_conntrack_alter_reply(ct, reply)
        ct.status |= IPS_SRC_NAT if maniptype == NF_NAT_MANIP_SRC else IPS_DST_NAT
    if maniptype == NF_NAT_MANIP_SRC:
        bysource = ct.net.nf.nat.bysource
        bucket = hash_by_src(ct.net, ct.tuples[IP_CT_DIR_ORIGINAL])
        known = [entry for entry in bysource.get(bucket, ()) if entry() is not None]
        bysource[bucket] = [ref(ct, lambda gone: _forget(bysource, bucket, gone)), *known]
        ct.status |= IPS_SRC_NAT_DONE
    else:
        ct.status |= IPS_DST_NAT_DONE
    return NF_ACCEPT


def _forget(bysource: dict[int, list["ref[NfConn]"]], bucket: int, gone: "ref[NfConn]") -> None:
    """Take a connection that is gone out of its bucket."""
    rest = [entry for entry in bysource.get(bucket, ()) if entry is not gone]
    if rest:
        bysource[bucket] = rest
    else:
        bysource.pop(bucket, None)


def __nf_nat_alloc_null_binding(ct: NfConn, manip: int) -> int:
    """Settle that addresses stay as they are; a port changes only if another connection has it."""
    reply = ct.tuples[IP_CT_DIR_REPLY]
    address = reply.daddr if manip == NF_NAT_MANIP_SRC else reply.saddr
    return nf_nat_setup_info(ct, NfNatRange((address, address)), manip)


def nf_nat_alloc_null_binding(ct: NfConn, hooknum: int) -> int:
    """The same, for what is translated at a hook."""
    return __nf_nat_alloc_null_binding(ct, HOOK2MANIP(hooknum))


def nf_nat_packet(ct: NfConn, ctinfo: int, hooknum: int, skb: "SkBuff") -> int:
    """Translate a packet as its connection is; return a verdict."""
    from .nf_nat_proto import nf_nat_manip_pkt  # It asks the functions here.

    mtype = HOOK2MANIP(hooknum)
    dir = CTINFO2DIR(ctinfo)
    statusbit = IPS_SRC_NAT if mtype == NF_NAT_MANIP_SRC else IPS_DST_NAT
    if dir == IP_CT_DIR_REPLY:
        statusbit ^= IPS_NAT_MASK
    return nf_nat_manip_pkt(skb, ct, mtype, dir) if ct.status & statusbit else NF_ACCEPT


def _oif_changed(state: "NfHookState", ctinfo: int, ct: NfConn) -> bool:
    """Return whether a connection has the address of a device by which it does not leave (``nf_nat_oif_changed``)."""
    nat = ct.ext.get(NfConnNat)
    if nat is None or not nat.masq_index or state.hook != NF_INET_POST_ROUTING:
        return False
    return CTINFO2DIR(ctinfo) == IP_CT_DIR_ORIGINAL and nat.masq_index != (
        state.out_dev.ifindex if state.out_dev else 0
    )


def nf_nat_inet_fn(priv: Any, skb: "SkBuff", state: "NfHookState") -> int:
    """Ask the rules how a new connection is translated, and translate a packet; return a verdict."""
    from .nf_conntrack_core import nf_ct_delete

    ct, ctinfo = nf_ct_get(skb)
    if ct is None:
        return NF_ACCEPT
    maniptype = HOOK2MANIP(state.hook)
    if ctinfo in (IP_CT_NEW, IP_CT_RELATED, IP_CT_RELATED_REPLY) and not nf_nat_initialized(ct, maniptype):
        ret = _ask(skb, state, ct, maniptype)
        if ret != NF_ACCEPT:
            return ret
    elif _oif_changed(state, ctinfo, ct):
        nf_ct_delete(ct)
        return NF_DROP
    return nf_nat_packet(ct, ctinfo, state.hook, skb)


def _ask(skb: "SkBuff", state: "NfHookState", ct: NfConn, maniptype: int) -> int:
    for chain in state.net.nf.nat.chains[state.hook]:
        ret = chain.hook(chain.priv, skb, state)
        if ret != NF_ACCEPT:
            return ret
        if nf_nat_initialized(ct, maniptype):
            return NF_ACCEPT
    return nf_nat_alloc_null_binding(ct, state.hook)
