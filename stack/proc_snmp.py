"""Text of ``/proc/net/snmp`` and ``/proc/net/netstat``: a namespace's SNMP counters (Linux: net/ipv4/proc.c)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .snmp_names import ICMP, IP, IP_EXT, TCP, TCP_EXT, UDP

if TYPE_CHECKING:
    from .core.net import Net

__all__ = ["netstat_seq_show", "snmp_seq_show"]


def _lines(net: "Net", group: str, names: Sequence[str], fixed: dict[str, int] | None = None) -> str:
    """Return a line of names and one of numbers; ``fixed`` are no counters."""
    values = dict(fixed or {})
    numbers = (values.get(name, net.mib.get(f"{group}:{name}", 0)) for name in names)
    return f"{group}: {' '.join(names)}\n{group}: {' '.join(map(str, numbers))}\n"


def _icmp_types(net: "Net") -> str:
    """Return the lines of the ICMP types that came or went, if any did."""
    names = [
        f"{direction}Type{kind}"
        for direction in ("In", "Out")
        for kind in range(256)
        if net.mib.get(f"IcmpMsg:{direction}Type{kind}")
    ]
    return _lines(net, "IcmpMsg", names) if names else ""


def snmp_seq_show(net: "Net") -> str:
    """Return the counters of IP, ICMP, TCP, UDP and UDP-Lite (RFC 4293, 4022, 4113)."""
    ipv4 = net.ipv4
    setting = {"Forwarding": 1 if ipv4.devconf_all.forwarding else 2, "DefaultTTL": ipv4.sysctl_ip_default_ttl}
    # Of TCP: the retransmission timeout is Van Jacobson's, from 200 ms to 120 s; there is no limit of connections.
    tcp = {"RtoAlgorithm": 1, "RtoMin": 200, "RtoMax": 120_000, "MaxConn": -1}
    return "".join(
        (
            _lines(net, "Ip", IP, setting),
            _lines(net, "Icmp", ICMP),
            _icmp_types(net),
            _lines(net, "Tcp", TCP, tcp),
            _lines(net, "Udp", UDP),
            _lines(net, "UdpLite", UDP),
        )
    )


def netstat_seq_show(net: "Net") -> str:
    """Return the further counters that Linux has of TCP and IP."""
    return _lines(net, "TcpExt", TCP_EXT) + _lines(net, "IpExt", IP_EXT)
