-- Count a stream in at all accounts, or at none.
-- KEYS[i]  a sorted set per account: stream -> end of its lease (microseconds)
-- ARGV     now (microseconds; empty: the server's clock), lease (microseconds), stream, then per account its limit (-1: none)
-- Returns  1 counted in, 0 refused
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000000 + tonumber(time[2])
end
local lease, stream = tonumber(ARGV[2]), ARGV[3]
for i, key in ipairs(KEYS) do
  redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now))
  local limit = tonumber(ARGV[3 + i])
  if limit >= 0 and redis.call('ZCARD', key) >= limit then return 0 end
end
for _, key in ipairs(KEYS) do
  redis.call('ZADD', key, string.format('%.0f', now + lease), stream)
  redis.call('EXPIRE', key, 86400)
end
return 1
