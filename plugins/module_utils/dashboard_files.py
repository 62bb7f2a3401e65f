# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of text files, read where they are and packed for the way to where they are used."""

from __future__ import annotations

import base64
import json
import os
import zlib
from pathlib import Path

LONGEST_TEXT = 256 * 1024 * 1024


class FilesError(Exception):
    """A tree cannot be read; the text is fit for the user."""


def read_tree(paths, suffix):
    """{name relative to its tree, with `/`: text} of all files with this suffix. Hidden files and folders are left out."""
    texts, origins = {}, {}
    for root in map(Path, paths):
        if not root.is_dir():
            raise FilesError(f"path: {root} is not a directory")
        for folder, names, files in os.walk(root, onerror=_refuse):
            names[:] = sorted(name for name in names if not name.startswith("."))
            for name in sorted(files):
                if name.startswith(".") or not name.endswith(suffix):
                    continue
                path = Path(folder, name)
                key = path.relative_to(root).as_posix()
                if key in texts:
                    raise FilesError(f"path: {key} is in {origins[key]} and in {root}; rename or remove one of them")
                texts[key], origins[key] = _read(path), root
    if not texts:
        raise FilesError(f"path: there is no file *{suffix} in {' and '.join(str(path) for path in paths)}")
    return texts


def _refuse(error):
    raise FilesError(f"path: {error.filename} cannot be read ({error.strerror})")


def _read(path):
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FilesError(f"path: {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise FilesError(f"path: {path} is not UTF-8 text (byte {error.start})") from error


def pack(texts):
    """One word that holds all of it."""
    return base64.b64encode(zlib.compress(json.dumps(texts).encode(), 6)).decode("ascii")


def unpack(word):
    worker = zlib.decompressobj()
    data = worker.decompress(base64.b64decode(word), LONGEST_TEXT)
    if worker.unconsumed_tail:
        raise FilesError(f"path: the files hold more than {LONGEST_TEXT // 1024**2} MB")
    return json.loads(data)
