"""Messages of the spanning tree protocol: known ones both ways, truncations, arbitrary octets, and scapy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.l2 import STP

from hardwire.stack.wire.bpdu import BPDU_TYPE_TCN, ConfigBpdu, bpdu_type, emit_tcn
from hardwire.stack.wire.error import WireError

# Sent by a Linux bridge.
KNOWN = bytes.fromhex("0000000000 80000a921de81d44 00000000 80000a921de81d44 8001 0000 1400 0200 0f00".replace(" ", ""))
ROOT = bytes.fromhex("80000a921de81d44")
words = st.integers(0, 0xFFFF)
ids = st.binary(min_size=8, max_size=8)
bpdus = st.builds(
    ConfigBpdu, st.booleans(), st.booleans(), ids, st.integers(0, 0xFFFFFFFF), ids, words, words, words, words, words
)


def test_a_known_message_is_read_and_written():
    bpdu = ConfigBpdu.parse(KNOWN)
    assert bpdu == ConfigBpdu(False, False, ROOT, 0, ROOT, 0x8001, 0, 20 * 256, 2 * 256, 15 * 256)
    assert bpdu.emit() == KNOWN
    assert ConfigBpdu.parse(KNOWN + bytes(8)) == bpdu


def test_a_notification_has_four_octets():
    assert emit_tcn() == bytes.fromhex("00000080")
    assert bpdu_type(emit_tcn()) == BPDU_TYPE_TCN


@given(bpdus)
def test_scapy_reads_what_we_write(bpdu):
    assert ConfigBpdu.parse(bpdu.emit()) == bpdu
    theirs = STP(bpdu.emit())
    assert (theirs.proto, theirs.version, theirs.bpdutype) == (0, 0, 0)
    assert theirs.bpduflags == bpdu.topology_change | bpdu.topology_change_ack << 7
    assert theirs.rootid.to_bytes(2, "big") + bytes.fromhex(theirs.rootmac.replace(":", "")) == bpdu.root
    assert theirs.bridgeid.to_bytes(2, "big") + bytes.fromhex(theirs.bridgemac.replace(":", "")) == bpdu.bridge_id
    assert (theirs.pathcost, theirs.portid) == (bpdu.root_path_cost, bpdu.port_id)
    times = theirs.age, theirs.maxage, theirs.hellotime, theirs.fwddelay
    assert [round(time * 256) for time in times] == [
        bpdu.message_age,
        bpdu.max_age,
        bpdu.hello_time,
        bpdu.forward_delay,
    ]


@pytest.mark.parametrize("length", range(35))
def test_a_message_that_is_cut_short_is_refused(length):
    with pytest.raises(WireError, match=r"bpdu: needs (4|35) octets, not \d+"):
        ConfigBpdu.parse(KNOWN[:length])


@pytest.mark.parametrize("octets", [b"\0\1\0\0", b"\1\0\0\0", b"\0\0\2\2"])
def test_other_protocols_and_versions_are_refused(octets):
    with pytest.raises(WireError, match=r"protocol_id, version: [0-9a-f]{6} is not 0"):
        bpdu_type(octets + KNOWN[4:])


def test_another_kind_is_no_configuration():
    with pytest.raises(WireError, match="bpdu_type: 0x80 is no configuration message"):
        ConfigBpdu.parse(emit_tcn() + bytes(40))


@given(st.binary(max_size=60))
def test_arbitrary_octets_are_read_or_refused(octets):
    try:
        bpdu = ConfigBpdu.parse(octets)
    except WireError:
        return
    assert bpdu.emit()[:4] + bpdu.emit()[5:] == octets[:4] + octets[5:35]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"root": bytes(7)}, "root: needs 8 octets, not 7"),
        ({"bridge_id": bytes(9)}, "bridge_id: needs 8 octets, not 9"),
        ({"root_path_cost": 1 << 32}, "root_path_cost: 4294967296 does not fit 32 bits"),
        ({"max_age": -1}, "max_age: -1 does not fit 16 bits"),
        ({"port_id": 65536}, "port_id: 65536 does not fit 16 bits"),
    ],
)
def test_values_that_do_not_fit_are_refused(change, text):
    fields = {name: getattr(ConfigBpdu.parse(KNOWN), name) for name in ConfigBpdu.__dataclass_fields__}
    with pytest.raises(WireError, match=f"^{text}$"):
        ConfigBpdu(**fields | change)
