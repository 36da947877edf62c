"""Options of received IPv4 packets: checking, recording, and sending them back (Linux: net/ipv4/ip_options.c)."""

from typing import TYPE_CHECKING

from ..core.drop_reasons import SkbDropReason
from ..core.skbuff import kfree_skb_reason
from ..core.skbuff_data import skb_cow_head
from .devinet import inet_select_addr
from .fib_frontend import fib_compute_spec_dst, inet_addr_type
from .icmp_defs import ICMP_PARAMETERPROB
from .ip import ip_send_check
from .ip_options import (
    IPOPT_END,
    IPOPT_LSRR,
    IPOPT_NOOP,
    IPOPT_RA,
    IPOPT_RR,
    IPOPT_SSRR,
    IPOPT_TIMESTAMP,
    IPOPT_TS_PRESPEC,
    IPOPT_TS_TSANDADDR,
    IPOPT_TS_TSONLY,
    IpOptions,
    inet_current_timestamp,
)
from .rtnetlink import RtScope, RtType

if TYPE_CHECKING:
    from ..core.netdevice import NetDevice
    from ..core.skbuff import SkBuff
    from .route import RTable

__all__ = ["__ip_options_echo", "ip_forward_options", "ip_options_compile_skb", "ip_rcv_options"]


def ip_rcv_options(skb: "SkBuff", dev: "NetDevice") -> bool:
    """Look at the options of a packet that has its route; return False if it was dropped.

    A packet with a source route is dropped unless ``accept_source_route`` allows it, both for all devices and for this
    one; as this host forwards nothing, such a route may only end here.
    """
    net = dev.net
    try:
        skb_cow_head(skb, 0)
    except OSError:
        net.mib["Ip:InDiscards"] += 1
        kfree_skb_reason(skb, SkbDropReason.NOMEM)
        return False
    if not isinstance(skb.cb, IpOptions):
        skb.cb = IpOptions()
    opt = skb.cb
    fault = ip_options_compile_skb(skb, opt)
    if fault:
        net.mib["Ip:InHdrErrors"] += 1
        from .icmp import icmp_send  # Here: what it imports needs __ip_options_echo().

        icmp_send(skb, ICMP_PARAMETERPROB, 0, fault << 24)
        kfree_skb_reason(skb, SkbDropReason.IP_INHDR)
        return False
    if opt.srr:
        in_dev = dev.ip_ptr
        if in_dev is None or not (in_dev.cnf.accept_source_route and net.ipv4.devconf_all.accept_source_route):
            kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)
            return False
        at = skb.network_header + opt.srr
        if skb.view[at + 2] <= skb.view[at + 1]:
            net.mib["Ip:InAddrErrors"] += 1
            kfree_skb_reason(skb, SkbDropReason.IP_INADDRERRORS)
            return False
    return True


def ip_options_compile_skb(skb: "SkBuff", opt: IpOptions) -> int:
    """Check a packet's options, note where they are, and write into those that record.

    Returns
    -------
    int
        0, or the place of the octet at fault, counted from the IPv4 header (RFC 792: parameter problem).
    """
    header = skb.network_header
    view = skb.view
    end = (view[header] & 15) << 2
    at = 20
    while at < end:
        kind = view[header + at]
        if kind == IPOPT_END:
            view[header + at : header + end] = bytes(end - at)
            return 0
        if kind == IPOPT_NOOP:
            at += 1
            continue
        if end - at < 2:
            return at
        length = view[header + at + 1]
        if length < 2 or length > end - at:
            return at
        fault = _compile_one(skb, opt, kind, at, length)
        if fault:
            return fault
        at += length
    return 0


def _compile_one(skb: "SkBuff", opt: IpOptions, kind: int, at: int, length: int) -> int:
    if kind in (IPOPT_SSRR, IPOPT_LSRR):
        if length < 3:
            return at + 1
        if skb.view[skb.network_header + at + 2] < 4:
            return at + 2
        if opt.srr:
            return at
        opt.srr = at
        return 0
    if kind == IPOPT_RR:
        return _record_route(skb, opt, at, length)
    if kind == IPOPT_TIMESTAMP:
        return _timestamp(skb, opt, at, length)
    if kind == IPOPT_RA:
        if length < 4:
            return at + 1
        place = skb.network_header + at
        if not skb.view[place + 2] and not skb.view[place + 3]:
            opt.router_alert = at
    return 0


