"""A real Linux kernel to compare with: a network namespace with a TAP device whose frames tests write and read."""

import fcntl
import os
import select
import shutil
import struct
import subprocess
import threading
from collections.abc import Callable
from ctypes import CDLL, get_errno
from pathlib import Path
from typing import Self, TypeVar

__all__ = ["LinuxPeer", "can_make_namespaces"]

T = TypeVar("T")

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI = 2, 0x1000
_CLONE_NEWNET = 0x40000000
_FIELDS = ("Ip", "IpExt", "Icmp", "IcmpMsg", "Udp")


def can_make_namespaces() -> bool:
    """Return whether this process may make namespaces and TAP devices."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists() and shutil.which("ip") is not None


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


class LinuxPeer:
    """The kernel's host: eth0, 02:00:00:00:00:02, 10.0.0.2/24, without IPv6; use it in a ``with``.

    Parameters
    ----------
    name : str
        Name of the namespace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.fd = -1

    def __enter__(self) -> Self:
        _run("ip", "netns", "add", self.name)
        try:
            self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            device = f"t{os.getpid()}"
            fcntl.ioctl(self.fd, _TUNSETIFF, struct.pack("16sH22x", device.encode(), _IFF_TAP | _IFF_NO_PI))
            _run("ip", "link", "set", device, "netns", self.name, "name", "eth0")
            self.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
            for where in ("all", "default", "eth0"):
                self.sysctl(f"net.ipv4.conf.{where}.rp_filter", 0)
            self.ip("link", "set", "lo", "up")
            self.ip("link", "set", "eth0", "address", "02:00:00:00:00:02", "up")
            self.ip("address", "add", "10.0.0.2/24", "broadcast", "10.0.0.255", "dev", "eth0")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self.fd >= 0:
            os.close(self.fd)
        _run("ip", "netns", "del", self.name)

    def ip(self, *words: str) -> str:
        """Run the command of that name in the namespace."""
        return _run("ip", "-n", self.name, *words)

    def sysctl(self, name: str, value: int) -> None:
        """Set a sysctl of the namespace."""
        path = "/proc/sys/" + name.replace(".", "/")
        self.inside(lambda: Path(path).write_text(str(value)))

    def inside(self, function: Callable[[], T]) -> T:
        """Call a function in the namespace; sockets that it makes stay there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def call() -> None:
            with Path(f"/run/netns/{self.name}").open() as file:
                if CDLL(None, use_errno=True).setns(file.fileno(), _CLONE_NEWNET):
                    errors.append(OSError(get_errno(), "setns"))
                    return
            try:
                results.append(function())
            except BaseException as error:  # noqa: BLE001 - for the caller's thread
                errors.append(error)

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def receive(self, frame: bytes) -> None:
        """Let a frame arrive."""
        os.write(self.fd, frame)

    def frames(self, timeout: float = 0.05) -> list[bytes]:
        """Return the frames that the kernel sent, until none comes for so many seconds; IGMP is left out."""
        found: list[bytes] = []
        while select.select([self.fd], [], [], timeout)[0]:
            frame = os.read(self.fd, 65536)
            if frame[12:14] != b"\x08\x00" or frame[23] != 2:
                found.append(frame)
        return found

    def until(self, last: Callable[[bytes], bool]) -> list[bytes]:
        """Return the frames that the kernel sent, up to one that is the last."""
        found: list[bytes] = []
        while True:
            if not select.select([self.fd], [], [], 5)[0]:
                raise TimeoutError("the last frame does not come")
            frame = os.read(self.fd, 65536)
            if last(frame):
                return found
            if frame[12:14] != b"\x08\x00" or frame[23] != 2:
                found.append(frame)

    def mib(self) -> dict[str, int]:
        """Return the SNMP counters, as ``Net.mib`` names them."""
        text = self.inside(
            lambda: Path("/proc/thread-self/net/snmp").read_text() + Path("/proc/thread-self/net/netstat").read_text()
        )
        counters: dict[str, int] = {}
        lines = text.splitlines()
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, _, rest = names.partition(":")
            if group in _FIELDS:
                pairs = zip(rest.split(), values.split()[1:], strict=True)
                counters.update({f"{group}:{name}": int(value) for name, value in pairs})
        return counters
