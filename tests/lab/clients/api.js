// A small application that uses the platform as the ones of PacheduConnect do: its metrics by prom-client, its spans by jaeger-client over UDP.
// GET /pay makes one payment and answers with its trace's id; GET /metrics is for Prometheus.
'use strict';

const http = require('http');
const prometheus = require('prom-client');
const initTracer = require('jaeger-client').initTracer;

const transactionCounter = new prometheus.Counter({
  name: 'pachedu_transactions_total',
  help: 'Total number of transactions',
  labelNames: ['status', 'currency', 'payment_method'],
});
const revenueGauge = new prometheus.Gauge({
  name: 'pachedu_revenue_total',
  help: 'Total revenue in different currencies',
  labelNames: ['currency'],
});
const kycProcessingTime = new prometheus.Histogram({
  name: 'pachedu_kyc_processing_seconds',
  help: 'KYC processing time in seconds',
  labelNames: ['level', 'status'],
});
const httpRequestDuration = new prometheus.Histogram({
  name: 'http_request_duration_seconds',
  help: 'HTTP request duration in seconds',
  labelNames: ['method', 'route', 'status_code'],
});
const dbQueryDuration = new prometheus.Histogram({
  name: 'db_query_duration_seconds',
  help: 'Database query duration in seconds',
  labelNames: ['operation', 'table'],
});

const tracer = initTracer({
  serviceName: 'pachedu-api',
  sampler: { type: 'probabilistic', param: 0.1 },
  reporter: { logSpans: false, agentHost: 'jaeger', agentPort: 6832, flushIntervalMs: 200 },
}, {});

function pay() {
  const span = tracer.startSpan('POST /transactions');
  transactionCounter.inc({ status: 'completed', currency: 'ZAR', payment_method: 'card' });
  revenueGauge.inc({ currency: 'ZAR' }, 25);
  kycProcessingTime.observe({ level: 'basic', status: 'approved' }, 1.5);
  httpRequestDuration.observe({ method: 'POST', route: '/transactions', status_code: '201' }, 0.15);
  dbQueryDuration.observe({ operation: 'insert', table: 'transactions' }, 0.02);
  const child = tracer.startSpan('insert transactions', { childOf: span });
  child.setTag('db.system', 'postgresql');
  child.finish();
  span.setTag('http.status_code', 201);
  span.finish();
  return { trace: span.context().traceIdStr, sampled: span.context().isSampled() };
}

http.createServer(async (request, response) => {
  if (request.url === '/metrics') {
    response.setHeader('Content-Type', prometheus.register.contentType);
    response.end(await prometheus.register.metrics());
  } else if (request.url === '/pay') {
    response.setHeader('Content-Type', 'application/json');
    response.end(JSON.stringify(pay()));
  } else {
    response.statusCode = 404;
    response.end();
  }
}).listen(5000);
