-- What wrk sends, told by the environment: BENCH_KIND is post, get or any path.
-- Each thread has ids of its own; an answer with another status than BENCH_STATUS is wrong.
local IDS_PER_THREAD = 10000000

local kind = os.getenv("BENCH_KIND")
local first_id = tonumber(os.getenv("BENCH_FIRST_ID"))
local stored = tonumber(os.getenv("BENCH_STORED"))
local expected = tonumber(os.getenv("BENCH_STATUS"))
local headers = { Authorization = os.getenv("BENCH_AUTHORIZATION") }
local body = '{"order_id":%d,"user_id":%d,"item_ids":[1,2,3],"total_amount":150.75}'

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init()
  next_id = first_id + number * IDS_PER_THREAD
  sent, wrong, wrong_status = 0, 0, 0
  math.randomseed(first_id + number)
  if kind == "post" then
    headers["Content-Type"] = "application/json"
  elseif kind ~= "get" then
    fixed = wrk.format("GET", kind, headers)
  end
end

function request()
  if fixed then
    return fixed
  end
  if kind == "get" then
    return wrk.format("GET", "/orders/" .. math.random(1, stored), headers)
  end
  local id = next_id
  next_id = next_id + 1
  return wrk.format("POST", "/orders", headers, string.format(body, id, id % 1000 + 1))
end

function response(status)
  if status ~= expected then
    wrong = wrong + 1
    wrong_status = status
  end
end

function done(summary, latency)
  local all_wrong, last_wrong, highest = 0, 0, first_id
  for _, thread in ipairs(threads) do
    all_wrong = all_wrong + thread:get("wrong")
    last_wrong = math.max(last_wrong, thread:get("wrong_status"))
    highest = math.max(highest, thread:get("next_id"))
  end
  local errors = summary.errors
  local line = 'BENCH {"requests":%d,"microseconds":%d,"p50":%d,"p90":%d,"p99":%d,'
    .. '"longest":%d,"wrong":%d,"wrong_status":%d,"lost":%d,"next_id":%d}\n'
  io.write(line:format(
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency.max, all_wrong, last_wrong,
    errors.connect + errors.read + errors.write + errors.timeout, highest))
end
