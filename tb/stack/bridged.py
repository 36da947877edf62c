"""A bridge of ours and a real Linux bridge, with ports whose frames tests write and read."""

import fcntl
import json
import os
import select
import struct
import subprocess
import time
from collections.abc import Iterable
from typing import Self

from hardwire.stack.bridge.br_fdb_user import br_fdb_dump
from hardwire.stack.bridge.br_netlink import br_dev_newlink
from hardwire.stack.core.dev_napi import napi_enable
from hardwire.stack.core.dev_register import dev_get_stats, dev_open, register_netdevice
from hardwire.stack.core.dev_upper import do_set_master
from hardwire.stack.core.ethtool import LinkSettings
from hardwire.stack.core.net import Kernel
from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM, NETIF_F_SG
from hardwire.stack.iproute import addr_add, neigh_add
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.pair import WireDevice

__all__ = ["BRIDGE_MAC", "OurBridge", "RealBridge", "port_mac"]

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 2, 0x1000
_QUIET = ("net.ipv6.conf.default.disable_ipv6=1", "net.ipv4.igmp_link_local_mcast_reports=0")  # Nothing by itself.
_STATES = {0x80: "permanent", 0x40: "static", 0x02: "", 0x04: "stale"}
_COUNTERS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "multicast", "rx_dropped", "tx_dropped")
_PORT_COUNTERS = ("tx_packets", "rx_dropped", "rx_nohandler", "tx_dropped")
BRIDGE_MAC = bytes.fromhex("020000000010")
PEERS = {"10.0.0.1": "02:00:00:00:00:01", "10.0.0.3": "02:00:00:00:00:03"}


def port_mac(number: int) -> bytes:
    """Return the address of a port, from 0 on; that of the first is the bridge's, too."""
    return BRIDGE_MAC[:5] + bytes((0x10 + number,))


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class TenGigabit:
    """What ``ethtool`` says of a TAP device."""

    def get_link_ksettings(self) -> LinkSettings:
        """Say 10 Gb/s."""
        return LinkSettings(10_000, "full", False, True, (), ())


class OurBridge:
    """br0 with ports p0, p1, ... on a host of its own; with ``address`` it has 10.0.0.2/24."""

    def __init__(
        self, ports: int = 3, *, platform: FakePlatform | None = None, address: bool = False, **settings
    ) -> None:
        self.platform = FakePlatform() if platform is None else platform
        self.kernel = Kernel(self.platform)
        self.net = self.kernel.init_net
        self.dev = br_dev_newlink(self.net, "br0", settings.pop("data", {}))
        dev_open(self.dev)
        self.ports = [self.add_port(number, **settings) for number in range(ports)]
        if address:
            addr_add(self.dev, "10.0.0.2/24")
            for peer, mac in PEERS.items():
                neigh_add(self.dev, peer, mac)
        self.read: list[int] = [0] * ports
        self.platform.advance(1_000_000)  # The links are followed.

    def add_port(self, number: int, mac: bytes | None = None, **settings) -> WireDevice:
        """Put one more port in."""
        settings.setdefault("features", NETIF_F_SG | NETIF_F_HW_CSUM)
        port = WireDevice(self.net, port_mac(number) if mac is None else mac, **settings)
        port.name = f"p{number}"
        port.ethtool_ops = TenGigabit()
        register_netdevice(port)
        napi_enable(port.napi)
        dev_open(port)
        do_set_master(port, self.dev)
        return port

    def send(self, port: int, frame: bytes) -> None:
        """Let a frame arrive at a port."""
        self.ports[port].receive(frame)

    def frames(self) -> list[list[bytes]]:
        """Return what each port has sent since the last time."""
        found = [port.sent[at:] for port, at in zip(self.ports, self.read, strict=True)]
        self.read = [len(port.sent) for port in self.ports]
        return found

    def fdb(self) -> set[tuple[str, str, str]]:
        """Return the table: address, port, state."""
        return {(info.addr.hex(":"), info.dev.name, _STATES[info.state]) for info in br_fdb_dump(self.dev)}

    def counters(self) -> dict[str, int]:
        """Return what the bridge itself has counted, and what its ports have sent and dropped."""
        found = {name: getattr(dev_get_stats(self.dev), name) for name in _COUNTERS}
        for number, port in enumerate(self.ports):
            stats = dev_get_stats(port)
            found |= {f"p{number} {name}": getattr(stats, name) for name in _PORT_COUNTERS}
        return found


