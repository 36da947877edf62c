"""Socket buffers: packets in memory that a device can reach (Linux: net/core/skbuff.c)."""

from collections.abc import Callable
from errno import EMSGSIZE
from typing import TYPE_CHECKING, Any

from .drop_reasons import SkbDropReason

if TYPE_CHECKING:
    from ..netfilter.nf_conntrack_core import NfConn
    from ..xfrm.xfrm_state import XfrmState
    from .dst import DstEntry
    from .net import Kernel
    from .netdevice import NetDevice
    from .platform import Buffer
    from .sock import Sock

__all__ = [
    "CHECKSUM_COMPLETE",
    "CHECKSUM_NONE",
    "CHECKSUM_PARTIAL",
    "CHECKSUM_UNNECESSARY",
    "MAX_SKB_FRAGS",
    "NO_HEADER",
    "PACKET_BROADCAST",
    "PACKET_HOST",
    "PACKET_LOOPBACK",
    "PACKET_MULTICAST",
    "PACKET_OTHERHOST",
    "PACKET_OUTGOING",
    "PAGE_SIZE",
    "SKB_GSO_TCPV4",
    "SKB_GSO_TCP_ECN",
    "SKB_GSO_TCP_FIXEDID",
    "SKB_GSO_UDP_L4",
    "SKB_MAX_ORDER_OCTETS",
    "DataRef",
    "Frag",
    "Page",
    "SkBuff",
    "__alloc_skb",
    "alloc_page",
    "alloc_skb",
    "alloc_skb_with_frags",
    "consume_skb",
    "kfree_skb",
    "kfree_skb_list_reason",
    "kfree_skb_reason",
    "put_page",
    "skb_fill_page_desc",
    "skb_get",
    "skb_headlen",
    "skb_headroom",
    "skb_orphan",
    "skb_pull",
    "skb_push",
    "skb_put",
    "skb_put_data",
    "skb_reserve",
    "skb_reset_mac_header",
    "skb_reset_network_header",
    "skb_reset_transport_header",
    "skb_shared",
    "skb_tailroom",
    "skb_trim",
]

CHECKSUM_NONE = 0  # Sent: nothing left to do. Received: not checked.
CHECKSUM_UNNECESSARY = 1
CHECKSUM_COMPLETE = 2
CHECKSUM_PARTIAL = 3  # The octets from csum_start on still have to be summed, into csum_start + csum_offset.

PACKET_HOST = 0
PACKET_BROADCAST = 1
PACKET_MULTICAST = 2
PACKET_OTHERHOST = 3
PACKET_OUTGOING = 4
PACKET_LOOPBACK = 5

MAX_SKB_FRAGS = 17
PAGE_SIZE = 4096
SKB_GSO_TCPV4 = 1 << 0  # Segments of a stream, one behind the other.
SKB_GSO_TCP_ECN = 1 << 2  # Beside SKB_GSO_TCPV4: the first one has CWR.
SKB_GSO_TCP_FIXEDID = 1 << 3  # Likewise: all have the same identification.
SKB_GSO_UDP_L4 = 1 << 17  # Datagrams, each with a UDP header of its own.
SKB_MAX_ORDER_OCTETS = 32768  # Largest run of a fragment from alloc_skb_with_frags.
NO_HEADER = -1  # mac_header and the others before they are set.

STRUCT_OCTETS = 256  # What an skb and its shared info cost in the kernel; only truesize knows of it.
SHINFO_OCTETS = 320


class Page:
    """A run of memory that several fragments may share; freed when the last of them goes."""

    __slots__ = ("addr", "buffer", "count", "view")

    def __init__(self, buffer: "Buffer") -> None:
        self.buffer = buffer
        self.addr = buffer.addr
        self.view = buffer.view
        self.count = 1


Frag = tuple[Page, int, int]  # A fragment's page, offset in it and size in octets.


