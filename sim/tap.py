"""A TAP device: a network device of the real kernel whose cable ends in this process."""

import errno
import fcntl
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from ipaddress import IPv4Interface
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from .netns import KernelError, Namespace

__all__ = ["VNET_HDR", "VNET_HDR_F_DATA_VALID", "VNET_HDR_F_NEEDS_CSUM", "Tap", "tap_name"]

# linux/if_tun.h.
_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_TUN_F_CSUM = 0x01
_IFREQ = struct.Struct("16sH22x")
_IFF_UP = 1
_LONGEST_NAME = 15
_LONGEST_OCTETS = 1 << 16

VNET_HDR = struct.Struct("=BBHHHH")  # struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, _offset.
VNET_HDR_F_NEEDS_CSUM, VNET_HDR_F_DATA_VALID = 1, 2

_WHY = {
    errno.EIO: "the device is down",
    errno.EAGAIN: "the kernel takes no more now",
    errno.ENOBUFS: "the kernel has no memory",
    errno.ENOMEM: "the kernel has no memory",
    errno.EINVAL: "the kernel calls the frame malformed",
}


def tap_name(text: str) -> str:
    """Return a name that a device may have.

    Raises
    ------
    ValueError
        If it is impossible.
    """
    fine = text.isascii() and text.isprintable() and not set(text) & set("/: %") and text not in (".", "..")
    if not fine or not 1 <= len(text) <= _LONGEST_NAME:
        raise ValueError(f"{text!r} is no name for a device: 1 to {_LONGEST_NAME} letters, digits, '-', '_' or '.'")
    return text


