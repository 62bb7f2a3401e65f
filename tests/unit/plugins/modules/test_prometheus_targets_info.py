# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.pachedu.observability.plugins.modules import prometheus_targets_info

SCRAPED = "2026-11-23T23:13:39.309183895Z"
NEVER = "0001-01-01T00:00:00Z"


def target(job, instance, health="up", last_scrape=SCRAPED, error=""):
    """An active target as Prometheus 3.16.0 lists it."""
    return {
        "discoveredLabels": {"__address__": instance, "__metrics_path__": "/metrics", "__scheme__": "https", "job": job},
        "labels": {"instance": instance, "job": job},
        "scrapePool": job,
        "scrapeUrl": f"https://{instance}/metrics",
        "globalUrl": f"https://{instance}/metrics",
        "lastError": error,
        "lastScrape": last_scrape,
        "lastScrapeDuration": 0.010328191,
        "health": health,
        "scrapeInterval": "15s",
        "scrapeTimeout": "10s",
    }


class Prometheus(BaseHTTPRequestHandler):
    """Gives its answers one after the other, the last one for ever."""

    def do_GET(self):  # The name is the base class's.
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        answers = self.server.answers
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        pass


def listed(*targets):
    answer = {"status": "success", "data": {"activeTargets": list(targets), "droppedTargets": [], "droppedTargetCounts": None}}
    return 200, json.dumps(answer).encode()


@pytest.fixture
def prometheus():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Prometheus)
    server.seen, server.answers = [], [listed()]
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(prometheus, capsys, monkeypatch):
    monkeypatch.setattr(prometheus_targets_info, "PAUSE", 0.05)

    def call(*answers, timeout=5, check_mode=False, **options):
        prometheus.answers = list(answers)
        url = f"http://127.0.0.1:{prometheus.server_address[1]}/"
        given = {"url": url, "username": "admin", "password": "s3cret", "timeout": timeout, "_ansible_check_mode": check_mode, **options}
        with patch_module_args(given), pytest.raises(SystemExit):
            prometheus_targets_info.main()
        return json.loads(capsys.readouterr().out)

    return call


def rows(result):
    return [(row["check"], row["status"], row["detail"]) for row in result["rows"]]


@pytest.mark.parametrize("check_mode", [False, True])
def test_all_are_up_at_once(run, prometheus, check_mode):
    answer = listed(target("node-exporter", "one:9100"), target("prometheus", "one:9090"))
    result = run(answer, required_jobs=["prometheus", "node-exporter"], check_mode=check_mode)
    assert result["changed"] is False
    assert rows(result) == [("targets prometheus", "ok", "1 of 1 up"), ("targets node-exporter", "ok", "1 of 1 up")]
    assert result["targets"]["prometheus"][0]["health"] == "up"
    assert prometheus.seen == [("/api/v1/targets?state=active", "Basic YWRtaW46czNjcmV0")]


def test_it_waits_for_targets_that_were_not_scraped_yet(run, prometheus):
    starting = listed(target("node-exporter", "one:9100", "unknown", NEVER))
    result = run((503, b"starting"), listed(), starting, listed(target("node-exporter", "one:9100")), required_jobs=["node-exporter"])
    assert rows(result) == [("targets node-exporter", "ok", "1 of 1 up")]
    assert len(prometheus.seen) == 4


def test_it_does_not_wait_for_jobs_that_are_not_required(run, prometheus):
    result = run(listed(target("pachedu-api", "api:5000", "down", error="no such host")), required_jobs=[])
    assert rows(result) == [("targets pachedu-api", "warn", "0 of 1 up; api:5000: no such host")]
    assert len(prometheus.seen) == 1


def test_a_required_target_that_stays_down_fails_after_the_timeout(run):
    answer = listed(target("node-exporter", "one:9100"), target("node-exporter", "two:9100", "down", error="connection refused"))
    result = run(answer, required_jobs=["node-exporter"], timeout=0.3)
    assert rows(result) == [("targets node-exporter", "fail", "1 of 2 up; two:9100: connection refused")]
    assert 0.2 <= result["seconds"] < 3


def test_a_required_job_without_targets_fails(run):
    result = run(listed(), required_jobs=["alertmanager"], timeout=0)
    assert rows(result)[0][:2] == ("targets alertmanager", "fail")


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ((401, b"Unauthorized"), "HTTP 401: the login is refused"),
        ((503, b"Service Unavailable\n"), "HTTP 503: Service Unavailable"),
        ((200, b"<html>"), "not JSON"),
        ((200, b'{"status": "success"}'), "did not answer with Prometheus' targets"),
        ((200, b"[]"), "did not answer with Prometheus' targets"),
    ],
)
def test_an_answer_that_is_none_is_a_row_that_fails(run, answer, detail):
    result = run(answer, timeout=0)
    assert result["targets"] == {}
    assert rows(result)[0][:2] == ("targets", "fail")
    assert detail in rows(result)[0][2]
    assert "s3cret" not in json.dumps(result)


def test_nobody_answers(run, prometheus):
    prometheus.shutdown()
    prometheus.server_close()
    result = run(timeout=0)
    assert rows(result)[0][:2] == ("targets", "fail")
    assert "refused" in rows(result)[0][2]