class DataRef:
    """How many clones share a head and its fragments."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 1


class SkBuff:
    """A packet: a head in memory, then fragments, then a list of further skbs (Linux: ``struct sk_buff``).

    ``data``, ``tail``, ``end``, ``mac_header``, ``network_header``, ``transport_header`` and ``csum_start`` count
    octets from the start of ``head``. Of ``len`` octets the last ``data_len`` lie in ``frags`` and ``frag_list``.
    Made by ``alloc_skb`` and its family only.

    Members
    -------
    ip_summed, csum : int
        ``CHECKSUM_*``; of a received ``CHECKSUM_COMPLETE`` the sum of all octets from ``data`` on.
    csum_level : int
        How many checksums behind the first a ``CHECKSUM_UNNECESSARY`` vouches for.
    csum_valid : bool
        The transport checksum was found right.
    csum_complete_sw : bool
        It was this host, not the device, that summed.
    vlan_proto, vlan_tci : int
        The 802.1Q tag that travels beside the frame; ``vlan_proto`` is 0 if there is none.
    skb_iif : int
        ``ifindex`` of the device that received it.
    nfct : tuple or None
        Its connection, and what it is to it (``IP_CT_*``).
    dropcount : int
        What its socket had dropped when it was queued; only there with ``SO_RXQ_OVFL``.
    peeked : bool
        A program has seen it, though it has no octets; only there if so.
    sp : tuple[XfrmState, ...]
        The transforms that were undone on a received packet, the outermost first (Linux: ``struct sec_path``).
    gso_size, gso_segs, gso_type : int
        Payload of each packet that it stands for, their number, and their kind (``SKB_GSO_*``); 0: it is one.
    """

    __slots__ = (
        "cb",
        "csum",
        "csum_complete_sw",
        "csum_level",
        "csum_offset",
        "csum_start",
        "csum_valid",
        "data",
        "data_len",
        "dataref",
        "destructor",
        "dev",
        "dropcount",
        "dst",
        "end",
        "frag_list",
        "frags",
        "gso_segs",
        "gso_size",
        "gso_type",
        "hash",
        "head",
        "ignore_df",
        "ip_summed",
        "kernel",
        "len",
        "mac_header",
        "mark",
        "network_header",
        "next",
        "nfct",
        "peeked",
        "pkt_type",
        "priority",
        "protocol",
        "queue_mapping",
        "sk",
        "skb_iif",
        "sp",
        "tail",
        "tapped",
        "transport_header",
        "truesize",
        "tstamp_ns",
        "users",
        "view",
        "vlan_proto",
        "vlan_tci",
    )

    dropcount: int
    gso_segs: int
    gso_type: int
    peeked: bool

    def __init__(self, kernel: "Kernel", head: "Buffer", size: int) -> None:
        self.kernel = kernel
        self.head = head
        self.view = head.view
        self.end = size
        self.data = self.tail = self.len = self.data_len = 0
        self.frags: list[Frag] = []
        self.frag_list: SkBuff | None = None
        self.next: SkBuff | None = None
        self.dataref: DataRef | None = None  # Set at the first clone.
        self.users = 1
        self.truesize = 0
        self.mac_header = self.network_header = self.transport_header = NO_HEADER
        self.ip_summed = CHECKSUM_NONE
        self.csum = self.csum_start = self.csum_offset = 0
        self.csum_valid = self.csum_complete_sw = False
        self.csum_level = 0
        self.protocol = self.vlan_proto = self.vlan_tci = self.skb_iif = 0
        self.pkt_type = PACKET_HOST
        self.priority = self.mark = self.hash = self.queue_mapping = 0
        self.tstamp_ns = self.gso_size = 0
        self.ignore_df = False
        self.tapped = False  # Sent again after a resolution miss: taps have seen it.
        self.dev: NetDevice | None = None
        self.sk: Sock | None = None
        self.dst: DstEntry | None = None
        self.nfct: tuple[NfConn | None, int] | None = None
        self.destructor: Callable[[SkBuff], None] | None = None
        self.sp: tuple[XfrmState, ...] = ()
        self.cb: Any = None  # The layer's own, whichever has the skb.

    def __repr__(self) -> str:
        return f"<SkBuff len={self.len} data_len={self.data_len} protocol={self.protocol:#06x}>"


def __alloc_skb(kernel: "Kernel", size: int) -> SkBuff:
    """Return an empty skb whose head has room for ``size`` octets.

    Raises
    ------
    OSError
        ``ENOMEM``.
    """
    skb = SkBuff(kernel, kernel.kmalloc(size), size)
    skb.truesize = (1 << (size + SHINFO_OCTETS - 1).bit_length()) + STRUCT_OCTETS
    return skb


alloc_skb = __alloc_skb


def alloc_page(kernel: "Kernel", size: int = PAGE_SIZE) -> Page:
    """Return new memory for fragments, with one reference."""
    return Page(kernel.kmalloc(size))


def put_page(kernel: "Kernel", page: Page) -> None:
    """Give one reference back."""
    page.count -= 1
    if not page.count:
        kernel.platform.kfree(page.buffer)


def skb_fill_page_desc(skb: SkBuff, page: Page, offset: int, size: int) -> None:
    """Append a fragment, and take over the caller's reference to the page; ``len`` is left to the caller."""
    skb.frags.append((page, offset, size))


