# SPDX-License-Identifier: Apache-2.0
"""Runs clang-tidy over our own files of a build directory's compile_commands.json, on all cores, largest file first.

Most entries are files of CMake's which include ten of ours (cmake/Modules.cmake, defused_apart); each header is looked at once
for the ten. A file that was clean is remembered by the hash of all that clang-tidy saw of it (preprocessed text with its comments,
options, configuration, version) and not looked at again, in whatever checkout. `--no-cache` looks at everything.
"""
import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWN = ("daemon", "lib", "exporters", "tests")
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "defused-clang-tidy"
KEPT_SECONDS = 30 * 24 * 3600
FILE_TIMEOUT_SECONDS = 300


def own_sources(path):
    """Our files that an entry is made of: itself, or what a file of CMake's includes."""
    if "Unity" in path.parts:
        return [pathlib.Path(name) for name in re.findall(r'^#include "(.*)"$', path.read_text(), re.MULTILINE)]
    is_own = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in OWN and path.exists()
    return [path] if is_own else []


def own_commands(build):
    """(path, compiler arguments) of our files, largest first: no core idles at the end."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text()):
        path = pathlib.Path(entry["file"])
        if sources := own_sources(path):
            found[path] = (sum(source.stat().st_size for source in sources), shlex.split(entry["command"]))
    largest_first = sorted(found.items(), key=lambda item: item[1][0], reverse=True)
    return [(path, arguments) for path, (_, arguments) in largest_first]


def cache_key(build, arguments, salt):
    """The hash of what clang-tidy will see, or None where the file does not even preprocess."""
    arguments = arguments[1:] if arguments[0].endswith("ccache") else arguments
    arguments = [word for word in arguments if word != "-c"]
    if "-o" in arguments:
        at = arguments.index("-o")
        del arguments[at : at + 2]
    extra = ["-E", "-CC", "-P", f"-fmacro-prefix-map={ROOT}=."]
    seen = subprocess.run(arguments + extra, cwd=build, capture_output=True, timeout=FILE_TIMEOUT_SECONDS, check=False)
    if seen.returncode != 0:
        return None
    options = " ".join(arguments).replace(str(build), "BUILD").replace(str(ROOT), "ROOT")
    return hashlib.sha256(salt + options.encode() + seen.stdout).hexdigest()


def check_file(build, path, arguments, salt):
    """(path, output or None where clean, seconds or None where remembered)."""
    started = time.monotonic()
    key = cache_key(build, arguments, salt) if salt else None
    if key and (CACHE / key).exists():
        os.utime(CACHE / key)
        return path, None, None
    command = ["clang-tidy", "-p", str(build), "--quiet", str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", timeout=FILE_TIMEOUT_SECONDS, check=False
    )
    if done.returncode != 0:
        return path, done.stdout + done.stderr, time.monotonic() - started
    if key:
        (CACHE / key).touch()
    return path, None, time.monotonic() - started


def make_salt():
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, timeout=30, check=True).stdout
    configurations = sorted([ROOT / ".clang-tidy", *(ROOT / "tests").rglob(".clang-tidy")])
    return version + b"".join(file.read_bytes() for file in configurations)


def put_configurations_beside(build):
    """clang-tidy looks for its configuration beside a file and above it: for files of CMake's that is the build directory."""
    for file in (ROOT / "tests").rglob(".clang-tidy"):
        place = build / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())


def prune_cache():
    CACHE.mkdir(parents=True, exist_ok=True)
    for file in CACHE.iterdir():
        if file.stat().st_mtime < time.time() - KEPT_SECONDS:
            file.unlink(missing_ok=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--times", action="store_true", help="seconds of each file")
    parser.add_argument("build", type=pathlib.Path)
    options = parser.parse_args()
    build = options.build.resolve()
    prune_cache()
    put_configurations_beside(build)
    salt = b"" if options.no_cache else make_salt()
    commands = own_commands(build)
    unclean = looked_at = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, output, seconds in pool.map(lambda item: check_file(build, *item, salt), commands):
            looked_at += seconds is not None
            if options.times and seconds is not None:
                print(f"{seconds:6.1f} s {path.relative_to(ROOT)}")
            if output is not None:
                unclean += 1
                print(output)
    print(f"clang-tidy: {unclean} of {len(commands)} files are not clean ({looked_at} looked at, the others unchanged)")
    return 1 if unclean or not commands else 0


if __name__ == "__main__":
    sys.exit(main())
