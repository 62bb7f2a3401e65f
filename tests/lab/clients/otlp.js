// One span by OpenTelemetry's exporter to the address given; prints the id of its trace.
'use strict';

const { BasicTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
const { OTLPTraceExporter } = require('@opentelemetry/exporter-trace-otlp-proto');
const { resourceFromAttributes } = require('@opentelemetry/resources');

const exporter = new OTLPTraceExporter({ url: process.argv[2] });
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ 'service.name': 'settlement' }),
  spanProcessors: [new SimpleSpanProcessor({
    export: (spans, done) => exporter.export(spans, (result) => {
      if (result.code !== 0) {
        console.error(result.error);
        process.exitCode = 1;
      }
      done(result);
    }),
    shutdown: () => exporter.shutdown(),
    forceFlush: () => exporter.forceFlush(),
  })],
});
const span = provider.getTracer('lab').startSpan('settle batch');
span.end();
provider.shutdown().then(() => console.log(span.spanContext().traceId));
