# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The life of the demo platform: people who log in, ask for quotes and send money, and what the platform does for them.

Nothing waits: a request is an entry in the metrics with the time that it would have taken. A tick covers the time since the last one.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from collections.abc import Callable

from . import traces
from .contract import Metrics
from .incidents import INCIDENTS, Switches
from .logs import ACTIONS, CATEGORIES, NETWORKS, line
from .state import BACKUP_SIZES, CURRENCIES, DAY, State, numbers

COUNTRIES = {"ZA": 0.42, "ZW": 0.27, "BW": 0.09, "ZM": 0.12, "MZ": 0.10}
HOME_CURRENCY = {"ZA": "ZAR", "ZW": "ZWG", "BW": "BWP", "ZM": "ZMW", "MZ": "MZN"}
USD = {"ZAR": 0.055, "USD": 1.0, "ZWG": 0.037, "BWP": 0.073, "ZMW": 0.039, "MZN": 0.0157}
ABROAD = {"GB": 0.6, "US": 0.25, "AE": 0.15}  # where customers also live
FOREIGN = ("SG", "BR", "VN", "NL", "XX")  # where they do not
PAYMENT_METHODS = {"mobile_money": 0.46, "card": 0.24, "bank_transfer": 0.2, "cash": 0.1}
GATEWAYS = {"mobile_money": "mobile_money", "card": "card_acquirer", "bank_transfer": "bank_eft", "cash": "cash_agents"}
GATEWAY_SECONDS = {"mobile_money": 0.32, "card_acquirer": 0.24, "bank_eft": 0.55, "cash_agents": 0.12}
DEPENDENCY_SECONDS = {"exchange_rates": 0.07, "sanctions_lists": 0.12, "identity_verification": 0.8, "sms": 0.2, "email": 0.15}
SLOWED_DEPENDENCIES = ("exchange_rates", "identity_verification")
KYC = {"basic": (0.6, 20.0), "standard": (0.3, 600.0), "enhanced": (0.1, 14400.0)}  # share, usual seconds
QUEUES = {"payments": 1.6, "payouts": 1.2, "notifications": 3.0, "kyc": 0.3, "reconciliation": 0.5}  # messages a second
POOL = 20
LINES_PER_SECOND, LINES_AT_ONCE = 5.0, 50.0  # of each category of logs; what is more is left out
SLOW_SECONDS = 1.0  # from here on a request has a log line of its own
FAILING, UNANSWERED = 0.0003, 0.0002  # shares of the requests, in peace: together half of what the objective allows

# method, route, share of the requests, usual seconds, status of success, queries
ROUTES = (
    ("POST", "/api/v1/auth/login", 14, 0.09, "200", (("select", "users"), ("insert", "sessions"))),
    ("POST", "/api/v1/auth/register", 2, 0.14, "201", (("select", "users"), ("insert", "users"))),
    ("GET", "/api/v1/quotes", 22, 0.04, "200", (("select", "exchange_rates"),)),
    ("POST", "/api/v1/transactions", 16, 0.09, "201", (("select", "recipients"), ("insert", "transactions"), ("insert", "audit_events"))),
    ("GET", "/api/v1/transactions/:id", 16, 0.03, "200", (("select", "transactions"),)),
    ("POST", "/api/v1/payments/callback", 8, 0.06, "200", (("update", "transactions"),)),
    ("GET", "/api/v1/recipients", 6, 0.03, "200", (("select", "recipients"),)),
    ("POST", "/api/v1/recipients", 2, 0.05, "201", (("insert", "recipients"),)),
    ("DELETE", "/api/v1/recipients", 1, 0.04, "204", (("delete", "recipients"),)),
    ("POST", "/api/v1/kyc/documents", 3, 0.2, "202", (("insert", "kyc_documents"),)),
    ("GET", "/api/v1/users/me", 12, 0.03, "200", (("select", "users"),)),
    ("PUT", "/api/v1/users/me", 1, 0.05, "200", (("update", "users"),)),
    ("PATCH", "/api/v1/users/me", 1, 0.05, "200", (("update", "users"),)),
    ("GET", "/api/v1/exports", 1, 0.35, "200", (("select", "transactions"),)),
    ("GET", "/health", 6, 0.003, "200", ()),
)
PAGES = (
    ("home", "/", 26, 0.05),
    ("login", "/login", 18, 0.06),
    ("send", "/send", 22, 0.08),
    ("history", "/history", 16, 0.09),
    ("profile", "/profile", 8, 0.06),
)
LIMITED = ("/api/v1/quotes", "/api/v1/transactions", "/api/v1/auth/login", "/api/v1/exports")


class Rhythm:
    """How busy a day is at a time: little at night, most before noon and in the evening. A day may be shorter than a real one."""

    ZONE = 2 * 3600  # Africa/Harare, the same all year

    def __init__(self, day_seconds: float = DAY) -> None:
        self.day_seconds = day_seconds
        self.pace = DAY / day_seconds  # seconds of the platform's life in one of ours

    def at(self, now: float) -> float:
        """Between 0.2 and 1."""
        hour = ((now * self.pace + self.ZONE) % DAY) / 3600
        return 0.2 + 0.8 * max(math.exp(-(((hour - peak) / width) ** 2)) for peak, width in ((11, 4), (18.5, 2.5), (35, 4)))


