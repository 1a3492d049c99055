-- Close a delivery, and forget the oldest closed ones beyond the number to keep.
-- KEYS: deliveries (stream), seen (hash), unfinished (zset), finished (zset)
-- ARGV: prefix, id, state, outcome, number to keep
local prefix, id = ARGV[1], ARGV[2]

-- The first end counts: a worker that comes late does not turn a success into a failure.
if redis.call('ZREM', KEYS[3], id) == 0 then return 0 end
redis.call('HSET', prefix .. 'delivery:' .. id, 'state', ARGV[3], 'outcome', ARGV[4])
redis.call('ZADD', KEYS[4], redis.call('TIME')[1], id)

local surplus = redis.call('ZCARD', KEYS[4]) - tonumber(ARGV[5])
if surplus > 0 then
  -- A few at a time: after the number to keep was lowered, no single call shall take long.
  local oldest = redis.call('ZPOPMIN', KEYS[4], math.min(surplus, 100))
  for i = 1, #oldest, 2 do
    local delivery = prefix .. 'delivery:' .. oldest[i]
    local called = redis.call('HGET', delivery, 'called')
    if called and redis.call('HGET', KEYS[2], called) == oldest[i] then
      redis.call('HDEL', KEYS[2], called)
    end
    redis.call('XDEL', KEYS[1], oldest[i])
    redis.call('DEL', delivery, prefix .. 'stages:' .. oldest[i])
  end
end
return 1
