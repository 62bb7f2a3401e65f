# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/logs.md from the log contract, files/logs.yml; with --check only tell whether it is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from tests.logs import cases
from tools import generated

ROOT = Path(__file__).resolve().parents[1]
CONTRACT = ROOT / "files" / "logs.yml"
PAGE = ROOT / "docs" / "logs.md"

HEAD = """\
# Logs

What applications log, what becomes of it, who may read it and how long it is kept.
This page is made from [files/logs.yml](../files/logs.yml), the log contract, by `make docs`.

A log line is one JSON object. It goes to Logstash, which brings it to the contract's form, decides its category, masks it, and writes it
to an index of Elasticsearch of that category and its day or month. A line is never dropped: what cannot be parsed is kept as its message
with the tag `_jsonparsefailure`, what is too much is cut and tagged, what Elasticsearch refuses is kept as a dead letter.
Text that follows an object in the same line belongs to no line, and Logstash may pass over it.
"""

SENDING = """\
## Sending lines

| way | port | for |
| --- | --- | --- |
| JSON lines over TCP with TLS | 5000 | applications; no acknowledgement, so what is under way when the connection breaks is lost |
| Beats with TLS | 5044 | Filebeat, which reads files and sends again what was not acknowledged |
| HTTP with TLS and a login | 5080 | an object or a list of objects in each request |
| the host's journal, by rsyslog | 5000 | hosts without an agent: see [log shipping](#log-shipping) |

The CA certificate is in the secrets folder of the inventory (`.secrets/pki/ca.crt`); the login for HTTP is `logstash_http_username` and
`logstash_http_password`. A line over `logstash_tcp_line_limit_bytes` (4 MiB) is refused and its connection ended.

### winston

An application need not know the names of the contract: `transactionId`, say, becomes `transaction.id`.

```javascript
const tls = require('tls');
const fs = require('fs');
const { Writable } = require('stream');
const winston = require('winston');

// One connection that comes back by itself; lines wait in memory meanwhile, up to 1,000 of them.
function logstash(host, port, ca) {
  let socket = null;
  const waiting = [];
  const connect = () => {
    socket = tls.connect({ host, port, ca, servername: host }, () => waiting.splice(0).forEach((line) => socket.write(line)));
    socket.on('error', () => {});
    socket.on('close', () => { socket = null; setTimeout(connect, 2000).unref(); });
  };
  connect();
  return new Writable({
    write(line, encoding, done) {
      if (socket && !socket.connecting) socket.write(line);
      else if (waiting.push(line) > 1000) waiting.shift();
      done();
    },
  });
}

const logger = winston.createLogger({
  level: 'info',
  defaultMeta: { service: 'pachedu-api', category: 'application' },
  format: winston.format.combine(winston.format.timestamp(), winston.format.errors({ stack: true }), winston.format.json()),
  transports: [new winston.transports.Stream({ stream: logstash('logs.example.org', 5000, fs.readFileSync('/etc/pachedu/ca.crt')) })],
});

logger.info('Transaction processed', {
  transactionId: 'txn_123', amount: 1000.00, currency: 'ZAR', status: 'completed', processingTime: 150,
  userId: 'user_456', recipientId: 'recipient_789',
});
logger.warn('Login failed', { category: 'access', action: 'login', outcome: 'failure', userId: 'user_456', ip: '198.51.100.7' });
```

### Python

```python
import datetime
import json
import logging


class JsonLines(logging.Formatter):
    def format(self, record):
        when = datetime.datetime.fromtimestamp(record.created, datetime.timezone.utc)
        line = {
            "@timestamp": when.isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "service": "pachedu-api",
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = {"type": record.exc_info[0].__name__, "message": str(record.exc_info[1])}
            line["stack_trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


handler = logging.StreamHandler()  # to a file or the journal, from where Filebeat or log shipping takes it
handler.setFormatter(JsonLines())
logging.basicConfig(level=logging.INFO, handlers=[handler])
fields = {"transactionId": "txn_123", "amount": 1000.0, "currency": "ZAR", "status": "completed"}
logging.info("Transaction processed", extra={"fields": fields})
```

### Filebeat

Lines are parsed by Logstash, not by Filebeat. A file of plain text will do as well: each line is then a message.

```yaml
filebeat.inputs:
  - type: filestream
    id: pachedu-api
    paths: [/var/log/pachedu/*.log]
output.logstash:
  hosts: ["logs.example.org:5044"]
  ssl.certificate_authorities: [/etc/filebeat/ca.crt]
```

### Log shipping

Hosts in the inventory group `log_shipping` send their journal: the role of that name runs an instance of the distribution's rsyslog. It
is off until a host is put into the group, since it installs two packages and takes 48 MiB of the memory plan.
With the platform's own hosts in it the platform's services log into the platform. Programs such as `sshd` and `sudo` are put into a
category by the rules above. Systemd's unit without its suffix is `service.name`.

- The journal is the queue: while Logstash cannot be reached nothing is read from it, and afterwards reading goes on where it ended, also
  after a restart. A line may come twice then, none is left out.
- The journal is bounded by journald: by default 10 % of the disk and at most 4 GiB (`SystemMaxUse`). In an outage longer than that the
  oldest lines go first; they are lost for Logstash, and the newest are shipped.
- TCP has no acknowledgement: when a connection breaks without being closed (a lost network, a killed Logstash), what was in the
  buffers of the two hosts is lost, some hundred lines at the most. Where Logstash ends in order, one line may be.
"""