class Life:
    """What both applications have in common."""

    role = ""
    SERVICE = ""

    def __init__(
        self,
        metrics: Metrics,
        state: State,
        *,
        rhythm: Rhythm | None = None,
        requests_per_second: float = 8.0,
        log: Callable[[dict], None] | None = None,
        trace: Callable[[list], None] | None = None,
        sampling: float = 0.1,
        seed: int | None = None,
        quit: Callable[[], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.metrics = metrics
        self.state = state
        self.rhythm = rhythm or Rhythm()
        self.requests_per_second = requests_per_second
        self.switches = Switches()
        self.chance = random.Random(seed)
        self._clock = clock
        self.now = clock()
        self._log = log
        self._trace = trace
        self._sampling = sampling
        self._quit = quit
        self._budget = dict.fromkeys(CATEGORIES, LINES_AT_ONCE)  # each its own: a flood of one leaves room for the others
        self._quiet = False
        self._later: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        self._show_versions()

    # --- time

    def tick(self, seconds: float) -> None:
        """Live for some seconds, up to now."""
        for name in self.switches.ended():
            self.stop(name, over=True)
        self.now = self._clock()
        for category, left in self._budget.items():
            self._budget[category] = min(LINES_AT_ONCE, left + LINES_PER_SECOND * seconds)
        self.live(seconds, self.rhythm.at(self.now))
        while self._later and self._later[0][0] <= self.now:
            heapq.heappop(self._later)[2]()

    def advance(self, seconds: float) -> None:
        """Live for some seconds within an instant, without logs and traces, whose times would all be the same."""
        self._quiet = True
        try:
            for _turn in range(int(seconds)):
                self._later = [(due - 1, number, do) for due, number, do in self._later]
                self.tick(1)
        finally:
            self._quiet = False

    def live(self, seconds: float, busy: float) -> None:
        raise NotImplementedError

    def after(self, seconds: float, do: Callable[[], None]) -> None:
        if len(self._later) < 2000:
            heapq.heappush(self._later, (self.now + seconds, next(self._number), do))

    # --- chance

    def often(self, rate: float, seconds: float) -> int:
        """How many times something of this rate a second happens."""
        expected = rate * seconds
        if expected > 50:
            return max(0, round(self.chance.gauss(expected, math.sqrt(expected))))
        left, count = math.exp(-expected), -1
        product = 1.0
        while product > left:
            product *= self.chance.random()
            count += 1
        return max(0, count)

    def pick(self, shares: dict[str, float]) -> str:
        return self.chance.choices(list(shares), list(shares.values()))[0]

    def took(self, usual: float, spread: float = 0.5) -> float:
        return usual * self.chance.lognormvariate(0, spread)

    def maybe(self, probability: float) -> bool:
        return self.chance.random() < probability

    # --- incidents

    def start(self, name: str, seconds: float | None = None) -> str:
        """Switch an incident on; returns what to tell."""
        incident = INCIDENTS[name]
        if self.role == "frontend" and not incident.frontend:
            return "has no part in it"
        if incident.once:
            getattr(self, name)()
            self.state.save()
            return "done"
        self.switches.start(name, seconds)
        self.begun(name)
        return "started"

    def stop(self, name: str, over: bool = False) -> str:
        if not self.switches.stop(name) and not over:
            return "was not on"
        self.finished(name)
        return "stopped"

    def begun(self, name: str) -> None:
        """Called when an incident starts."""

    def finished(self, name: str) -> None:
        """Called when an incident ends."""

    def restart(self) -> None:
        if self._quit is not None:
            self._quit()

    def deployment(self) -> None:
        self._deploy("deployment", self.state.next_version(), self.took(290, 0.1), self.took(1.8 * DAY, 0.4))

    def rollback(self) -> None:
        self._deploy("rollback", self.state.previous_version(), self.took(90, 0.1), None)

    def _deploy(self, kind: str, version: str, seconds: float, lead: float | None) -> None:
        self.metrics["pachedu_build_info"].remove(version=self.state.running, revision=self._revision())
        forgotten = self.state.deploy(kind, version, self._clock(), round(seconds, 1), lead and round(lead))
        for entry in forgotten:
            labels = {"kind": entry["kind"], "version": entry["version"]}
            for name in ("pachedu_deployments_total", "pachedu_deployment_timestamp_seconds", "pachedu_deployment_duration_seconds"):
                self.metrics[name].remove(**labels)
            self.metrics["pachedu_deployment_lead_time_seconds"].remove(version=entry["version"])
        self.metrics["pachedu_deployments_total"].inc(kind=kind, version=version)
        self._show_versions(counts=False)
        action, message = ("deployed", "Version deployed") if kind == "deployment" else ("rolled_back", "Version rolled back")
        self.log(action, message, user__id="pipeline", user__roles="service", pachedu__version=version)

    def _show_versions(self, counts: bool = True) -> None:
        self.metrics["pachedu_build_info"].set(1, version=self.state.running, revision=self._revision())
        for entry in self.state.values["versions"]:
            labels = {"kind": entry["kind"], "version": entry["version"]}
            if counts:
                self.metrics["pachedu_deployments_total"].inc(entry["count"], **labels)
            self.metrics["pachedu_deployment_timestamp_seconds"].set(entry["at"], **labels)
            self.metrics["pachedu_deployment_duration_seconds"].set(entry["seconds"], **labels)
            if entry["lead"] is not None:
                self.metrics["pachedu_deployment_lead_time_seconds"].set(entry["lead"], version=entry["version"])

    def _revision(self) -> str:
        major, minor, patch = numbers(self.state.running)
        return f"{(major * 7919 + minor * 104729 + patch * 1299709) * 2654435761 % 0xFFFFFFF:07x}"

    # --- logs and traces

    def log(self, action: str, message: str, level: str = "info", **fields: object) -> None:
        category = ACTIONS[action]
        if self._log is None or self._quiet or self._budget[category] < 1:
            return
        self._budget[category] -= 1
        fields.update(service__name=self.SERVICE, service__version=self.state.running)
        self._log(line(action, message, self.now - self.chance.random() * 0.5, level, **fields))

    def send_trace(self, trace: str, spans: list[traces.Span]) -> None:
        if self._trace is not None and not self._quiet:
            self._trace(traces.otlp(trace, spans, self.state.running, self.chance))

    def sampled(self, failed: bool) -> bool:
        return self._trace is not None and not self._quiet and (failed or self.maybe(self._sampling))

    def user(self) -> str:
        return f"user_{self.chance.randrange(1000, 9999)}"

    def address(self, network: str) -> str:
        return f"{NETWORKS[network]}.{self.chance.randrange(1, 255)}"


class Frontend(Life):
    """The frontend: it shows pages, and browsers tell it how long that took."""

    role = "frontend"
    SERVICE = "pachedu-frontend"

    def __init__(self, metrics: Metrics, state: State, **options) -> None:
        super().__init__(metrics, state, **options)
        for _page, route, _share, _usual in PAGES:  # like other counters they start at 0
            for status in ("500", "502"):
                metrics["http_request_duration_seconds"].series(method="GET", route=route, status_code=status)

    def live(self, seconds: float, busy: float) -> None:
        rate = self.requests_per_second * busy
        loads = self.often(rate / 4, seconds)
        for page, route, _share, usual in self.chance.choices(PAGES, [share for _page, _route, share, _usual in PAGES], k=loads):
            self.page(page, route, usual)
        for _turn in range(self.often(rate / 12, seconds)):
            kind = self.pick({"javascript": 0.2, "network": 0.6, "resource": 0.2})
            if self.maybe(0.6 if "errors" in self.switches or "database_down" in self.switches else 0.02):
                self.metrics["pachedu_frontend_errors_total"].inc(kind=kind)
        slow = 2.5 if "slow_api" in self.switches else 0.1
        self.metrics["pachedu_http_requests_in_progress"].set(self.often(rate * slow, 1))

    def page(self, page: str, route: str, usual: float) -> None:
        seconds, status = self.took(usual), "200"
        if "slow_api" in self.switches:
            seconds += self.chance.uniform(1, 5)
        if "database_down" in self.switches and page != "home":
            status = "502"
        elif self.maybe(0.125 if "errors" in self.switches else FAILING):
            status = "500"
        elif page == "home" and self.maybe(0.3):
            status = "304"
        elif page == "login" and self.maybe(0.3):
            status = "302"  # to where somebody wanted to go who had to log in first
        observe = self.metrics["http_request_duration_seconds"].observe
        observe(seconds, method="GET", route=route, status_code=status)
        for _turn in range(3):
            observe(self.took(0.004), method="GET", route="/static/*", status_code="304" if self.maybe(0.5) else "200")
        device = "mobile" if self.maybe(0.7) else "desktop"
        self.metrics["pachedu_page_load_seconds"].observe(seconds + self.took(0.9 if device == "mobile" else 0.5), page=page, device=device)
        failed = status >= "500"
        if self.sampled(failed):
            attributes = {"http.request.method": "GET", "http.route": route, "http.response.status_code": int(status)}
            error = f"The page could not be shown: {status}" if failed else ""
            span = traces.Span(self.SERVICE, f"GET {route}", traces.SERVER, self.now - seconds, seconds, attributes, error)
            render = traces.Span(
                self.SERVICE, f"render {page}", traces.INTERNAL, span.start + seconds * 0.1, seconds * 0.7, {}, parent=span
            )
            self.send_trace(traces.trace_id(self.chance), [span, render])


class Api(Life):
    """The api: it knows users, moves money, and keeps an eye on both."""

    role = "api"
    SERVICE = "pachedu-api"

    def __init__(self, metrics: Metrics, state: State, **options) -> None:
        self._queues = dict.fromkeys(QUEUES, 0.0)  # messages beyond the usual
        self._queue_since: dict[str, float] = {}
        self._kyc_waiting = {"basic": 6.0, "standard": 9.0, "enhanced": 4.0}
        self._kyc_since = 0.0
        self._cases = {"low": 14.0, "medium": 6.0, "high": 1.0}
        self._backup_in = {name: 30.0 + 60 * number for number, name in enumerate(BACKUP_SIZES)}
        super().__init__(metrics, state, **options)
        self._start_limits_at_zero()
        self._show_state()

    def _start_limits_at_zero(self) -> None:
        """The series that rise only in an incident and whose routes are no closed set: like other counters they start at 0."""
        for method, route, _share, _usual, _status, queries in ROUTES:
            for status in ("500", *(("503",) if queries else ()), *(("429",) if route in LIMITED else ())):
                self.metrics["http_request_duration_seconds"].series(method=method, route=route, status_code=status)
        for route in LIMITED:
            for client in ("anonymous", "customer", "partner"):
                self.metrics["pachedu_rate_limit_hits_total"].series(route=route, client_class=client)

    def _show_state(self) -> None:
        self.metrics["pachedu_database_pool_max_connections"].set(POOL)
        for currency in CURRENCIES:
            self.metrics["pachedu_exchange_rate_usd"].set(USD[currency] * self.chance.uniform(0.995, 1.005), currency=currency)
            self.metrics["pachedu_revenue_total"].set(self.state.values["revenue"][currency], currency=currency)
        for name, backup in self.state.values["backups"].items():
            self._show_backup(name, backup)

    # --- a tick

    def live(self, seconds: float, busy: float) -> None:
        rate = self.requests_per_second * busy
        for route in self.chance.choices(ROUTES, [route[2] for route in ROUTES], k=self.often(rate, seconds)):
            self.request(*route)
        pace = min(self.rhythm.pace, 60)
        for _turn in range(self.often(0.1 * busy * pace, seconds)):
            self.verify_identity()
        for _turn in range(self.often(0.05 * pace, seconds)):
            self.colleague_at_work()
        for _turn in range(self.often(0.01 * pace, seconds)):
            report = self.pick({"suspicious_transaction": 0.3, "cash_threshold": 0.4, "cross_border": 0.3})
            self.metrics["pachedu_regulatory_reports_total"].inc(report=report, result="submitted")
        for _turn in range(self.often(0.0005 * pace, seconds)):
            self.change_configuration(self.pick({"features": 0.7, "integrations": 0.3}), "pipeline")
        self._backups(seconds * pace)
        self._gauges(busy, rate, seconds)
        self._incidents(seconds)

    def _gauges(self, busy: float, rate: float, seconds: float) -> None:
        metrics, users = self.metrics, self.state.values["users"]
        for country, count in users.items():
            place = metrics.place(country)
            metrics["pachedu_registered_users"].set(count, **place)
            for period, share in (("5m", 0.012 * busy), ("24h", 0.09), ("30d", 0.35)):
                metrics["pachedu_active_users"].set(round(count * share * self.chance.uniform(0.98, 1.02)), period=period, **place)
        down, slow = "database_down" in self.switches, "slow_database" in self.switches
        used = 0 if down else POOL if slow else min(POOL, 2 + self.often(rate * 0.3, 1))
        metrics["pachedu_database_pool_connections"].set(used, state="used")
        metrics["pachedu_database_pool_connections"].set(0 if down else min(POOL, max(used, 8)) - used, state="idle")
        metrics["pachedu_database_pool_waiting_requests"].set(5 + self.often(rate * 2, 1) if down or slow else 0)
        busy_for = 3 if "slow_api" in self.switches else 2 if slow else 0.12
        metrics["pachedu_http_requests_in_progress"].set(self.often(rate * busy_for, 1))
        for name, share in (("customer", 0.02), ("agent", 0.002), ("support", 3e-4), ("compliance", 1e-4), ("administrator", 5e-5)):
            metrics["pachedu_active_sessions"].set(round(sum(users.values()) * share * (0.3 + busy)), user_class=name)
        metrics["pachedu_active_sessions"].set(6, user_class="service")
        self._queue_gauges(busy, seconds)
        for level, count in self._kyc_waiting.items():
            waiting = "kyc_backlog" in self.switches
            metrics["pachedu_kyc_pending_verifications"].set(round(count), level=level)
            oldest = self.now - self._kyc_since if waiting else KYC[level][1] * self.chance.uniform(0.8, 2)
            metrics["pachedu_kyc_oldest_pending_age_seconds"].set(oldest, level=level)
            if waiting:
                self._kyc_waiting[level] += KYC[level][0] * 2 * seconds
        for severity, count in self._cases.items():
            metrics["pachedu_aml_open_cases"].set(round(count), severity=severity)

    def _queue_gauges(self, busy: float, seconds: float) -> None:
        for queue, usual in QUEUES.items():
            stuck = queue in self._queue_since
            rate = usual * busy * self.requests_per_second / 8
            if stuck:
                self._queues[queue] += rate * seconds
            else:
                taken = min(self._queues[queue], 200 * seconds)  # a backlog is worked off quickly
                self._queues[queue] -= taken
                done = self.often(rate, seconds) + round(taken)
                self.metrics["pachedu_queue_processed_messages_total"].inc(done, queue=queue, result="done")
                if self.maybe(min(1.0, 0.01 * done)):
                    result = "dead" if self.maybe(0.05) else "retried"
                    self.metrics["pachedu_queue_processed_messages_total"].inc(queue=queue, result=result)
            backlog = self._queues[queue]
            self.metrics["pachedu_queue_messages"].set(round(backlog) + self.often(rate * 4, 1), queue=queue)
            age = self.now - self._queue_since[queue] if stuck else backlog / 50 + self.chance.uniform(0.2, 2)
            self.metrics["pachedu_queue_oldest_message_age_seconds"].set(age, queue=queue)

    # --- requests

    def request(self, method: str, route: str, _share: int, usual: float, status: str, queries: tuple) -> None:
        country = self.pick(COUNTRIES)
        seconds = self.took(usual)
        parts: list[tuple[str, str, float, str]] = []  # service, name, seconds, error
        error = ""
        if queries and "database_down" in self.switches:
            self.metrics["pachedu_database_errors_total"].inc(kind="connection")
            status, error = "503", "No connection to the database"
        elif self.maybe(0.125 if "errors" in self.switches else FAILING):
            status, error = "500", "The request could not be carried out"
        elif self.maybe(0.01 if "errors" in self.switches else UNANSWERED):
            status, error = ("504" if self.maybe(0.5) else "502"), "An external service gave no answer"
        else:
            if queries and not route.startswith("/api/v1/auth/"):
                self.metrics["pachedu_cache_requests_total"].inc(cache="sessions", result="hit" if self.maybe(0.97) else "miss")
            for operation, table in queries:
                took, problem = self.query(operation, table)
                parts.append(("pachedu-database", f"{operation} {table}", took, problem))
                seconds += took
                if problem:
                    status, error = "503", problem
            if not error:
                status = self.refuse(route, status)
            if status < "300":
                seconds += self.after_success(route, country, parts)
        if "slow_api" in self.switches and route != "/health":
            seconds += self.chance.uniform(1, 5)
        if route == "/api/v1/auth/login":
            self.login(country, status)
        trace = traces.trace_id(self.chance)
        self.answered(method, route, status, seconds, country)
        self._tell(method, route, status, seconds, error, country, trace)
        if status == "403":
            self.log(
                "access_denied",
                "Access denied",
                "warn",
                event__outcome="failure",
                user__id=self.user(),
                user__roles="customer",
                source__ip=self.address("home"),
                client__geo__country_iso_code=country,
            )
        if self.sampled(bool(error)):
            self._spans(trace, method, route, status, seconds, error, parts)

    def answered(self, method: str, route: str, status: str, seconds: float, country: str | None = None) -> None:
        self.metrics["http_request_duration_seconds"].observe(seconds, method=method, route=route, status_code=status)
        if country is not None and route != "/health":
            self.metrics["pachedu_country_request_duration_seconds"].observe(seconds, **self.metrics.place(country))

    def query(self, operation: str, table: str) -> tuple[float, str]:
        """How long a query took, and what went wrong."""
        cached = {"users": "user_profiles", "exchange_rates": "exchange_rates"}.get(table)
        if cached and operation == "select":
            hit = self.maybe(0.92)
            self.metrics["pachedu_cache_requests_total"].inc(cache=cached, result="hit" if hit else "miss")
            if hit and self.maybe(0.7):
                return 0.001, ""
        took, problem = self.took(0.004 if operation == "select" else 0.007, 0.6), ""
        if "slow_database" in self.switches:
            took *= 100
            if self.maybe(0.04):
                kind = "timeout" if self.maybe(0.8) else "deadlock"
                problem = f"The query ended with a {kind}"
                self.metrics["pachedu_database_errors_total"].inc(kind=kind)
            elif took >= SLOW_SECONDS:
                self.log("slow_query", "Query was slow", "warn", pachedu__processing_time_ms=round(took * 1000))
        elif self.maybe(0.0005):
            self.metrics["pachedu_database_errors_total"].inc(kind="constraint")
        self.metrics["db_query_duration_seconds"].observe(took, operation=operation, table=table)
        return took, problem

    def refuse(self, route: str, status: str) -> str:
        """The status of a request in which its sender did something wrong."""
        if route == "/api/v1/auth/login" and self.maybe(0.06):
            return "401"
        if route in LIMITED and self.maybe(0.002):
            client = self.pick({"anonymous": 0.3, "customer": 0.5, "partner": 0.2})
            self.metrics["pachedu_rate_limit_hits_total"].inc(route=route, client_class=client)
            return "429"
        if route == "/health":
            return status
        if route.endswith(":id") and self.maybe(0.01):
            return "404"
        wrong = {
            "/api/v1/recipients": ("409", 0.01),
            "/api/v1/transactions": ("422", 0.015),
            "/api/v1/quotes": ("400", 0.01),
            "/api/v1/users/me": ("401", 0.015),
            "/api/v1/exports": ("403", 0.1),
        }
        answer, probability = wrong.get(route, (status, 0.0))
        return answer if self.maybe(probability) else status

    def after_success(self, route: str, country: str, parts: list) -> float:
        """What a successful request sets off; returns the seconds that it waits for others."""
        if route == "/api/v1/auth/register":
            self.state.values["users"][country] += 1
            channel = self.pick({"mobile": 0.7, "web": 0.2, "agent": 0.1})
            self.metrics["pachedu_user_registrations_total"].inc(channel=channel, **self.metrics.place(country))
            self.log("user_registered", "User registered", user__id=self.user(), client__geo__country_iso_code=country)
            return self.call("sms")
        if route == "/api/v1/quotes" and self.maybe(0.3):
            took = self.call("exchange_rates")
            parts.append(("exchange-rates", "GET rates", took, ""))
            return took
        if route == "/api/v1/transactions":
            return self.transaction(country, parts)
        if route == "/api/v1/exports":
            self.read_sensitive("customer", "transaction_history")
            self.export("customer", self.took(2e5, 1), "transaction_history")
        return 0.0

    def call(self, dependency: str) -> float:
        took, result = self.took(DEPENDENCY_SECONDS[dependency]), "success"
        if "dependency_slow" in self.switches and dependency in SLOWED_DEPENDENCIES:
            took *= 10
            if self.maybe(0.2):
                took, result = 10.0, "timeout"
        elif self.maybe(0.002):
            result = "error"
        self.metrics["pachedu_dependency_duration_seconds"].observe(took, dependency=dependency)
        self.metrics["pachedu_dependency_requests_total"].inc(dependency=dependency, result=result)
        return took

    def _tell(self, method: str, route: str, status: str, seconds: float, error: str, country: str, trace: str) -> None:
        common = {
            "http__request__method": method,
            "http__route": route,
            "http__response__status_code": int(status),
            "trace__id": trace,
        }
        if error:
            self.log(
                "request_failed",
                "Request failed",
                "error",
                error__type="DatabaseError" if "database" in error or "query" in error else "ServerError",
                error__message=error,
                client__geo__country_iso_code=country,
                **common,
            )
        if seconds >= SLOW_SECONDS:
            self.log("slow_request", "Request was slow", "warn", pachedu__processing_time_ms=round(seconds * 1000), **common)
        elif self.maybe(0.03):
            self.log("request_timed", "Request answered", "debug", pachedu__processing_time_ms=round(seconds * 1000), **common)

    def _spans(self, trace: str, method: str, route: str, status: str, seconds: float, error: str, parts: list) -> None:
        start = self.now - seconds
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": int(status)}
        spans = []
        outer = None
        if route != "/health" and self.maybe(0.6):
            outer = traces.Span(
                "pachedu-frontend", f"{method} {route}", traces.CLIENT, start - 0.002, seconds + 0.004, dict(attributes), error
            )
            spans.append(outer)
        server = traces.Span(self.SERVICE, f"{method} {route}", traces.SERVER, start, seconds, attributes, error, outer)
        spans.append(server)
        begin = start + 0.001
        for service, name, took, problem in parts:
            kind = {"db.system": "postgresql"} if service == "pachedu-database" else {}
            spans.append(traces.Span(self.SERVICE, name, traces.CLIENT, begin, took, {**kind, "peer.service": service}, problem, server))
            begin += took
        self.send_trace(trace, spans)

    # --- logins

    def login(self, country: str, status: str) -> None:
        if status >= "500":
            return
        result = "success"
        if status != "200":
            result = self.pick({"bad_password": 0.7, "unknown_user": 0.15, "second_factor_failed": 0.1, "locked": 0.05})
        if self.maybe(0.06):
            country = self.pick(ABROAD)
        self.attempt(country, result)
        if result == "success" and self.maybe(0.004):
            self.unusual(self.pick({"new_device": 0.8, "new_country": 0.15, "anonymiser": 0.05}), country)

    def attempt(self, country: str, result: str) -> None:
        self.metrics["pachedu_login_attempts_total"].inc(country=country, result=result)
        if result == "success" and self.maybe(0.5):
            return  # Half of the logins is enough to look at.
        self.log(
            "login_blocked" if result == "locked" else "login",
            "Login succeeded" if result == "success" else "Login failed",
            "info" if result == "success" else "warn",
            event__outcome="success" if result == "success" else "failure",
            event__reason=None if result == "success" else result,
            user__id=self.user(),
            user__roles="customer",
            source__ip=self.address("home" if country in COUNTRIES else "abroad"),
            client__geo__country_iso_code=country,
        )

    def unusual(self, kind: str, country: str) -> None:
        self.metrics["pachedu_unusual_logins_total"].inc(kind=kind)
        self.log(
            "unusual_login",
            "Login differs from what the user does usually",
            "warn",
            event__reason=kind,
            user__id=self.user(),
            user__roles="customer",
            source__ip=self.address("abroad"),
            client__geo__country_iso_code=country,
        )

    # --- money

    def transaction(self, source: str, parts: list) -> float:
        destination = self.pick({country: share for country, share in COUNTRIES.items() if country != source})
        currency = "USD" if self.maybe(0.25) else HOME_CURRENCY[source]
        method = self.pick(PAYMENT_METHODS)
        amount = round(self.took(60, 0.8) / USD[currency], 2)
        fields = {
            "transaction__id": f"txn_{self.chance.getrandbits(48):012x}",
            "user__id": self.user(),
            "pachedu__recipient__id": f"recipient_{self.chance.randrange(1000, 9999)}",
            "pachedu__amount": amount,
            "pachedu__currency": currency,
            "pachedu__payment_method": method,
            "client__geo__country_iso_code": source,
        }
        self.metrics["pachedu_transactions_total"].inc(status="pending", currency=currency, payment_method=method)
        self.log("transaction_created", "Transaction accepted", pachedu__status="pending", **fields)
        screened = self.screen(fields)
        gateway = GATEWAYS[method]
        took, result = self.took(GATEWAY_SECONDS[gateway]), "approved"
        if gateway == "mobile_money" and "gateway_down" in self.switches and self.maybe(0.9):
            took, result = (10.0, "timeout") if self.maybe(0.7) else (took, "error")
        elif self.maybe(0.03):
            result = "declined"
        elif self.maybe(0.003):
            result = "error"
        self.metrics["pachedu_payment_gateway_requests_total"].inc(gateway=gateway, result=result)
        self.metrics["pachedu_payment_gateway_duration_seconds"].observe(took, gateway=gateway)
        problem = f"The payment gateway answered {result}" if result in ("error", "timeout") else ""
        parts.append((f"gateway-{gateway}".replace("_", "-"), "POST payment", took, problem))
        status = "completed" if result == "approved" and screened else "failed"
        total = took + self.took(8 if method in ("cash", "bank_transfer") else 1.2)
        self.after(min(total, 30), lambda: self.ended(source, destination, currency, method, amount, status, total, result, fields))
        return 0.02

    def ended(
        self, source: str, destination: str, currency: str, method: str, amount: float, status: str, total: float, result: str, fields: dict
    ) -> None:
        metrics = self.metrics
        metrics["pachedu_transactions_total"].inc(status=status, currency=currency, payment_method=method)
        metrics["pachedu_corridor_transactions_total"].inc(
            source_country=source, destination_country=destination, region=metrics.region(source), status=status
        )
        metrics["pachedu_transaction_processing_seconds"].observe(total, payment_method=method, status=status)
        if status == "completed":
            metrics["pachedu_transferred_amount_total"].inc(amount, currency=currency)
            revenue = self.state.values["revenue"]
            revenue[currency] += amount * (-0.03 if self.maybe(0.01) else 0.03)
            metrics["pachedu_revenue_total"].set(revenue[currency], currency=currency)
            self.call("email" if self.maybe(0.5) else "sms")
        failed = status == "failed"
        self.log(
            f"transaction_{status}",
            "Transaction failed" if failed else "Transaction processed",
            "error" if failed and result in ("error", "timeout") else "warn" if failed else "info",
            event__outcome="failure" if failed else "success",
            error__type="PaymentGatewayError" if failed and result != "approved" else None,
            error__message=f"The payment gateway answered {result}" if failed and result != "approved" else None,
            pachedu__status=status,
            pachedu__processing_time_ms=round(total * 1000),
            **fields,
        )

    def screen(self, fields: dict) -> bool:
        """Fraud detection and AML; False if the transaction is stopped."""
        passed = True
        for screening, review in (("sanctions", 0.003), ("politically_exposed", 0.004), ("transaction_monitoring", 0.01)):
            outcome = "clear"
            if self.maybe(review):
                outcome = "blocked" if self.maybe(0.15) else "review"
                passed = passed and outcome != "blocked"
            self.metrics["pachedu_aml_screenings_total"].inc(screening=screening, outcome=outcome)
        self.call("sanctions_lists")
        if self.maybe(0.012):
            rule = self.pick({"velocity": 0.3, "amount_limit": 0.25, "new_recipient": 0.2, "structuring": 0.15, "unusual_corridor": 0.1})
            self.suspicious(rule, self.pick({"flagged": 0.7, "held": 0.2, "blocked": 0.1}), fields)
        return passed

    def suspicious(self, rule: str, action: str, fields: dict) -> None:
        self.metrics["pachedu_suspicious_transactions_total"].inc(rule=rule, action=action)
        names = ("transaction__id", "user__id", "pachedu__amount", "pachedu__currency", "client__geo__country_iso_code")
        chosen = {name: fields[name] for name in names if name in fields}
        self.log("suspicious_transaction", "Suspicious transaction", "warn", event__reason=action, pachedu__rule=rule, **chosen)

    # --- KYC, and colleagues

    def verify_identity(self) -> None:
        level = self.pick({name: share for name, (share, _usual) in KYC.items()})
        took = self.took(KYC[level][1]) * (10 if "kyc_backlog" in self.switches else 1)
        status = self.pick({"approved": 0.86, "rejected": 0.08, "manual_review": 0.06})
        self.metrics["pachedu_kyc_processing_seconds"].observe(took, level=level, status=status)
        country = self.pick(COUNTRIES)
        if status != "manual_review":
            outcome = status if self.maybe(0.94) else self.pick({"abandoned": 0.8, "expired": 0.2})
            self.metrics["pachedu_kyc_outcomes_total"].inc(outcome=outcome, **self.metrics.place(country))
        self.call("identity_verification")
        self.log(
            "kyc_verified",
            "Identity verification ended",
            "info" if status == "approved" else "warn",
            user__id=self.user(),
            pachedu__status=status,
            pachedu__processing_time_ms=round(took * 1000),
            client__geo__country_iso_code=country,
        )

    def colleague_at_work(self) -> None:
        user_class = self.pick({"support": 0.5, "compliance": 0.25, "agent": 0.15, "administrator": 0.05, "service": 0.05})
        data = self.pick({"personal_data": 0.4, "transaction_history": 0.35, "identity_document": 0.2, "bank_account": 0.05})
        self.read_sensitive(user_class, data)
        if self.maybe(0.02 if user_class == "support" else 0.2):
            self.export(user_class, self.took(8e5, 1), data)

    def read_sensitive(self, user_class: str, data: str, count: int = 1) -> None:
        self.metrics["pachedu_sensitive_data_access_total"].inc(count, data_class=data, user_class=user_class)
        self.log(
            "sensitive_data_read",
            "Sensitive data read",
            user__id=f"{user_class}_{self.chance.randrange(1, 9)}",
            user__roles=user_class,
            source__ip=self.address("inside"),
            pachedu__data_class=data,
        )

    def export(self, user_class: str, size: float, data: str) -> None:
        self.metrics["pachedu_exported_bytes_total"].inc(round(size), user_class=user_class)
        self.log(
            "data_exported",
            "Data exported",
            user__id=self.user() if user_class == "customer" else f"{user_class}_{self.chance.randrange(1, 9)}",
            user__roles=user_class,
            source__ip=self.address("home" if user_class == "customer" else "inside"),
            pachedu__data_class=data,
            pachedu__bytes=round(size),
        )

    def change_configuration(self, area: str, actor: str) -> None:
        self.metrics["pachedu_configuration_changes_total"].inc(area=area, actor=actor)
        self.log(
            "configuration_changed",
            "Configuration changed",
            "warn" if actor == "person" else "info",
            user__id="administrator_1" if actor == "person" else "pipeline",
            user__roles="administrator" if actor == "person" else "service",
            source__ip=self.address("inside"),
            pachedu__setting=area,
        )

    # --- backups

    def _backups(self, seconds: float) -> None:
        """Each target is backed up every six hours of the platform's life."""
        for name in BACKUP_SIZES:
            self._backup_in[name] -= seconds
            if self._backup_in[name] <= 0:
                self._backup_in[name] = DAY / 4
                self.backup(name)

    def backup(self, name: str) -> None:
        failed = "backup_failure" in self.switches
        self.metrics["pachedu_backups_total"].inc(target=name, result="failure" if failed else "success")
        if not failed:
            backup = self.state.values["backups"][name]
            backup.update(at=self.now, bytes=min(backup["bytes"] * 1.001, BACKUP_SIZES[name] * 2))
            self._show_backup(name, backup)
        self.log(
            "backup_failed" if failed else "backup_finished",
            "Backup failed" if failed else "Backup finished",
            "error" if failed else "info",
            user__id="backup",
            user__roles="service",
            event__reason="no space left at the target" if failed else None,
            pachedu__bytes=None if failed else round(self.state.values["backups"][name]["bytes"]),
        )

    def _show_backup(self, name: str, backup: dict) -> None:
        self.metrics["pachedu_backup_last_success_timestamp_seconds"].set(backup["at"], target=name)
        self.metrics["pachedu_backup_size_bytes"].set(round(backup["bytes"]), target=name)

    # --- incidents

    def config_change(self) -> None:
        for area in ("security", "payments", "limits"):
            self.change_configuration(area, "person")

    def begun(self, name: str) -> None:
        if name == "backlog":
            for queue in ("payments", "payouts", "notifications"):
                self._queue_since.setdefault(queue, self.now - 900)
                self._queues[queue] = max(self._queues[queue], QUEUES[queue] * 900)
        elif name == "kyc_backlog":
            self._kyc_since = self.now - 2 * DAY
            self._kyc_waiting = {"basic": 260.0, "standard": 180.0, "enhanced": 70.0}
            self._queue_since["kyc"] = self.now - 3600
            self._queues["kyc"] = 500.0
        elif name == "aml_violation":
            self._cases = {"low": 40.0, "medium": 35.0, "high": 12.0}
        elif name == "backup_failure":
            for target, backup in self.state.values["backups"].items():
                backup["at"] = min(backup["at"], self.now - 30 * 3600)
                self._show_backup(target, backup)
                self.backup(target)

    def finished(self, name: str) -> None:
        if name == "backlog":
            for queue in ("payments", "payouts", "notifications"):
                self._queue_since.pop(queue, None)
        elif name == "kyc_backlog":
            self._kyc_waiting = {"basic": 6.0, "standard": 9.0, "enhanced": 4.0}
            self._queue_since.pop("kyc", None)
        elif name == "aml_violation":
            self._cases = {"low": 14.0, "medium": 6.0, "high": 1.0}
        elif name == "backup_failure":
            for target in BACKUP_SIZES:
                self.backup(target)

    def _incidents(self, seconds: float) -> None:
        """What incidents do by themselves, beside what they do to requests."""
        if "brute_force" in self.switches:
            for _turn in range(self.often(10, seconds)):
                result = self.pick({"bad_password": 0.6, "unknown_user": 0.3, "locked": 0.1})
                self.attempt(self.chance.choice(FOREIGN), result)
                limited = self.maybe(0.2)
                if limited:
                    self._limit("/api/v1/auth/login", "anonymous")
                else:
                    self.answered("POST", "/api/v1/auth/login", "401", self.took(0.09))
        if "unusual_geography" in self.switches:
            for _turn in range(self.often(0.5, seconds)):
                country = self.chance.choice(FOREIGN)
                self.attempt(country, "success" if self.maybe(0.8) else "bad_password")
                self.unusual(self.pick({"new_country": 0.4, "impossible_travel": 0.4, "anonymiser": 0.2}), country)
        if "exfiltration" in self.switches:
            self.read_sensitive("support", self.pick({"personal_data": 0.6, "identity_document": 0.4}), self.often(20, seconds))
            self.export("support", 2e7 * seconds * self.chance.uniform(0.8, 1.2), "personal_data")
        if "api_abuse" in self.switches:
            for _turn in range(self.often(15, seconds)):
                self._limit(
                    self.chance.choice(("/api/v1/quotes", "/api/v1/transactions", "/api/v1/exports")),
                    "partner" if self.maybe(0.7) else "anonymous",
                )
        if "aml_violation" in self.switches:
            self._violate(0.3, {"aml_limit_exceeded": 0.5, "aml_unreported": 0.4, "sanctions_breach": 0.1}, "high", "aml_alert", seconds)
            for _turn in range(self.often(1, seconds)):
                outcome = "blocked" if self.maybe(0.3) else "review"
                screening = "sanctions" if outcome == "blocked" else "transaction_monitoring"
                self.metrics["pachedu_aml_screenings_total"].inc(screening=screening, outcome=outcome)
                rule = self.pick({"structuring": 0.4, "velocity": 0.3, "sanctions_match": 0.3})
                self.suspicious(rule, "held" if rule != "sanctions_match" else "blocked", {"user__id": self.user()})
        if "compliance_violation" in self.switches:
            kinds = {"kyc_missing": 0.4, "kyc_expired": 0.3, "report_late": 0.2, "data_retention": 0.1}
            self._violate(0.3, kinds, "medium", "compliance_violation", seconds)
            for _turn in range(self.often(0.2, seconds)):
                result = "late" if self.maybe(0.7) else "rejected"
                self.metrics["pachedu_regulatory_reports_total"].inc(report="cross_border", result=result)
                self.metrics["pachedu_kyc_outcomes_total"].inc(outcome="expired", **self.metrics.place(self.pick(COUNTRIES)))

    def _limit(self, route: str, client: str) -> None:
        method = "GET" if route in ("/api/v1/quotes", "/api/v1/exports") else "POST"
        self.metrics["pachedu_rate_limit_hits_total"].inc(route=route, client_class=client)
        self.answered(method, route, "429", self.took(0.003))
        self.log(
            "rate_limited",
            "Too many requests",
            "warn",
            event__reason=client,
            source__ip=self.address("abroad"),
            http__request__method=method,
            http__route=route,
            http__response__status_code=429,
        )

    def _violate(self, rate: float, kinds: dict[str, float], severity: str, action: str, seconds: float) -> None:
        for _turn in range(self.often(rate, seconds)):
            kind = self.pick(kinds)
            grave = "high" if kind in ("sanctions_breach", "kyc_missing") else "low" if kind == "data_retention" else severity
            self.metrics["pachedu_compliance_violations_total"].inc(kind=kind, severity=grave)
            self.log(action, "Compliance rule violated", "error", event__reason=grave, user__id=self.user(), pachedu__rule=kind)


LIVES = {"api": Api, "frontend": Frontend}
