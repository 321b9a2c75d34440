"""Certificates, made by openssl."""

import os
import subprocess

from harness import BOUND_SECONDS


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=BOUND_SECONDS)


class Authority:
    """A certificate authority made by openssl in a directory, and what it signs."""

    def __init__(self, directory, name):
        self.directory = directory
        self.ca = os.path.join(directory, f"{name}.pem")
        self.ca_key = os.path.join(directory, f"{name}.key")
        self.serial = 0
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", self.ca_key, "-out", self.ca)

    def issue(self, name, days=1, kind="ec"):
        """(certificate, key) in files of that name."""
        self.serial += 1
        cert, key, request, extensions = (os.path.join(self.directory, f"{name}.{end}")
                                          for end in ("pem", "key", "csr", "ext"))
        algorithm = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
        openssl("req", "-new", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={name}", "-keyout", key, "-out", request)
        with open(extensions, "w") as out:
            out.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.ca_key, "-set_serial", str(self.serial),
                "-days", str(days), "-extfile", extensions, "-out", cert)
        os.chmod(key, 0o600)
        return cert, key

    def options(self):
        """What serves TLS with a certificate of this authority."""
        cert, key = self.issue("server")
        return ["--tls-cert", cert, "--tls-key", key]
