-- Write a delivery, and put its task on the queue, unless its host sent it before or too many are unfinished.
-- KEYS: deliveries (stream), seen (hash), unfinished (zset), queue (list)
-- ARGV: prefix, what the host calls it, event, received at, limit, seconds to be enqueued in,
--       first stage, task ("" for none), what stands in the task for the id
local prefix, called, event, received_at = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local first = redis.call('HGET', KEYS[2], called)
if first then
  local state = redis.call('HGET', prefix .. 'delivery:' .. first, 'state')
  -- A failed delivery that is sent again is a new one: that is what "Redeliver" is for.
  if state and state ~= 'failed' then return {'duplicate', first} end
end

local unfinished = redis.call('ZCARD', KEYS[3])
if unfinished >= tonumber(ARGV[5]) then return {'full', unfinished} end

local time = redis.call('TIME')
local id = redis.call('XADD', KEYS[1], '*', 'called', called)
redis.call('HSET', prefix .. 'delivery:' .. id,
  'event', event, 'state', 'received', 'received_at', received_at, 'called', called)
redis.call('RPUSH', prefix .. 'stages:' .. id, ARGV[7])
redis.call('HSET', KEYS[2], called, id)
redis.call('ZADD', KEYS[3], time[1] + ARGV[6], id)
if ARGV[8] ~= '' then
  -- A queue that does not take it costs no delivery: it is in the ledger, and beat finds it there.
  local put = redis.pcall('LPUSH', KEYS[4], (string.gsub(ARGV[8], ARGV[9], id)))
  if type(put) == 'number' then
    redis.call('HSET', prefix .. 'delivery:' .. id, 'state', 'enqueued')
    redis.call('ZADD', KEYS[3], '+inf', id)
  end
end
return {'recorded', id}
