# SPDX-License-Identifier: Apache-2.0
"""The published schema of the audit log against the records that the code makes, and its words against the code's."""
import copy
import json
import os
import pathlib
import subprocess
import sys
import unittest

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from schema_checks import at, schema_objects, walk  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "config" / "defused.audit.schema.json").read_text())


def load_samples():
    program = os.path.join(os.environ["DEFUSED_BUILD"], "defused-audit-samples")
    return json.loads(subprocess.run([program], capture_output=True, timeout=60, check=True).stdout)


class AuditSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.samples = load_samples()
        cls.first = {}  # of each kind, the one in which most is known
        for record in cls.samples["records"]:
            cls.first.setdefault(record["record"], record)
        cls.validators = {kind: jsonschema.Draft202012Validator({"$ref": f"#/$defs/record_{kind}", "$defs": SCHEMA["$defs"]})
                          for kind in cls.first}

    def is_valid(self, record, kind):
        return self.validators[kind].is_valid(record)

    def test_it_is_a_schema(self):
        self.assertEqual(SCHEMA["$schema"], "https://json-schema.org/draft/2020-12/schema")
        jsonschema.Draft202012Validator.check_schema(SCHEMA)

    def test_every_record_fits(self):
        whole = jsonschema.Draft202012Validator(SCHEMA)
        for record in self.samples["records"]:
            errors = self.validators[record["record"]].iter_errors(record)  # says more than "none of these"
            self.assertEqual([], [f"{list(error.path)}: {error.message}" for error in errors], record)
            self.assertTrue(whole.is_valid(record), record)
        self.assertFalse(whole.is_valid({"record": "outcome"}))

    def test_every_kind_of_record_is_there(self):
        kinds = {name[len("record_"):] for name in SCHEMA["$defs"] if name.startswith("record_")}
        self.assertEqual(kinds, {record["record"] for record in self.samples["records"]})
        self.assertEqual([{"$ref": f"#/$defs/record_{kind}"} for kind in sorted(kinds)],
                         sorted(SCHEMA["oneOf"], key=lambda one: one["$ref"]))

    def test_the_words_are_those_of_the_code(self):
        for name, words in self.samples["words"].items():
            self.assertEqual(words, SCHEMA["$defs"][name]["enum"], name)
        enums = {name for name, part in SCHEMA["$defs"].items() if "enum" in part}
        self.assertEqual(enums, set(self.samples["words"]))

    def test_nothing_more_and_nothing_less_is_allowed(self):
        for kind, record in self.first.items():
            for path, found in walk(record):
                more = copy.deepcopy(record)
                at(more, path)["surprise"] = 1
                self.assertFalse(self.is_valid(more, kind), (kind, path))
                for key in found:
                    less = copy.deepcopy(record)
                    del at(less, path)[key]
                    self.assertFalse(self.is_valid(less, kind), (kind, path, key))

    def test_no_value_may_be_of_another_type(self):
        for kind, record in self.first.items():
            for path, found in walk(record):
                for key in found:
                    for wrong in ({"a": 1}, [[1]], -1.5, True if not isinstance(found[key], bool) else "true"):
                        if isinstance(found[key], bool) and isinstance(wrong, bool):
                            continue
                        # "exiting" may be true or false or null.
                        if key == "exiting" and isinstance(wrong, bool):
                            continue
                        other = copy.deepcopy(record)
                        at(other, path)[key] = wrong
                        self.assertFalse(self.is_valid(other, kind), (kind, path, key, wrong))

    def test_a_word_that_is_none_of_the_code_is_refused(self):
        refused = 0
        words = {word for known in self.samples["words"].values() for word in known}
        words |= set(self.first) | {"open", "closed", "paused", "resumed"}
        free = {"comm", "detail", "reason", "wchan", "override_reason", "runtime", "process_state", "thread_state"}
        for kind, record in self.first.items():
            for path, found in walk(record):
                for key, value in found.items():
                    if not isinstance(value, str) or value not in words or key in free:
                        continue
                    other = copy.deepcopy(record)
                    at(other, path)[key] = "perhaps"
                    self.assertFalse(self.is_valid(other, kind), (kind, path, key))
                    refused += 1
        self.assertGreater(refused, 40)

    def test_nothing_in_the_schema_is_never_used(self):
        seen = set()
        for record in self.samples["records"]:
            for _, found in walk(record):
                seen.add(frozenset(found))
        for part in schema_objects(SCHEMA):
            self.assertEqual(set(part["required"]), set(part["properties"]), part)
            self.assertIs(part["additionalProperties"], False, part)
            self.assertIn(frozenset(part["properties"]), seen, part)
