# SPDX-License-Identifier: Apache-2.0
"""Shared by the tests of the published schemas: the objects of a document, and of a schema."""
import copy


def walk(value, path=()):
    """Every object in a document, with the keys that lead to it."""
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from walk(below, path + (key,))
    elif isinstance(value, list):
        for i, below in enumerate(value):
            yield from walk(below, path + (i,))


def at(document, path):
    for key in path:
        document = document[key]
    return document


def schema_objects(value):
    """Every part of the schema that describes an object."""
    if isinstance(value, dict):
        if "properties" in value:
            yield value
        for below in value.values():
            yield from schema_objects(below)
    elif isinstance(value, list):
        for below in value:
            yield from schema_objects(below)


# How the published schema of the report says that a word it does not know may come: {"anyOf": [{"enum": ...}, this]}.
ANY_WORD = {"type": "string"}


def closed(schema):
    """A copy that allows nothing but the members and the words it knows: what this very version writes has to fit that.

    The published schema is open, since members and words may be added without another version of the format."""
    def close(value):
        if isinstance(value, dict):
            if "properties" in value:
                value.setdefault("additionalProperties", False)
            if ANY_WORD in value.get("anyOf", []):
                value.update(value.pop("anyOf")[0])
            value = list(value.values())
        for below in value if isinstance(value, list) else []:
            close(below)

    copied = copy.deepcopy(schema)
    close(copied)
    return copied
