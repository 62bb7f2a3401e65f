# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re

import pytest
from ansible_collections.pachedu.observability.plugins.module_utils import markdown

CASES = [
    ("# Host `down`", '<h1 id="host-down">Host <code>down</code></h1>\n'),
    ("one\ntwo\n\nthree", "<p>one two</p>\n<p>three</p>\n"),
    ("- a\n- b\n", "<ul>\n<li>a</li>\n<li>b</li>\n</ul>\n"),
    ("1. a\n2. b", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
    ("3. c", '<ol start="3">\n<li>c</li>\n</ol>\n'),
    ("text\n- a", "<p>text</p>\n<ul>\n<li>a</li>\n</ul>\n"),
    ("- a\n  more\n  - b", "<ul>\n<li>a more\n<ul>\n<li>b</li>\n</ul></li>\n</ul>\n"),
    ("1. run\n\n   ```bash\n   ls <x>\n   ```\n2. b", "<ol>\n<li>run\n<pre><code>ls &lt;x&gt;\n</code></pre></li>\n<li>b</li>\n</ol>\n"),
    ("```\n  a\n\n# no heading\n```\nb", "<pre><code>  a\n\n# no heading\n</code></pre>\n<p>b</p>\n"),
    ("```\nnever closed", "<pre><code>never closed\n</code></pre>\n"),
    ("> a\n> - b", "<blockquote>\n<p>a</p>\n<ul>\n<li>b</li>\n</ul>\n</blockquote>\n"),
    (
        "| a | b |\n| --- | :-: |\n| `x\\|y` | **z** |",
        '<div class="table"><table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td><code>x|y</code></td><td><strong>z</strong></td></tr>\n'
        "</table></div>\n",
    ),
    ("| no table", "<p>| no table</p>\n"),
    ("<!-- made by hand -->\na", "<p>a</p>\n"),
    ("**a** *b* a*b 2 * 3 * 4", "<p><strong>a</strong> <em>b</em> a*b 2 * 3 * 4</p>\n"),
    (r"\*a\* \`b\`", "<p>*a* `b`</p>\n"),
    ("`` a`b `` and `**`", "<p><code> a`b </code> and <code>**</code></p>\n"),
    ("[x](other.md#a)", '<p><a href="other.md#a">x</a></p>\n'),
    ("[`x`](https://e.org/?a=1&b=2)", '<p><a href="https://e.org/?a=1&amp;b=2"><code>x</code></a></p>\n'),
    ("<https://e.org>", '<p><a href="https://e.org">https://e.org</a></p>\n'),
    ("", ""),
    ("\n \n", ""),
]


@pytest.mark.parametrize(("text", "html"), CASES)
def test_what_is_known(text, html):
    assert markdown.render(text) == html


HOSTILE = [
    "<script>alert(1)</script>",
    "# <script>alert(1)</script>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert)",
    "[x](data:text/html,hello)",
    "[x](vbscript:x)",
    '[x](https://e.org/"onmouseover=alert)',
    '<https://e.org/"onmouseover=alert>',
    "| <img src=x onerror=alert(1)> |\n| --- |\n| <b onclick=x> |",
    "```\n</code></pre><script>\n```",
    "`<script>`",
    "[<svg onload=x>](a.md)",
    "> <iframe src=x>",
    "- <a href='javascript:x'>y</a>",
    "<!-- a --> <script>",
    '# a" onclick="x',
]
TAG = re.compile(r'</?(?:h[1-4]|p|ul|ol|li|pre|code|blockquote|div|table|tr|th|td|strong|em|a)(?: (?:id|href|class|start)="[^"<>]*")?>')


@pytest.mark.parametrize("text", HOSTILE)
def test_no_html_and_no_scheme_gets_through(text):
    html = markdown.render(text)
    rest = TAG.sub("", html)
    assert "<" not in rest
    assert not re.search(r'href="\s*(?!https?:|mailto:)[a-z]+:', html, re.IGNORECASE)


def test_the_caller_says_where_links_lead():
    html = markdown.render("[a](x.md) [b](y.md) [c](https://e.org) [d](#there)", {"x.md": "x.html"}.get)
    assert html == '<p><a href="x.html">a</a> b <a href="https://e.org">c</a> <a href="#there">d</a></p>\n'


def test_what_the_caller_says_may_not_run_either():
    assert markdown.render("[a](x.md)", lambda target: "javascript:x") == "<p>a</p>\n"


def test_links_are_found_where_they_are_links():
    assert markdown.links_of("[a](a.md) `[b](b.md)` [c](https://e.org)\n\n```\n[d](d.md)\n```\n- [e](e.md#f)") == ["a.md", "e.md#f"]


def test_title():
    assert markdown.title_of("<!-- x -->\n\n# The name\n\n# Another") == "The name"
    assert markdown.title_of("no heading") == ""


def test_names_of_headings_are_those_of_github():
    assert markdown.slug("Who pages whom, and when?") == "who-pages-whom-and-when"
    assert markdown.slug("P0: now") == "p0-now"
