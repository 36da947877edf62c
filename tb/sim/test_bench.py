"""The benchmark measures what it says; how fast it is, is not tested here."""

from hardwire.sim.bench import LINE_RATE_OCTETS, cocotb_speed, latency, line_rate
from hardwire.sim.bench_stack import bare_speed, driver_speed, send_rate


def test_every_frame_size_leaves_at_line_rate() -> None:
    for octets in LINE_RATE_OCTETS:
        achieved, limit = line_rate(octets, frames=30)
        assert achieved == limit == octets + 20


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
