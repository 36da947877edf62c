"""Whatever octets come to a bridge: nothing crashes, nothing leaks, each frame is sent on, handed up, or counted."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardwire.stack.bridge.br_netlink import br_setport
from hardwire.stack.bridge.br_netlink_attrs import IflaBr, IflaBrport
from hardwire.stack.bridge.br_private import BR_STATE_BLOCKING
from hardwire.tb.stack.bridged import OurBridge, port_mac

PORTS = 3
GROUP = bytes.fromhex("0180c2000000")
MACS = [port_mac(0), port_mac(1), b"\xff" * 6, GROUP, *(bytes((2, 0, 0, 0, 1, n)) for n in range(4))]
macs = st.sampled_from(MACS) | st.binary(min_size=6, max_size=6)
bodies = st.binary(max_size=80)
plain = st.builds(lambda *parts: b"".join(parts), macs, macs, st.binary(min_size=2, max_size=2), bodies)
known = st.builds(
    lambda dest, source, kind, body: dest + source + kind + body,
    macs,
    macs,
    st.sampled_from([b"\x08\0", b"\x08\x06", b"\x81\0", b"\x88\xa8"]),
    bodies,
)
bpdus = st.builds(
    lambda source, length, header, body: GROUP + source + bytes((0, length)) + header + body,
    st.sampled_from(MACS[4:]),
    st.sampled_from([38, 38, 38, 7, 0, 2, 3, 200]),
    st.sampled_from([b"\x42\x42\x03\0\0\0\0", b"\x42\x42\x03\0\0\0\x80", b"\x42\x42\x03\0\0\2\2", b"\x42\x42\0\0"]),
    st.binary(min_size=25, max_size=60),
)
flags = st.sampled_from(
    [IflaBrport.MODE, IflaBrport.GUARD, IflaBrport.PROTECT, IflaBrport.LEARNING, IflaBrport.UNICAST_FLOOD]
    + [IflaBrport.MCAST_FLOOD, IflaBrport.BCAST_FLOOD, IflaBrport.ISOLATED, IflaBrport.LOCKED]
)


ANYTHING = given(
    st.lists(st.tuples(st.integers(0, PORTS - 1), plain | known | bpdus, st.integers(0, 3_000_000_000)), max_size=12),
    st.lists(st.tuples(st.integers(0, PORTS - 1), flags), max_size=3),
    st.booleans(),
    st.booleans(),
    st.sampled_from([14, 20, 40, 2048]),
)


def check_each_frame(frames, chosen, stp, complete, buffer_octets):
    """Have ports receive frames, and account for each."""
    data = {IflaBr.STP_STATE: int(stp), IflaBr.FORWARD_DELAY: 200}
    ours = OurBridge(PORTS, data=data, complete=complete, address=True)
    for port in ours.ports:
        port.buffer_octets = buffer_octets
    for number, flag in chosen:
        br_setport(ours.ports[number], {flag: int(flag not in {IflaBrport.LEARNING, IflaBrport.UNICAST_FLOOD})})
    ours.platform.advance(5_000_000_000)

    def counted() -> int:
        sent = sum(len(port.sent) for port in ours.ports)
        return sum(ours.kernel.drops) + sent + ours.counters()["rx_packets"]

    for number, frame, pause_ns in frames:
        before = counted()
        ours.send(number, frame)
        # The spanning tree's messages may also have been taken in.
        assert counted() > before or (stp and frame[:6] == GROUP)
        ours.platform.advance(pause_ns)
    assert all(port.br.dev is ours.dev and port.state <= BR_STATE_BLOCKING for port in ours.dev.priv.port_list)
    ours.platform.advance(100_000_000_000)
    assert not ours.platform.buffers


test_each_frame_is_sent_on_handed_up_or_counted = settings(max_examples=100, deadline=None)(ANYTHING(check_each_frame))
test_each_of_many_frames_is = pytest.mark.soak(settings(max_examples=5_000, deadline=None)(ANYTHING(check_each_frame)))
