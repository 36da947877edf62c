"""LACPDUs and markers: octets to values and back, against scapy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.contrib.lacp import LACP, MarkerProtocol, SlowProtocol

from hardwire.stack.wire.error import WireError
from hardwire.stack.wire.lacp import Lacpdu, LacpInfo, LacpState, MarkerPdu

u16 = st.integers(0, 0xFFFF)
mac = st.binary(min_size=6, max_size=6)
infos = st.builds(LacpInfo, u16, mac, u16, u16, u16, st.integers(0, 255).map(LacpState))
lacpdus = st.builds(Lacpdu, infos, infos, u16)
markers = st.builds(MarkerPdu, u16, mac, st.integers(0, 0xFFFFFFFF), st.booleans())


def of_scapy(info: LacpInfo, who: str) -> dict[str, object]:
    values = {
        "system_priority": info.system_priority,
        "system": info.system.hex(":"),
        "key": info.key,
        "port_priority": info.port_priority,
        "port_number": info.port,
        "state": int(info.state),
    }
    return {f"{who}_{name}": value for name, value in values.items()}


@given(lacpdus)
def test_a_lacpdu_is_what_scapy_makes_of_it_and_comes_back(lacpdu):
    wanted = SlowProtocol() / LACP(
        **of_scapy(lacpdu.actor, "actor"), **of_scapy(lacpdu.partner, "partner"), collector_max_delay=lacpdu.max_delay
    )
    assert lacpdu.emit() == bytes(wanted)
    assert Lacpdu.parse(bytes(wanted)) == lacpdu


@given(markers)
def test_a_marker_is_what_scapy_makes_of_it_and_comes_back(marker):
    wanted = SlowProtocol() / MarkerProtocol(
        marker_type=2 if marker.response else 1,
        requester_port=marker.port,
        requester_system=marker.system.hex(":"),
        requester_transaction_id=marker.transaction_id,
    )
    assert marker.emit() == bytes(wanted)
    assert MarkerPdu.parse(bytes(wanted)) == marker


@given(st.one_of(st.binary(max_size=200), lacpdus.map(Lacpdu.emit), markers.map(MarkerPdu.emit)), st.data())
def test_no_octets_but_those_of_a_pdu_are_one(octets, data):
    octets = bytearray(octets)
    for _ in range(data.draw(st.integers(0, 3))):
        if octets:
            octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    for kind in (Lacpdu, MarkerPdu):
        try:
            value = kind.parse(bytes(octets))
        except WireError:
            continue
        assert kind.parse(value.emit()) == value


@pytest.mark.parametrize("length", range(110))
def test_a_lacpdu_that_was_cut_is_none(length):
    with pytest.raises(WireError, match="length"):
        Lacpdu.parse(Lacpdu().emit()[:length])


def test_values_that_do_not_fit_are_refused():
    for wrong in (
        {"system": bytes(5)},
        {"key": 65536},
        {"port": -1},
        {"state": 256},
    ):
        with pytest.raises(WireError, match=next(iter(wrong))):
            LacpInfo(**wrong)
    with pytest.raises(WireError, match="max_delay"):
        Lacpdu(max_delay=65536)
    with pytest.raises(WireError, match="transaction_id"):
        MarkerPdu(1, bytes(6), -1)
