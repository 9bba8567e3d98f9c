//! The log in Redis (or Valkey), for several processes at a time: the duplicate test and the append
//! are one script, so nothing comes between them.
//!
//! | key | type | what |
//! |---|---|---|
//! | `{smolring-log}:entries` | stream | entry `<position>-0` with the fields `id` and `msg` |
//! | `{smolring-log}:ids` | hash | id -> position |
//! | `{smolring-log}:bytes` | number | the cost of all entries together |
//!
//! The part in braces decides on which node of a cluster a key is stored: all are on the same one.
//!
//! How safe an acknowledged message is depends on Redis' configuration: `appendonly yes` with
//! `appendfsync always` makes it outlive a crash of Redis. It must not evict keys
//! (`maxmemory-policy noeviction`, which is its default): an id that is gone could be logged twice.
//!
//! A replica that takes over may lack what was acknowledged last: Redis replicates after it answers.
//!
//! A Redis that hangs may carry out a command when it goes on, after the sender was told that the
//! outcome is unknown. The message is in the log then, and `OnAppend` was not called for it.

use std::{
    str::FromStr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisFuture, RedisResult, Script,
    ScriptInvocation, Value,
    aio::{ConnectionLike, MultiplexedConnection},
    cluster::ClusterClient,
    cluster_async::ClusterConnection,
};
use smol::{Task, Timer, lock::Mutex};

use super::{
    contract::{CannotOpen, OnAppend, Outcome, Pending, Store, StoreEntry, StoreError},
    end::LogEnd,
    queue::{Append, Batches, Queue},
};
use crate::{
    http::within,
    services::logging::limits::{ENTRY_OVERHEAD_BYTES, REDIS_BLOCK, REDIS_TIMEOUT},
};

const ENTRIES: &str = "{smolring-log}:entries";
const IDS: &str = "{smolring-log}:ids";
const BYTES: &str = "{smolring-log}:bytes";

/// Appends ids and messages. Returns for each: 0 if the id is known, -1 if it is known with another
/// message, -2 if there is no room, or else the position that it has now.
const APPEND: &str = r"
local entries, ids, sum = KEYS[1], KEYS[2], KEYS[3]
local most, overhead = tonumber(ARGV[1]), tonumber(ARGV[2])
local last = redis.call('HLEN', ids)
if last ~= redis.call('XLEN', entries) then
  return redis.error_reply('TORN ' .. entries .. ' and ' .. ids .. ' do not fit together')
