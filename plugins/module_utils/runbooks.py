# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runbooks as the gateway serves them: a page per alert and an index. Pure: Markdown and alerts in, HTML out."""

from __future__ import annotations

import difflib
import posixpath
import re
from html import escape

from ansible_collections.pachedu.observability.plugins.module_utils import markdown
from ansible_collections.pachedu.observability.plugins.module_utils.preflight import error

SEVERITIES = ("P0", "P1", "P2", "P3")
PROCEDURES = "procedures/"
HANDBOOK = "on-call.md"
INDEX = "index.html"
STYLE = "style.css"
# A name becomes part of an address and of a file's path.
_VARIABLES = "gateway_extra_runbooks_directories (or gateway_runbooks_directory)"
_NAME = re.compile(r"(?:procedures/)?[A-Za-z0-9][A-Za-z0-9_-]*[.]md")
_DASHBOARD = re.compile(r"dashboards/([a-z0-9-]+)[.]md")

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'self'">
<title>{title}</title>
<link rel="stylesheet" href="{root}style.css">
</head>
<body>
<nav>{nav}</nav>
{head}<main>
{body}</main>
</body>
</html>
"""

_STYLE = """body { font: 16px/1.55 system-ui, sans-serif; max-width: 52rem; margin: 1rem auto 4rem; padding: 0 1rem; }
body { color: #1c2430; background: #fff; }
nav { border-bottom: 1px solid #c9d1da; padding-bottom: .5rem; }
nav a { margin-right: 1.2rem; }
a { color: #0b5cad; }
h1 { margin: 1rem 0 .3rem; overflow-wrap: anywhere; }
h2 { margin-top: 1.8rem; border-bottom: 1px solid #e2e7ec; }
.tags { margin: 0 0 1rem; color: #4a5666; }
code { font: .9em/1.45 ui-monospace, monospace; background: #f0f3f6; padding: .1em .25em; border-radius: 3px; overflow-wrap: anywhere; }
pre { background: #f0f3f6; padding: .7rem; overflow-x: auto; border-radius: 4px; }
pre code { padding: 0; overflow-wrap: normal; }
.table { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { border: 1px solid #c9d1da; padding: .3rem .6rem; text-align: left; vertical-align: top; }
blockquote { margin: 1rem 0; padding: .1rem 1rem; border-left: 4px solid #d08700; }
li { margin: .25rem 0; }
.P0 { color: #b3001b; font-weight: 700; } .P1 { color: #a85400; font-weight: 700; }
@media (prefers-color-scheme: dark) {
  body { color: #dde3ea; background: #12161c; } a { color: #7db8f5; } .tags { color: #a3afbd; }
  code, pre { background: #1d242d; } nav, th, td { border-color: #3a4552; } h2 { border-color: #2a323c; }
  .P0 { color: #ff7b8b; } .P1 { color: #f0a860; }
}
@media print { nav { display: none; } pre { white-space: pre-wrap; } }
"""


def alerts_of(rule_files, changes=None):
    """The alerts of rule files by name: priority, team, subject, summary and dashboard, as the user's changes leave them."""
    found = {}
    for subject, document in rule_files.items():
        for group in (document or {}).get("groups") or []:
            for rule in group.get("rules") or []:
                if "alert" not in rule:
                    continue
                name, labels = rule["alert"], rule.get("labels") or {}
                change = (changes or {}).get(name) or {}
                found[name] = {
                    "name": name,
                    "severity": _plain(change.get("severity") or labels.get("severity")),
                    "team": _plain(change.get("team") or labels.get("team")),
                    "subject": subject,
                    "dashboard": str(rule.get("dashboard") or ""),
                    "enabled": change.get("enabled", True) is not False,
                }
    return found


def _plain(label):
    """A label that does not depend on what fires."""
    return "" if label is None or "{{" in str(label) else str(label)


def target_of(page, target, known, dashboards_url):
    """Where a link of a page leads to among what is served; None: nowhere. Links are those of the files, so that they work there too."""
    path, mark, anchor = target.partition("#")
    place = posixpath.normpath(posixpath.join(posixpath.dirname(_place(page)), path))
    dashboard = _DASHBOARD.fullmatch(place)
    if dashboard:
        return f"{dashboards_url}pachedu-{dashboard[1]}" if dashboards_url else ""
    for name in known:
        if _place(name) == place:
            return _relative(page, name[: -len(".md")] + ".html") + mark + anchor
    return None


def _place(name):
    """Where a page lies below docs/: the handbook is beside the folder of the runbooks."""
    return name if name == HANDBOOK else f"runbooks/{name}"


def _relative(page, path):
    return posixpath.relpath(path, posixpath.dirname(page) or ".")


def findings(files, dashboards_url=""):
    """What is wrong with runbooks: names that cannot be served, pages without a title, links that lead nowhere."""
    found = []
    for name, text in files.items():
        if not _NAME.fullmatch(name):
            what = "cannot be a runbook's name: use letters, digits, - and _, and .md at the end"
            found.append(error("gateway", f"{_VARIABLES}: {name!r} {what}"))
        elif not markdown.title_of(text):
            found.append(error("gateway", f"{_VARIABLES}: {name} has no heading: begin it with '# {posixpath.basename(name)[:-3]}'"))
        else:
            found += [error("gateway", f"{_VARIABLES}: {name} {problem}") for problem in link_problems(name, text, files, dashboards_url)]
    return found


def link_problems(name, text, known, dashboards_url=""):
    problems = []
    for target in markdown.links_of(text):
        if target_of(name, target, known, dashboards_url) is None:
            close = difflib.get_close_matches(target, [_relative(name, other) for other in known], 1)
            hint = f"did you mean {close[0]}?" if close else "name a runbook, or give the whole address"
            problems.append(f"links to {target}, which is no page of the gateway; {hint}")
    return problems


def pages(files, alerts, dashboards_url=""):
    """All that is served below /runbooks/, by path."""
    served = {STYLE: _STYLE, INDEX: _index(files, alerts)}
    for name, text in files.items():
        path = name[: -len(".md")] + ".html"
        body = markdown.render(text, lambda target, page=name: target_of(page, target, files, dashboards_url))
        alert = alerts.get(name[: -len(".md")])
        root = _relative(name, "index.html")[: -len("index.html")]
        served[path] = _page(markdown.title_of(text), body, root, _tags(alert, dashboards_url) if alert else "", HANDBOOK in files)
    return served


def _page(title, body, root, head, handbook):
    nav = f'<a href="/">Services</a><a href="{root}index.html">All runbooks</a>'
    if handbook:
        nav += f'<a href="{root}on-call.html">On-call handbook</a>'
    return _PAGE.format(title=escape(title), body=body, root=root, head=head, nav=nav)


def _severity(alert):
    severity = alert["severity"]
    return f'<span class="{severity}">{severity}</span>' if severity in SEVERITIES else ""


def _tags(alert, dashboards_url):
    tags = [_severity(alert), escape(f"team {alert['team']}") if alert["team"] else "", "" if alert["enabled"] else "switched off here"]
    if alert["dashboard"] and dashboards_url:
        tags.append(f'<a href="{escape(dashboards_url + alert["dashboard"])}">dashboard</a>')
    tags = " &middot; ".join(tag for tag in tags if tag)
    return f'<p class="tags">{tags}</p>\n' if tags else ""


def _index(files, alerts):
    """Procedures first, then alerts by subject, the most urgent of each first."""
    parts = [_list("Procedures", [name for name in files if name.startswith(PROCEDURES)], files)]
    subjects: dict = {}
    for alert in alerts.values():
        if f"{alert['name']}.md" in files:
            subjects.setdefault(alert["subject"], []).append(alert)
    for subject in sorted(subjects):
        rows = "".join(_row(alert) for alert in sorted(subjects[subject], key=_urgency))
        head = f'<h2 id="{escape(subject)}">{escape(subject.replace("_", " ").capitalize())}</h2>\n'
        parts.append(f'{head}<div class="table"><table>\n<tr><th>priority</th><th>alert</th><th>team</th></tr>\n{rows}</table></div>\n')
    known = {f"{name}.md" for name in alerts} | {HANDBOOK}
    parts.append(_list("Further pages", [name for name in files if name not in known and not name.startswith(PROCEDURES)], files))
    return _page("Runbooks", "<h1>Runbooks</h1>\n" + "".join(parts), "", "", HANDBOOK in files)


def _urgency(alert):
    severity = alert["severity"]
    return (SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES), alert["name"])


def _row(alert):
    off = "" if alert["enabled"] else " (switched off here)"
    link = f'<a href="{escape(alert["name"])}.html">{escape(alert["name"])}</a>{off}'
    return f"<tr><td>{_severity(alert)}</td><td>{link}</td><td>{escape(alert['team'])}</td></tr>\n"


def _list(title, names, files):
    if not names:
        return ""
    items = "".join(f'<li><a href="{name[:-3]}.html">{escape(markdown.title_of(files[name]))}</a></li>\n' for name in sorted(names))
    return f"<h2>{title}</h2>\n<ul>\n{items}</ul>\n"
