-- wrk as a POST load: the body comes from the file $BENCH_BODY, headers from $BENCH_HEADERS ("name: value" lines).
-- The last line of the output is one JSON object; times are in microseconds.
local file = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = file:read("*a")
wrk.headers["content-type"] = "application/json"
file:close()

for name, value in (os.getenv("BENCH_HEADERS") or ""):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

function done(summary, latency, _)
  local e = summary.errors
  local seconds = summary.duration / 1e6
  io.write(string.format(
    '{"requests": %d, "failed": %d, "seconds": %.3f, "per_s": %.1f, "p50_us": %.0f, "p99_us": %.0f}\n',
    summary.requests, e.connect + e.read + e.write + e.status + e.timeout, seconds, summary.requests / seconds,
    latency:percentile(50), latency:percentile(99)))
end
