"""What happens to tunnels, once on a real kernel and for each test on ours: frames that arrive, and what is sent then.

``golden/ipip.json`` has what Linux 6.1 did. To make it anew: as root, in a kernel that has the modules ``ipip`` and
``veth`` (user-mode Linux is one), ``python -m hardwire.tb.stack.ipip_scenarios FILE``.
"""

import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from hardwire.tb.stack.frames import ME, MY_MAC, PEER, SENTINEL, icmp, ip, is_sentinel, udp

__all__ = ["COUNTERS", "ENDS", "SCENARIOS", "Scenario", "echo", "normal", "outer"]

REMOTE = 0x0A00004D  # 10.0.0.77, the tunnels' other end.
INNER_ME, INNER_PEER = 0xAC100002, 0xAC100001  # 172.16.0.2 and .1
DF = 0x4000
ENDS = {"local": "10.0.0.2", "remote": "10.0.0.77"}
COUNTERS = (
    "rx_packets rx_bytes rx_errors rx_dropped rx_frame_errors multicast "
    "tx_packets tx_bytes tx_errors tx_dropped tx_carrier_errors tx_aborted_errors collisions"
).split()


@dataclass(frozen=True)
class Scenario:
    """Tunnels, and the frames that arrive on eth0: each tunnel by name, with the words of ``ip link add``."""

    frames: list[bytes]
    tunnels: dict[str, dict[str, str]] = field(default_factory=lambda: {"tun0": dict(ENDS)})
    routes: list[tuple[str, str, str]] = field(default_factory=list)  # Prefix, gateway or "", device.
    mtu: int = 0


def outer(inner: bytes, src: int = REMOTE, dst: int = ME, **header: int) -> bytes:
    """Return a frame with a packet in a packet."""
    return ip(inner, 4, src, dst, **header)


def packet(*args, **header) -> bytes:
    """Return an IPv4 packet."""
    return ip(*args, **header, pad=b"")[14:]


def to_tunnel(size: int = 32, **header: int) -> bytes:
    """Return a frame that the router sends on into the tunnel."""
    return ip(udp(9000, bytes(size), dst=INNER_PEER), dst=INNER_PEER, **header)


def echo(tos: int = 0, size: int = 32) -> bytes:
    """Return a packet that asks for an echo inside the tunnel."""
    return packet(icmp(8, data=bytes(size)), 1, INNER_PEER, INNER_ME, tos=tos)


def error(kind: int, code: int, rest: bytes = bytes(4)) -> bytes:
    """Return a frame with a router's error about what this host sent through the tunnel."""
    about = outer(packet(udp(9000), dst=INNER_PEER), ME, REMOTE, tos=0, frag=DF)[14:]
    return ip(icmp(kind, code, rest, about[:576]), 1, REMOTE)


SIZES = [to_tunnel(size, frag=frag) for frag in (0, DF) for size in (0, 1, 100, 1451, 1452, 1453, 1472)]
HEADERS = [
    to_tunnel(tos=tos, ttl=ttl) for tos, ttl in ((0, 64), (0x10, 2), (1, 9), (2, 9), (3, 9), (0xB9, 255), (8, 1))
]


def _with(**words: str) -> dict[str, dict[str, str]]:
    return {"tun0": ENDS | words}


SCENARIOS = {
    "sizes": Scenario(SIZES),
    "sizes, nopmtudisc": Scenario(SIZES, _with(pmtudisc="no")),
    "sizes, MTU 1500": Scenario(SIZES + SIZES[::-1], mtu=1500),
    "sizes, MTU 1500, nopmtudisc": Scenario(SIZES + SIZES[::-1], _with(pmtudisc="no"), mtu=1500),
    "sizes, MTU 600": Scenario(SIZES, mtu=600),
    "headers": Scenario(HEADERS),
    "headers, TTL 20": Scenario(HEADERS, _with(ttl="20")),
    "headers, TOS inherit": Scenario(HEADERS, _with(tos="inherit")),
    "headers, TOS 0x10": Scenario(HEADERS, _with(tos="0x10")),
    "headers, TOS 0x1c, TTL 1": Scenario(HEADERS, _with(tos="0x1c", ttl="1")),
    "echoes": Scenario([outer(echo(size=size)) for size in (0, 1, 56, 1432, 1452)]),
    "congestion": Scenario([outer(echo(tos), tos=by) for tos in range(4) for by in range(4)]),
    "not for a tunnel": Scenario(
        [
            outer(echo(), PEER),
            outer(echo(), REMOTE, ttl=1),
            outer(echo()[:19]),
            outer(b""),
            outer(b"\x60" + echo()[1:]),
            outer(echo()[:30]),
            outer(packet(udp(9000, src=INNER_PEER, dst=0x0A000001), src=INNER_PEER, dst=0x0A000001)),
            outer(packet(udp(9000, src=INNER_PEER, dst=0x0B000001), src=INNER_PEER, dst=0x0B000001)),
            outer(packet(udp(9, src=INNER_PEER, dst=INNER_ME), src=INNER_PEER, dst=INNER_ME)),
        ]
    ),
    "fragments": Scenario(
        [
            ip(outer(echo(size=600))[34 : 34 + 320], 4, REMOTE, frag=0x2000),
            ip(outer(echo(size=600))[34 + 320 :], 4, REMOTE, frag=40),
        ]
    ),
    "path MTU": Scenario(
        [
            to_tunnel(1400, frag=DF),
            error(3, 4, bytes((0, 0, 4, 0))),
            to_tunnel(1400, frag=DF),
            to_tunnel(976, frag=DF),
            to_tunnel(977, frag=DF),
            to_tunnel(1400),
            outer(echo(size=1200)),
            error(3, 4, bytes((0, 0, 1, 0))),
            to_tunnel(900, frag=DF),
            to_tunnel(100, frag=DF),
            to_tunnel(900),
        ]
    ),
    "errors": Scenario(
        [
            to_tunnel(),
            error(3, 1),
            error(3, 1),
            to_tunnel(),
            to_tunnel(),
            to_tunnel(),
            error(11, 0),
            to_tunnel(),
            error(12, 0),
            to_tunnel(),
            error(3, 2),
            to_tunnel(),
        ]
    ),
    "errors, TTL 20": Scenario([error(11, 0), error(11, 1), to_tunnel(), to_tunnel()], _with(ttl="20")),
    "a loop": Scenario([to_tunnel(), to_tunnel()], routes=[("10.0.0.77", "", "tun0")]),
    "nowhere": Scenario([to_tunnel()], {"tun0": {"local": "10.0.0.2", "remote": "10.99.0.1"}}),
    "no local address": Scenario([to_tunnel(), outer(echo())], {"tun0": {"remote": "10.0.0.77"}}),
    "no remote address": Scenario(
        [to_tunnel(), outer(echo()), outer(echo(), PEER)],
        {"tun0": {"local": "10.0.0.2", "dev": "eth0"}},
        [("default", "10.0.0.77", "eth0")],
    ),
    "the most specific one": Scenario(
        [outer(echo(), src, dst) for src in (REMOTE, PEER, 0x0A000005) for dst in (ME, 0x0A000003)],
        {
            "tun0": dict(ENDS),
            "tun1": {"local": "10.0.0.3"},
            "tun2": {"remote": "10.0.0.77"},
            "tun3": {"remote": "10.0.0.1"},
        },
    ),
}


