"""IPsec when memory ends: each packet arrives, or is refused and counted, and nothing is kept."""

import pytest

from hardwire.stack.xfrm.xfrm import XFRM_MODE_TUNNEL, XfrmEncap
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, protect
from hardwire.tb.stack.pair import Pair

THERE = ("10.0.0.2", 9000)


class Scarce:
    """Two warm hosts; the second receives in buffers that are shorter than its packets."""

    def __init__(self, name: str, mode: int, *, nat: bool = False) -> None:
        self.pair = Pair()
        self.pair.b.dev.buffer_octets = 64
        for host in (self.pair.a, self.pair.b):
            self.provide(host.dev)
        others = {"ports": (5000, 9000), "encap": XfrmEncap(2, 4500, 4500)} if nat else {}
        protect(self.pair.a.net, self.pair.b.net, Sa(ALGORITHMS[name], mode=mode), **others)
        self.here, self.there = self.pair.a.socket(), self.pair.b.socket()
        self.here.bind(("10.0.0.1", 5000))
        self.there.bind(THERE)
        self.there.setblocking(False)
        if nat:
            gate = self.pair.b.socket()
            gate.bind(("10.0.0.2", 4500))
            gate.setsockopt(17, 100, 2)  # UDP_ENCAP, UDP_ENCAP_ESPINUDP
        self.send()
        self.received()

    def provide(self, dev) -> None:
        """Let a device always have buffers to receive into."""
        build = dev.build

        def built(frame: bytes):
            platform = self.pair.platform
            left, platform.fail_kmalloc = platform.fail_kmalloc, -1
            try:
                return build(frame)
            finally:
                platform.fail_kmalloc = left

        dev.build = built

    def send(self) -> bool:
        """Send a datagram; return whether the program was told that it went."""
        try:
            self.here.sendto(bytes(300), THERE)
        except OSError:
            return False
        return True

    def received(self) -> int:
        """Return how many datagrams arrived."""
        self.pair.run(10_000_000)
        count = 0
        while True:
            try:
                assert self.there.recv(1000) == bytes(300)
            except BlockingIOError:
                return count
            count += 1

    def drops(self) -> int:
        """Return how many packets both hosts have dropped."""
        return sum(sum(host.kernel.drops) - host.kernel.drops[1] for host in (self.pair.a, self.pair.b))


CASES = [
    ("gcm-128", 0, False),
    ("gcm-128", XFRM_MODE_TUNNEL, False),
    ("cbc-sha256", 0, True),
    ("ah-sha256", XFRM_MODE_TUNNEL, False),
]


@pytest.mark.parametrize(("name", "mode", "nat"), CASES)
def test_a_packet_for_which_there_is_no_memory_is_counted(name, mode, nat):
    scarce = Scarce(name, mode, nat=nat)
    platform = scarce.pair.platform
    rest = len(platform.buffers)
    failed = 0
    for number in range(40):
        before = scarce.drops()
        platform.fail_kmalloc = number
        went = scarce.send()
        arrived = scarce.received()
        platform.fail_kmalloc = -1
        if went and not arrived:
            assert scarce.drops() > before, number
        failed += not arrived
        assert len(platform.buffers) == rest, number
    assert 1 < failed < 30
    assert scarce.send()
    assert scarce.received() == 1
