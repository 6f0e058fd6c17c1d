-- The steps of the ledger and of the records, each one script: nothing comes between, and in the append-only file it is
-- one transaction. The rules are those of hoosh.core.booking, word for word; the contracts are in hoosh.ports.
--
-- Numbers here are doubles: exact up to 2^53, which hoosh.stores.redis.ledger sees to. A line is an array as msgspec
-- writes a hoosh.core.ledger.Line; what it is named by stands in the places below, which begin at 1.

local STATE, SCOPES, HELD, USED, GATEWAY, EXPIRES, RESERVED, SETTLED = 2, 3, 4, 5, 6, 7, 8, 9
local INPUT, CACHED, CACHE_WRITE, OUTPUT, REASONING = 10, 11, 12, 13, 14
local ESTIMATED, ABSORBED, CACHE_HIT, PRICED, KEY, AGENT, PROVIDER, MODEL, OPERATION, ERROR =
    15, 16, 17, 18, 20, 21, 22, 23, 24, 25
local RANK = {held = 0, sent = 1, estimated = 2, voided = 3, committed = 4}
local CLOSED = 2
local UNLIMITED = -1
local DAY_S = 86400
local VERSION = 1
-- What one command takes of a list: Lua's stack is bounded.
local AT_ONCE = 1000
local PRUNED_AT_ONCE = 1000
-- For how long a step may lie in a buffer: far longer than any caller waits.
local CALLER_MS = 3600000

local call, pack, unpacked = redis.call, cmsgpack.pack, cmsgpack.unpack
local HOME = KEYS[1]

local function at(...)
    return HOME .. ':' .. table.concat({...}, ':')
end

-- Time: the server's clock, made to run forwards only, as in hoosh.stores.sqlite.ledger.

local function machine_ms()
    local time = call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function now_ms()
    local machine, told = machine_ms(), call('HMGET', HOME, 'wall_ms', 'now_ms')
    local last_machine, last = tonumber(told[1]) or 0, tonumber(told[2]) or 0
    if machine >= last then
        return machine, machine
    end
    return last + math.max(0, math.floor(machine / 2) - math.floor(last_machine / 2)), machine
end

-- Begins every step that writes. It writes first, so that a server that is full refuses the whole of it.
local function tick()
    local now, machine = now_ms()
    call('HSET', HOME, 'wall_ms', machine, 'now_ms', now)
    return now
end

-- Amounts: arrays of tokens, micros and milliseconds of sound.

local function each(f, ...)
    local told, made = {...}, {}
    for meter = 1, 3 do
        local values = {}
        for n = 1, #told do
            values[n] = told[n][meter]
        end
        made[meter] = f(unpack(values))
    end
    return made
end

local function plus(a, b) return a + b end
local function minus(a, b) return a - b end
local function beyond(used, held) return math.max(0, used - held) end
local function remaining(limit, taken) return limit == UNLIMITED and UNLIMITED or math.max(0, limit - taken) end

local function nothing()
    return {0, 0, 0}
end

local function is_nothing(amount)
    return amount[1] == 0 and amount[2] == 0 and amount[3] == 0
end

local function read(key, field)
    local found = call('HGET', key, field)
    return found and unpacked(found)
end