def normal(frame: bytes) -> bytes:
    """Return a frame without what is up to the host: identifications of the outer header, and of an ICMP message."""
    octets = bytearray(frame.ljust(60, b"\0"))
    octets[18:20] = octets[24:26] = bytes(2)
    if octets[23] == 4:
        inner = 34
        if octets[inner + 9] == 1 or int.from_bytes(octets[inner + 12 : inner + 16], "big") == INNER_ME:
            octets[inner + 4 : inner + 6] = octets[inner + 10 : inner + 12] = bytes(2)
    return bytes(octets)


def _run(words: str) -> None:
    subprocess.run(words.split(), check=True, capture_output=True, text=True)


def _record(scenario: Scenario) -> dict[str, object]:
    """Return what this kernel does."""
    _run("ip netns add k")
    try:
        inside = "ip netns exec k"
        _run("ip link add w type veth peer name eth0 netns k")
        _run("ip link set w up")
        _run("ip -n k link set eth0 address 02:00:00:00:00:02 up")
        _run("ip -n k link set lo up")
        for name in ("all", "default", "eth0"):
            _run(f"{inside} sysctl -w net.ipv4.conf.{name}.rp_filter=0 net.ipv4.conf.{name}.send_redirects=0")
        _run(f"{inside} sysctl -w net.ipv4.ip_forward=1 net.ipv4.icmp_ratemask=0")
        for address in ("10.0.0.2/24", "10.0.0.3/24"):
            _run(f"ip -n k address add {address} dev eth0")
        for host in (1, 5, 77):
            _run(f"ip -n k neigh replace 10.0.0.{host} lladdr 02:00:00:00:00:{host:02x} nud permanent dev eth0")
        for number, (name, words) in enumerate(scenario.tunnels.items()):
            text = " ".join(f"{key} {value}" for key, value in words.items() if key != "pmtudisc")
            text += " nopmtudisc" if "pmtudisc" in words else ""
            _run(f"ip -n k link add {name} type ipip {text}")
            if scenario.mtu:
                _run(f"ip -n k link set {name} mtu {scenario.mtu}")
            _run(f"ip -n k link set {name} up")
            _run(f"ip -n k address add 172.16.{number}.2/24 dev {name}")
        for prefix, via, dev in scenario.routes:
            _run(f"ip -n k route add {prefix} {'via ' + via if via else ''} dev {dev}")
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        wire.bind(("w", 0))
        wire.settimeout(5)
        sent = []
        for frame in scenario.frames:
            wire.send(frame)
            time.sleep(0.03)  # What a softirq left to its thread is sent, too, before the sentinel's answer.
            wire.send(SENTINEL)
            answers: list[str] = []
            while True:
                answer, address = wire.recvfrom(4000)
                if address[2] == socket.PACKET_OUTGOING:
                    continue
                if is_sentinel(answer) and answer[6:12] == MY_MAC:
                    break
                if answer[12:14] == b"\x08\x00" and answer[23] != 2:
                    answers.append(normal(answer).hex())
            sent.append(answers)
        stats = {}
        mtus = {}
        for name in scenario.tunnels:
            text = subprocess.run(
                f"ip -n k -s -s -j link show {name}".split(), check=True, capture_output=True, text=True
            ).stdout
            (link,) = json.loads(text)
            rx, tx = link["stats64"]["rx"], link["stats64"]["tx"]
            mtus[name] = link["mtu"]
            found = {f"rx_{key}": value for key, value in rx.items()} | {
                f"tx_{key}": value for key, value in tx.items()
            }
            found["multicast"], found["collisions"] = rx["multicast"], tx["collisions"]
            stats[name] = {key: found[key] for key in COUNTERS}
        wire.close()
        return {"sent": sent, "stats": stats, "mtu": mtus}
    finally:
        _run("ip netns del k")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(
        json.dumps({name: _record(scenario) for name, scenario in SCENARIOS.items()}, indent=1) + "\n"
    )
