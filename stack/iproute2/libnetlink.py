"""Asking the kernel by rtnetlink (iproute2: lib/libnetlink.c, lib/ll_map.c)."""

from errno import ENODEV
from os import strerror
from struct import Struct
from sys import byteorder
from typing import TYPE_CHECKING, Any

from ..netlink.attr import Nlattr, nla_encode, nla_iter, nlattr
from ..netlink.if_link import IFINFOMSG, Ifla
from ..netlink.message import Nlmsghdr, nlmsg, nlmsg_align, nlmsg_iter
from ..netlink.rtnetlink import Rtm
from ..netlink.uapi import (
    AF_NETLINK,
    NETLINK_ROUTE,
    NLA_F_NESTED,
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_HDRLEN,
    SOL_NETLINK,
    NetlinkOpt,
    NlmF,
    NlmsgerrAttr,
)
from ..uapi import SOCK_RAW
from .args import CommandError

if TYPE_CHECKING:
    from ..core.net import Net

__all__ = ["Answer", "Request", "Rtnl", "attributes", "nla", "nla_nest"]

_RECV_OCTETS = 65536


def nla(kind: int, value: Any, policy: str = "u32") -> bytes:
    """Return an attribute, with what aligns it."""
    return nlattr(kind, nla_encode(policy, value))


def nla_nest(kind: int, *attrs: bytes) -> bytes:
    """Return an attribute that holds others."""
    return nla(kind | NLA_F_NESTED, b"".join(attrs))


def attributes(octets: bytes, start: int = 0) -> dict[int, Nlattr]:
    """Return the attributes from ``start`` on."""
    return {attr.type: attr for attr in nla_iter(octets, start)}


class Request:
    """A request under construction.

    Parameters
    ----------
    kind : int
        ``RTM_*``.
    header : bytes
        What is fixed behind the header of netlink.
    flags : int
        ``NLM_F_*`` besides ``REQUEST`` and ``ACK``.
    """

    def __init__(self, kind: int, header: bytes, flags: int = 0) -> None:
        self.kind = kind
        self.header = header
        self.flags = flags
        self.attrs: list[bytes] = []

    def put(self, kind: int, value: Any, policy: str = "u32") -> None:
        """Append an attribute."""
        self.attrs.append(nla(kind, value, policy))

    def nest(self, kind: int, *attrs: bytes) -> None:
        """Append an attribute that holds others."""
        self.attrs.append(nla_nest(kind, *attrs))


class Answer:
    """A message of the kernel: its kind, what is fixed, and its attributes."""

    __slots__ = ("_nlh", "kind")

    def __init__(self, nlh: Nlmsghdr) -> None:
        self._nlh = nlh
        self.kind = nlh.type

    def header(self, layout: Struct) -> tuple[int, ...]:
        """Return what is fixed."""
        return layout.unpack_from(self._nlh.octets, NLMSG_HDRLEN)

    def attrs(self, layout: Struct) -> dict[int, Nlattr]:
        """Return the attributes behind it."""
        return attributes(self._nlh.octets, NLMSG_HDRLEN + nlmsg_align(layout.size))


class Rtnl:
    """A command's connection to the kernel; a context manager.

    Parameters
    ----------
    net : Net
        The namespace that it configures.
    protocol : int
        Whom it talks to: the kernel's rtnetlink, or another of its protocols.
    """

    def __init__(self, net: "Net", protocol: int = NETLINK_ROUTE) -> None:
        self.net = net
        self._sock = net.socket(AF_NETLINK, SOCK_RAW, protocol)
        self._sock.bind((0, 0))
        self._sock.setsockopt(SOL_NETLINK, NetlinkOpt.EXT_ACK, 1)
        self._sock.setsockopt(SOL_NETLINK, NetlinkOpt.GET_STRICT_CHK, 1)
        self._seq = 0
        self._links: dict[int, tuple[str, int]] | None = None

    def __enter__(self) -> "Rtnl":
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def talk(self, request: Request) -> list[Answer]:
        """Make a request, and return what the kernel answers before it acknowledges.

        Raises
        ------
        CommandError
            If it says no.
        """
        self._links = None
        return self._exchange(request, NlmF.ACK)

    def get(self, request: Request) -> Answer:
        """Ask for one thing, and return it."""
        return self._exchange(request, NlmF.ACK)[0]

    def dump(self, request: Request) -> list[Answer]:
        """Ask for all of a kind."""
        try:
            return self._exchange(request, NlmF.DUMP)
        except CommandError as error:
            if str(error).startswith("Error:"):
                error.strerror = f"{error}\nDump terminated"
            raise

    def _exchange(self, request: Request, flags: int) -> list[Answer]:
        self._seq += 1
        body = request.header.ljust(nlmsg_align(len(request.header)), b"\0") + b"".join(request.attrs)
        flags |= request.flags | NlmF.REQUEST
        self._sock.send(nlmsg(request.kind, flags, body, self._seq))
        answers: list[Answer] = []
        while True:
            for nlh in nlmsg_iter(self._sock.recv(_RECV_OCTETS)):
                if nlh.seq != self._seq:
                    continue
                if nlh.type == NLMSG_ERROR or nlh.type == NLMSG_DONE:
                    _check(nlh)
                    return answers
                answers.append(Answer(nlh))

    def _map(self) -> dict[int, tuple[str, int]]:
        if self._links is None:
            self._links = {}
            for answer in self.dump(Request(Rtm.GETLINK, IFINFOMSG.pack(0, 0, 0, 0, 0))):
                _, _, index, flags, _ = answer.header(IFINFOMSG)
                self._links[index] = answer.attrs(IFINFOMSG)[Ifla.IFNAME].text, flags
        return self._links

    def name(self, index: int) -> str:
        """Return a device's name (iproute2: ``ll_index_to_name``)."""
        return self._map()[index][0] if index in self._map() else f"if{index}"

    def flags(self, index: int) -> int | None:
        """Return a device's flags; None if there is none (iproute2: ``ll_index_to_flags``)."""
        return self._map()[index][1] if index in self._map() else None

    def index(self, name: str, text: str = 'Cannot find device "{}"') -> int:
        """Return a device's number (iproute2: ``ll_name_to_index``).

        Raises
        ------
        CommandError
            If there is none.
        """
        for index, (known, _) in self._map().items():
            if known == name:
                return index
        raise CommandError(text.format(name), errno=ENODEV)


def _check(nlh: Nlmsghdr) -> None:
    """Raise what the kernel says, if it is an error."""
    error = -int.from_bytes(nlh.data[:4], byteorder, signed=True)
    if not error:
        return
    text = None
    if nlh.flags & NlmF.ACK_TLVS:
        # Behind the error: the request, only its header if capped.
        start = 4 + (NLMSG_HDRLEN if nlh.flags & NlmF.CAPPED else nlmsg_align(int.from_bytes(nlh.data[4:8], byteorder)))
        said = attributes(nlh.data, 4 if nlh.type == NLMSG_DONE else start).get(NlmsgerrAttr.MSG)
        text = said.text if said is not None else None
    if text is None:
        raise CommandError(f"RTNETLINK answers: {strerror(error)}", errno=error, status=2)
    raise CommandError(f"Error: {text}" + ("" if text.endswith((".", "\n")) else "."), errno=error, status=2)
