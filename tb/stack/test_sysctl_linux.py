"""Settings by their names: the kernel's defaults, and what becomes of each value that is written."""

import os
from errno import EINVAL, ENOENT
from pathlib import Path

import pytest

from hardwire.stack.sysctl import sysctl, sysctl_names
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.linux_peer import LinuxPeer, can_make_namespaces
from hardwire.tb.stack.programs import make_ours

pytestmark = pytest.mark.skipif(not can_make_namespaces(), reason="needs root, /dev/net/tun and ip(8)")

VALUES = (
    "0",
    "1",
    "2",
    "-1",
    "255",
    "256",
    "1000",
    "70000",
    "0x10",
    "abc",
    "5x",
    "",
    " 7 ",
    "3 4",
    "2147483648",
    "5\n",
)
# Of these names no default is compared: they depend on the machine's memory.
OF_MEMORY = (
    "net.core.",
    "net.ipv4.neigh.default.unres_qlen",
    "unres_qlen_bytes",
    "tcp_mem",
    "udp_mem",
    "tcp_rmem",
    "tcp_wmem",
    "tcp_max_orphans",
    "tcp_max_tw_buckets",
    "tcp_limit_output_bytes",  # Four times as much since Linux 6.15.
)

USER_HZ = ("locktime", "proxy_delay", "retrans_time")


@pytest.fixture
def linux():
    with LinuxPeer(f"hardwire-sc{os.getpid()}") as peer:
        yield peer


def path(name: str) -> Path:
    return Path("/proc/sys/" + name.replace(".", "/"))


def read(peer: LinuxPeer, name: str) -> str:
    """Return a setting of the namespace; what namespaces do not have is the machine's."""
    own = peer.inside(lambda: path(name).read_text() if path(name).exists() else "")
    return (own or path(name).read_text()).rstrip("\n")


def is_own(peer: LinuxPeer, name: str) -> bool:
    """Return whether each namespace has the setting for itself, to write."""
    return peer.inside(lambda: path(name).exists()) and not name.startswith("net.core.")


def ours_like_theirs():
    ours = make_ours()
    for where in ("all", "default", "eth0"):
        sysctl(ours.net, f"net.ipv4.conf.{where}.rp_filter", 0)
    return ours


# Of ours alone, and what a distribution chooses.
OURS = ("net.ipv4.route_cache", "net.core.default_qdisc", "net.ipv4.tcp_congestion_control")


def test_each_setting_has_the_name_and_the_default_of_linux(linux):
    net = ours_like_theirs().net
    names = [name for name in sysctl_names(net) if name not in OURS]
    assert len(names) > 120
    wrong = {}
    for name in names:
        theirs, mine = read(linux, name), sysctl(net, name)
        if theirs != mine and not any(part in name for part in OF_MEMORY):
            wrong[name] = (theirs, mine)
    assert wrong == {}


def write(peer: LinuxPeer, name: str, text: str) -> tuple[int, str]:
    """Write a value; return the errno or 0, and what is there then."""
    error = peer.inside(lambda: _errno(path(name).write_text, text))
    return error, read(peer, name)


def put(net, name: str, text: str) -> tuple[int, str]:
    return _errno(sysctl, net, name, text), sysctl(net, name)


def _errno(function, *args) -> int:
    try:
        function(*args)
    except OSError as error:
        return error.errno or 0
    return 0


