# Copyright (c) 2026, the pachedu.observability contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Runs the scripts of roles/logstash/files/scripts with a real Ruby, as Logstash's ruby filter runs a script file: evaluated in an object of
# its own, `register` with parameters, `filter` for each event, and the file's own `test` blocks.
#
# The events are a STAND-IN for Logstash's: get, set, remove, tag, clone and to_hash with references such as [a][b], as far as the scripts
# use them. What Logstash's own events do beyond that is proven only by `make test-logstash`.
#
#   ruby script_runner.rb test SCRIPT                   run its test blocks; one line of JSON each
#   ruby script_runner.rb filter SCRIPT PARAMETERS      events as JSON lines from standard input, with [@metadata] as "@metadata"

require "json"
require "time"

module LogStash
  class Timestamp
    attr_reader :time

    def initialize(time)
      @time = time.is_a?(Time) ? time.utc : Time.parse(time).utc
    end

    def to_s
      @time.strftime("%Y-%m-%dT%H:%M:%S.%LZ")
    end

    def to_json(*options)
      to_s.to_json(*options)
    end
  end

  class Event
    def initialize(data = {})
      @data = JSON.parse(JSON.generate(data, max_nesting: 0, allow_nan: true), max_nesting: 0, allow_nan: true)
      @metadata = @data.delete("@metadata") || {}
      @data["@timestamp"] = Timestamp.new(@data["@timestamp"] || Time.now) unless @data["@timestamp"].is_a?(Timestamp)
      @data["@version"] ||= "1"
    end

    def initialize_copy(other)
      super
      @data, @metadata = Marshal.load(Marshal.dump([@data, @metadata]))
    end

    def get(reference)
      container, names = parts(reference)
      names.each do |name|
        return nil unless container.is_a?(Hash)
        container = container[name]
      end
      # As in Logstash, a change to what was got is none to the event.
      container.is_a?(Hash) || container.is_a?(Array) ? Marshal.load(Marshal.dump(container)) : container
    end

    def set(reference, value)
      container, names = parts(reference)
      return @metadata.replace(Marshal.load(Marshal.dump(value))) if names.empty?
      names[0..-2].each { |name| container = (container[name] ||= {}) }
      container[names.last] = Marshal.load(Marshal.dump(value))
    end

    def remove(reference)
      container, names = parts(reference)
      names[0..-2].each { |name| return nil unless (container = container[name]).is_a?(Hash) }
      container.delete(names.last)
    end

    def tag(name)
      @data["tags"] = Array(@data["tags"]) | [name]
    end

    def to_hash
      Marshal.load(Marshal.dump(@data))
    end

    def to_hash_with_metadata
      to_hash.merge("@metadata" => @metadata)
    end

    private

    def parts(reference)
      names = reference.start_with?("[") ? reference.scan(/\[([^\[\]]+)\]/).flatten : [reference]
      raise ArgumentError, "no reference: #{reference}" if names.empty? || (reference.include?("[") && names.map { |n| "[#{n}]" }.join != reference)
      names.first == "@metadata" ? [@metadata, names.drop(1)] : [@data, names]
    end
  end
end

class Script
  class Place
    def logger
      @logger ||= Logger.new
    end

    class Logger
      def error(message, details = {})
        warn("#{message} #{details}")
      end
    end
  end

  def initialize(path, tests: nil)
    @path = path
    @text = File.read(path, encoding: "UTF-8")
    @tests = tests
  end

  # A place with the script's methods. tests: where its test blocks go; nil if they are not wanted.
  def place(tests = nil)
    made = Place.new
    made.define_singleton_method(:test) { |name, &block| tests&.push([name, block]) }
    made.instance_eval(@text, @path, 1)
    made
  end

  def run_tests
    blocks = []
    place(blocks)
    raise "#{@path} has no tests" if blocks.empty?
    blocks.flat_map { |name, block| Test.new(self, name, &block).results }
  end
end

class Test
  def initialize(script, name, &block)
    @script, @name, @expectations = script, name, []
    @place = script.place
    instance_eval(&block)
  end

  def parameters
    @place.register(yield)
  end

  def in_event
    given = yield
    @events = (given.is_a?(Hash) ? [given] : given).map { |data| LogStash::Event.new(data) }
  end

  def expect(name, &block)
    @expectations << [name, block]
  end

  def results
    made = @events.flat_map { |event| @place.filter(event) }
    @expectations.map do |name, block|
      passed = block.call(made) ? true : false
      { "test" => "#{@name}: #{name}", "passed" => passed, "events" => passed ? nil : made.map(&:to_hash_with_metadata) }
    end
  end
end

if $PROGRAM_NAME == __FILE__
  action, path, parameters = ARGV
  $stdin.set_encoding("UTF-8")
  $stdout.set_encoding("UTF-8")
  if action == "test"
    results = Script.new(path).run_tests
    results.each { |result| puts JSON.generate(result) }
    exit(results.all? { |result| result["passed"] } ? 0 : 1)
  end
  place = Script.new(path).place
  place.register(JSON.parse(parameters || "{}"))
  $stdin.each_line do |line|
    event = LogStash::Event.new(JSON.parse(line, max_nesting: 0, allow_nan: true))
    puts JSON.generate(place.filter(event).map(&:to_hash_with_metadata), max_nesting: 0, allow_nan: true)
  end
end
