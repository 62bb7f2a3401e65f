# Every target runs in a virtualenv that tests/lab/bootstrap.py makes outside the checkout.
TOOLS := python3 tests/lab/bootstrap.py

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-down test lint unit sanity rules alerting dashboards molecule bench bench-load bench-rules bench-dashboards bench-queries bench-backup docs test-logstash clean-cache

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Make the virtualenv of the development tools
	@$(TOOLS)

demo: ## Deploy to a local 4 GB test host and prove that it works
	@$(TOOLS) -m tests.lab demo

demo-down: ## Remove what demo started
	@$(TOOLS) -m tests.lab demo-down

test: ## Run all the stages below; the last line is "N passed, N failed"
	@$(TOOLS) -m tests.run

lint: ## Check style and documentation
	@$(TOOLS) -m tests.run lint

unit: ## Run the unit tests
	@$(TOOLS) -m tests.run unit

sanity: ## Run ansible-test sanity on the built collection
	@$(TOOLS) -m tests.run sanity

rules: ## Check and test the alerting rules with promtool
	@$(TOOLS) -m tests.run rules

alerting: ## Check who is told of alerts, and how, by the real amtool and Alertmanager
	@$(TOOLS) -m tests.run alerting

dashboards: ## Check every dashboard against the metric contract, by the real engine
	@$(TOOLS) -m tests.run dashboards

molecule: ## Run the scenarios (SCENARIOS="default ssh" chooses)
	@$(TOOLS) -m tests.run molecule

test-logstash: ## Replay the cases of the log pipeline with a real Logstash (LOGSTASH_HOME=its folder)
	@$(TOOLS) -m tests.logs.replay run "$(LOGSTASH_HOME)"

bench: ## Measure time, steps and requests of a deployment
	@$(TOOLS) -m benchmarks.run

bench-load: ## Measure the memory of the whole platform under load
	@$(TOOLS) -m benchmarks.load

bench-rules: ## Measure what each rule costs with at least 10,000 series
	@$(TOOLS) -m benchmarks.rules

bench-dashboards: ## Measure the import of all dashboards against its peer
	@$(TOOLS) -m benchmarks.dashboards

bench-queries: ## Measure what the queries of the dashboards cost over a week of data
	@$(TOOLS) -m benchmarks.queries

bench-backup: ## Measure backups and restores beside tar, and what they take from the services
	@$(TOOLS) -m benchmarks.backup

docs: ## Write what is generated: role READMEs, the metrics page, dashboards, their pages, Kibana's searches
	@$(TOOLS) -m tools.role_readmes
	@$(TOOLS) -m tools.metrics_page
	@$(TOOLS) -m tools.logs_page
	@$(TOOLS) -m tools.alerts_page
	@$(TOOLS) -m tools.platform_metrics_page
	@$(TOOLS) -m tools.dashboards.build
	@$(TOOLS) -m tools.dashboards.pages
	@$(TOOLS) -m tools.dashboards.kibana

clean-cache: ## Remove the cache: images, artifacts, builds and virtualenvs
	@$(TOOLS) -m tests.lab clean-cache