class RealBridge:
    """The kernel's br0 with TAP devices p0, p1, ... as ports, in a namespace; use it in a ``with``.

    Everything goes on on one CPU meanwhile, so that frames stay in their order.
    """

    def __init__(self, name: str, ports: int = 3, *words: str, address: bool = False) -> None:
        self.name = name
        self.count = ports
        self.words = words
        self.address = address
        self.fds: list[int] = []
        self.cpus = os.sched_getaffinity(0)

    def __enter__(self) -> Self:
        os.sched_setaffinity(0, {min(self.cpus)})
        _run("ip", "netns", "add", self.name)
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _set_up(self) -> None:
        _run("ip", "netns", "exec", self.name, "sysctl", "-qw", *_QUIET)
        self.ip("link", "add", "br0", "type", "bridge", *self.words)
        self.ip("link", "set", "br0", "up")
        for number in range(self.count):
            fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            self.fds.append(fd)
            device = f"t{os.getpid()}p{number}"
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
            _run("ip", "link", "set", device, "netns", self.name, "name", f"p{number}")
            self.ip("link", "set", f"p{number}", "address", port_mac(number).hex(":"), "up")
            self.ip("link", "set", f"p{number}", "master", "br0")
        if self.address:
            self.ip("address", "add", "10.0.0.2/24", "broadcast", "10.0.0.255", "dev", "br0")
            for peer, mac in PEERS.items():
                self.ip("neigh", "add", peer, "lladdr", mac, "nud", "permanent", "dev", "br0")

    def __exit__(self, *_: object) -> None:
        for fd in self.fds:
            os.close(fd)
        _run("ip", "netns", "del", self.name)
        os.sched_setaffinity(0, self.cpus)

    def ip(self, *words: str) -> str:
        """Run the command of that name in the namespace."""
        return _run("ip", "-n", self.name, *words)

    def bridge(self, *words: str) -> str:
        """Run the command of that name in the namespace."""
        return _run("bridge", "-n", self.name, *words)

    def send(self, port: int, frame: bytes) -> None:
        """Let a frame arrive at a port."""
        os.write(self.fds[port], frame)

    def poll(self, timeout: float = 0) -> Iterable[tuple[int, bytes]]:
        """Yield frames with their ports, until none comes for so many seconds; IGMP of the bridge is left out."""
        while ready := select.select(self.fds, [], [], timeout)[0]:
            for fd in ready:
                frame = os.read(fd, 65536)
                if frame[12:14] != b"\x08\x00" or frame[23] != 2:
                    yield self.fds.index(fd), frame

    def frames(self, timeout: float = 0.02) -> list[list[bytes]]:
        """Return what each port has sent since the last time."""
        found: list[list[bytes]] = [[] for _ in self.fds]
        for port, frame in self.poll(timeout):
            found[port].append(frame)
        return found

    def fdb(self) -> set[tuple[str, str, str]]:
        """Return the table: address, port, state."""
        entries = json.loads(self.bridge("-j", "fdb", "show", "br", "br0"))
        return {(entry["mac"], entry["ifname"], entry["state"]) for entry in entries if entry.get("master") == "br0"}

    def counters(self) -> dict[str, int]:
        """Return what the bridge itself has counted, and what its ports have sent and dropped."""
        ports = [f"p{number} {name}" for number in range(self.count) for name in _PORT_COUNTERS]
        names = [*(f"br0 {name}" for name in _COUNTERS), *ports]
        text = self.run("cd /sys/class/net; cat " + " ".join(name.replace(" ", "/statistics/") for name in names))
        return dict(zip([*_COUNTERS, *ports], map(int, text.split()), strict=True))

    def run(self, commands: str) -> str:
        """Return what commands of a shell say in the namespace."""
        return _run("ip", "netns", "exec", self.name, "sh", "-c", commands)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        time.sleep(seconds)
