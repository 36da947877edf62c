"""The pytest plugin with other devices: tests in a cocotb simulation are reported as if they were outside."""

pytest_plugins = "pytester"

SOURCE = """
    import os

    def inside():
        return "COCOTB_TEST_MODULES" in os.environ

    def test_a_card(nic, hardwire_device):
        assert (inside(), hardwire_device) == (True, "cocotb")
        assert nic.read32(0) == 0x48574E43

    def test_a_network(two_hosts):
        raise AssertionError("it is skipped")

    def test_plain():
        assert not inside()

    def test_that_fails(host):
        print("said before")
        sent = [frame.octets for frame in host.nic.take_frames()]
        assert sent == ["something"]

    @pytest.mark.parametrize("speed", [1, 2])
    @pytest.mark.hardwire(neighbours={"10.0.0.2": "02:00:00:00:00:02"})
    def test_a_host(host, speed):
        host.net.socket().sendto(b"hello", ("10.0.0.2", 7))
        host.world.drain()
        (frame,) = host.nic.take_frames()
        assert frame.ok and frame.octets[42:47] == b"hello"

    def test_that_ends_the_simulation(host):
        os._exit(3)

    def test_after_that(host):
        assert inside() and host.world.now_ns > 0
"""


def test_tests_run_inside_a_cocotb_simulation_and_are_reported_outside(run):
    result = run(SOURCE, "-v", "--hardwire-device", "cocotb", "-p", "no:xdist")
    result.assert_outcomes(passed=5, failed=2, skipped=1)
    lines = result.stdout
    lines.fnmatch_lines_random(
        [
            "test_it.py::test_a_card PASSED*",
            "test_it.py::test_a_network SKIPPED*",
            "test_it.py::test_a_host[[]2[]] PASSED*",
            "*assert [[][]] == [[]'something'[]]",
            "said before",
            "*, seed *; to see it again: pytest test_it.py::test_that_fails --hardwire-seed 0 --hardwire-device cocotb",
            "the simulation ended in the middle of the test*",
            "test_it.py::test_after_that PASSED*",
        ]
    )


def test_what_does_not_go_together_is_refused(run):
    for arguments, why in (
        (("--hardwire-device", "fpga"), "*there is no device 'fpga'; there are *cocotb, *sim*"),
        (
            ("--hardwire-device", "cocotb", "--hardwire-waves"),
            "*--hardwire-waves records cards of the device sim *",
        ),
        (("--hardwire-device", "cocotb", "-n", "2"), "*all tests with the device cocotb are in one simulation*"),
    ):
        result = run("def test_nothing(): pass", *arguments)
        assert result.ret == 4
        result.stderr.fnmatch_lines([why])