def _record_route(skb: "SkBuff", opt: IpOptions, at: int, length: int) -> int:
    if opt.rr:
        return at
    if length < 3:
        return at + 1
    place = skb.network_header + at
    view = skb.view
    pointer = view[place + 2]
    if pointer < 4:
        return at + 2
    if pointer <= length:
        if pointer + 3 > length:
            return at + 2
        view[place + pointer - 1 : place + pointer + 3] = fib_compute_spec_dst(skb).to_bytes(4, "big")
        view[place + 2] = pointer + 4
        opt.rr_needaddr = True
    opt.rr = at
    return 0


def _timestamp(skb: "SkBuff", opt: IpOptions, at: int, length: int) -> int:
    if opt.ts:
        return at
    if length < 4:
        return at + 1
    place = skb.network_header + at
    view = skb.view
    pointer = view[place + 2]
    overflow, flag = divmod(view[place + 3], 16)
    if pointer < 5:
        return at + 2
    if pointer > length:
        if flag != IPOPT_TS_PRESPEC:
            if overflow == 15:
                return at + 3
            view[place + 3] = (overflow + 1) << 4 | flag
        opt.ts = at
        return 0
    if pointer + (7 if flag in (IPOPT_TS_TSANDADDR, IPOPT_TS_PRESPEC) else 3) > length:
        return at + 2
    slot = place + pointer - 1
    stamp = b""
    if flag == IPOPT_TS_TSONLY:
        stamp = inet_current_timestamp(skb.kernel)
    elif flag == IPOPT_TS_TSANDADDR:
        stamp = fib_compute_spec_dst(skb).to_bytes(4, "big") + inet_current_timestamp(skb.kernel)
        opt.ts_needaddr = True
    elif flag == IPOPT_TS_PRESPEC:
        assert skb.dev is not None
        asked = bytes(view[slot : slot + 4])
        if inet_addr_type(skb.dev.net, int.from_bytes(asked, "big")) != RtType.UNICAST:  # This host's turn.
            stamp = asked + inet_current_timestamp(skb.kernel)
    view[slot : slot + len(stamp)] = stamp
    view[place + 2] = pointer + len(stamp)
    opt.ts = at
    return 0


def ip_forward_options(skb: "SkBuff", opt: IpOptions) -> None:
    """Write the address of the way out into the records of a packet that is forwarded, and a new checksum."""
    header = skb.network_header
    view = skb.view
    for at, length in ((opt.rr, 5), (opt.ts, 9)):
        if (opt.rr_needaddr and at == opt.rr) or (opt.ts_needaddr and at == opt.ts):
            slot = header + at + view[header + at + 2] - length
            view[slot : slot + 4] = _source_of_way(skb).to_bytes(4, "big")
    ip_send_check(skb)


def _source_of_way(skb: "SkBuff") -> int:
    """Return the address that this host has where a packet leaves (``ip_rt_get_source``)."""
    rt: RTable = skb.dst  # type: ignore[assignment]  # What an IPv4 packet has.
    daddr = int.from_bytes(skb.view[skb.network_header + 16 : skb.network_header + 20], "big")
    return inet_select_addr(rt.dev.net, rt.dev, rt.gw or daddr, RtScope.UNIVERSE)


def __ip_options_echo(skb: "SkBuff", opt: IpOptions | None = None) -> bytes:
    """Return the options for an answer to a received packet: its records go on, its source route is reversed.

    As ``ip_options_compile`` returns them: of a source route the first slot is the first hop.
    """
    if opt is None:
        opt = skb.cb
    if not isinstance(opt, IpOptions):
        return b""
    options = b""
    view = skb.view
    header = skb.network_header
    for at in (opt.rr, opt.ts):
        if at:
            options += bytes(view[header + at : header + at + view[header + at + 1]])
    if opt.srr:
        options += _reversed_route(bytes(view[header + opt.srr : header + opt.srr + view[header + opt.srr + 1]]))
    return options + bytes(-len(options) % 4)


def _reversed_route(option: bytes) -> bytes:
    """Return a source route that leads back over the hops that were passed (RFC 1122 §3.2.1.8c)."""
    passed = min(option[2] - 1, len(option))
    hops = [option[at : at + 4] for at in range(3, passed - 3, 4)]
    if not hops:
        return b""
    hops.reverse()
    length = 3 + 4 * len(hops)
    return bytes((option[0], length, 4)) + b"".join(hops)
