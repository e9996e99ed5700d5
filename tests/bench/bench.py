#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev bench`: runs defused-bench with 10,000 processes in 200 PID namespaces (arguments go to it).

`./dev bench stuck [SECONDS [COUNT..]]`: the CPU time of `defused run` at its defaults, as a share of one CPU, while COUNT (1,
then 100) namespaces stay stuck for SECONDS (600), beside 10,000 processes with 40 descriptors each.

`./dev bench web [SECONDS]`: see web.py."""
import contextlib
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
from daemon import BUILD, Daemon, read_text  # noqa: E402
from stage import Stage  # noqa: E402
from web import bench_web  # noqa: E402

NAMESPACES, MEMBERS, DESCRIPTORS = 200, 50, 40
PROCESSES = ("supervisor", "prober", "front")


def make_stuck(stage, count):
    """`count` namespaces whose server holds a file of its own."""
    inits = []
    for number in range(count):
        init, server = stage.container()
        server.open(server.fuse(f"a{number}").file())
        inits.append(init)
    for init in inits:
        init.kill()
    for init in inits:
        init.wait_in("zap_pid_ns_processes")


def usage(daemon):
    metrics = daemon.metrics()
    return {name: (metrics[f'defused_process_cpu_seconds_total{{process="{name}"}}'],
                   metrics[f'defused_process_resident_memory_bytes{{process="{name}"}}']) for name in PROCESSES}


def proportional_set_size(daemon):
    pids = [daemon.supervisor(), daemon.child("defused-prober"), daemon.child("defused-front")]
    lines = [line for pid in pids for line in read_text(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith("Pss:")]
    return sum(int(line.split()[1]) for line in lines) / 1024


def measure(count, seconds):
    with Stage(seconds=seconds + 300) as stage:
        make_stuck(stage, count)
        with Daemon(interval="5s") as daemon:
            begin, before, scans = time.monotonic(), usage(daemon), daemon.metric("defused_scans_total")
            while time.monotonic() - begin < seconds:
                time.sleep(min(15, seconds))  # as often as a Prometheus asks
                daemon.get("/metrics")
            after, took = usage(daemon), time.monotonic() - begin
            stuck = sum(value for key, value in daemon.metrics().items() if key.startswith("defused_stuck_pid_namespaces{"))
            shares = {name: 100 * (after[name][0] - before[name][0]) / took for name in PROCESSES}
            print(f"{count} stuck (said {stuck:.0f}), {took:.0f} s, {daemon.metric('defused_scans_total') - scans:.0f} passes: "
                  f"{sum(shares.values()):.2f} % of one CPU (" +
                  ", ".join(f"{name} {share:.2f} %" for name, share in shares.items()) +
                  f"), PSS {proportional_set_size(daemon):.1f} MiB", flush=True)


@contextlib.contextmanager
def crowd():
    """10,000 processes of 40 descriptors, beside what is measured."""
    words = [os.path.join(BUILD, "defused-crowd"), str(NAMESPACES), str(MEMBERS), str(DESCRIPTORS)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            if process.stdout.readline() != b"ready\n":
                sys.exit("bench: no crowd")
            print(f"{NAMESPACES * MEMBERS} processes of {DESCRIPTORS} descriptors in {NAMESPACES} PID namespaces", flush=True)
            yield
        finally:
            process.stdin.close()
            process.wait(60)


def bench_stuck(seconds=600, counts=(1, 100)):
    with crowd():
        for count in counts:
            measure(count, seconds)


if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("bench: needs root, to make PID namespaces")
    if sys.argv[1:2] == ["stuck"]:
        numbers = [int(word) for word in sys.argv[2:]]
        bench_stuck(*numbers[:1], **({"counts": numbers[1:]} if numbers[1:] else {}))
        sys.exit(0)
    if sys.argv[1:2] == ["web"]:
        with crowd():
            MET = bench_web(*[int(word) for word in sys.argv[2:3]])
        sys.exit(0 if MET else 1)
    sys.exit(subprocess.run([os.path.join(BUILD, "defused-bench"), *sys.argv[1:]], timeout=600, check=False).returncode)
