"""The tests of IPsec with a real kernel, on one that has all of it, under User-mode Linux."""

import sys
from pathlib import Path

import pytest

from hardwire.tb.stack.uml import needs_uml, run_in_uml

ESP = ("esp4", "ah4", "xfrm_user", "tun", "ipv6")
CIPHERS = ("gcm", "ghash-generic", "ctr", "cbc", "hmac", "sha512_generic", "authenc", "authencesn", "seqiv", "echainiv")
RANDOM = ("jitterentropy_rng", "drbg")  # Initialisation vectors are made of it.
FILES = ("test_xfrm_linux.py", "test_ipxfrm_linux.py")


@pytest.mark.soak
@needs_uml
@pytest.mark.parametrize("file", FILES)
def test_ipsec_does_what_a_kernel_that_has_it_does(file):
    path = Path(__file__).with_name(file)
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(path.parents[2]),
        str(path),
    )
    said = run_in_uml(*command, load=(*ESP, *CIPHERS, *RANDOM), timeout_s=1200, memory="768M")
    print(said)
    last = said.strip().splitlines()[-1]
    assert " passed" in last
    assert "skipped" not in last
