package redis

import "github.com/redis/go-redis/v9"

// The scripts below make all decisions between replicas. Each runs atomically inside Redis. A script checks types before
// commands that depend on them, because Redis does not roll back a failed script. It uses keys of only one model, which
// are all in one slot.

// scripts holds the scripts of a Store. go-redis sends the text of a script only if the server does not know it yet.
type scripts struct{ commit, drop, touch, acquire, renew, release, progress *redis.Script }

func newScripts() scripts {
	return scripts{
		commit: redis.NewScript(commitScript), drop: redis.NewScript(dropScript), touch: redis.NewScript(touchScript),
		acquire: redis.NewScript(acquireScript), renew: redis.NewScript(renewScript),
		release: redis.NewScript(releaseScript), progress: redis.NewScript(progressScript),
	}
}

// commitScript makes a value valid whose chunks are written.
// KEYS: entry, index, fence, chunks...
// ARGV: header with any inline value, ttl ms (0 for none), fencing token or "", field, usage size, id, channel
// Returns {"ok", start of the replaced entry}, {"stale"} or {"incomplete"}.
const commitScript = `
if ARGV[3] ~= '' then
  if redis.call('TYPE', KEYS[3]).ok ~= 'string' or redis.call('GET', KEYS[3]) ~= ARGV[3] then return {'stale'} end
end
for i = 4, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then return {'incomplete'} end
end
local old, ttl = '', tonumber(ARGV[2])
if redis.call('TYPE', KEYS[1]).ok == 'string' then old = redis.call('GETRANGE', KEYS[1], 0, 1023) end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[2]) end
if ttl > 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ttl) else redis.call('SET', KEYS[1], ARGV[1]) end
for i = 4, #KEYS do
  if ttl > 0 then redis.call('PEXPIRE', KEYS[i], ttl + 60000) else redis.call('PERSIST', KEYS[i]) end
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[4], string.format('%s %d%03d %s %d', ARGV[5], now[1], math.floor(now[2] / 1000), ARGV[6], #KEYS - 3))
if ttl > 0 then redis.call('PEXPIRE', KEYS[2], ttl + 60000) else redis.call('PERSIST', KEYS[2]) end
redis.pcall('PUBLISH', ARGV[7], ARGV[4])
return {'ok', old}`

// dropScript deletes an entry unless it has changed since its start was read.
// KEYS: entry, index. ARGV: field, start as read or "*" for any entry.
// Returns {"dropped", start, index value}, {"changed"} or {"none"}.
const dropScript = `
local kind, head, used = redis.call('TYPE', KEYS[1]).ok, '', ''
if kind == 'string' then head = redis.call('GETRANGE', KEYS[1], 0, 1023) end
if ARGV[2] ~= '*' and kind == 'none' then return {'none'} end
if ARGV[2] ~= '*' and head ~= ARGV[2] then return {'changed'} end
if redis.call('TYPE', KEYS[2]).ok == 'hash' then
  used = redis.call('HGET', KEYS[2], ARGV[1]) or ''
  redis.call('HDEL', KEYS[2], ARGV[1])
end
redis.call('DEL', KEYS[1])
return {'dropped', head, used}`

// touchScript records the use of an entry. It restarts the entry's TTL and sets the time that decides on eviction.
const touchScript = `
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local ttl, kind = tonumber(ARGV[1]), redis.call('TYPE', KEYS[2]).ok
if ttl > 0 then
  redis.call('PEXPIRE', KEYS[1], ttl)
  for i = 3, #KEYS do redis.call('PEXPIRE', KEYS[i], ttl + 60000) end
  redis.call('PEXPIRE', KEYS[2], ttl + 60000)
end
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[2]) end
local now = redis.call('TIME')
redis.call('HSET', KEYS[2], ARGV[2], string.format('%s %d%03d %s %d', ARGV[3], now[1], math.floor(now[2] / 1000), ARGV[4], #KEYS - 2))
return 1`

// acquireScript takes a free lease and returns its fencing token, which is larger than every earlier one. Tokens count up
// from the clock in microseconds, so no token repeats even if the fence key is lost (eviction, restart). A fence key that
// is not a number below 2^53 was not written by this package and counts as 0.
const acquireScript = `
local left = redis.call('PTTL', KEYS[1])
if left == -1 then redis.call('DEL', KEYS[1]) elseif left > tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return '' end
local now, last = redis.call('TIME'), 0
if redis.call('TYPE', KEYS[2]).ok == 'string' then last = tonumber(redis.call('GET', KEYS[2])) or 0 end
if not (last < 9007199254740992) then last = 0 end
local token = string.format('%.0f', math.max(last + 1, now[1] * 1000000 + now[2]))
redis.call('SET', KEYS[2], token, 'PX', 86400000)
return token`

// renewScript extends a lease. If the lease has expired and no replica has taken it over, the script acquires it again.
// KEYS: lease, fence. ARGV: owner, ttl ms, token. Returns 1, or 0 if another replica has taken over the lease.
const renewScript = `
if redis.call('TYPE', KEYS[2]).ok ~= 'string' or redis.call('GET', KEYS[2]) ~= ARGV[3] then return 0 end
local kind = redis.call('TYPE', KEYS[1]).ok
if kind == 'none' then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
elseif kind ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
else
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
redis.call('PEXPIRE', KEYS[2], 86400000)
return 1`

// releaseScript releases a lease.
// KEYS: lease, progress. ARGV: owner. Returns 1, or 0 if the owner no longer held it.
const releaseScript = `
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1], KEYS[2])
return 1`

// progressScript publishes the holder's progress. The progress expires like a lease that is not renewed.
// KEYS: lease, progress. ARGV: owner, ttl ms, progress. Returns 1, or 0 if the owner no longer held the lease.
const progressScript = `
if redis.call('TYPE', KEYS[1]).ok ~= 'string' or redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[2])
return 1`
