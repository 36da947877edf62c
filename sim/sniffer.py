"""What tcpdump does: packets of a device, from a packet socket, to a pcapng file."""

from struct import Struct

from ..stack.core.filter_check import SockFilter, sock_filters_octets
from ..stack.core.packet_type import ETH_P_ALL
from ..stack.core.skbuff import (
    PACKET_BROADCAST,
    PACKET_HOST,
    PACKET_MULTICAST,
    PACKET_OTHERHOST,
    PACKET_OUTGOING,
)
from ..stack.packet.af_packet_rcv import TP_STATUS_VLAN_VALID
from ..stack.uapi import (
    AF_PACKET,
    PACKET_ADD_MEMBERSHIP,
    PACKET_AUXDATA,
    PACKET_MR_PROMISC,
    PACKET_STATISTICS,
    SO_ATTACH_FILTER,
    SO_TIMESTAMPNS,
    SOCK_RAW,
    SOL_PACKET,
    SOL_SOCKET,
)
from .capture import INBOUND, OUTBOUND, Capture
from .machine import Machine

__all__ = ["Sniffer"]

_AUXDATA = Struct("=IIIHHHH")  # struct tpacket_auxdata.
_TIMESPEC = Struct("=qq")
_MREQ = Struct("=iHH8s")
_STATISTICS = Struct("=II")
_ADDRESSES_OCTETS = 12
# epb_flags, draft-ietf-opsawg-pcapng 4.3.1: direction, and for whom the frame was.
_FLAGS = {
    PACKET_HOST: INBOUND | 1 << 2,
    PACKET_MULTICAST: INBOUND | 2 << 2,
    PACKET_BROADCAST: INBOUND | 3 << 2,
    PACKET_OTHERHOST: INBOUND | 4 << 2,
    PACKET_OUTGOING: OUTBOUND,
}


class Sniffer:
    """A packet socket that writes what it sees to a capture.

    Parameters
    ----------
    machine : Machine
        The host.
    interface : str
        Its device.
    capture : Capture
        Where to.
    snaplen : int
        Octets of each frame to keep.
    program : tuple of SockFilter
        A filter; none takes all.
    promiscuous : bool
        Take frames for others, too.

    Raises
    ------
    OSError
        ``ENODEV`` if there is no such device.
    """

    def __init__(
        self,
        machine: Machine,
        interface: str,
        capture: Capture,
        *,
        snaplen: int = 262_144,
        program: tuple[SockFilter, ...] = (),
        promiscuous: bool = True,
    ) -> None:
        self._capture = capture
        self._snaplen = snaplen
        # Bound only when all is set up: no packet comes past the filter.
        self._sock = sock = machine.net.socket(AF_PACKET, SOCK_RAW, 0)
        sock.setsockopt(SOL_SOCKET, SO_TIMESTAMPNS, 1)
        sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
        if program:
            sock.setsockopt(SOL_SOCKET, SO_ATTACH_FILTER, sock_filters_octets(program))
        sock.bind((interface, ETH_P_ALL))
        if promiscuous:
            ifindex = machine.net.dev_by_name[interface].ifindex
            sock.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, _MREQ.pack(ifindex, PACKET_MR_PROMISC, 0, b""))

    def take(self) -> None:
        """Write the next packet; wait for it unless ``end`` was called.

        Raises
        ------
        OSError
            If the device goes, or the file cannot be written.
        """
        octets, control, _, address = self._sock.recvmsg(self._snaplen, 128)
        told = {(level, kind): data for level, kind, data in control}
        status, original, _, _, _, tci, tpid = _AUXDATA.unpack(told[SOL_PACKET, PACKET_AUXDATA])
        if status & TP_STATUS_VLAN_VALID:
            tag = tpid.to_bytes(2, "big") + tci.to_bytes(2, "big")
            octets = (octets[:_ADDRESSES_OCTETS] + tag + octets[_ADDRESSES_OCTETS:])[: self._snaplen]
            original += len(tag)
        seconds, ns = _TIMESPEC.unpack(told[SOL_SOCKET, SO_TIMESTAMPNS])
        self._capture.write(seconds * 1_000_000_000 + ns, octets, flags=_FLAGS[address[2]], original_octets=original)

    def follow(self) -> None:
        """Write packets until the task that this is ends."""
        while True:
            self.take()

    def end(self, count: int | None = None) -> dict[str, int]:
        """Write what has come, at most so many packets, and finish the file; return what was seen, as tcpdump counts.

        Returns
        -------
        dict[str, int]
            Packets ``captured``, ``received`` by the filter, and ``dropped`` since nobody took them in time.
        """
        self._sock.setblocking(False)
        try:
            while count is None or self._capture.count < count:
                self.take()
        except BlockingIOError:
            pass
        statistics = self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, _STATISTICS.size)
        assert isinstance(statistics, bytes)
        received, dropped = _STATISTICS.unpack(statistics)
        self._sock.close()
        self._capture.close()
        return {"captured": self._capture.count, "received": received, "dropped": dropped}
