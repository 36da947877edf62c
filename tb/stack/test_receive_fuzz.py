"""Whatever octets arrive: nothing crashes, nothing leaks, and each frame is delivered or dropped with a reason."""

from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack import socket as api
from hardwire.stack.core.skbuff import CHECKSUM_UNNECESSARY
from hardwire.stack.iproute import neigh_add, route_add
from hardwire.stack.ipv4.devinet import inet_forward_change
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.frames import MY_MAC, ip, udp
from hardwire.tb.stack.pair import PairHost, WireDevice
from hardwire.tb.stack.test_receive_linux import FRAMES

NAMES = sorted(FRAMES)


def host(complete: bool, buffer_octets: int = 2048, *, router: bool = False) -> PairHost:
    """Return a host with sockets of each kind."""
    ours = PairHost(FakePlatform(), MY_MAC, "10.0.0.2/24", complete=complete)
    ours.dev.buffer_octets = buffer_octets
    neigh_add(ours.dev, "10.0.0.1", "02:00:00:00:00:01")
    if router:
        inet_forward_change(ours.net, True)
        route_add(ours.net, "default", via="10.0.0.1", mtu=576)
    udp_socket = ours.socket()
    udp_socket.bind(("", 9000))
    udp_socket.setsockopt(api.SOL_IP, api.IP_RECVERR, 1)
    ours.sockets = [udp_socket, ours.socket(api.AF_INET, api.SOCK_RAW, api.IPPROTO_ICMP)]
    return ours


def check(ours: PairHost, frames: list[bytes]) -> None:
    """Receive frames, and account for each of them."""
    ended = received = 0

    def counted() -> int:
        return sum(ours.mib[name] for name in ("Icmp:InMsgs", "Udp:IgnoredMulti", "Ip:ForwDatagrams", "Ip:FragOKs"))

    for frame in frames:
        before = sum(ours.kernel.drops)
        queued = sum(len(sock.sk.sk_receive_queue) + len(sock.sk.sk_error_queue) for sock in ours.sockets)
        done, waiting = counted(), ours.net.ipv4.frag_mem
        ours.receive(frame)
        received += 1
        ended += (
            sum(ours.kernel.drops) > before
            or sum(len(sock.sk.sk_receive_queue) + len(sock.sk.sk_error_queue) for sock in ours.sockets) > queued
            or counted() > done
            or ours.net.ipv4.frag_mem > waiting
            or frame[12:14] == b"\x08\x06"
        )
    assert ended == received
    ours.platform.advance(1_000_000)
    for sock in ours.sockets:
        for flags in (0, api.MSG_ERRQUEUE):
            try:
                while True:
                    sock.recvmsg(100, 100, flags | api.MSG_DONTWAIT)
            except OSError:
                sock.getsockopt(api.SOL_SOCKET, api.SO_ERROR)
        sock.close()
    ours.platform.advance(100_000_000_000)
    assert not ours.platform.buffers


@given(st.lists(st.binary(min_size=14, max_size=200), max_size=3), st.booleans(), st.sampled_from([20, 64, 2048]))
@settings(max_examples=200, deadline=None)
def test_arbitrary_frames(frames, complete, buffer_octets):
    kinds = (b"\x08\x00", b"\x08\x06", b"\x81\x00", b"")
    check(
        host(complete, max(buffer_octets, 20)),
        [MY_MAC + frame[6:12] + (kinds[frame[0] & 3] or frame[12:14]) + frame[14:] for frame in frames],
    )


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=4),
    st.integers(0, 90),
    st.booleans(),
    st.booleans(),
    st.sampled_from([14, 34, 40, 2048]),
    st.booleans(),
)
@settings(max_examples=400, deadline=None)
def test_frames_with_some_octets_changed(name, changes, cut, repair, complete, buffer_octets, router):
    frame = bytearray(FRAMES[name])
    for at, value in changes:
        if at < len(frame):
            frame[at] = value
    del frame[max(len(frame) - cut, 14) :]
    if repair and frame[12:14] == b"\x08\x00" and len(frame) >= 34:
        # A right header checksum lets the packet get further.
        from hardwire.stack.wire.checksum import ip_fast_csum

        ihl = max((frame[14] & 15) * 4, 20)
        frame[24:26] = bytes(2)
        frame[24:26] = ip_fast_csum(bytes(frame[14 : 14 + ihl])).to_bytes(2, "big")
    check(host(complete, buffer_octets, router=router), [bytes(frame)])


@given(st.binary(max_size=40), st.booleans())
@settings(max_examples=300, deadline=None)
def test_arbitrary_options(options, closed):
    padded = options + bytes(-len(options) % 4)
    check(host(complete=False), [ip(udp(7 if closed else 9000), options=padded[:40])])


def test_a_device_that_vouches_for_a_checksum_is_believed():
    class Vouching(WireDevice):
        """A device that says UNNECESSARY."""

        def build(self, frame):
            """Return an skb with the device's word."""
            skb = super().build(frame)
            skb.ip_summed = CHECKSUM_UNNECESSARY
            return skb

    ours = host(complete=False)
    ours.dev.__class__ = Vouching
    ours.receive(ip(udp(9000, b"wrong sum", check=5)))
    assert ours.sockets[0].recv(20) == b"wrong sum"
