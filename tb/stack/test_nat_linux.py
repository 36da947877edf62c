"""Translated errors, fragments and connections of TCP, rejects and logs, against a real kernel's."""

import os
from contextlib import suppress
from pathlib import Path
from struct import pack

import pytest

from hardwire.tb.stack.frames import PEER, icmp, ip, udp
from hardwire.tb.stack.nft_linux import FAR, ME, NARROW, OTHER, Both, can_filter, tcp

pytestmark = pytest.mark.skipif(not can_filter(), reason="needs root, nft(8) and a kernel with nf_tables")


@pytest.fixture
def both():
    with Both(f"hardwire-nft{os.getpid()}") as both:
        yield both


def fragments(octets: bytes, proto: int, size: int, src: int, dst: int, df: int = 0) -> list[bytes]:
    """Return a packet in fragments of so many octets of payload."""
    parts = [octets[at : at + size] for at in range(0, len(octets), size)]
    return [
        ip(part, proto, src, dst, frag=df | (0x2000 if number < len(parts) - 1 else 0) | number * size // 8)
        for number, part in enumerate(parts)
    ]


NAT = """
table ip t {
    chain f {
        type filter hook forward priority 0
        ct state established,related counter accept
        ct state new counter accept
        counter
    }
    chain p {
        type nat hook postrouting priority srcnat
        ip daddr 10.8.0.0/16 counter masquerade
        ip daddr 10.9.0.0/16 snat to 10.0.0.40
    }
    chain d {
        type nat hook prerouting priority dstnat
        ip daddr 10.0.0.2 udp dport 53 dnat to 10.0.0.1:1234
    }
}
"""


def test_icmp_errors_about_translated_packets_are_translated(both):
    both.nft(NAT)
    (out,) = both.check(ip(udp(9000, dst=FAR), dst=FAR))
    inner = out[14:]
    for kind, code, about in ((3, 3, inner), (11, 0, inner[:28]), (3, 4, inner), (5, 1, inner)):
        both.check(ip(icmp(kind, code, pack("!HH", 0, 576), about), 1, OTHER, ME))
    both.check(ip(icmp(3, 3, bytes(4), inner, check=7), 1, OTHER, ME))
    both.check(ip(icmp(3, 3, bytes(4), inner[:24]), 1, OTHER, ME))
    (echo,) = both.check(ip(icmp(8, dst := 0, pack("!HH", 5, 1)), 1, dst=FAR))
    both.check(ip(icmp(11, 0, bytes(4), echo[14:]), 1, OTHER, ME))
    assert dst == 0


def test_errors_from_inside_are_translated_outwards(both):
    both.nft(NAT)
    (out,) = both.check(ip(udp(53, src=FAR, dst=ME), 17, FAR, ME))
    both.check(ip(icmp(3, 3, bytes(4), out[14:]), 1, PEER, FAR))
    both.check(ip(udp(53, src=FAR, dst=ME), 17, FAR, ME))


@pytest.mark.parametrize("df", [0, 0x4000])
@pytest.mark.parametrize("size", [64, 480, 1024])
@pytest.mark.parametrize("dst", [FAR, NARROW])
def test_fragments_are_translated_as_one_and_sent_as_fragments(both, df, size, dst):
    both.nft(NAT)
    parts = fragments(udp(9000, bytes(range(250)) * 5, dst=dst), 17, size, PEER, dst, df)
    both.check(*parts)
    both.check(*parts[::-1])
    both.check(parts[0])
    both.check(*parts[1:])


def test_tcp_is_translated_and_followed(both):
    both.nft(NAT)
    syn, synack, ack, fin, rst = 2, 18, 16, 17, 4

    def there(port, flags, seq, answered):
        both.check(ip(tcp(port, flags, seq=seq, ack=answered), 6, PEER, FAR))

    def back(port, flags, seq, answered):
        both.check(ip(tcp(1234, flags, FAR, ME, port, seq, answered), 6, FAR, ME))

    for port in (80, 81, 82):
        there(port, syn, 1000, 0)
        back(port, synack, 2000, 1001)
        there(port, ack, 1001, 2001)
        back(port, ack, 2001, 1001)
    there(80, fin, 1001, 2001)
    back(80, ack, 2001, 1002)
    back(80, fin, 2001, 1002)
    there(80, ack, 1002, 2002)
    there(80, syn, 9000, 0)  # The same ports again.
    back(81, fin, 2001, 1001)
    there(81, fin, 1001, 2002)
    back(81, ack, 2002, 1002)
    there(82, rst, 1001, 0)
    there(83, syn, 1000, 0)
    back(83, 20, 0, 1001)  # Refused.
    there(84, ack, 1001, 2001)  # Begun before.
    back(84, ack, 2001, 1001)
    there(85, 0, 1, 1)
    there(86, fin, 1, 1)


def test_resets_are_sent_for_rejected_segments(both):
    both.nft("table ip t {\n chain f {\n type filter hook forward priority 0\n counter reject with tcp reset\n}\n}")
    for flags in (2, 16, 17, 4, 20, 18):
        both.check(ip(tcp(80, flags), 6, PEER, FAR))


@pytest.mark.parametrize("rule", ["udp dport 7000 dnat to 10.8.0.1", "udp dport 7000 dnat to 10.0.0.1:9", "redirect"])
def test_what_this_host_sends_is_translated_and_routed_anew(both, rule):
    both.nft(f"table ip t {{\n chain o {{\n type nat hook output priority -100\n {rule}\n}}\n}}")

    def send(make):
        sock = make()
        sock.bind(("10.0.0.2", 7001))
        sock.sendto(b"hello", ("10.0.0.1", 7000))
        sock.close()

    import socket as os_socket

    both.linux.inside(lambda: send(lambda: os_socket.socket(os_socket.AF_INET, os_socket.SOCK_DGRAM)))
    send(both.ours.net.socket)
    both.check()


def test_what_this_host_marks_is_routed_anew(both):
    script = "table ip t {\n chain o {\n type route hook output priority mangle\n meta mark set 5 ip dscp cs1\n}\n}"
    both.nft(script)
    both.check(ip(icmp(8), 1))


INNER = ip(udp(9000), src=PEER, dst=FAR)[14:42]
LOGGED = [
    ip(udp(9000, dst=FAR), dst=FAR, tos=0xFF),
    ip(udp(9, dst=FAR), 17, dst=FAR, options=b"\1\1\1\0"),
    ip(udp(9), 17),
    ip(icmp(8), 1),
    ip(icmp(13), 1, dst=FAR),
    ip(icmp(3, 3, bytes(4), INNER), 1, dst=FAR),
    ip(icmp(3, 4, b"\0\0\2\0", INNER), 1, dst=FAR),
    ip(icmp(5, 1, b"\1\2\3\4", INNER), 1, dst=FAR),
    ip(icmp(12, 0, b"\5\0\0\0", INNER), 1, dst=FAR),
    ip(icmp(11, 0, bytes(4), INNER[:10]), 1, dst=FAR),
    ip(tcp(80, 18), 6, dst=FAR, frag=0x4000),
    *(ip(b"abc", proto, dst=FAR) for proto in (1, 6, 17, 99)),
    *(ip(bytes(64), proto, dst=FAR, frag=0x2008) for proto in (1, 6, 17)),
]


@pytest.fixture
def kmsg():
    switch = Path("/proc/sys/net/netfilter/nf_log_all_netns")
    before = switch.read_text()
    switch.write_text("1")
    fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
    os.lseek(fd, 0, os.SEEK_END)
    yield fd
    os.close(fd)
    switch.write_text(before)


def test_packets_are_logged_as_the_kernel_logs_them(both, kmsg):
    both.ours.net.nf.sysctl_nf_log_all_netns = True
    chains = 'chain f {\ntype filter hook forward priority 0\nlog prefix "hw: "\nmeta mark set 7 log prefix "hw2 "\n}\n'
    chains += 'chain i {\ntype filter hook input priority 0\nlog prefix "hw: "\n}\n'
    both.nft(f"table ip t {{\n{chains}}}")
    for frame in LOGGED:
        both.ours.kernel.log.clear()
        both.send(frame)
        theirs: list[str] = []
        with suppress(BlockingIOError):
            while True:
                theirs.append(os.read(kmsg, 8192).decode().split(";", 1)[1].split("\n")[0])
        assert list(both.ours.kernel.log) == [line for line in theirs if line.startswith("hw")]
        assert both.ours.kernel.log
