"""Algorithms of ESP and AH under the names that Linux has for them (Linux: net/xfrm/xfrm_algo.c, crypto/authenc.c)."""

import hmac
from dataclasses import dataclass, replace
from errno import EINVAL, ENOSYS
from typing import Protocol

from ..netlink.attr import NetlinkError
from .crypto import Crypto

__all__ = [
    "Aead",
    "Ahash",
    "XfrmAlgo",
    "crypto_aead_decrypt",
    "crypto_aead_encrypt",
    "xfrm_aalg_get_byname",
    "xfrm_algo_named",
    "xfrm_alloc_aead",
    "xfrm_alloc_authenc",
]

NULL = "ecb(cipher_null)"
DIGEST_NULL = "digest_null"
CBC_AES = "cbc(aes)"
GCM_AES = "rfc4106(gcm(aes))"
_AES_KEYS = (16, 24, 32)
_SALT_OCTETS = 4
# By name: what hashlib calls the hash, the length of the whole code, and what is sent of it unless asked otherwise.
_HASHES = {
    "hmac(md5)": ("md5", 16, 12),  # RFC 2403
    "hmac(sha1)": ("sha1", 20, 12),  # RFC 2404
    "hmac(sha256)": ("sha256", 32, 12),  # What Linux has; RFC 4868 says 16, which auth-trunc asks for.
    "hmac(sha384)": ("sha384", 48, 24),  # RFC 4868
    "hmac(sha512)": ("sha512", 64, 32),
}
_EALGS = {
    "cipher_null": NULL,
    NULL: NULL,
    "aes": CBC_AES,
    CBC_AES: CBC_AES,
}
_AALGS = {"md5": "hmac(md5)", "sha1": "hmac(sha1)", "sha256": "hmac(sha256)", "sha384": "hmac(sha384)"}


@dataclass(frozen=True, slots=True)
class XfrmAlgo:
    """An algorithm with its key (Linux: ``struct xfrm_algo``, ``xfrm_algo_auth``, ``xfrm_algo_aead``).

    Members
    -------
    icv_bits : int
        How much of the check value is sent.
    """

    name: str
    key: bytes
    icv_bits: int = 0


class Ahash:
    """A keyed hash, cut to ``icv_octets`` (RFC 2104; RFC 4868 §2.1).

    Members
    -------
    full_octets, icv_octets : int
        Length of the whole check value, and of what is sent.
    """

    __slots__ = ("_hash", "_key", "full_octets", "icv_octets")

    def __init__(self, hash_name: str, key: bytes, full_octets: int, icv_octets: int) -> None:
        self._hash = hash_name
        self._key = key
        self.full_octets = full_octets
        self.icv_octets = icv_octets

    def digest(self, octets: bytes) -> bytes:
        """Return the check value."""
        return hmac.digest(self._key, octets, self._hash)[: self.icv_octets] if self._hash else b""

    def verify(self, octets: bytes, icv: bytes) -> bool:
        """Return whether a check value is right, in a time that does not tell how much of it is."""
        return hmac.compare_digest(self.digest(octets), icv)