end
local bytes = tonumber(redis.call('GET', sum) or 0)
local outcomes = {}
for i = 3, #ARGV, 2 do
  local id, msg = ARGV[i], ARGV[i + 1]
  local known = redis.call('HGET', ids, id)
  local cost = #id + #msg + overhead
  if known then
    local entry = redis.call('XRANGE', entries, known .. '-0', known .. '-0')[1]
    outcomes[#outcomes + 1] = (entry and entry[2][4] == msg) and 0 or -1
  elseif bytes + cost > most then
    outcomes[#outcomes + 1] = -2
  else
    last = last + 1
    bytes = redis.call('INCRBY', sum, cost)
    redis.call('XADD', entries, last .. '-0', 'id', id, 'msg', msg)
    redis.call('HSET', ids, id, last)
    outcomes[#outcomes + 1] = last
  end
end
return outcomes
";

/// Entries from a position on, up to a number of bytes: ids and messages alternate.
const READ: &str = r"
local position, left, overhead = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local page = {}
-- Beyond that, not every integer can be written.
while position <= 2 ^ 53 do
  local at = string.format('%.0f-0', position)
  local entry = redis.call('XRANGE', KEYS[1], at, at)[1]
  if not entry then return page end
  local id, msg = entry[2][2], entry[2][4]
  left = left - #id - #msg - overhead
  if left < 0 and #page > 0 then return page end
  page[#page + 1] = id
  page[#page + 1] = msg
  position = position + 1
end
return page
";

/// A log in Redis. It connects when there is something to do, and again after the connection broke.
pub struct Redis {
    queue: Queue,
    shared: Arc<RedisShared>,
    _writer: Task<()>,
    /// Watches for entries of other processes. It begins when a task first waits for an entry.
    watch: OnceLock<Task<()>>,
}

struct RedisShared {
    link: RedisLink,
    read: Script,
    end: LogEnd,
}

impl Redis {
    /// A log in the database that `url` names, like `redis://127.0.0.1:6379/0`, or in a cluster of
    /// which it names some nodes, like `redis+cluster://127.0.0.1:7000,127.0.0.1:7001`; it takes
    /// entries of `bytes_max` in all. Does not block, and does not connect yet.
    pub fn new(url: &str, bytes_max: u64, on_append: OnAppend) -> Result<Self, CannotOpen> {
        let link = RedisLink::to(url.parse().map_err(CannotOpen)?, REDIS_TIMEOUT);
        let shared = Arc::new(RedisShared { link, read: Script::new(READ), end: LogEnd::at(0) });
        let (queue, batches) = Queue::new();
        let writer = shared.clone();
        let _writer =
            smol::spawn(async move { writer.write_all(batches, bytes_max, on_append).await });
        Ok(Self { queue, shared, _writer, watch: OnceLock::new() })
    }
}

/// An error says why `url` is not a Redis URL.
pub(crate) fn check(url: &str) -> Result<(), String> {
    url.parse::<RedisPlace>().map(|_| ())
}

impl Store for Redis {
    fn append<'a>(&'a self, id: &'a str, msg: &'a str) -> Pending<'a, Result<Outcome, StoreError>> {
        Box::pin(async move {
            let done = within(REDIS_TIMEOUT, self.queue.append(id, msg)).await;
            done.unwrap_or_else(|| Err(self.shared.link.silence()))
        })
    }

    fn read(
        &self,
        position: u64,
        bytes: usize,
    ) -> Pending<'_, Result<Vec<StoreEntry>, StoreError>> {
        let mut ask = self.shared.read.key(ENTRIES);
        ask.arg(position.saturating_add(1)).arg(bytes).arg(ENTRY_OVERHEAD_BYTES);
        Box::pin(async move {
            let page: Vec<(String, String)> = self.shared.link.run(&ask).await?;
            let entry = |((id, msg), position): ((String, String), u64)| StoreEntry {
                position,
                id: id.into(),
                msg: msg.into(),
            };
            Ok(page.into_iter().zip(position.saturating_add(1)..).map(entry).collect())
        })
    }

    fn last(&self) -> Pending<'_, Result<u64, StoreError>> {
        Box::pin(self.shared.last())
    }

    fn arrival(&self, position: u64) -> Pending<'_, Result<(), StoreError>> {
        let shared = &self.shared;
        self.watch.get_or_init(|| smol::spawn(shared.clone().watch()));
        Box::pin(async move {
            shared.end.beyond(position).await;
            Ok(())
        })
    }
}

impl RedisShared {
    async fn last(&self) -> Result<u64, StoreError> {
        self.link.query(Cmd::new().arg("HLEN").arg(IDS)).await
    }

    /// The writer: batch by batch, each in one call.
    async fn write_all(&self, batches: Batches, bytes_max: u64, on_append: OnAppend) {
        let script = Script::new(APPEND);
        while let Some(batch) = batches.next().await {
            let mut ask = script.key(ENTRIES);
            ask.key(IDS).key(BYTES).arg(bytes_max).arg(ENTRY_OVERHEAD_BYTES);
            for Append { id, msg, .. } in &batch {
                ask.arg(id).arg(msg);
            }
            match self.link.run::<Vec<i64>>(&ask).await {
                Ok(codes) if codes.len() == batch.len() => {
                    for (append, code) in batch.iter().zip(codes) {
                        let outcome = match code {
                            -2 => Err(StoreError::Full),
                            -1 => Ok(Outcome::Conflict),
                            0 => Ok(Outcome::Duplicate),
                            position => {
                                self.end.set(position.unsigned_abs());
                                Ok(Outcome::Logged)
                            }
                        };
                        if let Ok(outcome) = outcome {
                            on_append(&append.id, &append.msg, outcome);
                        }
                        append.answer(outcome);
                    }
                }
                Ok(_) => {
                    let odd = StoreError::Broken("Redis answers what it was not asked".into());
                    batch.iter().for_each(|append| append.answer(Err(odd.clone())));
                }
                Err(error) => batch.iter().for_each(|append| append.answer(Err(error.clone()))),
            }
        }
    }

    /// Watches where the log ends, on a connection of its own: its command waits in Redis for the next
    /// entry, and would hold up the others.
    async fn watch(self: Arc<Self>) {
        let link = RedisLink::to(self.link.place.clone(), REDIS_BLOCK + REDIS_TIMEOUT);
        loop {
            // The end is read again each time: the log may have been emptied.
            if let Ok(last) = self.last().await {
                self.end.set(last);
                let mut wait = Cmd::new();
                wait.arg("XREAD").arg("COUNT").arg(1);
                wait.arg("BLOCK").arg(REDIS_BLOCK.as_millis() as u64);
                wait.arg("STREAMS").arg(ENTRIES).arg(format!("{last}-0"));
                if link.query::<Value>(&wait).await.is_ok() {
                    continue;
                }
            }
            Timer::after(REDIS_TIMEOUT).await;
        }
    }
}

