"""Ciphers for the stack's IPsec, from the library ``cryptography``; it is loaded when the first one is needed."""

from importlib.util import find_spec

__all__ = ["CryptographyLibrary", "cryptography_library"]

_LEAST_TAG_OCTETS = 8


class CryptographyLibrary:
    """AES by OpenSSL (``hardwire.stack.xfrm.crypto.Crypto``)."""

    def cbc_encrypt(self, key: bytes, iv: bytes, plaintext: bytes) -> bytes:
        """Return whole blocks, enciphered."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        context = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
        return context.update(plaintext) + context.finalize()

    def cbc_decrypt(self, key: bytes, iv: bytes, ciphertext: bytes) -> bytes:
        """Return whole blocks, deciphered."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        context = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
        return context.update(ciphertext) + context.finalize()

    def gcm_encrypt(self, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> tuple[bytes, bytes]:
        """Return octets, enciphered, and their tag."""
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        context = Cipher(algorithms.AES(key), modes.GCM(nonce)).encryptor()
        context.authenticate_additional_data(aad)
        ciphertext = context.update(plaintext) + context.finalize()
        return ciphertext, context.tag

    def gcm_decrypt(self, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes, tag: bytes) -> bytes | None:
        """Return octets, deciphered, or None if the tag is wrong."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

        mode = modes.GCM(nonce, tag, min_tag_length=_LEAST_TAG_OCTETS)
        context = Cipher(algorithms.AES(key), mode).decryptor()
        context.authenticate_additional_data(aad)
        plaintext = context.update(ciphertext)
        try:
            return plaintext + context.finalize()
        except InvalidTag:
            return None


def cryptography_library() -> CryptographyLibrary | None:
    """Return the ciphers, or None if the library is not installed (the extra ``hardwire[xfrm]``)."""
    return CryptographyLibrary() if find_spec("cryptography") is not None else None
