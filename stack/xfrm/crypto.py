"""What IPsec needs of a library of ciphers, which whoever makes the host hands in (``Kernel.crypto``)."""

from typing import Protocol

__all__ = ["Crypto"]


class Crypto(Protocol):
    """AES in the modes that ESP uses; keys have 16, 24 or 32 octets."""

    def cbc_encrypt(self, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """Return whole blocks, enciphered (RFC 3602)."""
        ...

    def cbc_decrypt(self, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
        """Return whole blocks, deciphered."""
        ...

    def gcm_encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """Return octets, enciphered, and the tag of 16 octets over them and ``aad`` (NIST SP 800-38D)."""
        ...

    def gcm_decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, tag: bytes) -> bytes | None:
        """Return octets, deciphered, or None if the tag, of 8 to 16 octets, is wrong."""
        ...
