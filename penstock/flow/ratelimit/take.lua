-- One request and its tokens from all accounts, or from none.
-- KEYS[i]  a hash per account: r, t (levels of the two buckets), at (microseconds)
-- ARGV     now (microseconds; empty: the server's own clock, so that gateways need not agree on the time),
--          mode (take: ask first; settle: take tokens without asking), tokens,
--          then per account: requests per second, capacity, tokens per second, capacity; a capacity of -1: no limit
-- Returns  wait in microseconds (0: allowed), then per account the two levels, as text (Redis cuts numbers to integers)
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local settles = ARGV[2] == 'settle'
local tokens = tonumber(ARGV[3])

local function filled(level, at, per_s, capacity)
  if capacity < 0 then return 0 end
  if not level then return capacity end
  return math.min(capacity, level + math.max(0, now - at) / 1000000 * per_s)
end

local function wait(level, amount, per_s, capacity)
  if capacity < 0 then return 0 end
  local missing = math.min(amount, capacity) - level
  if missing <= 1e-9 then return 0 end
  if per_s <= 0 then return 3600 * 1000000 end
  return missing / per_s * 1000000
end

local accounts, longest = {}, 0
for i, key in ipairs(KEYS) do
  local base = 3 + (i - 1) * 4
  local a = {
    r_per_s = tonumber(ARGV[base + 1]), r_capacity = tonumber(ARGV[base + 2]),
    t_per_s = tonumber(ARGV[base + 3]), t_capacity = tonumber(ARGV[base + 4]),
  }
  local stored = redis.call('HMGET', key, 'r', 't', 'at')
  local at = tonumber(stored[3]) or now
  a.r = filled(tonumber(stored[1]), at, a.r_per_s, a.r_capacity)
  a.t = filled(tonumber(stored[2]), at, a.t_per_s, a.t_capacity)
  if not settles then
    longest = math.max(longest, wait(a.r, 1, a.r_per_s, a.r_capacity), wait(a.t, tokens, a.t_per_s, a.t_capacity))
  end
  accounts[i] = a
end

local reply = { tostring(longest) }
for i, key in ipairs(KEYS) do
  local a = accounts[i]
  if longest == 0 then
    if not settles then a.r = a.r - 1 end
    a.t = math.min(a.t - tokens, math.max(a.t_capacity, 0))
  end
  redis.call('HSET', key, 'r', string.format('%.9f', a.r), 't', string.format('%.9f', a.t), 'at', string.format('%.0f', now))
  -- A bucket that has been left alone until it is full is the same as none.
  local full_s = 1
  if a.r_per_s > 0 then full_s = math.max(full_s, (a.r_capacity - a.r) / a.r_per_s) end
  if a.t_per_s > 0 then full_s = math.max(full_s, (a.t_capacity - a.t) / a.t_per_s) end
  redis.call('EXPIRE', key, math.min(86400, math.ceil(full_s) + 60))
  table.insert(reply, string.format('%.9f', a.r))
  table.insert(reply, string.format('%.9f', a.t))
end
return reply