KEEPING = """\
## Reading lines

- **Kibana and Grafana** show all categories to everybody who may log in there. Give logins accordingly.
- **Elasticsearch** has a role for each group of readers of the table above. A login of your own with one of them:
  `elasticsearch_extra_users: [{name: nomsa, password: …, roles: [observability_logs_compliance]}]`.
- A line and its trace: `trace.id` is a link to Jaeger in Grafana, and a trace has a link to its lines.

## Where filters end

The stand-in for Logstash, which the lab runs where the vendor's archive cannot be had, runs no filters: what is in this page about
parsing, categories and masking is true of the real Logstash alone. `make test-logstash LOGSTASH_HOME=…` proves it there: it replays
CASES cases of `tests/logs/cases` through the filters as they are deployed. In `make demo` the demo platform writes into the same indices
itself, in the contract's form; that way is for the demo only.

## Dead letters

A line that Elasticsearch refuses is kept below `/var/lib/logstash/dead_letter_queue`, in the bounds of `logstash_dead_letter_queue_mb` and
`logstash_dead_letter_queue_retain_age`; their number is watched. When the cause is gone, replay them:

```console
ansible-playbook -i INVENTORY site.yml --limit logstash --tags logstash -e logstash_replay_dead_letters=true
ansible-playbook -i INVENTORY site.yml --limit logstash --tags logstash
```

The first run adds a second pipeline that sends them again, the second takes it away.

They come back as they were after the filters, masked already, and each goes to the index that it was meant for. What is read is deleted;
what Elasticsearch refuses again is kept as a dead letter of the second pipeline, with the reason in Logstash's log.
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def code(values: list) -> str:
    return ", ".join(f"`{value}`" for value in values)


def categories(contract: dict) -> list[str]:
    words = {"day": "a day", "month": "a month"}
    lines = [
        "## The categories",
        "",
        "| category | what belongs there | kept | an index holds | who may read it |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, category in contract["categories"].items():
        kept = f"{category['age_days']} days" + (", always" if category["protected"] else ", if bytes allow")
        lines.append(f"| `{name}` | {category['meaning']} | {kept} | {words[category['period']]} | {', '.join(category['readers'])} |")
    order = sorted(contract["categories"], key=lambda name: contract["categories"][name]["deletion_order"])
    lines += [
        "",
        "Kept is counted from the last day of an index. When all indices together pass the budget of the disk plan, the oldest index of",
        f"the first of these goes first: {code(order)}; but never one that is always kept before its days are over.",
        "`log_retention_days` changes the days.",
        "",
        "A line is of the category that its field `category` names. Where it names none, the first rule with a match decides:",
        "",
        "| field | values |",
        "| --- | --- |",
    ]
    for rule in contract["category_rules"]:
        groups: dict[str, list[str]] = {}
        for value, category in rule["values"].items():
            groups.setdefault(category, []).append(value)
        told = "; ".join(f"{category}: {code(values)}" for category, values in groups.items())
        lines.append(f"| `{rule['field']}` | {told} |")
    return [*lines, "", f"Everything else is `{contract['default_category']}`.", ""]


def levels(contract: dict) -> list[str]:
    lines = ["## The levels", "", "| level | also written |", "| --- | --- |"]
    lines += [f"| `{level}` | {code(others)} |" for level, others in contract["levels"].items()]
    return [
        *lines,
        "",
        f"In any case of letters. A line without a level is `{contract['default_level']}`; so is one with an unknown level, with the tag",
        "`_level_unknown`.",
        "",
    ]


def fields(contract: dict) -> list[str]:
    lines = ["## The fields", "", "| field | type | meaning | also written |", "| --- | --- | --- | --- |"]
    for name, field in contract["fields"].items():
        kind = field["type"] + (", several" if field.get("list") else "") + (", by Logstash alone" if field.get("filled_by") else "")
        lines.append(f"| `{name}` | {kind} | {cell(field['meaning'])} | {code(field.get('aliases', []))} |")
    return [
        *lines,
        "",
        "Dots are nested objects in JSON; names with dots in them are taken as well. What does not fit its type, and every other field, is",
        "kept below `extra`, where it can be searched as text (`extra.tenant: t1`). Mappings are closed: no line adds a field to an index.",
        "",
    ]


def privacy(contract: dict) -> list[str]:
    lines = ["## Personal data and secrets", "", "| field | what happens to it | why |", "| --- | --- | --- |"]
    for name, field in contract["fields"].items():
        personal = field.get("personal")
        if personal:
            done = "kept" if personal["treatment"] == "kept" else f"replaced by its keyed hash, `{personal['hash']}`"
            lines.append(f"| `{name}` | {done} | {personal['why']} |")
    removed = contract["removed_fields"]
    lines += [
        "",
        "A hash finds all lines of one address or number for those who know it and the key (`logstash_hash_key`), and tells others",
        "nothing:",
        "",
        "```console",
        'printf %s ann@example.org | openssl dgst -sha256 -hmac "$(cat .secrets/log_hash_key)"',
        "```",
        "",
        "E-mail addresses are hashed in lower case, numbers without anything but digits and letters, and without a leading 00.",
        "",
        f"Whole fields are replaced by `{removed['replacement']}`, at any depth: names that end in {code(removed['endings'])},",
        f"and {code(removed['names'])}.",
        "",
        "In every text, whatever field it is in, is replaced:",
        "",
        "| by | what |",
        "| --- | --- |",
    ]
    lines += [f"| `{mask['replacement']}` | {mask['meaning']} |" for mask in contract["masks"].values()]
    return [
        *lines,
        "",
        "Names of people in a free text cannot be recognised: do not log them. A number that only looks like a card (a tenth of all order",
        "numbers of 13 to 19 digits that begin with 3 to 6 have a fitting check digit) or like a phone number is masked as well: give such",
        "numbers a prefix of letters that belongs to them, as in `txn_…`, or keep them shorter.",
        "",
        "## Limits",
        "",
        "| limit | value |",
        "| --- | --- |",
        *(f"| `{name}` | {value} |" for name, value in contract["limits"].items()),
        "",
        "What is more is cut or left out, and the line has a tag with the name of the limit, such as `_limit_keys`; texts of known fields",
        "are cut without one. A line that says that it is from the future, or from before what its category keeps, goes into the index",
        "of its arrival, with the tag `_time_out_of_range`.",
        "",
    ]


def page(contract: dict, cases: int) -> str:
    lines = [
        HEAD,
        *categories(contract),
        SENDING,
        *fields(contract),
        *levels(contract),
        *privacy(contract),
        KEEPING.replace("CASES", str(cases)),
    ]
    return "\n".join(lines).rstrip("\n") + "\n"


def main(arguments: list[str]) -> int:
    text = page(yaml.safe_load(CONTRACT.read_text()), len(cases.read()))
    return generated.keep(PAGE, text, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
