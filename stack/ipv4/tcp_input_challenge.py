"""Answers to segments that somebody else may have sent (Linux: net/ipv4/tcp_input.c; RFC 5961)."""

from typing import TYPE_CHECKING

from .tcp_output_ack import tcp_send_ack

if TYPE_CHECKING:
    from ..core.net import Net
    from .tcp_sock import TcpSock

__all__ = ["tcp_oow_rate_limited", "tcp_send_challenge_ack"]


def tcp_oow_rate_limited(net: "Net", last_us: int, counter: str) -> bool:
    """Return whether a segment outside the window is not to be answered: another was, just before.

    ``tcp_invalid_ratelimit``: two hosts that both think so of the other would go on for ever.
    """
    elapsed_us = net.kernel.now_ns() // 1000 - last_us
    if 0 <= elapsed_us < net.ipv4.sysctl_tcp_invalid_ratelimit * 1000:
        net.mib[f"TcpExt:TCPACKSkipped{counter}"] += 1
        return True
    return False


def tcp_send_challenge_ack(sk: "TcpSock") -> None:
    """Answer what might be forged with what the true peer can do something with (RFC 5961 §7 limits how often)."""
    net = sk.net
    if tcp_oow_rate_limited(net, sk.last_oow_ack_us, "Challenge"):
        return
    sk.last_oow_ack_us = net.kernel.now_ns() // 1000
    ipv4 = net.ipv4
    second = net.kernel.now_ns() // 1_000_000_000
    limit: int = ipv4.sysctl_tcp_challenge_ack_limit
    if limit < 0x7FFFFFFF:
        # RFC 5961 §7 with a number that nobody can count down to (CVE-2016-5696).
        if second != ipv4.tcp_challenge_second:
            ipv4.tcp_challenge_second = second
            ipv4.tcp_challenge_left = (limit >> 1) + (net.kernel.platform.random_u32() * max(limit, 1) >> 32)
        if ipv4.tcp_challenge_left <= 0:
            return
        ipv4.tcp_challenge_left -= 1
    net.mib["TcpExt:TCPChallengeACK"] += 1
    tcp_send_ack(sk)
