# SPDX-License-Identifier: Apache-2.0
"""Makes requests that no honest client sends, from a seed: each is a list of chunks of bytes, an ending and what may not come."""
import base64
import random

PATHS = ("/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/report", "/api/v1/report/schema", "/nothing")
ALIASES = ("//metrics", "/../metrics", "/./metrics", "/metrics/", "/metrics/.", "/%6detrics", "/metrics%00", "/metrics%2e", "/%2e%2e/metrics",
           "/metrics;a", "/metrics#a", "\\metrics", "metrics", "/METRICS", "/metrics\x00", "/metrics\x00/x", "/metrics\x0b", "/metrics\t",
           "http://h/metrics", "https://h:1/metrics", "//h/metrics", "/a/../metrics", "/-/../metrics", "/%2fmetrics", "/metrics%0d%0aX:y")
METHODS = ("POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH", "get", "GETT", "G\x00T", "", " ", "PRI", "\x00", "A" * 300)
VERSIONS = ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/9.9", "HTTP/1.", "HTTP/", "http/1.1", "HTTP/1.1 ", "HTTP/1.1x", "HTTP/-1.1", "", "\x00")
LENGTHS = ("-1", "0x10", "1e3", "18446744073709551615", "18446744073709551616", "9" * 400, " 5", "5 5", "5, 5", "+5", "", "1_0", "\x00")
CHUNKS = ("ZZ\r\nabc\r\n0\r\n\r\n", "-1\r\n", "FFFFFFFFFFFFFFFF\r\nabc", "FFFFFFFFFFFFFFFFF\r\n", "5\r\nabc", "5;" + "x" * 9000 + "\r\nabcde\r\n",
          "5\nabcde\n0\n\n", "0\r\nTrailer: " + "y" * 3000 + "\r\n\r\n", "\r\n\r\n", "5\r\nabcdeXX0\r\n\r\n")
ENDINGS = ("close", "reset", "half-close", "linger")


class Request:
    """Chunks to send with nothing in between but time; `forbidden`: whether an answer of 200 would be wrong."""

    def __init__(self, kind, chunks, ending="close", forbidden=False):
        self.kind, self.ending, self.forbidden, self.wrapped = kind, ending, forbidden, False
        self.chunks = [chunk if isinstance(chunk, bytes) else chunk.encode("latin-1") for chunk in chunks]


def head(target="/metrics", method="GET", version="HTTP/1.1", headers=""):
    return f"{method} {target} {version}\r\nHost: h\r\nConnection: close\r\n{headers}\r\n"


