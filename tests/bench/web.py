# SPDX-License-Identifier: Apache-2.0
"""`./dev bench web [SECONDS]`: how long scrapes take while others stall, trickle and idle, beside 10,000 processes.

2 clients that take no answer, 20 that send a byte a second, 200 idle connections, 2 scrapers at 10 a second. The bar: p99 <= 10 ms,
no pass delayed, no prober lost."""
import base64
import os
import selectors
import socket
import tempfile
import threading
import time
import urllib.parse

from daemon import Daemon
from web_files import HASH, LOGIN, make_certificate, trust, write_web_config

STALLED, TRICKLING, IDLE, SCRAPERS, RATE = 2, 20, 200, 2, 10
BAR_MS = 10


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Connections:
    """Clients that are a burden: made again when the daemon has cut them off, as such clients do."""

    def __init__(self, address, wrap, headers):
        self.address, self.wrap, self.stop, self.cut_off = address, wrap, threading.Event(), 0
        # More than a socket takes, so that the daemon is left with it.
        self.greedy = f"GET /metrics HTTP/1.1\r\nHost: h\r\n{headers}\r\n".encode() * 100
        self.thread = threading.Thread(target=self.run)

    def connect(self, first):
        connection = socket.socket()
        connection.settimeout(5)
        if first == self.greedy:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(self.address)
        if first == self.greedy:
            connection = self.wrap(connection)
        connection.sendall(first)
        connection.setblocking(False)
        return connection

    def run(self):
        selector = selectors.DefaultSelector()
        kinds = [self.greedy] * STALLED + [b"G"] * TRICKLING + [b""] * IDLE
        open_now = {self.connect(first): first for first in kinds}
        for connection, first in open_now.items():
            if first != self.greedy:  # those never read
                selector.register(connection, selectors.EVENT_READ)
        next_byte = time.monotonic()
        while not self.stop.wait(0.02):
            for key, _ in selector.select(0):
                self.cut_off += 1
                first = open_now.pop(key.fileobj)
                selector.unregister(key.fileobj)
                key.fileobj.close()
                again = self.connect(first)
                open_now[again] = first
                selector.register(again, selectors.EVENT_READ)
            if time.monotonic() >= next_byte:
                next_byte += 1
                for connection, first in open_now.items():
                    if first == b"G":
                        try:
                            connection.send(b"E")
                        except OSError:
                            pass
        for connection in open_now:
            connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


class Scraper(threading.Thread):
    """Scrapes on one kept connection, as Prometheus does; from the first byte sent to the last one read."""

    def __init__(self, address, wrap, headers, seconds):
        super().__init__()
        self.address, self.wrap, self.seconds = address, wrap, seconds
        self.request = f"GET /metrics HTTP/1.1\r\nHost: h\r\nAccept-Encoding: gzip\r\n{headers}\r\n".encode()
        self.took, self.errors, self.bytes = [], [], 0

    def scrape(self, connection):
        connection.sendall(self.request)
        text = b""
        while b"\r\n\r\n" not in text:
            text += connection.recv(65536) or self.fail("closed")
        head, _, body = text.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            self.fail(head[:40])
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        while len(body) < length:
            body += connection.recv(65536) or self.fail("closed")
        self.bytes = length

    @staticmethod
    def fail(why):
        raise OSError(why)

    def run(self):
        connection, begin = None, time.monotonic()
        number = 0
        while number < self.seconds * RATE:
            time.sleep(max(0, begin + number / RATE - time.monotonic()))
            number += 1
            asked = time.perf_counter()
            try:
                if connection is None:
                    connection = self.wrap(socket.create_connection(self.address, timeout=5))
                self.scrape(connection)
            except OSError as error:
                self.errors.append(str(error))
                connection = None
            self.took.append(1000 * (time.perf_counter() - asked))


def passes(daemon):
    values = daemon.metrics()
    return values["defused_scan_duration_seconds_sum"], values["defused_scans_total"], values["defused_probers_lost_total"]


def measure(daemon, what, seconds, wrap=lambda connection: connection, headers=""):
    """Both with and without the burden; prints a line for each. Whether the bar is met."""
    parts = urllib.parse.urlsplit(daemon.address)
    address, met, calm = (parts.hostname, parts.port), True, None
    for burden in (False, True):
        before, begin = daemon.passes(), time.monotonic()
        load = Connections(address, wrap, headers) if burden else None
        if load:
            load.__enter__()
        scrapers = [Scraper(address, wrap, headers, seconds) for _ in range(SCRAPERS if burden else 0)]
        for scraper in scrapers:
            scraper.start()
        time.sleep(max(0, begin + seconds - time.monotonic()))
        for scraper in scrapers:
            scraper.join()
        if load:
            load.__exit__()
        after, took = daemon.passes(), time.monotonic() - begin
        scans, lost = after[1] - before[1], after[2] - before[2]
        duration = 1000 * (after[0] - before[0]) / max(1, scans)
        line = f"{what}, {'with' if burden else 'without'} load: {scans / took:.2f} passes a second of {duration:.1f} ms, {lost:.0f} probers lost"
        if not burden:
            calm = scans / took
        else:
            times = [one for scraper in scrapers for one in scraper.took]
            errors = [error for scraper in scrapers for error in scraper.errors]
            p99 = percentile(times, 0.99)
            line += (f"; {len(times)} scrapes of {scrapers[0].bytes} bytes: p50 {percentile(times, 0.5):.2f} ms, p99 {p99:.2f} ms, "
                     f"max {max(times):.2f} ms, {len(errors)} errors {errors[:3]}; {load.cut_off} clients cut off")
            met = p99 <= BAR_MS and not errors and lost == 0 and scans / took > 0.95 * calm
        print(line, flush=True)
    return met


class MeasuredDaemon(Daemon):
    def passes(self):
        return passes(self)


def bench_web(seconds=30):
    print(f"{STALLED} stalled clients, {TRICKLING} trickling, {IDLE} idle, {SCRAPERS} scrapers at {RATE}/s for {seconds} s", flush=True)
    with MeasuredDaemon(interval="1s") as daemon:
        met = measure(daemon, "plain HTTP", seconds)
    with tempfile.TemporaryDirectory(prefix="defused-bench-") as directory:
        certificate = make_certificate(directory, "server")
        web = os.path.join(directory, "web.yml")
        write_web_config(web, f"tls_server_config:\n  cert_file: {certificate}.pem\n  key_file: {certificate}.key\n"
                              f"basic_auth_users:\n  {LOGIN.partition(':')[0]}: {HASH}\n")
        context = trust(certificate)
        said = base64.b64encode(LOGIN.encode()).decode()
        with MeasuredDaemon(interval="1s", tls=context, login=LOGIN,
                            web={"listen_addresses": ["127.0.0.1:0"], "config_file": web}) as daemon:
            met = measure(daemon, "TLS and a password", seconds,
                          lambda connection: context.wrap_socket(connection, server_hostname="localhost"),
                          f"Authorization: Basic {said}\r\n") and met
    print("bar met" if met else f"bar missed: p99 <= {BAR_MS} ms, no error, no pass delayed, no prober lost", flush=True)
    return met
