"""Connections through ESP: segments leave room for it, and arrive whole on a good cable and a bad one."""

import pytest

from hardwire.stack.xfrm.xfrm import XFRM_MODE_TUNNEL
from hardwire.tb.stack.inet_host import MS
from hardwire.tb.stack.ipsec import ALGORITHMS, Sa, counters, protect
from hardwire.tb.stack.tcp_pair import TcpPair


@pytest.mark.parametrize("mode", [0, XFRM_MODE_TUNNEL], ids=["transport", "tunnel"])
@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_connection_through_esp_carries_all_octets(mode: int, loss: float) -> None:
    pair = TcpPair()
    pair.faults(delay_ns=5 * MS, loss=loss)
    protect(pair.a.net, pair.b.net, Sa(ALGORITHMS["gcm-128"], mode=mode))
    client, server = pair.connected()
    pair.transfer(client, server, 100_000, back=50_000)
    pair.finish(client, server)
    for host in (pair.a, pair.b):
        assert counters(host.net) == {}
        assert host.mib["Ip:FragCreates"] == 0
    ip = [frame[14:] for frame in pair.a.dev.sent if frame[12:14] == b"\x08\x00"]
    assert {packet[9] for packet in ip} == {50}
    assert max(len(packet) for packet in ip) in range(1480, 1501)