def test_each_value_becomes_what_it_becomes_on_linux(linux):
    net = ours_like_theirs().net
    for name in ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"):
        sysctl(net, name, read(linux, name))
    wrong = {}
    tried = 0
    for name in sysctl_names(net):
        if name in OURS:
            continue
        if not is_own(linux, name) or ".conf.all." in name or ".conf.lo." in name or ".neigh.lo." in name:
            continue
        if name in ("net.ipv4.ip_forward", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"):
            continue
        for value in VALUES:
            if name.rpartition(".")[2] in USER_HZ and value in ("-1", "2147483648"):
                continue  # What is no time becomes anything: "-0".
            tried += 1
            want, got = write(linux, name, value), put(net, name, value)
            if got != want:
                wrong[name, value] = (want, got)
    assert wrong == {}
    assert tried > 500


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "net.ipv4.ip_local_port_range",
            (
                "1000 2000",
                "2000 1000",
                "5",
                "0 5",
                "1 70000",
                "40000\t50000",
                "a b",
                "1024 1024",
                "",
                "7 8 9",
                "2000 3000 x",
            ),
        ),
        (
            "net.ipv4.ip_local_reserved_ports",
            ("1", "1,3-5", "5-3", "8,7", "70000", "9-12,10-14", "a", "", "1,,2", "1-", "65535", "\n"),
        ),
        ("net.ipv4.ip_forward", ("1", "0", "2", "x", "-1")),
        ("net.ipv4.conf.all.forwarding", ("1", "0", "2")),
        ("net.ipv4.conf.default.forwarding", ("1", "0")),
        ("net.ipv4.conf.eth0.forwarding", ("1", "0")),
        ("net.ipv4.conf.all.rp_filter", ("1", "2", "0", "-1")),
    ],
)
def test_settings_of_several_numbers_and_those_with_effects_become_what_they_become_on_linux(linux, name, values):
    net = ours_like_theirs().net
    related = [
        name,
        "net.ipv4.ip_forward",
        *(f"net.ipv4.conf.{where}.forwarding" for where in ("all", "default", "eth0")),
    ]
    related += ["net.ipv4.conf.all.accept_redirects"]
    for value in values:
        assert put(net, name, value) == write(linux, name, value), value
        assert {one: sysctl(net, one) for one in related} == {one: read(linux, one) for one in related}, value


@pytest.mark.parametrize(
    "name",
    [
        "net.ipv4.nothing",
        "net.ipv6.conf.all.forwarding",
        "kernel.hostname",
        "net.ipv4.conf.eth9.rp_filter",
        "net.ipv4.conf.eth0.nothing",
        "net.ipv4.neigh.eth9.locktime",
        "net.ipv4.neigh.eth0.gc_thresh1",
        "net.ipv4.neigh.all.locktime",
        "net.core.nothing",
        "",
        "net.ipv4.conf",
    ],
)
def test_what_there_is_not_is_enoent(name):
    net = make_ours().net
    with raises(ENOENT):
        sysctl(net, name)
    with raises(ENOENT):
        sysctl(net, name, 1)
    assert name not in sysctl_names(net)


def test_a_setting_has_its_effect_at_once():
    ours = make_ours()
    sysctl(ours.net, "net.ipv4.ip_default_ttl", 9)
    sysctl(ours.net, "net.ipv4.neigh.eth0.retrans_time_ms", 2000)
    sysctl(ours.net, "net.ipv4.ip_local_port_range", "5000 5000")
    sock = ours.socket()
    sock.sendto(b"x", ("10.0.0.1", 9))
    assert ours.dev.sent[-1][22] == 9
    assert sock.getsockname()[1] == 5000
    ours.dev.sent.clear()
    sock.sendto(b"x", ("10.0.0.40", 9))
    ours.platform.advance(5_000_000_000)
    assert len(ours.dev.sent) == 3  # At 0, 2 and 4 s.


def test_the_default_qdisc_and_the_route_cache_are_chosen_by_name():
    net = make_ours().net
    assert (sysctl(net, "net.core.default_qdisc"), sysctl(net, "net.ipv4.route_cache")) == ("pfifo_fast", "0")
    assert sysctl(net, "net.core.default_qdisc", "fq_codel") == net.kernel.default_qdisc_ops.id == "fq_codel"
    with raises(ENOENT):
        sysctl(net, "net.core.default_qdisc", "nope")
    assert sysctl(net, "net.ipv4.route_cache", 1) == "1"
    assert net.ipv4.rt_cache is not None
    with raises(EINVAL):
        sysctl(net, "net.ipv4.route_cache", 2)
