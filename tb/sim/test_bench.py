"""The benchmark measures what it says; how fast it is, is not tested here."""

import pytest

from hardwire.sim.bench import LINE_RATE_OCTETS, cocotb_speed, latency
from hardwire.sim.bench_company import company, obstacle
from hardwire.sim.bench_fixtures import set_up_ms
from hardwire.sim.bench_journey import tracing_off
from hardwire.sim.bench_protocols import memory_of, protocol_rates
from hardwire.sim.bench_receive import echo, line_rate, wire_to_interrupt
from hardwire.sim.bench_stack import bare_speed, driver_speed, send_rate
from hardwire.sim.bench_tcp import connections, memory_of_connections, streams


def test_both_directions_at_once_have_line_rate_for_every_frame_size() -> None:
    for octets in LINE_RATE_OCTETS:
        achieved, limit = line_rate(octets, frames=30)
        assert achieved == limit == octets + 20


def test_interrupt_follows_the_wire() -> None:
    assert 0 < wire_to_interrupt(64, 0) < wire_to_interrupt(1518, 0) < wire_to_interrupt(1518, 1000)


def test_datagrams_come_back() -> None:
    figures = echo(20)
    assert figures["round_trips_per_s"] > 0
    assert 0 < figures["nic_cycles"] < 2000


@pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))
def test_real_kernels_are_answered_and_joined() -> None:
    figures = company(echoes=100, seconds=1, octets=200_000)
    assert figures["tap"]["lost"] == 0
    assert figures["tap"]["echoes_per_s"] > 0
    assert figures["wire"]["mbit_per_s"] > 0
    assert figures["wire"]["frames_per_s"] > 0
    assert all(value > 0 for value in figures["tcp"].values())


def test_without_root_or_tools_it_says_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert company() == {"obstacle": "needs root"}
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("os.path.exists", lambda path: path == "/dev/net/tun")
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "iperf3" else f"/usr/bin/{tool}")
    assert company() == {"obstacle": "needs apt-get install iperf3"}


def test_tcp_is_measured_against_what_two_cards_do_without_it() -> None:
    figures = streams(repeats=1, octets=200_000)
    assert figures["octets_per_s"] > 0
    assert figures["ratio"] > 0
    assert figures["moderated_ratio"] > 0
    assert connections(10) > 0


def test_a_connection_in_time_wait_takes_far_less_memory() -> None:
    figures = memory_of_connections(100)
    assert 2000 < figures["established_octets"] < 20_000
    assert 200 < figures["time_wait_octets"] < figures["established_octets"] / 4


def test_doorbell_to_preamble_takes_60_cycles_at_most() -> None:
    assert 0 < latency() <= 60


def test_speeds_are_measured() -> None:
    assert bare_speed() > 0
    assert driver_speed() > 0
    figures = send_rate(200)
    assert figures["frame_octets"] == 64
    assert figures["datagrams_per_s"] > 0


def test_the_same_frames_run_under_cocotb() -> None:
    figures = cocotb_speed(repeats=1)
    assert figures["cocotb_cycles_per_s"]
    assert figures["vs_cocotb"]


def test_the_stack_is_at_least_five_times_as_fast_as_scapy() -> None:
    for name, figures in protocol_rates(repeats=3).items():
        assert figures["per_s"], name
        assert figures["vs_scapy"] is not None, name
        assert figures["vs_scapy"] > 5, name


def test_without_scapy_the_stack_is_measured_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    figures = protocol_rates(repeats=1)
    assert all(one["per_s"] and one["vs_scapy"] is None for one in figures.values())


def test_a_card_alone_is_made_at_once_and_hosts_add_up() -> None:
    took_ms = set_up_ms(9)
    assert took_ms["nic"] * 5 < took_ms["host"]  # To look whether it is built takes longer than to make it.
    assert took_ms["host"] < took_ms["two_hosts"] < took_ms["host"] * 4
    assert took_ms["two_hosts"] < took_ms["lan"] < took_ms["two_hosts"] * 3


def test_sockets_and_neighbours_are_small() -> None:
    figures = memory_of(200)
    assert 500 < figures["socket_octets"] < 6000
    assert 300 < figures["neighbour_octets"] < 3000


def test_sending_with_the_tracer_off_is_compared_with_sending_without_it() -> None:
    assert 0.5 < tracing_off(pairs=1) < 2
