# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Takes card numbers, e-mail addresses, phone numbers, identity numbers and secrets out of every text of an event, also out of names and
# out of whole numbers. It runs after line.rb, so that an event has a bounded number of them. Where it fails, what it should have masked is
# taken out whole.

require "json"

FAILED = "_maskfailure".freeze
LOST = "[a line that could not be masked]".freeze

# Digits with at most three separators between them: what a card number may be part of. Identifiers that are no numbers are passed over.
SEPARATOR = "[ \\t.\\-_/+\\u00a0\\u2009\\u202f\\u2010-\\u2015]"
IDENTIFIER = /(?<![0-9A-Za-z])(?:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|(?=[0-9]{0,31}[a-f])[0-9a-f]{32})(?![0-9A-Za-z])/
DIGITS = /(?<!\d)\d(?:#{SEPARATOR}{0,3}\d){11,}/
CARDS = /#{IDENTIFIER}|#{DIGITS}/
# Ranges of issuers, by their first digits: [from, to, lengths].
ISSUERS = [
  ["300", "699", (13..19)],      # the large ones: American Express, Diners, JCB, Visa, Mastercard, Discover, UnionPay, Verve, Maestro
  ["2200", "2205", (16..19)],    # Mir, Borica
  ["2221", "2720", (16..16)],    # Mastercard
  ["2131", "2131", (15..15)],    # JCB
  ["1800", "1800", (15..15)],    # JCB
  ["81", "82", (16..19)],        # UnionPay, RuPay
  ["8600", "8600", (16..16)],    # Uzcard
  ["9792", "9792", (16..16)],    # Troy
  ["9860", "9860", (16..16)],    # Humo
  ["5018", "5018", (12..12)], ["5020", "5020", (12..12)], ["5038", "5038", (12..12)], ["5893", "5893", (12..12)], # Maestro
  ["6304", "6304", (12..12)], ["6390", "6390", (12..12)], ["6759", "6763", (12..12)]
].freeze

WORD = "[\\p{L}\\p{N}]"
EMAIL = /(?<![\p{L}\p{N}._%+'-])(?:(?!%40)[\p{L}\p{N}._%+'-])++(?:@|%40)(?:[\p{L}\p{N}-]{1,63}\.){1,8}[\p{L}][\p{L}\p{N}-]{1,62}/
GAP = "[ .\\-()\\u00a0]"
PHONE = /
  (?<![\p{L}\p{N}+])(?:
    (?:\+|%2B)[1-9]\d{0,2}(?:#{GAP}{0,2}\d){6,12}                                  # +27 82 123 4567
    | \(?\+[1-9]\d{0,2}\)?(?:#{GAP}{0,2}\d){6,12}                                  # (+27) 82 123 4567
    | (?<!\d[ ])00(?:27|26[0-9]|25[0-9]|24[0-9]|44|1)(?:#{GAP}{0,2}\d){8,10}                 # 0027 82 123 4567
    | \(?0[1-9]\d\)?#{GAP}{0,2}\d{3}#{GAP}?\d{4}                                   # 082 123 4567
    | (?:27#{GAP}?[1-8]\d|263#{GAP}?7[1-8]\d|267#{GAP}?7\d|260#{GAP}?[79]\d\d|258#{GAP}?8\d\d)(?:#{GAP}?\d){6,7}
  )(?![\p{L}\p{N}])
/x
# South Africa (date, citizenship, check digit), Zimbabwe, Zambia, Mozambique.
SOUTH_AFRICA = /(?<!\d)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])#{GAP}?\d{4}#{GAP}?[0-2]\d{2}(?!\d)/
NATIONAL_ID = /(?<![\p{L}\p{N}])(?:\d{2}[ -]?\d{6,7}[ -]?[A-Za-z][ -]?\d{2}|\d{6}\/\d{2}\/\d|\d{12}[A-Za-z])(?![\p{L}\p{N}])/

SECRET_NAME = "[\\w.-]{0,40}(?:password|passwd|pwd|passphrase|secret|token|api[_-]?key|apikey|access[_-]?key|private[_-]?key|authorization|" \
              "credentials?|session[_-]?id|cookie)|pass|pin|cvv2?|cvc2?|otp|auth|sid".freeze
SECRET_VALUE = "\\[[a-z ]{1,20}\\]|\"(?:[^\"\\\\]|\\\\.)*\"?|'(?:[^'\\\\]|\\\\.)*'?|\\\\\"(?:(?!\\\\\").)*(?:\\\\\")?|[^\\s,;&|)\\]}\"']+".freeze
NAMED = /(?<![\p{L}\p{N}_.-])(["']?|\\")((?:#{SECRET_NAME}))(\1)(\s*(?:[:=]|=>|%3D)\s*|\s+(?:is|was)\s+)(?:(?:bearer|basic|digest|token)\s+)?(#{SECRET_VALUE})/i
FORMS = /
  -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\z)
  | (?<![A-Za-z0-9])eyJ[A-Za-z0-9_=-]{5,}\.[A-Za-z0-9_=-]{3,}(?:\.[A-Za-z0-9_=-]*){0,3}
  | (?<![A-Za-z0-9])(?:sk|pk|rk)_(?:live|test)_[A-Za-z0-9]{8,}
  | (?<![A-Za-z0-9])(?:AKIA|ASIA)[0-9A-Z]{16}(?![0-9A-Z])
  | (?<![A-Za-z0-9])(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|AIza[\w-]{30,}|SG\.[\w-]{16,}\.[\w-]{16,})
/xm
CODE = /(?<![\p{L}\p{N}])(cvv2?|cvc2?|csc|pin|otp|passcode)((?:\s+(?:code|number|is))*\s+)(\d{3,8})(?!\d)/i
SCHEME = /(?<![\p{L}\p{N}])(bearer|basic)\s+([A-Za-z0-9._~+\/=-]{8,})/i
LOGIN = /(?<=:\/\/)[^\s\/?#@:]{0,200}:[^\s\/?#]{1,300}@/

def register(params)
  contract = params["contract"]
  contract = JSON.parse(File.read(contract, encoding: "UTF-8")) unless contract.is_a?(Hash)
  @with = contract["masks"].transform_values { |mask| mask["replacement"] }
  # What follows a card number on its magnetic stripe.
  @stripe = /#{Regexp.escape(@with["card"])}[\^=][^?\n]{1,80}\?/
  @value_bytes = contract["limits"]["value_bytes"]
  @closed = contract["fields"].select { |name, field| field["masked"] == false }.keys + ["@timestamp", "@version"]
end

def filter(event)
  event.to_hash.each do |name, value|
    masked = walk(value, name)
    event.set("[#{name}]", masked) unless masked == value
  end
  [event]
rescue StandardError => error
  logger.error("A line could not be masked", "error" => error.class.name) if respond_to?(:logger)
  (event.to_hash.keys - ["@timestamp", "@version", "tags", "category"]).each { |name| event.remove("[#{name}]") }
  event.set("message", LOST)
  event.tag(FAILED)
  [event]
end

def walk(value, path)
  return value if @closed.include?(path)
  case value
  when Hash
    # In the order of names, so that equal lines become equal documents.
    value.sort_by { |name, _| name.to_s }.each_with_object({}) do |(name, inner), made|
      made[free(mask(name), made)] = walk(inner, "#{path}.#{name}")
    end
  when Array then value.map { |item| walk(item, path) }
  when String then path.start_with?("extra.") ? cut(mask(value)) : mask(value)
  when Integer then number(value)
  when Float then value.abs.between?(1e11, 1e19) && value == value.floor ? whole(value) : value
  else value
  end
end

# Names that were different may be equal once they are masked: each keeps its value.
def free(name, taken)
  return name unless taken.key?(name)
  number = 2
  number += 1 while taken.key?("#{name} #{number}")
  "#{name} #{number}"
end

# The other fields are cut by the filter truncate.
def cut(text)
  text.bytesize <= @value_bytes ? text : text.byteslice(0, @value_bytes).scrub("")
end

# A whole number that is a card's or a person's becomes a text, where the field takes one.
def number(value)
  text = value.to_s
  return value if text.size < 11
  masked = mask(text)
  masked == text ? value : masked
end

def whole(value)
  masked = number(value.to_i)
  masked.is_a?(String) ? masked : value
end

def mask(text)
  text = secrets(text)
  text = text.gsub(EMAIL, @with["email"]) if text.include?("@") || text.include?("%40")
  return text unless text.match?(/\p{Nd}/)
  text = text.tr("\uFF10-\uFF19\u0660-\u0669\u06F0-\u06F9", "0-90-90-9") if text.match?(/[\uFF10-\uFF19\u0660-\u0669\u06F0-\u06F9]/)
  return text unless text.match?(/\d(?:\D{0,2}\d){6}/)
  text = cards(text)
  text = text.gsub(SOUTH_AFRICA) { |found| luhn?(found.delete("^0-9")) ? @with["national_id"] : found }
  text = text.gsub(NATIONAL_ID, @with["national_id"])
  text.gsub(PHONE, @with["phone"])
end

def secrets(text)
  text = text.gsub(FORMS, @with["secret"]) if text.size > 15
  text = text.gsub(LOGIN, "#{@with["secret"]}@") if text.include?("://")
  text = text.gsub(SCHEME) { "#{$1} #{@with["secret"]}" }
  text = text.gsub(NAMED) do
    whole, name, value = $~[0], "#{$1}#{$2}#{$3}#{$4}", $5
    quote = value[/\A(?:\\"|["'])/]
    value == @with["secret"] ? whole : "#{name}#{quote}#{@with["secret"]}#{quote}"
  end
  text.gsub(CODE) { "#{$1}#{$2}#{@with["secret"]}" }
end

def cards(text)
  text = text.gsub(CARDS) { |found| found.match?(/\A#{IDENTIFIER}\z/) ? found : without_cards(found) }
  text.gsub(@stripe, @with["card"])
end

# A run of digits: its groups that together are a card number are replaced, the longest first.
def without_cards(run)
  groups = run.scan(/\d+|\D+/)
  kept = []
  start = 0
  while start < groups.size
    stop = groups[start].match?(/\A\d/) ? last_of_card(groups, start) : nil
    kept << (stop ? @with["card"] : groups[start])
    start = (stop || start) + 1
  end
  kept.join
end

# Which group a card number that begins here ends with, nil where none does. Groups have four digits or more at first, or all one or two.
def last_of_card(groups, start)
  digits = +""
  size = groups[start].size
  found = lengths = nil
  start.step(groups.size - 1, 2) do |stop|
    digits << groups[stop]
    break if digits.size > 19
    next if digits.size < 12
    lengths ||= lengths_of(digits)
    return nil if lengths.empty?
    even = size >= 4 || digits.size == (stop - start) / 2 * size + groups[stop].size
    found = stop if even && lengths.any? { |range| range.cover?(digits.size) } && luhn?(digits)
  end
  found
end

# How long the card numbers of the issuer are that these digits begin like.
def lengths_of(digits)
  ISSUERS.select { |from, to, _| digits[0, from.size].between?(from, to) }.map(&:last)
end

def luhn?(digits)
  sum = 0
  digits.reverse.each_char.with_index do |digit, place|
    value = digit.to_i
    value *= 2 if place.odd?
    sum += value > 9 ? value - 9 : value
  end
  (sum % 10).zero?
end

MASKS = {
  "limits" => { "value_bytes" => 64 },
  "fields" => { "trace.id" => { "masked" => false } },
  "masks" => %w[card email phone national_id secret].to_h { |name| [name, { "replacement" => "[#{name}]" }] }
}.freeze

test "texts are masked, and what only looks alike is not" do
  parameters { { "contract" => MASKS } }
  in_event do
    [
      { "message" => "paid with 4111 1111 1111 1111, order 4111111111111112" },
      { "message" => "mail a.b@example.org or call +27 82 123 4567" },
      { "message" => "password=hunter2 token: \"abc def\"" },
      { "message" => "id 8001015009087 of 63-123456A78" },
      { "message" => "5500000000000004", "trace" => { "id" => "4111111111111111" } }
    ]
  end
  expect("each") do |events|
    events.map { |event| event.get("message") } == [
      "paid with [card], order 4111111111111112", "mail [email] or call [phone]", "password=[secret] token: \"[secret]\"",
      "id [national_id] of [national_id]", "[card]"
    ]
  end
  expect("ids stay") { |events| events.last.get("[trace][id]") == "4111111111111111" }
end

test "names, numbers and lists are masked as well" do
  parameters { { "contract" => MASKS } }
  in_event { { "extra" => { "4111111111111111" => [{ "n" => 5500000000000004 }, 12] } } }
  expect("all") { |events| events.first.get("extra") == { "[card]" => [{ "n" => "[card]" }, 12] } }
end
