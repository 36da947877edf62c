"""Numbers and names of ICMP (Linux: include/uapi/linux/icmp.h; RFC 792, RFC 1122 §3.2.2)."""

from errno import ECONNREFUSED, EHOSTDOWN, EHOSTUNREACH, EMSGSIZE, ENETUNREACH, ENONET, ENOPROTOOPT, EOPNOTSUPP
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = [
    "ICMP_DEST_UNREACH",
    "ICMP_ECHO",
    "ICMP_ECHOREPLY",
    "ICMP_ERRORS",
    "ICMP_EXC_FRAGTIME",
    "ICMP_EXC_TTL",
    "ICMP_FRAG_NEEDED",
    "ICMP_HOST_UNREACH",
    "ICMP_IN",
    "ICMP_NAMES",
    "ICMP_NET_UNREACH",
    "ICMP_PARAMETERPROB",
    "ICMP_PKT_FILTERED",
    "ICMP_PORT_UNREACH",
    "ICMP_PROT_UNREACH",
    "ICMP_REDIRECT",
    "ICMP_REDIR_HOST",
    "ICMP_SOURCE_QUENCH",
    "ICMP_TIMESTAMP",
    "ICMP_TIMESTAMPREPLY",
    "ICMP_TIME_EXCEEDED",
    "NR_ICMP_TYPES",
    "NR_ICMP_UNREACH",
    "icmp_err_convert",
    "icmp_out_count",
]

ICMP_ECHOREPLY = 0
ICMP_DEST_UNREACH = 3
ICMP_SOURCE_QUENCH = 4
ICMP_REDIRECT = 5
ICMP_ECHO = 8
ICMP_TIME_EXCEEDED = 11
ICMP_PARAMETERPROB = 12
ICMP_TIMESTAMP = 13
ICMP_TIMESTAMPREPLY = 14
ICMP_ADDRESS = 17
ICMP_ADDRESSREPLY = 18
NR_ICMP_TYPES = 18

# Types that tell of an error: no error is told about them (RFC 1122 §3.2.2).
ICMP_ERRORS = frozenset((ICMP_DEST_UNREACH, ICMP_SOURCE_QUENCH, ICMP_REDIRECT, ICMP_TIME_EXCEEDED, ICMP_PARAMETERPROB))

# Codes of "destination unreachable".
ICMP_NET_UNREACH = 0
ICMP_HOST_UNREACH = 1
ICMP_PROT_UNREACH = 2
ICMP_PORT_UNREACH = 3
ICMP_FRAG_NEEDED = 4
ICMP_PKT_FILTERED = 13
NR_ICMP_UNREACH = 15
ICMP_REDIR_HOST = 1  # Of "redirect".
ICMP_EXC_TTL = 0  # Of "time exceeded".
ICMP_EXC_FRAGTIME = 1

# RFC 1122 §4.1.3.3 and §4.2.3.9: the errno for each code, and whether a connected socket has to know it.
icmp_err_convert = (
    (ENETUNREACH, False),
    (EHOSTUNREACH, False),
    (ENOPROTOOPT, True),
    (ECONNREFUSED, True),
    (EMSGSIZE, False),
    (EOPNOTSUPP, False),
    (ENETUNREACH, True),
    (EHOSTDOWN, True),
    (ENONET, True),
    (ENETUNREACH, True),
    (EHOSTUNREACH, True),
    (ENETUNREACH, False),
    (EHOSTUNREACH, False),
    (EHOSTUNREACH, True),
    (EHOSTUNREACH, True),
    (EHOSTUNREACH, True),
)

# Counters by type, as in /proc/net/snmp.
ICMP_NAMES = {
    ICMP_ECHOREPLY: "EchoReps",
    ICMP_DEST_UNREACH: "DestUnreachs",
    ICMP_SOURCE_QUENCH: "SrcQuenchs",
    ICMP_REDIRECT: "Redirects",
    ICMP_ECHO: "Echos",
    ICMP_TIME_EXCEEDED: "TimeExcds",
    ICMP_PARAMETERPROB: "ParmProbs",
    ICMP_TIMESTAMP: "Timestamps",
    ICMP_TIMESTAMPREPLY: "TimestampReps",
    ICMP_ADDRESS: "AddrMasks",
    ICMP_ADDRESSREPLY: "AddrMaskReps",
}


def _counters(direction: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (f"IcmpMsg:{direction}Type{kind}", *([f"Icmp:{direction}{ICMP_NAMES[kind]}"] if kind in ICMP_NAMES else []))
        for kind in range(256)
    )


ICMP_IN = _counters("In")
ICMP_OUT = _counters("Out")


def icmp_out_count(net: "Net", type: int) -> None:
    """Count a message that this host sends."""
    mib = net.mib
    mib["Icmp:OutMsgs"] += 1
    for name in ICMP_OUT[type]:
        mib[name] += 1
