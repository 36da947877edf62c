"""States and policies between two hosts, for tests of IPsec."""

from dataclasses import dataclass, replace

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.wire.address import ipv4_from_text
from hardwire.stack.xfrm.xfrm import (
    IPPROTO_AH,
    IPPROTO_ESP,
    XFRM_MODE_TRANSPORT,
    XFRM_MODE_TUNNEL,
    XFRM_POLICY_FWD,
    XFRM_POLICY_IN,
    XFRM_POLICY_OUT,
    XFRM_STATE_ALIGN4,
    XfrmPolicy,
    XfrmSelector,
    XfrmTmpl,
)
from hardwire.stack.xfrm.xfrm_algo import XfrmAlgo
from hardwire.stack.xfrm.xfrm_policy import xfrm_policy_insert
from hardwire.stack.xfrm.xfrm_state import XfrmState, xfrm_init_state, xfrm_state_add

__all__ = ["ALGORITHMS", "Sa", "Suite", "counters", "policy", "protect", "selector", "state"]


@dataclass(frozen=True)
class Suite:
    """Algorithms of a state, by Linux's names, and those of scapy's IPsec layer."""

    proto: int = IPPROTO_ESP
    aalg: XfrmAlgo | None = None
    ealg: XfrmAlgo | None = None
    aead_alg: XfrmAlgo | None = None
    scapy_crypt: str | None = None
    scapy_auth: str | None = None


def _key(octets: int) -> bytes:
    return bytes(range(1, octets + 1))


def _hash(name: str, octets: int, bits: int) -> XfrmAlgo:
    return XfrmAlgo(f"hmac({name})", _key(octets), bits)


_SHA1, _SHA256 = _hash("sha1", 20, 96), _hash("sha256", 32, 128)
_SHA384, _SHA512 = _hash("sha384", 48, 192), _hash("sha512", 64, 256)
_CBC = XfrmAlgo("cbc(aes)", _key(16))
_NULL = XfrmAlgo("ecb(cipher_null)", b"")
ALGORITHMS = {
    "gcm-128": Suite(aead_alg=XfrmAlgo("rfc4106(gcm(aes))", _key(20), 128), scapy_crypt="AES-GCM"),
    "gcm-256": Suite(aead_alg=XfrmAlgo("rfc4106(gcm(aes))", _key(36), 128), scapy_crypt="AES-GCM"),
    "cbc-sha1": Suite(aalg=_SHA1, ealg=_CBC, scapy_crypt="AES-CBC", scapy_auth="HMAC-SHA1-96"),
    "cbc-sha256": Suite(aalg=_SHA256, ealg=_CBC, scapy_crypt="AES-CBC", scapy_auth="SHA2-256-128"),
    "cbc-256-sha384": Suite(
        aalg=_SHA384, ealg=XfrmAlgo("cbc(aes)", _key(32)), scapy_crypt="AES-CBC", scapy_auth="SHA2-384-192"
    ),
    "cbc-sha512": Suite(aalg=_SHA512, ealg=_CBC, scapy_crypt="AES-CBC", scapy_auth="SHA2-512-256"),
    "null-sha256": Suite(aalg=_SHA256, ealg=_NULL, scapy_crypt="NULL", scapy_auth="SHA2-256-128"),
    "ah-sha1": Suite(IPPROTO_AH, aalg=_SHA1, scapy_auth="HMAC-SHA1-96"),
    "ah-sha256": Suite(IPPROTO_AH, aalg=_SHA256, scapy_auth="SHA2-256-128"),
    "ah-sha512": Suite(IPPROTO_AH, aalg=_SHA512, scapy_auth="SHA2-512-256"),
}


@dataclass(frozen=True)
class Sa:
    """What a state is made of besides its algorithms."""

    suite: Suite
    spi: int = 0x100
    mode: int = XFRM_MODE_TRANSPORT
    reqid: int = 1
    window: int = 32
    flags: int = XFRM_STATE_ALIGN4


def state(net, src: str, dst: str, sa: Sa, **others) -> XfrmState:
    """Add a state to a namespace."""
    net.kernel.crypto = CryptographyLibrary()
    suite = sa.suite
    x = XfrmState(
        net,
        daddr=ipv4_from_text(dst),
        saddr=ipv4_from_text(src),
        spi=sa.spi,
        proto=suite.proto,
        mode=sa.mode,
        reqid=sa.reqid,
        aalg=suite.aalg,
        ealg=suite.ealg,
        aead_alg=suite.aead_alg,
        flags=sa.flags,
        replay_window=sa.window,
        **others,
    )
    xfrm_init_state(x)
    xfrm_state_add(net, x)
    return x


def selector(src: str, dst: str, **others) -> XfrmSelector:
    """Return a selector for ``address/length`` to the same."""
    (source, _, slen), (target, _, dlen) = src.partition("/"), dst.partition("/")
    return XfrmSelector(
        daddr=ipv4_from_text(target),
        saddr=ipv4_from_text(source),
        prefixlen_d=int(dlen or 32),
        prefixlen_s=int(slen or 32),
        **others,
    )


def policy(
    net, src: str, dst: str, direction: int, *tmpls: XfrmTmpl, ports: tuple[int, int] = (0, 0), **others
) -> XfrmPolicy:
    """Add a policy to a namespace, for UDP between two ports if these are given."""
    masks = {"proto": 17, "sport_mask": 0xFFFF, "dport_mask": 0xFFFF} if ports[0] else {}
    sel = selector(src, dst, sport=ports[0], dport=ports[1], **masks)
    made = XfrmPolicy(sel, direction, tmpls=tmpls, **others)
    xfrm_policy_insert(net, made, True)
    return made


def protect(
    a, b, sa: Sa, inner: tuple[str, str] = ("10.0.0.1", "10.0.0.2"), ports: tuple[int, int] = (0, 0), **others
) -> list[XfrmState]:
    """Protect what goes between 10.0.0.1 (``a``) and 10.0.0.2 (``b``), or in tunnels between these for others.

    Returns
    -------
    list
        The states: of each host those that it sends with, and those that it receives with.
    """
    ends = ("10.0.0.1", "10.0.0.2")
    states = []
    sides = ((a, ends, inner, ports), (b, ends[::-1], inner[::-1], ports[::-1]))
    for net, (mine, yours), (here, there), way in sides:
        for src, dst in ((mine, yours), (yours, mine)):
            spi = sa.spi + (src != "10.0.0.1")
            states.append(state(net, src, dst, replace(sa, spi=spi), **others))
        tunnel = sa.mode == XFRM_MODE_TUNNEL
        out, back = (
            XfrmTmpl(
                ipv4_from_text(dst) if tunnel else 0,
                ipv4_from_text(src) if tunnel else 0,
                proto=sa.suite.proto,
                reqid=sa.reqid,
                mode=sa.mode,
            )
            for src, dst in ((mine, yours), (yours, mine))
        )
        policy(net, here, there, XFRM_POLICY_OUT, out, ports=way)
        policy(net, there, here, XFRM_POLICY_IN, back, ports=way[::-1])
        if tunnel:
            policy(net, there, here, XFRM_POLICY_FWD, back)
    return states


def counters(net) -> dict[str, int]:
    """Return the counters of IPsec that are not 0."""
    return {key.removeprefix("Xfrm:Xfrm"): value for key, value in net.mib.items() if key.startswith("Xfrm:") and value}
