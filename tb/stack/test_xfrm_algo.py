"""Algorithms of IPsec against the vectors of their standards."""

from errno import EINVAL, ENOSYS

import pytest

from hardwire.sim.crypto import CryptographyLibrary
from hardwire.stack.iproute2.ip import ip
from hardwire.stack.xfrm.xfrm_algo import XfrmAlgo, xfrm_aalg_get_byname, xfrm_alloc_aead, xfrm_alloc_authenc
from hardwire.tb.stack.fake import FakePlatform
from hardwire.tb.stack.inet_host import raises
from hardwire.tb.stack.pair import PairHost

LIBRARY = CryptographyLibrary()
# RFC 4231 §4.2, §4.3 and §4.6: key, data, and the codes, of the last one the first 128 bits.
RFC_4231 = [
    (
        b"\x0b" * 20,
        b"Hi There",
        {
            "sha256": "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            "sha384": "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
            "faea9ea9076ede7f4af152e8b2fa9cb6",
            "sha512": "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
            "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854",
        },
    ),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        {"sha256": "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
    ),
    (
        b"\x0c" * 20,
        b"Test With Truncation",
        {
            "sha256": "a3b6167473100ee06e0c796c2955552b",
            "sha384": "3abf34c3503b2a23a46efc619baef897",
            "sha512": "415fad6271580a531d4179bc891d87a6",
        },
    ),
]


@pytest.mark.parametrize(("key", "data", "codes"), RFC_4231, ids=["1", "2", "5"])
def test_hashes_are_those_of_rfc_4231(key, data, codes):
    for name, code in codes.items():
        ahash = xfrm_aalg_get_byname(XfrmAlgo(f"hmac({name})", key, len(code) * 4))
        assert ahash.digest(data).hex() == code
        assert ahash.verify(data, bytes.fromhex(code))
        assert not ahash.verify(data + b"\0", bytes.fromhex(code))


def test_a_hash_is_cut_to_what_its_rfc_says():
    usual = {"md5": 12, "sha1": 12, "sha256": 12, "sha384": 24, "sha512": 32}
    found = {name: xfrm_aalg_get_byname(XfrmAlgo(f"hmac({name})", b"key")).icv_octets for name in usual}
    assert found == usual


# RFC 3602 §4, cases 1 and 2.
@pytest.mark.parametrize(
    ("key", "iv", "plaintext", "ciphertext"),
    [
        (
            "06a9214036b8a15b512e03d534120006",
            "3dafba429d9eb430b422da802c9fac41",
            b"Single block msg".hex(),
            "e353779c1079aeb82708942dbe77181a",
        ),
        (
            "c286696d887c9aa0611bbb3e2025a45a",
            "562e17996d093d28ddb3ba695a2e6f58",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "d296cd94c2cccf8a3a863028b5e1dc0a7586602d253cfff91b8266bea6d61ab1",
        ),
    ],
)
def test_cbc_is_that_of_rfc_3602(key, iv, plaintext, ciphertext):
    aead = xfrm_alloc_authenc(LIBRARY, XfrmAlgo("cbc(aes)", bytes.fromhex(key)), None)
    assert aead.encrypt(bytes(8), b"", bytes.fromhex(iv), bytes.fromhex(plaintext)).hex() == ciphertext
    assert aead.decrypt(bytes(8), b"", bytes.fromhex(iv), bytes.fromhex(ciphertext)).hex() == plaintext


def test_gcm_is_that_of_the_specification():
    # McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B, test case 4.
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308")
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    plaintext = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    aad = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    ciphertext, tag = LIBRARY.gcm_encrypt(key, nonce, plaintext, aad)
    assert ciphertext.hex() == (
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
        "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
    )
    assert tag.hex() == "5bc94fbc3221a5db94fae95ae7121a47"
    assert LIBRARY.gcm_decrypt(key, nonce, ciphertext, aad, tag[:12]) == plaintext
    assert LIBRARY.gcm_decrypt(key, nonce, ciphertext, aad, tag[:11] + b"\0") is None


