-- Close deliveries, and forget the oldest closed ones beyond the number to keep.
-- KEYS: deliveries (stream), seen (hash), unfinished (zset), finished (zset)
-- What the web tier could have spoilt is passed over: no delivery of others waits for it.
-- ARGV: prefix, state, outcome, number to keep, id…
local prefix, now = ARGV[1], redis.call('TIME')[1]

for i = 5, #ARGV do
  -- The first end counts: a worker that comes late does not turn a success into a failure.
  if redis.pcall('ZREM', KEYS[3], ARGV[i]) == 1 then
    redis.pcall('HSET', prefix .. 'delivery:' .. ARGV[i], 'state', ARGV[2], 'outcome', ARGV[3])
    redis.pcall('ZADD', KEYS[4], now, ARGV[i])
  end
end

local kept = redis.pcall('ZCARD', KEYS[4])
local surplus = type(kept) == 'number' and kept - tonumber(ARGV[4]) or 0
if surplus > 0 then
  -- Not all at once: after the number to keep was lowered, no single call shall take long.
  local oldest = redis.call('ZPOPMIN', KEYS[4], math.min(surplus, #ARGV - 4 + 100))
  for i = 1, #oldest, 2 do
    local delivery = prefix .. 'delivery:' .. oldest[i]
    local called = redis.pcall('HGET', delivery, 'called')
    if type(called) == 'string' and redis.pcall('HGET', KEYS[2], called) == oldest[i] then
      redis.call('HDEL', KEYS[2], called)
    end
    redis.pcall('XDEL', KEYS[1], oldest[i])
    redis.call('DEL', delivery, prefix .. 'stages:' .. oldest[i])
  end
end
