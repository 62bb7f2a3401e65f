# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# One line as it came in becomes an event that has the fields of the log contract and nothing else: what the contract does not know is kept
# below `extra`, within its limits. Nothing is masked here; mask.rb does that.
#
# In:  [@metadata][line], what was parsed; without it the event's own fields (of an input that parses itself), or its message.
# Out: a new event with the fields of the contract, [extra], [@metadata][time] (what the line says of its time) and
#      [@metadata][personal] (what is to be hashed).

require "ipaddr"
require "json"

OWN = ["@timestamp", "@version", "tags"].freeze
LINE = "[@metadata][line]".freeze
# What the Beats protocol adds of the agent itself.
AGENT = ["agent", "ecs", "input"].freeze
FAILED = "_jsonparsefailure".freeze
NOT_OBJECT = "_notanobject".freeze
UNREAD = "_linefailure".freeze
DEEPER = "[deeper]".freeze
CUT = "[cut]".freeze
# The line as it came in, which some inputs keep, and which nothing would mask as well as its fields are.
ORIGINAL = "event.original".freeze
# What only filters write: a client of Beats can send metadata of its own.
FILTERED = ["line", "personal", "time", "level", "rule", "category", "period"].freeze
NOTHING = Object.new.freeze
INTEGER = /\A-?\d{1,18}\z/
DECIMAL = /\A-?\d{1,300}(\.\d{1,300})?([eE][+-]?\d{1,3})?\z/
# What the date filter would take for a year that it is not: a short number, a sign, or another number of digits than four.
YEAR = /\A(?:[+-]?\d{1,8}\z|[+-]\d|(?!\d{4}[-T])\d+[-T])/
TIME_BYTES = 64
# Longer numbers than that no index takes.
NUMBER_BITS = 1024

