# SPDX-License-Identifier: Apache-2.0
"""Makes the .deb out of a finished build, as `./dev package` does, and variants of it for upgrades."""
import os
import pathlib
import re
import shutil
import subprocess

BUILD = pathlib.Path(os.environ.get("DEFUSED_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))


def run(*command, timeout=120):
    """The output of `command`; AssertionError with it where it fails."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=timeout, check=False)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stdout}")
    return done.stdout


def make_package(directory):
    """The path of the package, made in `directory`."""
    said = run("cpack", "--config", str(BUILD / "CPackConfig.cmake"), "-B", str(directory))
    made, = re.findall(r"^CPack: - package: (.*\.deb) generated\.$", said, re.M)
    return pathlib.Path(made)


def field(package, name):
    return run("dpkg-deb", "--field", str(package), name).strip()


def make_next(package, directory, version, config_comment=None):
    """The same package as `version`; with `config_comment` its configuration has one more line."""
    tree = pathlib.Path(directory) / f"tree-{version}"
    run("dpkg-deb", "--raw-extract", str(package), str(tree))
    control = tree / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(encoding="utf-8"), flags=re.M),
                       encoding="utf-8")
    if config_comment:
        with open(tree / "etc/defused/defused.json", "a", encoding="utf-8") as config:
            config.write(f"// {config_comment}\n")
    made = pathlib.Path(directory) / f"defused_{version}_{field(package, 'Architecture')}.deb"
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(made))
    shutil.rmtree(tree)
    return made