-- The fields' values of a hash, in their order.
local function read_all(key, fields)
    local values = {}
    for first = 1, #fields, AT_ONCE do
        local some = call('HMGET', key, unpack(fields, first, math.min(first + AT_ONCE - 1, #fields)))
        for n = 1, #some do
            values[first + n - 1] = some[n] and unpacked(some[n])
        end
    end
    return values
end

-- Changes of one step, put down together at its end.

local function changes()
    return {buckets = {}, holds = {}, sums = {}}
end

local function change_of(group, name, zero)
    group[name] = group[name] or zero()
    return group[name]
end

local function hold(done, line, sign)
    if line[GATEWAY] ~= '' or RANK[line[STATE]] >= CLOSED then
        return
    end
    for _, scope in ipairs(line[SCOPES]) do
        local name = pack({scope[1], scope[3]})
        done.holds[name] = each(function(a, b) return a + sign * b end, change_of(done.holds, name, nothing), line[HELD])
    end
end

local function charge(done, known, line)
    local was = known and known[USED] or nothing()
    local used = each(minus, line[USED], was)
    local overrun = each(minus, each(beyond, line[USED], line[HELD]), each(beyond, was, line[HELD]))
    for _, scope in ipairs(line[SCOPES]) do
        local pool = change_of(done.buckets, scope[1], function() return {} end)
        local bucket = change_of(pool, scope[2], function() return {nothing(), nothing(), nothing()} end)
        bucket[1], bucket[2] = each(plus, bucket[1], used), each(plus, bucket[2], overrun)
    end
end

local function count(done, line, sign)
    local day_s = math.floor(line[RESERVED] / 1000 / DAY_S) * DAY_S
    local day = change_of(done.sums, day_s, function() return {} end)
    local name = pack({
        line[KEY], line[AGENT], line[SCOPES][1][1], line[PROVIDER], line[MODEL], line[OPERATION]
    })
    local one = {
        line[ABSORBED] and 0 or 1, 1, line[CACHE_HIT] and 1 or 0, line[ESTIMATED] and 1 or 0,
        line[PRICED] == 'unknown' and 1 or 0, line[INPUT], line[CACHED], line[CACHE_WRITE], line[OUTPUT],
        line[REASONING], line[USED][1], line[USED][2], line[USED][3]
    }
    local sum = day[name] or {}
    for n, value in ipairs(one) do
        sum[n] = (sum[n] or 0) + sign * value
    end
    day[name] = sum
end

local function put_down(done)
    for name, change in pairs(done.holds) do
        local held = each(plus, read(at('holds'), name) or nothing(), change)
        if is_nothing(held) then
            call('HDEL', at('holds'), name)
        else
            call('HSET', at('holds'), name, pack(held))
        end
    end
    for pool, buckets in pairs(done.buckets) do
        call('SADD', at('pools'), pool)
        for bucket_s, change in pairs(buckets) do
            local known = read(at('buckets', pool), bucket_s) or {nothing(), nothing(), nothing()}
            for n = 1, 3 do
                known[n] = each(plus, known[n], change[n])
            end
            call('HSET', at('buckets', pool), bucket_s, pack(known))
            call('ZADD', at('bucket_times', pool), bucket_s, bucket_s)
        end
    end
    for day_s, sums in pairs(done.sums) do
        call('ZADD', at('days'), day_s, day_s)
        for name, change in pairs(sums) do
            local known = read(at('usage', day_s), name) or {}
            for n, value in ipairs(change) do
                known[n] = (known[n] or 0) + value
            end
            call('HSET', at('usage', day_s), name, pack(known))
        end
    end
end

-- Lines

local function find_by(line, id, was)
    if was and RANK[was[STATE]] < CLOSED then
        if was[GATEWAY] == '' then
            call('ZREM', at('own'), id)
        else
            call('SREM', at('open', was[GATEWAY]), id)
        end
    end
    if RANK[line[STATE]] >= CLOSED then
        call('ZADD', at('closed'), line[SETTLED], id)
    elseif line[GATEWAY] == '' then
        call('ZADD', at('own'), line[EXPIRES], id)
    else
        call('SADD', at('open', line[GATEWAY]), id)
        call('SADD', at('owners'), line[GATEWAY])
    end
end

local function put(done, known, line)
    local id = line[1]
    if known then
        hold(done, known, -1)
    end
    hold(done, line, 1)
    find_by(line, id, known)
    call('HSET', at('lines'), id, pack(line))
    if RANK[line[STATE]] < CLOSED then
        return
    end
    charge(done, known, line)
    if known and known[STATE] == 'estimated' then
        count(done, known, -1)
    end
    if line[STATE] ~= 'voided' then
        count(done, line, 1)
    end
end

local function book(done, line)
    local known = read(at('lines'), line[1])
    if known then
        local before, after = RANK[known[STATE]], RANK[line[STATE]]
        if after < before or (after == before and after >= CLOSED) then
            return
        end
        line[HELD] = before < CLOSED and each(math.max, known[HELD], line[HELD]) or known[HELD]
        line[SCOPES], line[GATEWAY], line[RESERVED], line[EXPIRES] =
            known[SCOPES], known[GATEWAY], known[RESERVED], known[EXPIRES]
    end
    put(done, known, line)
end

local function expire(done, ids, now)
    for _, known in ipairs(read_all(at('lines'), ids)) do
        local line = unpacked(pack(known))
        if known[STATE] == 'held' then
            line[STATE] = 'voided'
        else
            line[STATE], line[USED], line[ESTIMATED], line[ERROR] = 'estimated', known[HELD], true, 'lost'
        end
        line[SETTLED] = now
        put(done, known, line)
    end
end

local function open_lines()
    local ids = call('ZRANGE', at('own'), 0, -1)
    for _, owner in ipairs(call('SMEMBERS', at('owners'))) do
        for _, id in ipairs(call('SMEMBERS', at('open', owner))) do
            ids[#ids + 1] = id
        end
    end
    return read_all(at('lines'), ids)
end

-- Gateways and leases. A lease's place is a pool and a window; its value is what was granted and what of it is active.

local function until_ms(gateway)
    local known = read(at('gateways'), gateway)
    return known and known[1] or 0
end

local function place_of(pool, window_s)
    return pack({pool, window_s})
end

local function leases_at(place)
    local told, found = call('HGETALL', at('leases', place)), {}
    for n = 1, #told, 2 do
        found[told[n]] = unpacked(told[n + 1])
    end
    return found
end

local function drop_lease(gateway, place)
    call('HDEL', at('leases', place), gateway)
    call('SREM', at('places', gateway), place)
    call('SREM', at('recalled', gateway), place)
end

local function end_of(gateway)
    call('HDEL', at('gateways'), gateway)
    for _, place in ipairs(call('SMEMBERS', at('places', gateway))) do
        drop_lease(gateway, place)
    end
end

local function committed(pool, since_s)
    local sum = nothing()
    local times = call('ZRANGEBYSCORE', at('bucket_times', pool), since_s, '+inf')
    for _, bucket in ipairs(read_all(at('buckets', pool), times)) do
        sum = each(plus, sum, bucket[1])
    end
    return sum
end

local function lease(gateway, wish)
    local pool, window_s, since_s, ceiling, keep, want, active, urgent = unpack(wish)
    local place = place_of(pool, window_s)
    local taken, idle, mine = committed(pool, since_s), nothing(), nothing()
    taken = each(plus, taken, read(at('holds'), place) or nothing())
    for other, its in pairs(leases_at(place)) do
        if other == gateway then
            mine = its[1]
        else
            taken = each(plus, taken, its[1])
            idle = each(plus, idle, each(minus, its[1], its[2]))
            if urgent then
                call('SADD', at('recalled', other), place)
            end
        end
    end
    local left = each(remaining, ceiling, taken)
    local granted = each(function(most, before, kept, wanted, rest)
        return most == UNLIMITED and 0 or math.max(math.min(before, kept), math.min(wanted, rest))
    end, ceiling, mine, keep, want, left)
    local was_recalled = call('SREM', at('recalled', gateway), place) == 1
    if is_nothing(granted) then
        drop_lease(gateway, place)
    else
        call('HSET', at('leases', place), gateway, pack({granted, active}))
        call('SADD', at('places', gateway), place)
    end
    return {pool, window_s, granted, each(remaining, left, granted), each(math.max, idle, nothing()), was_recalled}
end

-- What others want back of leases that the batch did not name; said once.
local function recalled(gateway)
    local told = {}
    for _, place in ipairs(call('SMEMBERS', at('recalled', gateway))) do
        told[#told + 1] = unpacked(place)
    end
    call('DEL', at('recalled', gateway))
    return told
end

-- The steps

local steps = {}

-- A step whose caller has given up may lie in its connection's buffer until others of the same caller are done, over
-- new connections: what it asks for is no longer true then. `caller` numbers its steps; the same one may come twice.
local function is_late(caller, number, now)
    if number < (tonumber(call('HGET', at('steps'), caller)) or 0) then
        return true
    end
    call('HSET', at('steps'), caller, number)
    call('ZADD', at('step_times'), now, caller)
    return false
end

local function forget_callers(now)
    local old = call('ZRANGEBYSCORE', at('step_times'), '-inf', now - CALLER_MS, 'LIMIT', 0, AT_ONCE)
    for _, caller in ipairs(old) do
        call('HDEL', at('steps'), caller)
        call('ZREM', at('step_times'), caller)
    end
end

local LATE = redis.error_reply('LATE a step of this caller that was begun later is done already')

-- What is made once, and the names that stay: the epoch, and the version of all that is kept here.
function steps.open(fresh_epoch)
    call('HSETNX', HOME, 'epoch', fresh_epoch)
    call('HSETNX', HOME, 'version', VERSION)
    return call('HGET', HOME, 'epoch')
end

-- hoosh.core.ledger.Batch to Reply; false where the epoch is not the ledger's.
function steps.sync(batch, caller, number)
    local gateway, epoch, lease_ms, journalled, lines, wishes = unpack(batch)
    if call('HGET', HOME, 'epoch') ~= epoch then
        return false
    end
    local now, done, granted, alive = tick(), changes(), {}, 0
    if is_late(caller, number, now) then
        return LATE
    end
    call('HSET', at('gateways'), gateway, pack({now + lease_ms, journalled}))
    for _, line in ipairs(lines) do
        book(done, line)
    end
    put_down(done)
    for n, wish in ipairs(wishes) do
        granted[n] = lease(gateway, wish)
    end
    for _, known in ipairs(call('HVALS', at('gateways'))) do
        alive = alive + (unpacked(known)[1] > now and 1 or 0)
    end
    return {now, alive, granted, recalled(gateway)}
end

function steps.sweep()
    local now, done = tick(), changes()
    local ids = call('ZRANGEBYSCORE', at('own'), '-inf', now)
    for _, owner in ipairs(call('SMEMBERS', at('owners'))) do
        if until_ms(owner) <= now then
            for _, id in ipairs(call('SMEMBERS', at('open', owner))) do
                ids[#ids + 1] = id
            end
            call('SREM', at('owners'), owner)
        end
    end
    expire(done, ids, now)
    put_down(done)
    local gateways = call('HGETALL', at('gateways'))
    for n = 1, #gateways, 2 do
        local ends_ms, journalled = unpack(unpacked(gateways[n + 1]))
        if ends_ms <= now and not journalled then
            end_of(gateways[n])
        end
    end
    forget_callers(now)
    return #ids
end

function steps.reconcile(gateway, caller, number)
    local done, now = changes(), tick()
    if is_late(caller, number, now) then
        return LATE
    end
    expire(done, call('SMEMBERS', at('open', gateway)), now)
    put_down(done)
    call('SREM', at('owners'), gateway)
    end_of(gateway)
    return true
end

function steps.carry(pool, bucket_s, extra)
    local name = pack({pool, bucket_s})
    call('HSETNX', at('carried'), name, pack(extra))
    return read(at('carried'), name)
end

function steps.standing(asked)
    local now, lines, told = now_ms(), open_lines(), {}
    for n, one in ipairs(asked) do
        local pool, since_s, window_s = unpack(one)
        local held, leased, stranded = nothing(), nothing(), nothing()
        for _, line in ipairs(lines) do
            for _, scope in ipairs(line[SCOPES]) do
                if scope[1] == pool and scope[3] == window_s then
                    held = each(plus, held, line[HELD])
                end
            end
        end
        for gateway, its in pairs(leases_at(place_of(pool, window_s))) do
            leased = each(plus, leased, its[1])
            if until_ms(gateway) <= now then
                stranded = each(plus, stranded, its[1])
            end
        end
        told[n] = {committed(pool, since_s), held, leased, stranded}
    end
    return told
end

function steps.line(id)
    return read(at('lines'), id) or nil
end

-- Rows of a day, the names that sums are kept by, and the sums.
function steps.usage(from_day_s, to_day_s)
    local rows = {}
    for _, day_s in ipairs(call('ZRANGEBYSCORE', at('days'), from_day_s, '(' .. to_day_s)) do
        local sums = call('HGETALL', at('usage', day_s))
        for n = 1, #sums, 2 do
            rows[#rows + 1] = {tonumber(day_s), unpacked(sums[n]), unpacked(sums[n + 1])}
        end
    end
    return rows
end

-- Closed lines, the oldest first, some at a time, so that others get their turn.
function steps.prune(before_ms)
    tick()
    local ids = call('ZRANGEBYSCORE', at('closed'), '-inf', '(' .. before_ms, 'LIMIT', 0, PRUNED_AT_ONCE)
    local done = changes()
    for n, line in ipairs(read_all(at('lines'), ids)) do
        for _, scope in ipairs(line[SCOPES]) do
            local pool = change_of(done.buckets, scope[1], function() return {} end)
            local bucket = change_of(pool, scope[2], function() return {nothing(), nothing(), nothing()} end)
            bucket[3] = each(plus, bucket[3], line[USED])
        end
        call('HDEL', at('lines'), ids[n])
        call('ZREM', at('closed'), ids[n])
    end
    put_down(done)
    return #ids
end

-- The clock, buckets with what the lines say, leases, and what is open: the parts of a hoosh.core.ledger.Audit.
function steps.audit()
    local sums, books, leases, opened = {}, {}, {}, {}
    for _, packed in ipairs(call('HVALS', at('lines'))) do
        local line = unpacked(packed)
        for _, scope in ipairs(line[SCOPES]) do
            local pool = change_of(sums, scope[1], function() return {} end)
            pool[scope[2]] = each(plus, pool[scope[2]] or nothing(), line[USED])
        end
    end
    for _, pool in ipairs(call('SMEMBERS', at('pools'))) do
        local buckets = call('HGETALL', at('buckets', pool))
        for n = 1, #buckets, 2 do
            local bucket_s, bucket = tonumber(buckets[n]), unpacked(buckets[n + 1])
            local lines = each(plus, bucket[3], (sums[pool] or {})[bucket_s] or nothing())
            books[#books + 1] = {
                pool = pool, bucket_s = bucket_s, committed = bucket[1], lines = lines, overrun = bucket[2]
            }
        end
    end
    for _, gateway in ipairs(call('HKEYS', at('gateways'))) do
        for _, place in ipairs(call('SMEMBERS', at('places', gateway))) do
            local pool, window_s = unpack(unpacked(place))
            leases[#leases + 1] = {gateway, pool, window_s, read(at('leases', place), gateway)[1]}
        end
    end
    for n, line in ipairs(open_lines()) do
        local gateway = line[GATEWAY]
        opened[n] = {
            id = line[1], state = line[STATE], gateway = gateway, scopes = line[SCOPES], held = line[HELD],
            until_ms = gateway == '' and line[EXPIRES] or until_ms(gateway)
        }
    end
    return {now_ms = now_ms(), books = books, leases = leases, open_lines = opened}
end

-- Records

-- What MessagePack calls bytes is not known to every server: a body comes beside.
function steps.put(kind, id)
    call('HINCRBY', HOME, 'records_version', 1)
    call('HSETNX', HOME, 'version', VERSION)
    call('HSET', at('records', kind), id, ARGV[3])
    return true
end

function steps.drop(kind, id)
    local was_there = call('HDEL', at('records', kind), id) == 1
    if was_there then
        call('HINCRBY', HOME, 'records_version', 1)
    end
    return was_there
end

function steps.version()
    return tonumber(call('HGET', HOME, 'records_version')) or 0
end

local answer = steps[ARGV[1]](unpack(unpacked(ARGV[2])))
return answer == LATE and LATE or pack(answer)
