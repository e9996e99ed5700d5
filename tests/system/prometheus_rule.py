# SPDX-License-Identifier: Apache-2.0
"""config/kubernetes/prometheus-operator/prometheusrule.yaml: the files of config/prometheus as one object.

python3 prometheus_rule.py   writes it anew
"""
import re

import yaml

from kubernetes_manifests import KUBERNETES, REPO

TARGET = KUBERNETES / "prometheus-operator" / "prometheusrule.yaml"
HEAD = """# SPDX-License-Identifier: Apache-2.0
# Made of config/prometheus/*.yml by: python3 tests/system/prometheus_rule.py
"""


class Readable(yaml.SafeDumper):
    """Expressions of several lines stay so."""

    def represent_text(self, text):
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


Readable.add_representer(str, Readable.represent_text)


# What stands in a pod for the commands of a service.
IN_A_POD = {"systemctl status defused": "kubectl describe pod --namespace defused POD",
            "journalctl -u defused": "kubectl logs --namespace defused POD"}


def put_in_a_pod(group):
    """The texts of its alerts, of which the object is for clusters alone."""
    for rule in group["rules"]:
        texts = rule.get("annotations", {})
        for name, text in texts.items():
            for word, stands_for_it in IN_A_POD.items():
                text = text.replace(word, stands_for_it)
            if re.search(r"systemctl|journalctl", text):
                raise AssertionError(f"{rule['alert']}: {text}")
            texts[name] = text
    return group


def rule_files():
    return sorted((REPO / "config" / "prometheus").glob("*.yml"))


def groups():
    """Those of all files; a name is there once."""
    found = [put_in_a_pod(group) for path in rule_files()
             for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    names = [group["name"] for group in found]
    if len(set(names)) != len(names):
        raise AssertionError(f"a group is there twice: {names}")
    return found


def text():
    rule = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule",
            "metadata": {"name": "defused", "labels": {"app.kubernetes.io/name": "defused"}}, "spec": {"groups": groups()}}
    return HEAD + yaml.dump(rule, Dumper=Readable, sort_keys=False, width=200, allow_unicode=True)


def write():
    TARGET.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    write()
