-- Take a delivery for a worker, unless it is finished, held by another or handed over; and with it those
-- that came right after it and that nobody has tried yet: their tasks wait behind its own.
-- KEYS: deliveries (stream), unfinished (zset)   ARGV: prefix, id, worker, lease in seconds, how many more
-- Gives the number of the attempt (0: nothing is taken), then of each delivery id, event and time of receipt.
local prefix, worker = ARGV[1], ARGV[3]
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local begun = {0}

local function begin(id)
  local delivery = prefix .. 'delivery:' .. id
  local told = redis.call('HMGET', delivery, 'event', 'received_at')
  begun[#begun + 1], begun[#begun + 2], begun[#begun + 3] = id, told[1], told[2]
  redis.call('HSET', delivery, 'state', 'running', 'worker', worker)
  redis.call('ZADD', KEYS[2], now + ARGV[4], id)
  return redis.call('HINCRBY', delivery, 'attempts', 1)
end

local held = redis.call('HMGET', prefix .. 'delivery:' .. ARGV[2], 'state', 'worker')
if not held[1] or held[1] == 'succeeded' or held[1] == 'failed' then return begun end
if held[1] == 'running' then
  local ends = redis.call('ZSCORE', KEYS[2], ARGV[2])
  if ends == 'inf' or held[2] ~= worker and tonumber(ends) > now then return begun end
end
begun[1] = begin(ARGV[2])

-- One that was tried before may be the death of its worker: it is taken alone.
if begun[1] == 1 and ARGV[5] ~= '0' then
  for _, entry in ipairs(redis.pcall('XRANGE', KEYS[1], '(' .. ARGV[2], '+', 'COUNT', ARGV[5])) do
    local next = redis.pcall('HMGET', prefix .. 'delivery:' .. entry[1], 'state', 'attempts')
    if next[1] == 'enqueued' and not next[2] then begin(entry[1]) end
  end
end
return begun
