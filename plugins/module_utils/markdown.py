# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Markdown to HTML, as much of it as runbooks need.

Headings, paragraphs, lists, tables, quotes, fenced code, `code`, **strong**, *emphasis* and links. There is no way to bring in HTML: all
text is escaped, and a link leads to the web, to a mail address or to where the caller says.
"""

from __future__ import annotations

import re
from html import escape

_HEADING = re.compile(r"(#{1,4}) +(.+?) *#*")
_FENCE = re.compile(r"```([A-Za-z0-9_-]*)")
_ITEM = re.compile(r"(?P<marker>-|[0-9]{1,3}[.]) +(?=\S)")
_RULE = re.compile(r"[|: -]*-[|: -]*")
_COMMENT = re.compile(r"<!--.*-->")
_CELL = re.compile(r"(?<!\\)[|]")
_INLINE = re.compile(
    r"(?P<fence>`+)(?P<code>.+?)(?P=fence)(?!`)"
    r"|\\(?P<plain>[\\`*_{}\[\]()#+.!|<>-])"
    r"|\[(?P<text>(?:`[^`]*`|[^\[\]`])+)\]\((?P<target>[^()\s]+)\)"
    r"|<(?P<address>https?://[^<>\s]+)>"
    r"|\*\*(?P<strong>\S(?:.*?\S)?)\*\*"
    r"|\*(?P<emphasis>[^\s*](?:[^*]*[^\s*])?)\*"
)
_OUTSIDE = re.compile(r"(?:https?|mailto):", re.IGNORECASE)
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


def slug(title):
    """The name of a heading in a link, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def title_of(text):
    """The first heading of a page."""
    for line in text.splitlines():
        found = _HEADING.fullmatch(line.rstrip())
        if found:
            return found[2]
    return ""


def links_of(text):
    """Where a page's links lead to, as they are written."""
    found: list = []
    render(text, found.append)
    return found


def render(text, resolve=None):
    """A page's HTML. `resolve` says where a relative link leads to; where it says nothing, its text stands alone."""
    return "".join(_blocks(text.expandtabs(4).splitlines(), resolve or (lambda target: target)))


def inline(text, resolve):
    done, end = [], 0
    for found in _INLINE.finditer(text):
        done += [escape(text[end : found.start()], quote=False), _piece(found, resolve)]
        end = found.end()
    return "".join(done) + escape(text[end:], quote=False)


def _piece(found, resolve):
    if found["code"] is not None:
        return f"<code>{escape(found['code'], quote=False)}</code>"
    if found["plain"] is not None:
        return escape(found["plain"], quote=False)
    if found["strong"] is not None:
        return f"<strong>{inline(found['strong'], resolve)}</strong>"
    if found["emphasis"] is not None:
        return f"<em>{inline(found['emphasis'], resolve)}</em>"
    if found["address"] is not None:
        return f'<a href="{escape(found["address"])}">{escape(found["address"], quote=False)}</a>'
    target, text = found["target"], inline(found["text"], resolve)
    href = target if _OUTSIDE.match(target) or target.startswith("#") else resolve(target)
    # What a caller answers is held to the same: no scheme that runs something.
    if not href or (_SCHEME.match(href) and not _OUTSIDE.match(href)):
        return text
    return f'<a href="{escape(href)}">{text}</a>'


def _blocks(lines, resolve):
    """The pieces of HTML of some lines that belong together."""
    at = 0
    while at < len(lines):
        line = lines[at].rstrip()
        if not line.strip() or _COMMENT.fullmatch(line.strip()):
            at += 1
            continue
        for kind in (_heading, _code, _list, _quote, _table, _paragraph):
            html, after = kind(lines, at, resolve)
            if after > at:
                at = after
                yield html
                break


def _heading(lines, at, resolve):
    found = _HEADING.fullmatch(lines[at].rstrip())
    if not found:
        return "", at
    level = len(found[1])
    return f'<h{level} id="{escape(slug(found[2]))}">{inline(found[2], resolve)}</h{level}>\n', at + 1


def _code(lines, at, resolve):
    if not _FENCE.fullmatch(lines[at].rstrip()):
        return "", at
    end = at + 1
    while end < len(lines) and lines[end].rstrip() != "```":
        end += 1
    content = "\n".join(lines[at + 1 : end])
    return f"<pre><code>{escape(content, quote=False)}\n</code></pre>\n", end + 1


def _list(lines, at, resolve):
    first = _ITEM.match(lines[at])
    if not first:
        return "", at
    ordered = first["marker"] != "-"
    items = []
    while at < len(lines):
        found = _ITEM.match(lines[at])
        if not found or (found["marker"] != "-") != ordered:
            break
        own, at = _item(lines, at, found.end())
        items.append(f"<li>{_tight(''.join(_blocks(own, resolve)))}</li>\n")
    tag = "ol" if ordered else "ul"
    # A list that goes on after something else goes on counting.
    start = f' start="{int(first["marker"][:-1])}"' if ordered and first["marker"] != "1." else ""
    return f"<{tag}{start}>\n{''.join(items)}</{tag}>\n", at


def _item(lines, at, width):
    """The lines of one item without their indent, and where the next one begins."""
    own = [lines[at][width:]]
    at += 1
    while at < len(lines):
        line = lines[at]
        if line.strip() and not line.startswith(" " * width):
            break
        own.append(line[width:])
        at += 1
    return own, at


def _tight(html):
    """An item's first text stands in the item itself."""
    if html.startswith("<p>"):
        return html[3:].replace("</p>\n", "\n", 1).rstrip("\n")
    return html


def _quote(lines, at, resolve):
    end = at
    while end < len(lines) and lines[end].startswith(">"):
        end += 1
    if end == at:
        return "", at
    own = [re.sub(r"^> ?", "", line) for line in lines[at:end]]
    return f"<blockquote>\n{''.join(_blocks(own, resolve))}</blockquote>\n", end


def _table(lines, at, resolve):
    if not lines[at].startswith("|") or at + 1 >= len(lines) or not _RULE.fullmatch(lines[at + 1].strip()):
        return "", at
    end = at
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    head, *rows = [_cells(line) for number, line in enumerate(lines[at:end]) if number != 1]
    row = "<tr>{}</tr>\n".format
    html = row("".join(f"<th>{inline(cell, resolve)}</th>" for cell in head))
    html += "".join(row("".join(f"<td>{inline(cell, resolve)}</td>" for cell in cells)) for cells in rows)
    return f'<div class="table"><table>\n{html}</table></div>\n', end


def _cells(line):
    return [cell.strip().replace("\\|", "|") for cell in _CELL.split(line.strip().strip("|"))]


def _paragraph(lines, at, resolve):
    end = at + 1
    while end < len(lines) and lines[end].strip() and not _begins_other(lines[end]):
        end += 1
    text = " ".join(line.strip() for line in lines[at:end])
    return f"<p>{inline(text, resolve)}</p>\n", end


def _begins_other(line):
    return bool(_HEADING.fullmatch(line.rstrip()) or _FENCE.fullmatch(line.rstrip()) or _ITEM.match(line) or line.startswith((">", "|")))
