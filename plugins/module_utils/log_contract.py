# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Elasticsearch makes of the log contract, files/logs.yml: the fields of its indices, and who may read which of them. Pure."""

from __future__ import annotations

# A longer text is kept and shown, but not found by its whole value.
KEYWORD_LENGTH = 1024
TYPES = {
    "keyword": {"type": "keyword", "ignore_above": KEYWORD_LENGTH},
    "text": {"type": "text"},
    "long": {"type": "long"},
    "double": {"type": "double"},
    "ip": {"type": "ip"},
    "date": {"type": "date"},
    # One field, however many names are below it: what applications invent cannot make an index grow in fields.
    "flattened": {"type": "flattened", "ignore_above": KEYWORD_LENGTH},
}


class ContractError(Exception):
    """The log contract says what cannot be; the message names the field."""


def mappings(contract):
    """The mappings of an index: the fields of the contract, and nothing that a line brings beside them."""
    properties = {}
    for name, field in contract["fields"].items():
        if field["type"] not in TYPES:
            raise ContractError(f"{name}: there is no type {field['type']}; there are {', '.join(TYPES)}")
        if (field.get("personal") or {}).get("treatment") == "hashed":
            continue
        *parents, last = name.split(".")
        place = properties
        above = False
        for parent in parents:
            inner = place.setdefault(parent, {})
            above = above or "type" in inner
            place = inner.setdefault("properties", {})
        if above or last in place:
            raise ContractError(f"{name}: another field is above or below it")
        place[last] = dict(TYPES[field["type"]])
    # What else a document has is kept, but neither searched nor counted as a field.
    return {"dynamic": False, "date_detection": False, "properties": properties}


def reader_roles(contract, prefix):
    """A role of Elasticsearch for each group of readers, that may search the categories of that group."""
    groups = {}
    for name, category in contract["categories"].items():
        for group in category["readers"]:
            groups.setdefault(group, []).append(f"{prefix}-{name}-*")
    return {
        f"observability_logs_{group}": {"indices": [{"names": sorted(names), "privileges": ["read", "view_index_metadata"]}]}
        for group, names in sorted(groups.items())
    }