/// A connection to Redis that is made when it is needed, shared by all commands, and dropped when
/// something is wrong with it.
struct RedisLink {
    place: RedisPlace,
    /// For one command, connecting included.
    timeout: Duration,
    connection: Mutex<Option<RedisConnection>>,
}

/// Where Redis is.
#[derive(Clone)]
struct RedisPlace {
    urls: Vec<String>,
    is_cluster: bool,
    /// To be printed: it has no passwords.
    address: String,
}

impl FromStr for RedisPlace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}; write it like redis://127.0.0.1:6379/0");
        let (nodes, is_cluster) = match text.strip_prefix("redis+cluster://") {
            Some(nodes) => (nodes.split(',').collect(), true),
            None => (
                vec![text.strip_prefix("redis://").ok_or_else(|| wrong("no redis:// URL"))?],
                false,
            ),
        };
        let urls: Vec<String> = nodes.iter().map(|node| format!("redis://{node}")).collect();
        let mut addresses = Vec::new();
        for url in &urls {
            let client = Client::open(&**url).map_err(|error| wrong(&error.to_string()))?;
            addresses.push(client.get_connection_info().addr().to_string());
        }
        if is_cluster {
            ClusterClient::new(urls.clone()).map_err(|error| wrong(&error.to_string()))?;
        }
        Ok(Self { urls, is_cluster, address: addresses.join(", ") })
    }
}

impl RedisPlace {
    /// Connects. To a single server this takes as long as the caller allows.
    async fn connect(&self) -> RedisResult<RedisConnection> {
        if self.is_cluster {
            let client = ClusterClient::builder(self.urls.clone())
                .connection_timeout(REDIS_TIMEOUT)
                .response_timeout(REDIS_TIMEOUT + REDIS_BLOCK)
                .build()?;
            return client.get_async_connection().await.map(RedisConnection::Cluster);
        }
        let config = AsyncConnectionConfig::new().set_connection_timeout(None);
        let config = config.set_response_timeout(None);
        let client = Client::open(&*self.urls[0])?;
        client.get_multiplexed_async_connection_with_config(&config).await.map(RedisConnection::One)
    }
}

/// To one server, or to a cluster.
#[derive(Clone)]
enum RedisConnection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for RedisConnection {
    fn req_packed_command<'a>(&'a mut self, ask: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(ask),
            Self::Cluster(connection) => connection.req_packed_command(ask),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        asks: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(asks, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(asks, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

impl RedisLink {
    fn to(place: RedisPlace, timeout: Duration) -> Self {
        Self { place, timeout, connection: Mutex::default() }
    }

    async fn query<T: FromRedisValue>(&self, ask: &Cmd) -> Result<T, StoreError> {
        self.answer(async { ask.query_async(&mut self.connection().await?).await }).await
    }

    async fn run<T: FromRedisValue>(&self, ask: &ScriptInvocation<'_>) -> Result<T, StoreError> {
        self.answer(async { ask.invoke_async(&mut self.connection().await?).await }).await
    }

    async fn connection(&self) -> RedisResult<RedisConnection> {
        let mut connection = self.connection.lock().await;
        match &*connection {
            Some(connection) => Ok(connection.clone()),
            None => Ok(connection.insert(self.place.connect().await?).clone()),
        }
    }

    async fn answer<T>(&self, work: impl Future<Output = RedisResult<T>>) -> Result<T, StoreError> {
        let error = match within(self.timeout, work).await {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) if error.code() == Some("TORN") => {
                let what = error.detail().unwrap_or_default().to_owned();
                StoreError::Broken(format!("{what}: Redis has lost one of them"))
            }
            Some(Err(error)) => {
                StoreError::Unavailable(format!("Redis at {}: {error}", self.place.address))
            }
            None => self.silence(),
        };
        // After any error: a server that has become a replica, for example, stays one. If the lock
        // is held, a new connection is being made.
        if let Some(mut connection) = self.connection.try_lock() {
            *connection = None;
        }
        Err(error)
    }

    fn silence(&self) -> StoreError {
        let (address, time) = (&self.place.address, REDIS_TIMEOUT);
        StoreError::Unavailable(format!("Redis at {address} says nothing for {time:?}"))
    }
}
