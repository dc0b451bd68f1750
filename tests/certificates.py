"""Certificates made for a test, of an authority that only the test knows."""

import ssl
from pathlib import Path

import trustme


class Authority:
    """Vouches for servers; its files are in a test's directory."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        self._directory = directory
        self._ca = trustme.CA()
        self.file = directory / f"{name}.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def issue(self, *names: str, into: str = "server") -> tuple[str, str]:
        """Write a certificate for these names, and its key; return both files."""
        made = self._ca.issue_cert(*(names or ("localhost", "127.0.0.1", "::1")))
        certificate, key = self._directory / f"{into}.pem", self._directory / f"{into}.key"
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        certificate.write_bytes(chain)
        key.write_bytes(made.private_key_pem.bytes())
        return str(certificate), str(key)

    def trusting(self) -> ssl.SSLContext:
        """A client that believes this authority alone."""
        made = ssl.create_default_context()
        self._ca.configure_trust(made)  # pyright: ignore[reportUnknownMemberType] (it also takes what is not typed)
        return made
