"""``ip xfrm`` with states that work: what it shows, and that what it sets up carries packets."""

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.iproute2.args import CommandError
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.proc import proc_net
from hardwire.tb.stack.ipsec import counters
from hardwire.tb.stack.pair import Pair

KEY = "0x" + bytes(range(1, 21)).hex()
AUTH = "0x" + bytes(range(1, 33)).hex()


@pytest.fixture
def pair() -> Pair:
    pair = Pair()
    for host in (pair.a, pair.b):
        host.kernel.crypto = CryptographyLibrary()
    return pair


def both(pair: Pair, command: str) -> None:
    """Run a command on both hosts, with the directions ``OUT`` and ``IN`` as each sees them."""
    for host, out, back in ((pair.a, "out", "in"), (pair.b, "in", "out")):
        ip(host.net, command.replace("OUT", out).replace("IN", back))


def set_up(pair: Pair, algorithms: str, more: str = "", proto: str = "esp") -> None:
    """Protect all between the two hosts."""
    for src, dst, spi in (("10.0.0.1", "10.0.0.2", "0x100"), ("10.0.0.2", "10.0.0.1", "0x101")):
        both(pair, f"xfrm state add src {src} dst {dst} proto {proto} spi {spi} reqid 1 {more} {algorithms}")
        direction = "OUT" if src == "10.0.0.1" else "IN"
        both(pair, f"xfrm policy add src {src} dst {dst} dir {direction} tmpl proto {proto} reqid 1")


@pytest.mark.parametrize(
    ("algorithms", "proto"),
    [
        (f"aead 'rfc4106(gcm(aes))' {KEY} 128", "esp"),
        (f"enc 'cbc(aes)' {AUTH} auth-trunc 'hmac(sha256)' {AUTH} 128", "esp"),
        ("enc aes 0123456789abcdef auth sha1 key", "esp"),
        (f"auth-trunc 'hmac(sha512)' {AUTH} 256", "ah"),
    ],
)
@pytest.mark.parametrize("more", ["replay-window 32", "replay-window 128", "replay-window 64 flag esn"])
def test_what_is_set_up_carries_packets(pair, algorithms, proto, more):
    set_up(pair, algorithms, more, proto)
    there = pair.b.socket()
    there.bind(("10.0.0.2", 9000))
    for number in range(3):
        pair.a.socket().sendto(b"%d" % number, ("10.0.0.2", 9000))
        pair.run()
        assert there.recv(100) == b"%d" % number
    assert [frame[23] for frame in pair.a.dev.sent if frame[12:14] == b"\x08\x00"] == [50 if proto == "esp" else 51] * 3
    assert counters(pair.b.net) == {}
    assert "  3(packets)" in ip(pair.b.net, "-s xfrm state get dst 10.0.0.2 proto " + proto + " spi 0x100").replace(
        ", 3", "  3"
    )


def test_states_are_shown_as_iproute2_does(pair):
    words = "src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x100 reqid 7 mode tunnel"
    ip(pair.a.net, f"xfrm state add {words} aead 'rfc4106(gcm(aes))' {KEY} 96 replay-window 32 flag nopmtudisc align4")
    assert ip(pair.a.net, "xfrm state") == (
        "src 10.0.0.1 dst 10.0.0.2\n"
        "\tproto esp spi 0x00000100 reqid 7 mode tunnel\n"
        "\treplay-window 32 flag nopmtudisc align4\n"
        f"\taead rfc4106(gcm(aes)) {KEY} 96\n"
        "\tanti-replay context: seq 0x0, oseq 0x0, bitmap 0x00000000\n"
        "\tsel src 0.0.0.0/0 dst 0.0.0.0/0 \n"
    )
    ip(pair.a.net, "xfrm state flush")
    words = "src 10.0.0.1 dst 10.0.0.2 proto esp spi 0x101 encap espinudp 4500 4501 0.0.0.0 mark 4 mask 6 if_id 9"
    more = "replay-window 64 flag esn replay-oseq 5 replay-oseq-hi 1 limit packet-hard 9 sel src 10.0.0.1/32 proto udp"
    ip(pair.a.net, f"xfrm state add {words} enc 'cbc(aes)' {AUTH} auth 'hmac(sha1)' 0x1234 {more}")
    assert ip(pair.a.net, "xfrm state list nokeys") == (
        "src 10.0.0.1 dst 10.0.0.2\n"
        "\tproto esp spi 0x00000101 reqid 0 mode transport\n"
        "\treplay-window 0 flag esn\n"
        "\tmark 0x4/0x6 \n"
        "\tauth-trunc hmac(sha1) <<Keys hidden>> 96\n"
        "\tenc cbc(aes) <<Keys hidden>>\n"
        "\tencap type espinudp sport 4500 dport 4501 addr 0.0.0.0\n"
        "\tanti-replay esn context:\n"
        "\t seq-hi 0x0, seq 0x0, oseq-hi 0x1, oseq 0x5\n"
        "\t replay_window 64, bitmap-length 2\n"
        "\t 00000000 00000000 \n"
        "\tif_id 0x9\n"
        "\tsel src 10.0.0.1/32 dst 0.0.0.0/0 proto udp \n"
    )


def test_the_counters_are_in_proc(pair):
    set_up(pair, f"aead 'rfc4106(gcm(aes))' {KEY} 128")
    ip(pair.b.net, "xfrm state flush")
    pair.a.socket().sendto(b"x", ("10.0.0.2", 9000))
    pair.run()
    text = proc_net(pair.b.net, "xfrm_stat").splitlines()
    assert len(text) == 28
    assert "XfrmInNoStates          \t1" in text
    assert "XfrmInError             \t0" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("state add dst 10.0.0.2 proto esp spi 1 aead gcm 0x11 128", "Error: Requested AEAD algorithm not found."),
        ("state add dst 10.0.0.2 proto esp spi 1 enc aes 0x11", "Error: Invalid key length for cbc(aes)."),
        ("state add dst 10.0.0.2 proto comp spi 1 comp deflate", "Error: Requested type not found."),
        ("state add dst 10.0.0.2 proto ah spi 1 auth sha1 k encap espinudp 1 2 0.0.0.0", "Error: AH is not compatible"),
        ("state add dst 10.0.0.2 proto ah spi 1 auth sha1 k mode beet", "Error: Requested mode not found."),
        ("state update dst 10.0.0.2 proto ah spi 1 auth sha1 k", "RTNETLINK answers: No such process"),
        ("policy add dir out tmpl proto comp", "Error: Invalid XFRM protocol in template."),
        ("policy add dir out index 8", "Error: Policy index doesn't match direction."),
        ("policy add dir out" + " tmpl proto esp" * 7, "Error: Template count must be <= XFRM_MAX_DEPTH"),
    ],
)
def test_what_cannot_be_is_refused(pair, words, text):
    with pytest.raises(CommandError, match=".*") as caught:
        ip(pair.a.net, f"xfrm {words}")
    assert str(caught.value).startswith(text)
    assert (ip(pair.a.net, "xfrm state"), ip(pair.a.net, "xfrm policy")) == ("", "")
