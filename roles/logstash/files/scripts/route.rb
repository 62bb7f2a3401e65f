# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The last part of the index's name: the day or month of the line, by the period of its category. A line that is older than its category is
# kept, or from the future, goes to the index of its arrival and keeps its time: a wrong clock must not make an index for each day since 1970.
#
# In: [@metadata][category], @timestamp. Out: [@metadata][period].

require "json"
require "time"

PERIODS = { "day" => "%Y.%m.%d", "month" => "%Y.%m" }.freeze
DAY = 86_400

def register(params)
  contract = params["contract"]
  contract = JSON.parse(File.read(contract, encoding: "UTF-8")) unless contract.is_a?(Hash)
  @categories = contract["categories"]
  @days = contract["days"]
  @future = contract["limits"]["future_hours"] * 3600
  @now = params["now"].to_s.empty? ? nil : Time.parse(params["now"])
end

def filter(event)
  category = event.get("[@metadata][category]")
  now = (@now || Time.now).utc
  time = event.get("@timestamp").time.utc
  if time < now - @days.fetch(category) * DAY || time > now + @future
    event.tag("_time_out_of_range")
    time = now
  end
  event.set("[@metadata][period]", time.strftime(PERIODS.fetch(@categories.fetch(category)["period"])))
  [event]
end

KEPT = {
  "limits" => { "future_hours" => 24 },
  "days" => { "audit" => 365, "access" => 30 },
  "categories" => { "audit" => { "period" => "month" }, "access" => { "period" => "day" } }
}.freeze

test "the line's own time decides" do
  parameters { { "contract" => KEPT, "now" => "2026-01-31T12:00:00Z" } }
  in_event do
    [
      { "@timestamp" => "2026-01-30T23:59:59.999Z", "@metadata" => { "category" => "access" } },
      { "@timestamp" => "2025-03-01T00:30:00+02:00", "@metadata" => { "category" => "audit" } }
    ]
  end
  expect("day and month, in UTC") { |events| events.map { |event| event.get("[@metadata][period]") } == ["2026.01.30", "2025.02"] }
  expect("no tag") { |events| events.all? { |event| event.get("tags").nil? } }
end

test "a wrong clock makes no index" do
  parameters { { "contract" => KEPT, "now" => "2026-01-31T12:00:00Z" } }
  in_event do
    [
      { "@timestamp" => "1970-01-01T00:00:00Z", "@metadata" => { "category" => "access" } },
      { "@timestamp" => "2026-02-02T00:00:00Z", "@metadata" => { "category" => "access" } }
    ]
  end
  expect("the day of arrival") { |events| events.map { |event| event.get("[@metadata][period]") } == ["2026.01.31", "2026.01.31"] }
  expect("a tag") { |events| events.all? { |event| event.get("tags") == ["_time_out_of_range"] } }
end
