# SPDX-License-Identifier: Apache-2.0
"""Every report that a test gets from the daemon or from `scan --json` is held against the published schema, closed."""
import json
import pathlib
import sys

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "unit"))
from schema_checks import closed  # noqa: E402

_PUBLISHED = json.loads((ROOT / "config" / "defused.report.schema.json").read_text(encoding="utf-8"))
_VALIDATOR = jsonschema.Draft202012Validator(closed(_PUBLISHED))

# Reports of thousands of connections take long to check and are no other than small ones.
MOST_CHECKED = 1 << 20


def check_report(text):
    """The report in `text`, parsed; AssertionError that says what does not fit the schema."""
    report = json.loads(text)
    if len(text) <= MOST_CHECKED:
        errors = [f"{error.json_path}: {error.message[:200]}" for error in _VALIDATOR.iter_errors(report)]
        if errors:
            raise AssertionError("the report does not fit its schema:\n" + "\n".join(errors[:10]))
    return report
