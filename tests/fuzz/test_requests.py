# SPDX-License-Identifier: Apache-2.0
"""Thousands of generated requests against the real daemon: it goes on serving, in the same process, in the same memory.

DEFUSED_FUZZ_SEED=N repeats a run, DEFUSED_FUZZ_COUNT=N sends more.
"""
import base64
import concurrent.futures
import os
import re
import socket
import struct
import sys
import tempfile
import threading
import time
import unittest
import urllib.parse

from hostile_requests import RequestMaker

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
from daemon import SLOW, Daemon, read_text  # noqa: E402
from web_files import HASH, LOGIN, make_certificate, trust, write_web_config  # noqa: E402

COUNT = int(os.environ.get("DEFUSED_FUZZ_COUNT", 4000))
BATCH = 250
CLIENTS = 8
# What a client may be told; a 500 or anything unheard of is a bug.
STATUSES = {100, 200, 400, 401, 404, 405, 408, 411, 413, 414, 417, 431, 501, 503, 505}
MAX_GROWTH_KIB = 400  # of one half; 200 bytes a request would be seen
RESET = struct.pack("ii", 1, 0)


def seed_of_run():
    return int(os.environ.get("DEFUSED_FUZZ_SEED", int.from_bytes(os.urandom(4), "big")))


def read_to_end(connection, seconds):
    """What comes until the other side closes, or until nothing comes for `seconds`."""
    connection.settimeout(seconds)
    text = b""
    try:
        while len(text) < 1 << 22:
            got = connection.recv(65536)
            if not got:
                break
            text += got
    except OSError:
        pass
    return text


def statuses_of(text):
    """The status of the first response, as a list; nothing where none came."""
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", text)
    return [int(found.group(1))] if found else []


def play(address, request, wrap=None):
    """Sends one request as it says, and returns what came back. Whatever the sockets make of it is fine."""
    with socket.create_connection(address, timeout=10 * SLOW) as connection:
        try:
            connection = wrap(connection) if wrap else connection
            for number, chunk in enumerate(request.chunks):
                if number:
                    time.sleep(0.002)
                connection.sendall(chunk)
            if request.ending == "reset":
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                return b""
            if request.ending == "half-close" and not wrap:  # Python would read the rest as it comes, undeciphered
                connection.shutdown(socket.SHUT_WR)
            return read_to_end(connection, 0.05 * SLOW if request.ending != "close" else 0.3 * SLOW)
        except OSError:
            return b""
        finally:
            connection.close()


def rss_anon(pid):
    """KiB of memory of its own."""
    return int(re.search(r"^RssAnon:\s+(\d+) kB", read_text(f"/proc/{pid}/status"), re.M).group(1))


def is_socket(link):
    try:
        return os.readlink(link).startswith("socket:")
    except OSError:
        return False


class Target:
    """Where the daemon under test is, and what a good scrape of it is."""

    def __init__(self, test, daemon, wrap=None, headers="", unheard_of=()):
        """`wrap` makes a connection one of TLS; `unheard_of`: what no request here may be answered with."""
        self.test, self.daemon, self.wrap, self.headers = test, daemon, wrap, headers
        self.statuses = STATUSES - set(unheard_of)
        parts = urllib.parse.urlsplit(daemon.address)
        self.address = (parts.hostname, parts.port)
        self.front = daemon.child("defused-front")

    def connections(self):
        """How many the front has, the listener apart; waits while there are many: some end by their time only."""
        deadline = time.monotonic() + 10 * SLOW
        while True:
            sockets = [name for name in os.listdir(f"/proc/{self.front}/fd") if is_socket(f"/proc/{self.front}/fd/{name}")]
            if len(sockets) < 20 or time.monotonic() > deadline:
                return len(sockets)
            time.sleep(0.1)

    def check_serves(self, what):
        begin, text = time.monotonic(), b""
        with socket.create_connection(self.address, timeout=10 * SLOW) as connection:
            connection.settimeout(10 * SLOW)
            connection = self.wrap(connection) if self.wrap else connection
            connection.sendall(f"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{self.headers}\r\n".encode())
            text = read_to_end(connection, 10 * SLOW)
            connection.close()
        self.test.assertEqual(statuses_of(text), [200], f"a good scrape after {what}: {text[:200]!r}\n{self.daemon.log()}")
        self.test.assertIn(b"\ndefused_scans_total ", text, what)
        self.test.assertLess(time.monotonic() - begin, 3 * SLOW, f"a good scrape after {what}")
        self.test.assertEqual(self.daemon.child("defused-front"), self.front, f"another front after {what}\n{self.daemon.log()}")

    def judge(self, request, text, what):
        shown = f"{what}: {request.kind}: {b''.join(request.chunks)[:300]!r} -> {text[:300]!r}"
        statuses = statuses_of(text)
        if text and (self.wrap is None or request.wrapped):
            self.test.assertTrue(statuses, "not HTTP: " + shown)
        for status in statuses:
            self.test.assertIn(status, self.statuses, shown)
            self.test.assertFalse(status == 200 and request.forbidden, shown)

    def batch(self, maker, count, what):
        requests = [maker.next() for _ in range(count)]
        for number, request in enumerate(requests):
            request.wrapped = bool(self.wrap) and number % 4 != 0  # some as plain bytes on the port for TLS
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            answers = list(pool.map(lambda request: play(self.address, request, self.wrap if request.wrapped else None), requests))
        for request, text in zip(requests, answers):
            self.judge(request, text, what)
        self.check_serves(what)
        return sum(1 for text in answers if text)


