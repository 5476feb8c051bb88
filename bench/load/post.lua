-- wrk: POST the file named by the first argument; at the end, one line of JSON.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"

function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   wrk.body = file:read("*a")
   file:close()
end

function done(summary, latency, requests)
   local errors = summary.errors
   local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
   io.write(string.format(
      '{"requests": %d, "microseconds": %d, "errors": %d, ' ..
      '"p50": %d, "p90": %d, "p99": %d, "max": %d}\n',
      summary.requests, summary.duration, failed,
      latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