def register(params)
  contract = params["contract"]
  contract = JSON.parse(File.read(contract, encoding: "UTF-8")) unless contract.is_a?(Hash)
  @limits = contract["limits"]
  @removed = contract["removed_fields"]
  @fields = contract["fields"].reject { |name, field| field["filled_by"] }.map do |name, field|
    field.merge(
      "name" => name,
      "reference" => reference(name),
      "places" => [name, *field["aliases"]].map { |place| place.split(".") },
      "matches" => field["pattern"] && /\A(?:#{field["pattern"]})\z/
    )
  end
end

def reference(name)
  name.split(".").map { |part| "[#{part}]" }.join
end

def filter(event)
  line = event.get(LINE)
  lines(event, line)
rescue StandardError => error
  # What cannot be read must neither be lost nor go past mask.rb, which looks at texts wherever they are.
  logger.error("A line could not be read", "error" => error.class.name) if respond_to?(:logger)
  made = empty(event)
  made.set("[message]", shorter(clean(written(without_removed(line || event.get("message")))), @limits["value_bytes"]))
  made.tag(UNREAD)
  [made]
end

def lines(event, line)
  return [one(event, line)] unless line.is_a?(Array)
  objects, rest = line.partition { |item| item.is_a?(Hash) }
  events = objects.first(@limits["keys"]).map { |item| one(event, item) }
  rest += objects.drop(@limits["keys"])
  events << one(event, rest) unless rest.empty? && !events.empty?
  events
end

def one(event, line)
  tags = []
  own = event.to_hash
  line = from_root(event, own, line, tags)
  found, used = known(line)
  # Of this line alone: several workers run this at the same time.
  extra = rest(line, [], used, { "keys" => 0, "bytes" => 0, "tags" => tags })
  made = empty(event)
  @fields.each { |field| put(made, field, found[field["name"]]) if found.key?(field["name"]) }
  made.set("[extra]", extra) unless extra.empty?
  (kept_tags(own) + tags).uniq.each { |tag| made.tag(tag) }
  made
end

# A new event that came in as this one did: not every name that an input has put into it can be removed.
def empty(event)
  made = LogStash::Event.new("@timestamp" => event.get("@timestamp"))
  metadata = event.get("[@metadata]") || {}
  made.set("[@metadata]", metadata.reject { |name, _| FILTERED.include?(name) })
  made
end

# The line as an object, wherever the input has put it.
def from_root(event, own, line, tags)
  if line.is_a?(Hash)
    agent = event.get("[@metadata][source]") == "beats" ? own.slice("host", "log") : {}
    return agent.merge(line) { |_, ours, its| ours.is_a?(Hash) && its.is_a?(Hash) ? ours.merge(its) : its }
  end
  unless line.nil?
    tags << NOT_OBJECT
    return { "message" => line.is_a?(String) ? line : written(line) }
  end
  if kept_tags(own).include?(FAILED)
    kept = event.get("[@metadata][source]") == "beats" ? own.slice("host", "log") : {}
    return kept.merge("message" => own["message"])
  end
  left = own.reject { |name, _| OWN.include?(name) || AGENT.include?(name) }
  # What Logstash could not take for the time of an event.
  left["@timestamp"] = left.delete("_@timestamp") if left.key?("_@timestamp")
  others = Array(own["tags"]).reject { |tag| pipeline_tag?(tag) }
  left["tags"] = others unless others.empty?
  left
end

# As JSON, whatever it is.
def written(value)
  JSON.generate(value, max_nesting: 0, allow_nan: true)
end

def pipeline_tag?(tag)
  tag.is_a?(String) && tag.match?(/\A(_|beats_input_)\w{1,60}\z/)
end

def kept_tags(own)
  Array(own["tags"]).select { |tag| pipeline_tag?(tag) && tag.start_with?("_") }
end

# The fields of the contract that the line has, and the places that they were found at.
def known(line)
  found = {}
  used = {}
  @fields.each do |field|
    field["places"].each do |parts|
      [parts, [parts.join(".")]].uniq.each do |place|
        next if found.key?(field["name"]) || used[place]
        value = fit(field, dig(line, place))
        next if value.equal?(NOTHING)
        found[field["name"]] = value
        used[place] = true
      end
    end
  end
  [found, used]
end

def dig(value, place)
  place.each do |part|
    return nil unless value.is_a?(Hash)
    value = value[part]
  end
  value
end

# The value in the field's type, or NOTHING where it does not fit.
def fit(field, value)
  value = value.first if value.is_a?(Array) && value.size == 1
  if value.is_a?(Array)
    return NOTHING unless field["list"]
    values = value.first(@limits["list_items"]).map { |item| fit_one(field, item) }
    return values.empty? || values.any? { |item| item.equal?(NOTHING) } ? NOTHING : values
  end
  fit_one(field, value)
end

def fit_one(field, value)
  return NOTHING if value.nil? || value.is_a?(Hash) || value.is_a?(Array)
  value = plain_number(value)
  case field["type"]
  when "long" then within(field, to_long(value))
  when "double" then within(field, to_double(value))
  when "ip" then to_ip(value)
  when "date" then to_time(value)
  else to_text(field, value)
  end
end

# The json filter makes decimal numbers of a class of their own, which are written as 0.5e0.
def plain_number(value)
  value.is_a?(Numeric) && !value.is_a?(Integer) && !value.is_a?(Float) ? value.to_f : value
end

def to_text(field, value)
  return NOTHING if field["only"] == "text" && (!value.is_a?(String) || value.match?(DECIMAL))
  text = shorter(clean(value.to_s), field["max_bytes"] || @limits["value_bytes"])
  return NOTHING if text.empty?
  return text unless field["matches"]
  [text, text.downcase].find { |form| form.match?(field["matches"]) } || NOTHING
end

def to_long(value)
  value = value.to_i if value.is_a?(Float) && value.finite? && value == value.to_i && value.abs < 2**53
  value = value.to_i if value.is_a?(String) && value.match?(INTEGER)
  value.is_a?(Integer) && value.bit_length < 64 ? value : NOTHING
end

def to_double(value)
  value = value.to_f if value.is_a?(String) && value.match?(DECIMAL)
  return NOTHING unless value.is_a?(Numeric) && value.to_f.finite?
  value.is_a?(Integer) && value.bit_length < 64 ? value : value.to_f
end

def within(field, value)
  return value if value.equal?(NOTHING)
  return NOTHING if field["minimum"] && value < field["minimum"]
  return NOTHING if field["maximum"] && value > field["maximum"]
  value
end

# The client's address; of a list, as proxies write it, the first.
def to_ip(value)
  return NOTHING unless value.is_a?(String)
  text = value.split(",").first.to_s.strip
  text = text[/\A((?:\d{1,3}\.){3}\d{1,3})(?::\d{1,5})?\z/, 1] || text.delete("[]")
  return NOTHING unless text.match?(/\A[0-9a-fA-F.:]{2,45}\z/)
  address = IPAddr.new(text)
  address = address.native if address.ipv4_mapped?
  address.to_s
rescue IPAddr::Error
  NOTHING
end

# Text for the date filter. Milliseconds may have a fraction, which it does not read.
def to_time(value)
  return NOTHING unless value.is_a?(String) || value.is_a?(Numeric)
  return NOTHING if value.is_a?(Float) && !value.finite?
  value = value.to_i if value.is_a?(Float) && (value == value.to_i || value.abs >= 1e11)
  text = value.to_s
  return NOTHING if text.bytesize > TIME_BYTES
  text = clean(text).strip
  text.empty? || text.match?(YEAR) ? NOTHING : text
end

# Whole and without what no index takes.
def clean(text)
  text = text.encode("UTF-8", invalid: :replace, undef: :replace) unless text.encoding == Encoding::UTF_8
  text = text.scrub("\u{FFFD}") unless text.valid_encoding?
  text.include?("\u0000") ? text.delete("\u0000") : text
end

def cut(text, bytes)
  return text if text.bytesize <= bytes
  text.byteslice(0, bytes).scrub("")
end

# What the contract does not know, within the limits. In the order of names, for Logstash's objects have none of their own.
def rest(value, path, used, spent)
  kept = {}
  value.sort_by { |name, _| name.to_s }.each do |name, inner|
    place = path + [name]
    next if used[place] || inner.nil? || place.join(".") == ORIGINAL
    if (spent["keys"] += 1) > @limits["keys"]
      spent["tags"] << "_limit_keys"
      break
    end
    key = free(key_of(name, spent), kept)
    kept[key] = removed?(place) ? @removed["replacement"] : bounded(inner, place, used, spent)
  end
  # Objects of which everything was moved.
  kept.delete_if { |key, inner| inner.respond_to?(:empty?) && inner.empty? && !inner.is_a?(String) }
end

def bounded(value, place, used, spent)
  case value = plain_number(value)
  when Hash
    return limited(DEEPER, "_limit_depth", spent) if place.size >= @limits["depth"]
    rest(value, place, used, spent)
  when Array
    return limited(DEEPER, "_limit_depth", spent) if place.size >= @limits["depth"]
    spent["tags"] << "_limit_list_items" if value.size > @limits["list_items"]
    value.first(@limits["list_items"]).reject(&:nil?).map { |item| bounded(item, place + [""], used, spent) }
  when String then weighed(text_of(value, spent), spent)
  when Integer then weighed(value.bit_length > NUMBER_BITS ? text_of(value.to_s, spent) : value, spent)
  when true, false then weighed(value, spent)
  when Float then weighed(value.finite? ? value : value.to_s, spent)
  else weighed(text_of(value.to_s, spent), spent)
  end
end

def limited(instead, tag, spent)
  spent["tags"] << tag
  instead
end

def weighed(value, spent)
  spent["bytes"] += value.is_a?(String) ? value.bytesize : 8
  spent["bytes"] > @limits["extra_bytes"] ? limited(CUT, "_limit_extra_bytes", spent) : value
end

def text_of(text, spent)
  text = clean(text)
  spent["tags"] << "_limit_value_bytes" if text.bytesize > @limits["value_bytes"]
  shorter(text, @limits["value_bytes"])
end

# So much that masking it takes no time, but more than is kept: it is cut again once it is masked. No part of a number is left at its end.
def shorter(text, bytes)
  return text if text.bytesize <= 4 * bytes
  cut(text, 4 * bytes).sub(/\S{1,200}\z/, "").sub(/[\d\W_]{1,60}\z/, "")
end

# A name that a reference can name, of a bounded length.
def key_of(name, spent)
  key = clean(name.to_s).tr("[]", "()")
  spent["tags"] << "_limit_key_bytes" if key.bytesize > @limits["key_bytes"]
  key = cut(key, @limits["key_bytes"])
  key.empty? ? "_" : key
end

# Names that were different may be equal now: each keeps its value.
def free(key, taken)
  return key unless taken.key?(key)
  number = 2
  number += 1 while taken.key?("#{key} #{number}")
  "#{key} #{number}"
end

def without_removed(value)
  case value
  when Hash then value.to_h { |name, inner| [name, removed?([name]) ? @removed["replacement"] : without_removed(inner)] }
  when Array then value.map { |item| without_removed(item) }
  else value
  end
end

def removed?(place)
  [place.last, place.join].map { |name| name.to_s.downcase.gsub(/[^a-z0-9]/, "") }.any? do |name|
    @removed["names"].include?(name) || name.end_with?(*@removed["endings"])
  end
end

def put(event, field, value)
  if field["type"] == "date"
    event.set("[@metadata][time]", value)
  elsif (field["personal"] || {})["treatment"] == "hashed"
    event.set("[@metadata][personal]#{field["reference"]}", plain(value))
  else
    event.set(field["reference"], value)
  end
end

# One person's address or number in one form, so that its hashes are equal.
def plain(value)
  return value.strip.downcase if value.include?("@")
  value.gsub(/[^0-9A-Za-z]/, "").sub(/\A00/, "").upcase
end

CONTRACT = {
  "limits" => { "depth" => 3, "keys" => 6, "list_items" => 2, "key_bytes" => 8, "value_bytes" => 20, "extra_bytes" => 200 },
  "removed_fields" => { "replacement" => "[removed]", "endings" => ["password"], "names" => ["pin", "username"] },
  "fields" => {
    "@timestamp" => { "type" => "date", "aliases" => ["ts"] },
    "message" => { "type" => "text", "aliases" => ["msg"] },
    "http.response.status_code" => { "type" => "long", "aliases" => ["status"], "minimum" => 100, "maximum" => 599 },
    "pachedu.status" => { "type" => "keyword", "aliases" => ["status"], "only" => "text" },
    "pachedu.amount" => { "type" => "double", "aliases" => ["amount"] },
    "source.ip" => { "type" => "ip", "aliases" => ["ip"] },
    "trace.id" => { "type" => "keyword", "aliases" => ["traceId"], "pattern" => "[0-9a-f]{4}" },
    "user.email" => { "type" => "keyword", "aliases" => ["email"], "personal" => { "treatment" => "hashed", "hash" => "h" } }
  }
}.freeze

test "fields come under their own names, whichever way they are written" do
  parameters { { "contract" => CONTRACT } }
  in_event do
    line = { "msg" => "a", "amount" => "12.5", "http" => { "response" => { "status_code" => 200 } }, "trace.id" => "ABCD", "ts" => 1769860740 }
    [{ "@metadata" => { "line" => line } }]
  end
  expect("the names of the contract") do |events|
    event = events.first
    event.get("message") == "a" && event.get("[pachedu][amount]") == 12.5 && event.get("[http][response][status_code]") == 200 &&
      event.get("[trace][id]") == "abcd" && event.get("[@metadata][time]") == "1769860740" && event.get("extra").nil?
  end
end

test "what does not fit is kept below extra" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => { "amount" => "many", "ip" => "here", "traceId" => "x", "status" => "done", "message" => { "a" => 1 } } } } }
  expect("extra") do |events|
    events.first.get("extra") == { "amount" => "many", "ip" => "here", "traceId" => "x", "message" => { "a" => 1 } }
  end
  expect("a text as status") { |events| events.first.get("[pachedu][status]") == "done" }