@unittest.skipUnless(os.geteuid() == 0, "needs root, as the daemon does")
class Fuzz(unittest.TestCase):
    def run_batches(self, target, seed, count):
        """All batches, by halves; memory is compared between one half and the next. A new peak of what is held at once may
        come late, so where it grew two more halves may be sent: a leak grows in each."""
        maker, answered, sent, memory = RequestMaker(seed), 0, 0, []
        half = max(2, count // BATCH // 2)
        begin = time.monotonic()
        while len(memory) < 2 or (SLOW == 1 and len(memory) < 4 and memory[-1] >= memory[-2] + MAX_GROWTH_KIB):
            for _ in range(half):
                answered += target.batch(maker, BATCH, f"seed {seed}, batch {sent // BATCH}")
                sent += BATCH
            memory.append(rss_anon(target.front))
        self.assertLess(target.connections(), 20, "connections whose clients are gone")
        print(f"seed {seed}: {sent} requests in {time.monotonic() - begin:.0f} s, {answered} answered; "
              f"RssAnon after each half: {memory} KiB", flush=True)
        self.assertGreater(answered, sent // 4)
        if SLOW == 1:  # the sanitizers keep what was freed
            self.assertLess(memory[-1], memory[-2] + MAX_GROWTH_KIB, "memory grows")
        self.assertNotRegex(target.daemon.log(), r"AddressSanitizer|LeakSanitizer|runtime error|ThreadSanitizer")

    def test_plain(self):
        seed = seed_of_run()
        with Daemon() as daemon:
            self.run_batches(Target(self, daemon), seed, COUNT)

    def test_tls_and_passwords(self):
        """Nobody here knows the password: not one page, nor whether there is one."""
        seed = seed_of_run()
        with tempfile.TemporaryDirectory(prefix="defused-fuzz-") as directory:
            certificate = make_certificate(directory, "server")
            web = os.path.join(directory, "web.yml")
            write_web_config(web, f"tls_server_config:\n  cert_file: {certificate}.pem\n  key_file: {certificate}.key\n"
                                  f"basic_auth_users:\n  {LOGIN.partition(':')[0]}: {HASH}\n")
            context = trust(certificate)
            with Daemon(tls=context, login=LOGIN, web={"listen_addresses": ["127.0.0.1:0"], "config_file": web}) as daemon:
                said = base64.b64encode(LOGIN.encode()).decode()
                target = Target(self, daemon, lambda plain: context.wrap_socket(plain, server_hostname="localhost"),
                                f"Authorization: Basic {said}\r\n", unheard_of={200, 404, 405})
                self.run_batches(target, seed, COUNT // (2 if SLOW == 1 else 4))

    def test_stalled_clients_meanwhile(self):
        """Half requests that stay open, as many as there may be connections, and more."""
        with Daemon() as daemon:
            target = Target(self, daemon)
            stalled = []
            stop = threading.Event()

            def trickle():
                while not stop.wait(0.2):
                    for connection in list(stalled):
                        try:
                            connection.send(b"x")
                        except OSError:
                            stalled.remove(connection)

            thread = threading.Thread(target=trickle)
            thread.start()
            try:
                for number in range(600):
                    connection = socket.create_connection(target.address, timeout=10 * SLOW)
                    connection.send(b"GET /met")
                    stalled.append(connection)
                    if number % 50 == 49:
                        target.check_serves(f"{number + 1} stalled clients")
            finally:
                stop.set()
                thread.join()
                for connection in stalled:
                    connection.close()
            target.check_serves("they went")


if __name__ == "__main__":
    unittest.main()
