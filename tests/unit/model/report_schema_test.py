# SPDX-License-Identifier: Apache-2.0
"""The published schema of the report against reports that the code makes, those of real captures, and the code's words.

It is published open; what this version writes is held against a closed copy."""
import copy
import json
import os
import pathlib
import subprocess
import sys
import unittest

import jsonschema

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from schema_checks import ANY_WORD, at, closed, schema_objects, walk  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILD = os.environ["DEFUSED_BUILD"]
PUBLISHED = json.loads((ROOT / "config" / "defused.report.schema.json").read_text())
OPEN = jsonschema.Draft202012Validator(PUBLISHED)
SCHEMA = closed(PUBLISHED)
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def run(program, *arguments):
    done = subprocess.run([os.path.join(BUILD, program), *arguments], capture_output=True, timeout=60, check=True)
    return json.loads(done.stdout)


def errors(report):
    return [f"{error.json_path}: {error.message[:300]}" for error in VALIDATOR.iter_errors(report)]


class ReportSchema(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.samples = run("defused-report-samples")
        cls.full = cls.samples["reports"][0]

    def refuses(self, report, about):
        self.assertFalse(VALIDATOR.is_valid(report), about)

    def test_it_is_a_schema(self):
        self.assertEqual(SCHEMA["$schema"], "https://json-schema.org/draft/2020-12/schema")
        for schema in (PUBLISHED, SCHEMA):
            jsonschema.Draft202012Validator.check_schema(schema)

    def test_every_sample_fits(self):
        for report in self.samples["reports"]:
            self.assertEqual([], errors(report))

    def test_reports_of_real_captures_fit(self):
        captures = sorted(pathlib.Path(BUILD, "captures").glob("linux-*"))
        self.assertGreaterEqual(len(captures), 10)
        for capture in captures:
            report = run("defused-replay-tree", str(capture))
            self.assertEqual([], errors(report), capture)
            if "healthy" not in capture.name:
                self.assertEqual(len(report["pid_namespaces"]), 1)

    def test_the_words_are_those_of_the_code(self):
        for name, words in self.samples["words"].items():
            self.assertEqual(words, SCHEMA["$defs"][name]["enum"], name)
        enums = {name for name, part in SCHEMA["$defs"].items() if "enum" in part}
        self.assertEqual(enums, set(self.samples["words"]))

    def test_every_word_stands_in_a_sample(self):
        """Else a sample with it could not show that the schema takes it where it can stand."""
        told = json.dumps(self.samples["reports"])
        for words in self.samples["words"].values():
            for word in words:
                self.assertIn(f'"{word}"', told)

    def test_nothing_more_and_nothing_less_is_allowed(self):
        tried = 0
        for path, found in walk(self.full):
            more = copy.deepcopy(self.full)
            at(more, path)["surprise"] = 1
            self.refuses(more, path)
            for key in found:
                less = copy.deepcopy(self.full)
                del at(less, path)[key]
                self.refuses(less, (path, key))
                tried += 1
        self.assertGreater(tried, 150)

    def test_as_published_it_takes_what_a_later_release_may_add(self):
        """Who stored it must not refuse the report of the next release: members and words may be added, anywhere."""
        words = {word for known in self.samples["words"].values() for word in known}
        added = 0
        for path, found in walk(self.full):
            later = copy.deepcopy(self.full)
            at(later, path)["surprise"] = {"more": [1]}
            self.assertTrue(OPEN.is_valid(later), path)
            for key, value in found.items():
                if isinstance(value, str) and value in words and key not in ("detail", "comm"):
                    later = copy.deepcopy(self.full)
                    at(later, path)[key] = "a_later_word"
                    self.assertTrue(OPEN.is_valid(later), (path, key))
                    added += 1
        self.assertGreater(added, 25)
        self.assertNotIn("additionalProperties", json.dumps(PUBLISHED))
        self.assertIn("allows members and words that it does not know", PUBLISHED["description"])

    def test_as_published_it_still_wants_what_it_knows(self):
        for path, found in walk(self.full):
            for key in found:
                for wrong in ({"a": 1}, None):  # another type, or not there
                    other = copy.deepcopy(self.full)
                    if wrong is None:
                        del at(other, path)[key]
                    else:
                        at(other, path)[key] = wrong
                    self.assertFalse(OPEN.is_valid(other), (path, key, wrong))

    def test_the_words_are_open_where_they_are_published(self):
        for name in self.samples["words"]:
            self.assertEqual(PUBLISHED["$defs"][name]["anyOf"][1:], [ANY_WORD], name)

    def test_no_value_may_be_of_another_type(self):
        for path, found in walk(self.full):
            for key, value in found.items():
                for wrong in ({"a": 1}, [[1]], -1.5, "true" if isinstance(value, bool) else True):
                    other = copy.deepcopy(self.full)
                    at(other, path)[key] = wrong
                    self.refuses(other, (path, key, wrong))

    def test_null_stands_only_where_something_may_be_unknown(self):
        may = set()
        for path, found in walk(self.full):
            for key in found:
                other = copy.deepcopy(self.full)
                at(other, path)[key] = None
                if VALIDATOR.is_valid(other):
                    may.add(key)
        nulls = {key for report in self.samples["reports"] for _, found in walk(report) for key, value in found.items()
                 if value is None}
        self.assertEqual(may, nulls)

    def test_a_word_that_is_none_of_the_code_is_refused(self):
        words = {word for known in self.samples["words"].values() for word in known} | {"open"}
        refused = 0
        for path, found in walk(self.full):
            for key, value in found.items():
                if isinstance(value, str) and value in words and key not in ("detail", "comm"):
                    other = copy.deepcopy(self.full)
                    at(other, path)[key] = "perhaps"
                    self.refuses(other, (path, key))
                    refused += 1
        self.assertGreater(refused, 25)

    def test_nothing_in_the_schema_is_never_used(self):
        seen = {frozenset(found) for report in self.samples["reports"] for _, found in walk(report)}
        for part in schema_objects(SCHEMA):
            self.assertEqual(list(part["required"]), list(part["properties"]), part)
            self.assertIs(part["additionalProperties"], False, part)
            self.assertIn(frozenset(part["properties"]), seen, part)

    def test_each_member_is_described(self):
        for part in schema_objects(SCHEMA):
            for name, member in part["properties"].items():
                referred = SCHEMA["$defs"].get(member.get("$ref", "").removeprefix("#/$defs/"), {})
                self.assertTrue(member.get("description") or referred.get("description"), name)
