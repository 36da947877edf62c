"""Programs of socket calls, run on our stack and on a real Linux kernel: the same results, the same frames."""

import fcntl
import socket as real
from collections.abc import Callable, Sequence
from functools import partial
from struct import pack
from sys import byteorder
from typing import Any

from hardwire.stack import socket as api
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, PEER_MAC
from hardwire.tb.stack.linux_peer import LinuxPeer
from hardwire.tb.stack.pair import PairHost

__all__ = ["IFINDEX", "assert_same_program", "make_ours", "set_up"]

# Name of a socket's method, and its arguments; or "arrive" and a frame, which arrives then, or "ioctl" (of fcntl).
Call = tuple[Any, ...]
IFINDEX = b"\xf0et0"  # In the octets that a program gives: the number of eth0.
_TIMES = (api.SO_TIMESTAMP, api.SO_TIMESTAMP_NEW, api.SO_TIMESTAMPNS, api.SO_TIMESTAMPNS_NEW)
_GATEWAY, _GATEWAY_MAC = "10.0.0.77", "02:00:00:00:00:4d"


def set_up(peer: LinuxPeer) -> None:
    """Give a kernel's host two neighbours, and a gateway to 192.0.2.0/24."""
    for address, mac in (("10.0.0.1", PEER_MAC.hex(":")), (_GATEWAY, _GATEWAY_MAC)):
        peer.ip("neigh", "replace", address, "lladdr", mac, "nud", "permanent", "dev", "eth0")
    peer.ip("route", "add", "192.0.2.0/24", "via", _GATEWAY)
    peer.frames()


def make_ours() -> PairHost:
    """Return a host of ours like that."""
    host = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", features=NETIF_F_SG | NETIF_F_HW_CSUM)
    neigh_add(host.dev, "10.0.0.1", PEER_MAC.hex(":"))
    neigh_add(host.dev, _GATEWAY, _GATEWAY_MAC)
    route_add(host.net, "192.0.2.0/24", via=_GATEWAY)
    return host


def _run(
    make_socket: Callable[..., Any], kind: int, protocol: int, calls: Sequence[Call], host: "LinuxPeer | PairHost"
) -> list[object]:
    """Make a socket and calls of it; return what they returned, or the errno of those that failed."""
    ifindex = host.net.dev_by_name["eth0"].ifindex if isinstance(host, PairHost) else real.if_nametoindex("eth0")
    said: list[object] = []
    try:
        sock = make_socket(api.AF_INET, kind, protocol)
    except OSError as error:
        return [error.errno]
    for name, *args in calls:
        try:
            if name == "arrive":
                host.receive(*args)
            elif name == "ioctl":
                request, octets = _with_index(args, ifindex)
                call = sock.ioctl if isinstance(host, PairHost) else partial(fcntl.ioctl, sock.fileno())
                answer = call(request, octets)
                if request in (api.SIOCGIFNAME, api.SIOCGIFINDEX):
                    answer = answer.replace(pack("=i", ifindex), IFINDEX)
                said.append(answer)
            else:
                said.append(_common(getattr(sock, name)(*_with_index(args, ifindex)), ifindex))
        except OSError as error:
            said.append(error.errno)
    sock.close()
    return said


def _with_index(args: Any, ifindex: int) -> Any:
    """Put the number of eth0 where a program asks for it."""
    if isinstance(args, (list, tuple)):
        return type(args)(_with_index(arg, ifindex) for arg in args)
    return args.replace(IFINDEX, pack("=i", ifindex)) if isinstance(args, bytes) else args


def _common(said: object, ifindex: int) -> object:
    """Return what a call returned, without what is up to the host: the time, and the number of eth0."""
    if not isinstance(said, tuple) or len(said) != 4:
        return said
    octets, control, flags, name = said
    return octets, [_common_message(*message, ifindex) for message in control], flags, name


def _common_message(level: int, kind: int, data: bytes, ifindex: int) -> tuple[int, int, object]:
    if level == api.SOL_SOCKET and kind in _TIMES:
        return level, kind, len(data)
    if (level, kind) == (api.SOL_IP, api.IP_PKTINFO):
        return level, kind, data.replace(pack("=i", ifindex), IFINDEX, 1)
    if (level, kind) == (api.SOL_IP, api.IP_CHECKSUM):  # A sum that may be folded or not.
        return level, kind, int.from_bytes(data, byteorder) % 0xFFFF
    return level, kind, data


def _comparable(frames: list[bytes]) -> list[bytes]:
    """Return the IPv4 frames without what is up to the host: identification, and the sum over it."""
    found = []
    for frame in frames:
        if frame[12:14] == b"\x08\x00" and frame[23] != 2:  # No IGMP: that comes by timers of its own.
            octets = bytearray(frame)
            octets[18:20] = octets[24:26] = bytes(2)
            found.append(bytes(octets))
    return found


def assert_same_program(theirs: LinuxPeer, ours: PairHost, kind: int, protocol: int, calls: Sequence[Call]) -> None:
    """Check that a program has the same results, and sends the same frames, on both."""
    said = theirs.inside(lambda: _run(real.socket, kind, protocol, calls, theirs))
    assert _run(ours.net.socket, kind, protocol, calls, ours) == said
    ours.platform.advance(1_000_000)
    assert _comparable(ours.dev.sent) == _comparable(theirs.frames())
    assert len(ours.platform.buffers) == 0