def alloc_skb_with_frags(
    kernel: "Kernel", header_len: int, data_len: int, max_octets: int = SKB_MAX_ORDER_OCTETS
) -> SkBuff:
    """Return an skb with a head of ``header_len`` octets and fragments for ``data_len`` more, none longer than a run.

    The caller sets ``len`` and ``data_len``.

    Raises
    ------
    OSError
        ``ENOMEM``; ``EMSGSIZE`` if it would take more than ``MAX_SKB_FRAGS`` fragments.
    """
    if data_len > MAX_SKB_FRAGS * max_octets:
        raise OSError(EMSGSIZE, "more than MAX_SKB_FRAGS fragments")
    skb = __alloc_skb(kernel, header_len)
    try:
        while data_len > 0:
            size = min(data_len, max_octets)
            skb.frags.append((Page(kernel.kmalloc(size)), 0, size))
            skb.truesize += -(-size // PAGE_SIZE) * PAGE_SIZE
            data_len -= size
    except OSError:
        kfree_skb(skb)
        raise
    return skb


def skb_headlen(skb: SkBuff) -> int:
    """Return how many octets lie in the head."""
    return skb.len - skb.data_len


def skb_headroom(skb: SkBuff) -> int:
    """Return how many octets fit in front."""
    return skb.data


def skb_tailroom(skb: SkBuff) -> int:
    """Return how many octets fit behind, which is none when there are fragments."""
    return 0 if skb.data_len else skb.end - skb.tail


def skb_reserve(skb: SkBuff, length: int) -> None:
    """Leave room in front of an empty skb."""
    skb.data += length
    skb.tail += length


def skb_put(skb: SkBuff, length: int) -> int:
    """Grow the head's data at its end, and return where the new octets start."""
    at = skb.tail
    tail = at + length
    if tail > skb.end or skb.data_len:
        raise ValueError(f"skb_put of {length} octets over the end: {skb!r}")
    skb.tail = tail
    skb.len += length
    return at


def skb_put_data(skb: SkBuff, octets: bytes | bytearray | memoryview) -> int:
    """Append octets, and return where they start."""
    at = skb_put(skb, len(octets))
    skb.view[at : skb.tail] = octets
    return at


def skb_push(skb: SkBuff, length: int) -> int:
    """Grow the data at its start, and return where that is now."""
    data = skb.data - length
    if data < 0:
        raise ValueError(f"skb_push of {length} octets under the head: {skb!r}")
    skb.data = data
    skb.len += length
    return data


def skb_pull(skb: SkBuff, length: int) -> int:
    """Take octets off the start of the head, and return where the data starts now."""
    if length > skb.len - skb.data_len:
        raise ValueError(f"skb_pull of {length} octets beyond the head: {skb!r}")
    skb.data += length
    skb.len -= length
    return skb.data


def skb_trim(skb: SkBuff, length: int) -> None:
    """Cut an skb without fragments down to ``length`` octets."""
    if skb.data_len:
        raise ValueError(f"skb_trim of an skb with fragments: {skb!r}")
    if length < skb.len:
        skb.len = length
        skb.tail = skb.data + length


def skb_reset_mac_header(skb: SkBuff) -> None:
    """Say that the link header starts at ``data``."""
    skb.mac_header = skb.data


def skb_reset_network_header(skb: SkBuff) -> None:
    """Say that the network header starts at ``data``."""
    skb.network_header = skb.data


def skb_reset_transport_header(skb: SkBuff) -> None:
    """Say that the transport header starts at ``data``."""
    skb.transport_header = skb.data


def skb_get(skb: SkBuff) -> SkBuff:
    """Take one more reference to the skb itself."""
    skb.users += 1
    return skb


def skb_shared(skb: SkBuff) -> bool:
    """Return whether somebody else holds the skb, too."""
    return skb.users != 1


def skb_orphan(skb: SkBuff) -> None:
    """Part the skb from its socket."""
    if skb.destructor is not None:
        skb.destructor(skb)
        skb.destructor = None
    skb.sk = None


def skb_release_head_state(skb: SkBuff) -> None:
    """Drop what an skb refers to besides its data."""
    skb.dst = None
    destructor = skb.destructor
    if destructor is not None:
        skb.destructor = None
        destructor(skb)
    skb.sk = None


def skb_release_data(skb: SkBuff) -> None:
    """Give the head, the fragments and the list back, unless a clone still uses them."""
    dataref = skb.dataref
    if dataref is not None:
        dataref.count -= 1
        if dataref.count:
            return
    kernel = skb.kernel
    if skb.frags:
        for page, _, _ in skb.frags:
            put_page(kernel, page)
    if skb.frag_list is not None:
        kfree_skb_list_reason(skb.frag_list, SkbDropReason.CONSUMED)
    kernel.kfree(skb.head)


def kfree_skb_reason(skb: SkBuff, reason: SkbDropReason) -> None:
    """Drop one reference; when it was the last, count the reason and free the skb."""
    skb.users -= 1
    if skb.users:
        return
    skb.kernel.drops[reason] += 1
    skb_release_head_state(skb)
    skb_release_data(skb)


def kfree_skb(skb: SkBuff) -> None:
    """Drop an skb for no particular reason."""
    kfree_skb_reason(skb, SkbDropReason.NOT_SPECIFIED)


def consume_skb(skb: SkBuff) -> None:
    """Free an skb that did its work."""
    skb.users -= 1
    if not skb.users:
        skb_release_head_state(skb)
        skb_release_data(skb)


def kfree_skb_list_reason(segs: SkBuff | None, reason: SkbDropReason) -> None:
    """Drop each skb of a list linked by ``next``."""
    while segs is not None:
        following = segs.next
        segs.next = None
        kfree_skb_reason(segs, reason)
        segs = following