class Aead(Protocol):
    """Encipherment with a check value (Linux: ``struct crypto_aead``).

    ``header`` is SPI and the low half of the sequence number; ``seq_hi`` the high half, of no octets without extended
    numbers.

    Members
    -------
    ivsize, authsize, blocksize : int
        Octets of the initialisation vector, the check value and a block.
    counts : bool
        The vector must never come again, but may be known: a counter will do (RFC 4106 §3.1).
    """

    ivsize: int
    authsize: int
    blocksize: int
    counts: bool

    def encrypt(self, header: bytes, seq_hi: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """Return the octets enciphered, and the check value."""
        ...

    def decrypt(self, header: bytes, seq_hi: bytes, iv: bytes, octets: bytes) -> bytes | None:
        """Return the octets deciphered, or None if the check value at their end is wrong."""
        ...


class Rfc4106:
    """AES in Galois/counter mode (RFC 4106); the last four octets of the key are the salt."""

    ivsize = 8
    blocksize = 1
    counts = True

    def __init__(self, crypto: Crypto, key: bytes, authsize: int) -> None:
        self.authsize = authsize
        self._crypto = crypto
        self._key, self._salt = key[:-_SALT_OCTETS], key[-_SALT_OCTETS:]

    def encrypt(self, header: bytes, seq_hi: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """As ``Aead``; the additional data are RFC 4106 §5's."""
        aad = header[:4] + seq_hi + header[4:]
        ciphertext, tag = self._crypto.gcm_encrypt(self._key, self._salt + iv, plaintext, aad)
        return ciphertext + tag[: self.authsize]

    def decrypt(self, header: bytes, seq_hi: bytes, iv: bytes, octets: bytes) -> bytes | None:
        """As ``Aead``."""
        at = len(octets) - self.authsize
        aad = header[:4] + seq_hi + header[4:]
        return self._crypto.gcm_decrypt(self._key, self._salt + iv, octets[:at], aad, octets[at:])


class Authenc:
    """A cipher, or none, and a hash over what it made (RFC 4303 §3.3.2.1; Linux: ``authenc``, ``authencesn``)."""

    counts = False

    def __init__(self, crypto: Crypto | None, key: bytes, ahash: Ahash) -> None:
        self.authsize = ahash.icv_octets
        self.ivsize = 16 if crypto is not None else 0
        self.blocksize = 16 if crypto is not None else 1
        self._crypto = crypto
        self._key = key
        self._ahash = ahash

    def encrypt(self, header: bytes, seq_hi: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """As ``Aead``; the high half of the sequence number comes last (RFC 4303 §2.2.1)."""
        ciphertext = plaintext if self._crypto is None else self._crypto.cbc_encrypt(self._key, iv, plaintext)
        return ciphertext + self._ahash.digest(header + iv + ciphertext + seq_hi)

    def decrypt(self, header: bytes, seq_hi: bytes, iv: bytes, octets: bytes) -> bytes | None:
        """As ``Aead``."""
        at = len(octets) - self.authsize
        ciphertext = octets[:at]
        if not self._ahash.verify(header + iv + ciphertext + seq_hi, octets[at:]):
            return None
        return ciphertext if self._crypto is None else self._crypto.cbc_decrypt(self._key, iv, ciphertext)


def xfrm_algo_named(algo: XfrmAlgo | None) -> XfrmAlgo | None:
    """Return an algorithm under the name that it is shown by, if it was given a shorter one: ``sha1``, ``aes``."""
    if algo is None:
        return None
    return replace(algo, name=_AALGS.get(algo.name) or _EALGS.get(algo.name) or algo.name)


def xfrm_aalg_get_byname(auth: XfrmAlgo) -> Ahash:
    """Return a keyed hash.

    Raises
    ------
    OSError
        ``ENOSYS`` if there is none of that name; ``EINVAL`` if its value is not so long.
    """
    if auth.name == DIGEST_NULL:
        return Ahash("", b"", 0, 0)
    name = _AALGS.get(auth.name, auth.name)
    if name not in _HASHES:
        raise NetlinkError(ENOSYS, "Requested AUTH algorithm not found")
    hash_name, full, usual = _HASHES[name]
    icv = auth.icv_bits // 8 or usual
    if not 4 <= icv <= full or auth.icv_bits % 8:
        raise NetlinkError(EINVAL, "Truncated digest size not supported")
    return Ahash(hash_name, auth.key, full, icv)


def _library(crypto: Crypto | None) -> Crypto:
    if crypto is None:
        raise NetlinkError(ENOSYS, "This host has no library of ciphers")
    return crypto


def xfrm_alloc_aead(crypto: Crypto | None, algo: XfrmAlgo) -> Aead:
    """Return an algorithm that enciphers and checks at once.

    Raises
    ------
    OSError
        ``ENOSYS`` if there is none of that name, or no library; ``EINVAL`` if the key or the check value is not right.
    """
    if algo.name != GCM_AES:
        raise NetlinkError(ENOSYS, "Requested AEAD algorithm not found")
    if len(algo.key) - _SALT_OCTETS not in _AES_KEYS or algo.icv_bits not in (64, 96, 128):
        raise NetlinkError(EINVAL, "Invalid key or ICV length for rfc4106(gcm(aes))")
    return Rfc4106(_library(crypto), algo.key, algo.icv_bits // 8)


def xfrm_alloc_authenc(crypto: Crypto | None, crypt: XfrmAlgo, auth: XfrmAlgo | None) -> Aead:
    """Return a cipher with a hash, of which one may be of no effect.

    Raises
    ------
    OSError
        As ``xfrm_alloc_aead``.
    """
    name = _EALGS.get(crypt.name)
    if name is None:
        raise NetlinkError(ENOSYS, "Requested CRYPT algorithm not found")
    ahash = xfrm_aalg_get_byname(auth if auth is not None else XfrmAlgo(DIGEST_NULL, b""))
    if name == NULL:
        return Authenc(None, b"", ahash)
    if len(crypt.key) not in _AES_KEYS:
        raise NetlinkError(EINVAL, "Invalid key length for cbc(aes)")
    return Authenc(_library(crypto), crypt.key, ahash)


def crypto_aead_encrypt(aead: Aead, header: bytes, seq_hi: bytes, iv: bytes, plaintext: bytes) -> bytes:
    """Encipher; as ``Aead.encrypt``."""
    return aead.encrypt(header, seq_hi, iv, plaintext)


def crypto_aead_decrypt(aead: Aead, header: bytes, seq_hi: bytes, iv: bytes, octets: bytes) -> bytes | None:
    """Decipher; as ``Aead.decrypt``."""
    return aead.decrypt(header, seq_hi, iv, octets)