class Tap:
    """A TAP device, made here, or one that is there already and that nobody uses.

    One that was made here goes when this process does, in whatever way. One that was there before stays; what
    :meth:`set_up` changed of it is put back by :meth:`close`.

    Parameters
    ----------
    name : str
        Its name.
    namespace : Namespace or None
        Where it is to be; None: where this process is.
    vnet_hdr : bool
        Each frame has a ``VNET_HDR`` in front.
    checksums : bool
        The kernel leaves checksums to us; needs ``vnet_hdr``.

    Members
    -------
    made : bool
        Whether it was made here.
    fd : int
        Readable when there is a frame.
    frames_read, frames_written : int
        Frames that came from the kernel, and that it took.
    refused : Counter[str]
        Frames that it did not take, by reason.

    Raises
    ------
    ValueError
        If the name is impossible.
    KernelError
        If the kernel refuses.
    """

    def __init__(
        self, name: str, namespace: Namespace | None = None, *, vnet_hdr: bool = False, checksums: bool = False
    ) -> None:
        self.name = tap_name(name)
        self.frames_read = self.frames_written = 0
        self.refused: Counter[str] = Counter()
        self._overrun = 0
        self.made = True
        self._namespace = namespace
        self._undo: list[Callable[[IPRoute], None]] = []
        with self._where():
            try:
                self.fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            except FileNotFoundError:
                raise KernelError(
                    "/dev/net/tun does not exist: modprobe tun; in a container, add that device"
                ) from None
            except OSError as error:
                raise KernelError.of(f"cannot make the TAP device {name}", error.errno) from error
            flags = _IFF_TAP | _IFF_NO_PI | (_IFF_VNET_HDR if vnet_hdr else 0)
            try:
                with IPRoute() as netlink:
                    self.made = not netlink.link_lookup(ifname=name)
                fcntl.ioctl(self.fd, _TUNSETIFF, _IFREQ.pack(name.encode(), flags))
                fcntl.ioctl(self.fd, _TUNSETOFFLOAD, _TUN_F_CSUM if checksums else 0)
            except OSError as error:
                os.close(self.fd)
                raise self._refusal(error) from error

    def _refusal(self, error: OSError) -> KernelError:
        if error.errno == errno.EBUSY:
            return KernelError(f"{self.name} is in use by another program: end that, or take another name")
        if error.errno == errno.EINVAL and not self.made:
            return KernelError(f"{self.name} is no TAP device with one queue: take another name")
        return KernelError.of(f"cannot make the TAP device {self.name}", error.errno)

    def set_up(self, *, address: IPv4Interface | None = None, mtu: int | None = None) -> None:
        """Give the kernel's end an address and an MTU, and bring it up.

        Raises
        ------
        KernelError
            If the kernel refuses.
        """
        with self._netlink(f"cannot set {self.name} up") as netlink:
            link = self._link(netlink)
            index, old_mtu = link["index"], link.get("mtu")
            if mtu is not None and mtu != old_mtu:
                self._undo.append(lambda again: again.link("set", index=index, mtu=old_mtu))
                netlink.link("set", index=index, mtu=mtu)
            if not link["flags"] & _IFF_UP:
                self._undo.append(lambda again: again.link("set", index=index, state="down"))
                netlink.link("set", index=index, state="up")
            if address is not None and not self._has(netlink, index, address):
                which: dict[str, Any] = {"index": index, "address": str(address.ip)}
                which["prefixlen"] = address.network.prefixlen
                self._undo.append(lambda again: again.addr("del", **which))
                broadcast = {"broadcast": str(address.network.broadcast_address)} if which["prefixlen"] < 31 else {}
                netlink.addr("add", **which, **broadcast)

    def _has(self, netlink: IPRoute, index: int, address: IPv4Interface) -> bool:
        found = netlink.get_addr(index=index, address=str(address.ip))
        return any(one["prefixlen"] == address.network.prefixlen for one in found)

    def counters(self) -> dict[str, int] | None:
        """Return the kernel's counters of the device; None if it was taken elsewhere, or deleted.

        ``tx_packets`` are frames that were read here, ``tx_dropped`` those that found the kernel's queue full, or the
        device down.
        """
        try:
            with self._netlink(self.name) as netlink:
                return dict(self._link(netlink).get_attr("IFLA_STATS64"))
        except KernelError:
            return None

    def read(self) -> bytes | None:
        """Return a frame that the kernel sent; None if there is none now.

        Raises
        ------
        KernelError
            If the device was deleted.
        """
        try:
            frame = os.read(self.fd, _LONGEST_OCTETS + VNET_HDR.size)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EBADFD:
                raise KernelError(f"{self.name} was deleted") from error
            if error.errno == errno.EIO:  # Down: what it sends comes later.
                return None
            raise
        self.frames_read += 1
        return frame

    def write(self, parts: Sequence[bytes | memoryview]) -> bool:
        """Hand a frame to the kernel; False if it did not take it: that is counted in ``refused``."""
        try:
            os.writev(self.fd, parts)
        except OSError as error:
            if error.errno == errno.EBADFD:
                raise KernelError(f"{self.name} was deleted") from error
            self.refused[_WHY.get(error.errno or 0, os.strerror(error.errno or 0))] += 1
            return False
        self.frames_written += 1
        return True

    def overrun(self) -> int:
        """Return how many more frames found the kernel's queue full since the last call."""
        counters = self.counters()
        if counters is None:
            return 0
        before, self._overrun = self._overrun, counters["tx_dropped"]
        return self._overrun - before

    def report(self) -> dict[str, Any]:
        """Return what the device is and what it has counted, as plain values."""
        return {
            "tap": self.name,
            "namespace": None if self._namespace is None else self._namespace.name,
            "from_kernel": self.frames_read,
            "to_kernel": self.frames_written,
            "refused_by_kernel": dict(self.refused),
            "kernel": self.counters(),
        }

    def close(self) -> None:
        """Put back what was changed, and let go of the device."""
        if self.fd < 0:
            return
        try:
            if not self.made and self._undo:
                with self._netlink(f"cannot put {self.name} back") as netlink:
                    for undo in reversed(self._undo):
                        undo(netlink)
        except KernelError:
            pass  # It is gone, or was changed by others since.
        finally:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> "Tap":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _where(self) -> Any:
        return nullcontext() if self._namespace is None else self._namespace.entered()

    @contextmanager
    def _netlink(self, what: str) -> Iterator[IPRoute]:
        """Talk to the kernel where the device is."""
        with self._where():
            try:
                with IPRoute() as netlink:
                    yield netlink
            except NetlinkError as error:
                raise KernelError.of(what, error.code) from error

    def _link(self, netlink: IPRoute) -> Any:
        found = netlink.link_lookup(ifname=self.name)
        if not found:
            raise KernelError(f"{self.name} is not there any more")
        return netlink.get_links(found[0])[0]