def test_esp_with_gcm_is_that_of_the_vectors_for_rfc_4106():
    # draft-mcgrew-gcm-test-01, the first one: with extended sequence numbers.
    aead = xfrm_alloc_aead(
        LIBRARY, XfrmAlgo("rfc4106(gcm(aes))", bytes.fromhex("4c80cdefbb5d10da906ac73c3613a6342e443b68"), 128)
    )
    plaintext = bytes.fromhex(
        "45000048699a000080114db7c0a80102c0a801010a9bf15638d3010000010000000000000"
        "45f736970045f756470037369700963796265726369747902646b000021000101020201"
    )
    iv, header, seq_hi = (bytes.fromhex(text) for text in ("4956ed7e3b244cfe", "0000432100000000", "87654321"))
    octets = aead.encrypt(header, seq_hi, iv, plaintext)
    assert octets.hex() == (
        "fecf537e729d5b07dc30df528dd22b768d1b98736696a6fd348509fa13ceac34cfa2436f14a3f3cf65925bf1f4a13c5d"
        "15b21e1884f5ff6247aeabb786b93bce61bc17d768fd9732459018148f6cbe722fd04796562dfdb4"
    )
    assert aead.decrypt(header, seq_hi, iv, octets) == plaintext
    assert aead.decrypt(header, bytes(4), iv, octets) is None


@pytest.mark.parametrize(
    ("make", "errno"),
    [
        (lambda: xfrm_alloc_aead(LIBRARY, XfrmAlgo("rfc4543(gcm(aes))", bytes(20), 128)), ENOSYS),
        (lambda: xfrm_alloc_aead(LIBRARY, XfrmAlgo("rfc4106(gcm(aes))", bytes(19), 128)), EINVAL),
        (lambda: xfrm_alloc_aead(LIBRARY, XfrmAlgo("rfc4106(gcm(aes))", bytes(20), 120)), EINVAL),
        (lambda: xfrm_alloc_aead(None, XfrmAlgo("rfc4106(gcm(aes))", bytes(20), 128)), ENOSYS),
        (lambda: xfrm_alloc_authenc(LIBRARY, XfrmAlgo("cbc(des)", bytes(8)), None), ENOSYS),
        (lambda: xfrm_alloc_authenc(LIBRARY, XfrmAlgo("cbc(aes)", bytes(15)), None), EINVAL),
        (lambda: xfrm_alloc_authenc(None, XfrmAlgo("cbc(aes)", bytes(16)), None), ENOSYS),
        (lambda: xfrm_aalg_get_byname(XfrmAlgo("hmac(whirlpool)", b"key")), ENOSYS),
        (lambda: xfrm_aalg_get_byname(XfrmAlgo("hmac(sha256)", b"key", 264)), EINVAL),
        (lambda: xfrm_aalg_get_byname(XfrmAlgo("hmac(sha256)", b"key", 100)), EINVAL),
    ],
)
def test_what_is_no_algorithm_is_refused(make, errno):
    with raises(errno):
        make()


def test_the_sample_packet_of_rfc_3602_is_a_ping():
    # RFC 3602 §4, case 5: transport mode, AES-CBC of 128 bits, no hash.
    packet = bytes.fromhex(
        "4500007c08f200004032f9a5c0a87b03c0a87b64"
        "0000432100000001e96e8c08ab465763fd098d45dd3ff893"
        "f663c25d325c18c6a9453e194e120849a4870b66cc6b9965330013b4898dc856a4699e523a55db080b59ec3a8e4b7e52"
        "775b07d1db34ed9c538ab50c551b874aa269add047ad2d5913ac19b7cfbad4a6"
    )
    host = PairHost(FakePlatform(), bytes.fromhex("020000000002"), "192.168.123.100/24")
    host.kernel.crypto = LIBRARY
    ip(
        host.net,
        "xfrm state add src 192.168.123.3 dst 192.168.123.100 proto esp spi 0x4321 "
        "enc 'cbc(aes)' 0x90d382b410eeba7ad938c46cec1a82bf",
    )
    raw = host.socket(2, 3, 1)
    host.receive(host.dev.dev_addr + bytes(6) + b"\x08\x00" + packet)
    host.platform.advance(1_000_000)
    got = raw.recv(200)
    assert got.hex() == (
        "4500005408f200004001f9fec0a87b03c0a87b64"
        "08000ebda70a00008e9c083db95b070008090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
        "202122232425262728292a2b2c2d2e2f3031323334353637"
    )