class RequestMaker:
    """`next()` is another request each time; the same seed makes the same ones."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.kinds = [getattr(self, name) for name in sorted(dir(self)) if name.startswith("make_")]

    def next(self):
        made = self.random.choice(self.kinds)()
        if self.random.random() < 0.15:  # the same bytes in other pieces
            made.chunks = self.cut(b"".join(made.chunks))
        return made

    def cut(self, text):
        chunks = []
        while text and len(chunks) < 6:
            at = self.random.randrange(1, len(text) + 1)
            chunks.append(text[:at])
            text = text[at:]
        return chunks + [text] if text else chunks

    def noise(self, least=1, most=400):
        return self.random.randbytes(self.random.randrange(least, most))

    def path(self):
        return self.random.choice(PATHS)

    def make_alias(self):
        return Request("alias", [head(self.random.choice(ALIASES))], forbidden=True)

    def make_method(self):
        length = self.random.choice(("", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"))
        return Request("method", [head(self.path(), self.random.choice(METHODS), headers=length), "abcde"], forbidden=True)

    def make_version(self):
        return Request("version", [head(self.path(), version=self.random.choice(VERSIONS))])

    def make_long_target(self):
        return Request("long target", [head("/" + self.random.choice("a%/?&=") * self.random.choice((2047, 4096, 20000, 70000)))])

    def make_huge_header(self):
        return Request("huge header", [head(headers=f"X: {'b' * self.random.choice((16384, 32768, 100000))}\r\n")], forbidden=True)

    def make_many_headers(self):
        lines = "".join(f"{self.random.choice(('X', 'Cookie', 'Accept-Encoding', 'Host'))}{n}: {n}\r\n"
                        for n in range(self.random.choice((200, 2000, 6000))))
        return Request("many headers", [head(headers=lines)])

    def make_odd_header(self):
        odd = self.random.choice((": v", "NoColon", " folded: x", "A\x00B: c", "X: \x00", "X:\x7f", "X: a\rb", "X: a\nY: b", "\tX: y", "X : y",
                                  "Connection: " + "close," * 500, "Host: other", "Cookie: " + "a=b;" * 2000, "Expect: 100-continue", "Expect: x",
                                  "Upgrade: h2c", "Range: bytes=0-", "If-None-Match: *", "Transfer-Encoding: gzip, chunked",
                                  "Transfer-Encoding: identity", "TE: trailers", "Content-Type: \xff\xfe"))
        return Request("odd header", [head(headers=odd + self.random.choice(("\r\n", "\n", "\r", "\r\r\n")))], self.random.choice(ENDINGS))

    def make_length(self):
        method = self.random.choice(("GET", "HEAD", "POST"))
        return Request("length", [head(self.path(), method, headers=f"Content-Length: {self.random.choice(LENGTHS)}\r\n"), self.noise()],
                       self.random.choice(ENDINGS), forbidden=False)

    def make_smuggled(self):
        both = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n" if self.random.random() < 0.5 else "Content-Length: 5\r\nContent-Length: 6\r\n"
        return Request("smuggled", [head(headers=both), "0\r\n\r\n" + head("/api/v1/report")])

    def make_chunks(self):
        method = self.random.choice(("GET", "POST"))
        return Request("chunks", [head(self.path(), method, headers="Transfer-Encoding: chunked\r\n"), self.random.choice(CHUNKS)],
                       self.random.choice(ENDINGS), forbidden=True)

    def make_pipeline(self):
        one = f"{self.random.choice(('GET', 'HEAD', 'POST'))} {self.path()} HTTP/1.1\r\nHost: h\r\n\r\n"
        return Request("pipeline", [one * self.random.choice((2, 20, 400))], self.random.choice(ENDINGS))

    def make_line_ends(self):
        text = head(self.path())
        return Request("line ends", [text.replace("\r\n", self.random.choice(("\n", "\r", "\r\r\n", "\n\r", "\x00\r\n", "\x85")))], "linger")

    def make_half(self):
        text = head(self.path(), headers="X: " + "y" * self.random.randrange(3000) + "\r\n")
        return Request("half", [text[:self.random.randrange(len(text) - 1)]], self.random.choice(ENDINGS), forbidden=True)

    def make_mutated(self):
        text = bytearray(head(self.path(), headers="Accept-Encoding: gzip\r\nAccept: */*\r\nUser-Agent: x\r\n").encode())
        for _ in range(self.random.randrange(1, 8)):
            at = self.random.randrange(len(text))
            text[at:at + self.random.randrange(3)] = self.noise(1, 4)
        return Request("mutated", [bytes(text)], "linger")

    def make_noise(self):
        return Request("noise", [self.noise(most=40000)], self.random.choice(ENDINGS), forbidden=True)

    def make_tls_hello(self):
        return Request("TLS hello", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + self.noise(most=600)], self.random.choice(ENDINGS), forbidden=True)

    def make_http2(self):
        return Request("HTTP/2", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.noise()], forbidden=True)

    def make_authorization(self):
        said = self.random.choice((b"", b"a", b":", b"a:b", b"\x00:\x00", b"a:" + b"p" * 3000, self.noise(most=60)))
        value = self.random.choice(("Basic " + base64.b64encode(said).decode(), "Basic", "Basic ====", "basic  !", "Bearer x", "Digest username=\"a\""))
        return Request("authorization", [head(self.path(), headers=f"Authorization: {value}\r\n")])

    def make_encoding(self):
        value = self.random.choice(("gzip;q=" + "0" * 500, ";;;,,,", "gzip," * 2000, "*", "gzip;q=-1", "identity;q=0", "\xff"))
        return Request("encoding", [head(self.path(), headers=f"Accept-Encoding: {value}\r\n")])

    def make_honest(self):
        return Request("honest", [head(self.path() + self.random.choice(("", "?", "?a=b", "?%00"))),])