end

test "secrets are removed by name, at any depth" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => { "a" => { "new_Password" => "x" }, "user" => { "name" => "x" }, "PIN" => 1 } } } }
  expect("nothing of them") do |events|
    events.first.get("extra") == { "a" => { "new_Pass" => "[removed]" }, "user" => { "name" => "[removed]" }, "PIN" => "[removed]" }
  end
end

test "what is to be hashed waits in the metadata, in one form" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => { "email" => " Ann@Example.org " } } } }
  expect("it") { |events| events.first.get("[@metadata][personal][user][email]") == "ann@example.org" && events.first.get("[user]").nil? }
end

test "limits hold" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => { "a" => { "b" => { "c" => { "d" => 1 } } }, "l" => [1, 2, 3] } } } }
  expect("depth") { |events| events.first.get("[extra][a][b][c]") == "[deeper]" }
  expect("tags") { |events| (["_limit_depth", "_limit_list_items"] - events.first.get("tags")).empty? }
end

test "a text that is no object is kept" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "message" => "{\"cut", "tags" => ["_jsonparsefailure"], "url" => { "path" => "/" } } }
  expect("the text alone") do |events|
    event = events.first
    event.get("message") == "{\"cut" && event.get("tags") == ["_jsonparsefailure"] && event.get("url").nil? && event.get("extra").nil?
  end
end

test "a list of objects is several lines" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => [{ "msg" => "a" }, { "msg" => "b" }] } } }
  expect("two") { |events| events.map { |event| event.get("message") } == ["a", "b"] }
end

test "what filters write of a line comes from no client" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "msg" => "a", "@metadata" => { "source" => "beats", "rule" => "audit", "level" => "x", "personal" => { "user" => { "email" => "y" } } } } }
  expect("nothing of it") { |events| events.first.get("[@metadata]") == { "source" => "beats" } }
end

test "names that become equal keep their values" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "@metadata" => { "line" => { "a(b)" => 1, "a[b]" => 2 } } } }
  expect("both") { |events| events.first.get("extra") == { "a(b)" => 1, "a(b) 2" => 2 } }
end

test "no name of a field stands in the way" do
  parameters { { "contract" => CONTRACT } }
  in_event { { "msg" => "a", "b[c]" => 1, "[d" => 2, "line" => 3, "@metadata" => { "source" => "beats", "index" => "x" } } }
  expect("all are kept") { |events| events.first.get("extra") == { "b(c)" => 1, "(d" => 2, "line" => 3 } }
  expect("what Logstash knows stays") { |events| events.first.get("[@metadata][index]") == "x" && events.first.get("message") == "a" }
end
