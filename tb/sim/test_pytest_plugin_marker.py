"""The marker of the pytest plugin: what it takes, what it refuses, and which of several counts."""

from fnmatch import fnmatch

import pytest

pytest_plugins = "pytester"

WRONG = {
    "los=1": "there is no 'los'; there are bus, config, hosts, link, mtu, *",
    "config={'width': 1}": "config: there is no 'width'; there are stream_width_bits, axi_width_bits, *",
    "link={'lost': 1}": "link: there is no 'lost'; there are rate_bps, delay_ns, loss, *",
    "bus={'latency': 1}": "bus: there is no 'latency'; there are read_latency_ns, *",
    "link=0.1": "link must be a dict, not 0.1",
    "64": "all arguments have names, 64 has none",
    "ring=100": "ring must be a power of two from 2 up, not 100",
    "offload=1": "offload must be bool, not 1",
    "config={'stream_width_bits': 8}": "config: stream_width_bits must be 32, 64 or 128, not 8",
    "bus={'reads_outstanding': 0}": "bus: reads_outstanding must be in 1..64, not 0",
    "link={'loss': 2}": "this cannot be made: loss must be from 0 to 1, not 2",
    "mtu=10000": "this cannot be made: *takes an MTU of 68..9004, not 10000",
    "hosts=4": "none of the test's fixtures has a use for hosts",
}


def test_wrong_markers_are_one_clear_line_each(run, pytester: pytest.Pytester) -> None:
    marks = [f"@pytest.mark.hardwire({mark})\ndef test_{number}(two_hosts): pass" for number, mark in enumerate(WRONG)]
    result = run("\n".join(marks))
    result.assert_outcomes(errors=len(WRONG))
    for number, error in enumerate(WRONG.values()):
        at = next(at for at, line in enumerate(result.outlines) if f"ERROR at setup of test_{number} " in line)
        assert fnmatch(result.outlines[at + 1], f"@pytest.mark.hardwire: {error}")
        assert result.outlines[at + 2].startswith(("____", "===="))
    assert not (pytester.path / ".hardwire").exists()


def test_closest_marker_counts_key_by_key(run) -> None:
    result = run(
        """
        from hardwire.stack.core.netdevice import NETIF_F_HW_CSUM

        pytestmark = pytest.mark.hardwire(mtu=4000, hosts=2, link={"delay_ns": 50_000})

        @pytest.mark.hardwire(mtu=3000, offload=False)
        class TestClass:
            @pytest.mark.parametrize(
                ("mtu", "loss"),
                [(3000, 0), pytest.param(2000, 1, marks=pytest.mark.hardwire(mtu=2000, link={"loss": 1}))],
            )
            def test_param(self, lan, mtu, loss):
                a, b = lan
                assert [machine.dev.mtu for machine in lan] == [mtu, mtu]
                assert not a.dev.features & NETIF_F_HW_CSUM
                a.net.socket().sendto(b"", (b.address, 9))
                lan.world.advance(10_000)
                (counters, _) = lan.links[0].counters
                assert (counters.lost, counters.in_flight) == (loss, 1 - loss)

        @pytest.mark.hardwire(ring=64, config={"rx_ring_log2_max": 15}, bus={"read_latency_ns": 300})
        def test_function(lan, host):
            assert {machine.dev.mtu for machine in (*lan, host)} == {4000}
            assert host.dev.ethtool_ops.get_ringparam().tx_pending == 64
            assert host.nic.bus.read_latency_ns == 300
        """
    )
    result.assert_outcomes(passed=3)
