# SPDX-License-Identifier: Apache-2.0
"""Certificates, keys and web configurations for tests of what is served to whom. `openssl` makes them."""
import os
import ssl
import subprocess

LOGIN = "ann:open sesame"
# bcrypt of "open sesame", cost 4: what is tested is not how long it takes.
HASH = "$2b$04$.......................BMhsRARtGXF6.aJgWNH1bXcBccYAfm"


def make_certificate(directory, name, names="DNS:localhost,IP:127.0.0.1", signer=None, extensions=()):
    """NAME.pem and NAME.key for `names`, self-signed or by the certificate `signer`; the path without its end."""
    base = os.path.join(directory, name)
    added = [word for extension in extensions for word in ("-addext", extension)]
    signed = ["-CA", signer + ".pem", "-CAkey", signer + ".key"] if signer else []
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-keyout", base + ".key", "-out", base + ".pem", "-days", "2", "-subj", "/CN=" + name,
                    "-addext", "subjectAltName=" + names, *added, *signed],
                   check=True, capture_output=True, timeout=30)
    return base


def write_web_config(path, text):
    """As a tool that renews things would: the whole file at once."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def trust(certificate, client=None):
    """An SSLContext that trusts this certificate alone, as the client `client` where one is given."""
    context = ssl.create_default_context(cafile=certificate + ".pem")
    if client:
        context.load_cert_chain(client + ".pem", client + ".key")
    return context
