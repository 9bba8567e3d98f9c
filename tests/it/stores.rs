//! The same cases over all stores, and all of them against a model.

use std::{
    any::Any,
    sync::{Arc, Mutex},
};

use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use smol::{LocalExecutor, future::block_on};
use smolring::services::logging::{
    limits::{ENTRY_OVERHEAD_BYTES, ID_BYTES_MAX, MSG_BYTES_MAX},
    store::{Disk, Memory, OnAppend, Outcome, Redis, Store, StoreError},
};

use crate::{
    needs::is_here,
    redis_server::{RedisCluster, RedisServer},
    served::PATIENCE,
};

/// The appends that a store has reported.
type Heard = Arc<Mutex<Vec<(String, String, Outcome)>>>;

/// A store, with what must live as long as it does.
struct Kept {
    kind: &'static str,
    store: Box<dyn Store>,
    heard: Heard,
    /// Opens it again, as a later process would.
    again: Option<Again>,
    _support: Box<dyn Any>,
}

type Again = Box<dyn Fn(OnAppend) -> Box<dyn Store>>;

fn witness() -> (OnAppend, Heard) {
    let heard = Heard::default();
    let ear = heard.clone();
    let hear = move |id: &str, msg: &str, outcome| {
        ear.lock().unwrap().push((id.into(), msg.into(), outcome));
    };
    (Box::new(hear), heard)
}

/// An empty store of each kind.
fn each(bytes_max: u64) -> Vec<Kept> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.redb");
    let open = move |hear| Box::new(Disk::open(&path, bytes_max, hear).unwrap()) as Box<dyn Store>;
    let disk = durable("disk", open, folder);
    let mut all = vec![in_memory(bytes_max), disk];
    if is_here("redis-server") {
        let server = RedisServer::start();
        let url = server.url();
        let open = move |hear| Box::new(Redis::new(&url, bytes_max, hear).unwrap()) as _;
        all.push(durable("redis", open, server));
    }
    all
}

fn in_memory(bytes_max: u64) -> Kept {
    let (hear, heard) = witness();
    let store = Box::new(Memory::new(bytes_max, hear));
    Kept { kind: "memory", store, heard, again: None, _support: Box::new(()) }
}

fn durable(
    kind: &'static str,
    open: impl Fn(OnAppend) -> Box<dyn Store> + 'static,
    support: impl Any,
) -> Kept {
    let (hear, heard) = witness();
    Kept {
        kind,
        store: open(hear),
        heard,
        again: Some(Box::new(open)),
        _support: Box::new(support),
    }
}

impl Kept {
    fn append(&self, id: &str, msg: &str) -> Result<Outcome, StoreError> {
        block_on(self.store.append(id, msg))
    }

    fn last(&self) -> u64 {
        block_on(self.store.last()).unwrap()
    }

    /// One page as (position, id, msg).
    fn page(&self, after: u64, bytes: usize) -> Vec<(u64, String, String)> {
        let page = block_on(self.store.read(after, bytes)).unwrap();
        let plain = |it: smolring::services::logging::store::StoreEntry| {
            (it.position, it.id.to_string(), it.msg.to_string())
        };
        page.into_iter().map(plain).collect()
    }

    /// All entries, in pages of this size.
    fn all(&self, bytes: usize) -> Vec<(String, String)> {
        let mut all = Vec::new();
        loop {
            let page = self.page(all.len() as u64, bytes);
            if page.is_empty() {
                return all;
            }
            for (position, id, msg) in page {
                assert_eq!(position, all.len() as u64 + 1, "{}", self.kind);
                all.push((id, msg));
            }
        }
    }

    /// The log according to the reported appends.
    fn logged(&self) -> Vec<(String, String)> {
        let heard = self.heard.lock().unwrap();
        let logged = heard.iter().filter(|(.., outcome)| *outcome == Outcome::Logged);
        logged.map(|(id, msg, _)| (id.clone(), msg.clone())).collect()
    }

    fn reopen(&mut self) {
        let Some(again) = &self.again else { return };
        self.store.close();
        // Not two at a time: the file is locked.
        self.store = Box::new(Memory::new(0, witness().0));
        let (hear, heard) = witness();
        (self.store, self.heard) = (again(hear), heard);
    }
}

const MUCH: u64 = 1 << 30;

#[test]
fn an_id_is_logged_once_and_its_first_message_stays() {
    each(MUCH).iter_mut().for_each(keeps_an_id_once);
}

fn keeps_an_id_once(kept: &mut Kept) {
    use Outcome::{Conflict, Duplicate, Logged};
    assert_eq!((kept.last(), kept.all(1000)), (0, Vec::new()));
    let cases = [
        ("a", "1", Logged),
        ("b", "1", Logged),
        ("a", "1", Duplicate),
        ("a", "2", Conflict),
        ("A", "1", Logged),
        ("a", "", Conflict),
        ("c", "", Logged),
        ("c", "", Duplicate),
    ];
    for (id, msg, outcome) in cases {
        assert_eq!(kept.append(id, msg), Ok(outcome), "{}: {id} {msg}", kept.kind);
    }
    let heard: Vec<_> = kept.heard.lock().unwrap().clone();
    assert_eq!(heard, cases.map(|(id, msg, outcome)| (id.into(), msg.into(), outcome)));
    let entries = [("a", "1"), ("b", "1"), ("A", "1"), ("c", "")];
    let entries = entries.map(|(id, msg)| (id.to_owned(), msg.to_owned()));
    assert_eq!(kept.all(1000), entries, "{}", kept.kind);
    if kept.again.is_some() {
        kept.reopen();
        assert_eq!((kept.last(), kept.all(1000)), (4, entries.to_vec()), "{}", kept.kind);
        assert_eq!(kept.append("c", ""), Ok(Duplicate));
        assert_eq!(kept.append("b", "2"), Ok(Conflict));
        assert_eq!(kept.append("d", "2"), Ok(Logged));
        assert_eq!(kept.page(4, 1), [(5, "d".into(), "2".into())]);
    }
}

#[test]
fn any_text_comes_back_as_it_was() {
    let long_id = "~".repeat(ID_BYTES_MAX);
    let long_msg = "🎉".repeat(MSG_BYTES_MAX / 4);
    let bytes: String = (0..=255u8).map(char::from).collect();
    let texts = ["", " ", "\0", "a\r\nb", "-0", "{\"json\":1}", &bytes, &long_msg];
    for kept in each(MUCH) {
        let ids = ["0", "-1", "\"'\\", "{x}", "$1", "id", "msg", &long_id];
        for (id, msg) in ids.into_iter().zip(texts) {
            assert_eq!(kept.append(id, msg), Ok(Outcome::Logged), "{}: {id}", kept.kind);
            assert_eq!(kept.append(id, msg), Ok(Outcome::Duplicate), "{}: {id}", kept.kind);
        }
        let all = kept.all(1 << 16);
        assert!(all.iter().map(|(id, msg)| (&**id, &**msg)).eq(ids.into_iter().zip(texts)));
    }
}

#[test]
fn a_page_is_as_long_as_was_asked_for() {
    let entry = 100 + ENTRY_OVERHEAD_BYTES as usize;
    for kept in each(MUCH) {
        (10..20).for_each(|id| {
            kept.append(&id.to_string(), &"m".repeat(98)).unwrap();
        });
        for (after, bytes, positions) in [
            (0, 0, 1..=1),
            (0, entry - 1, 1..=1),
            (0, entry, 1..=1),
            (0, 3 * entry - 1, 1..=2),
            (0, 3 * entry, 1..=3),
            (7, 9 * entry, 8..=10),
            (9, 0, 10..=10),
        ] {
            let page: Vec<u64> = kept.page(after, bytes).into_iter().map(|it| it.0).collect();
            assert_eq!(page, positions.collect::<Vec<_>>(), "{}: {after} {bytes}", kept.kind);
        }
        for after in [10, 11, 1 << 53, u64::MAX] {
            assert_eq!(kept.page(after, 1000), [], "{}: {after}", kept.kind);
        }
    }
}

#[test]
fn a_full_log_takes_no_more_and_forgets_nothing() {
    let entry = 3 + ENTRY_OVERHEAD_BYTES;
    for mut kept in each(2 * entry + 1) {
        assert_eq!(kept.append("a", "aa"), Ok(Outcome::Logged));
        assert_eq!(kept.append("b", "bbbb"), Err(StoreError::Full), "{}", kept.kind);
        assert_eq!(kept.append("b", "bbb"), Ok(Outcome::Logged));
        for _ in 0..2 {
            assert_eq!(kept.append("c", ""), Err(StoreError::Full), "{}", kept.kind);
            assert_eq!(kept.append("a", "aa"), Ok(Outcome::Duplicate), "{}", kept.kind);
            kept.reopen();
        }
        assert_eq!((kept.last(), kept.all(1000).len()), (2, 2), "{}", kept.kind);
    }
}

#[test]
fn of_many_at_once_one_is_the_first() {
    each(MUCH).iter().for_each(takes_many_at_once);
}

fn takes_many_at_once(kept: &Kept) {
    let executor = LocalExecutor::new();
    let store = &kept.store;
    let tasks: Vec<_> = (0..400)
        .map(|number| {
            executor.spawn(async move {
                let id = format!("id-{}", number % 25);
                store.append(&id, &id).await.unwrap()
            })
        })
        .collect();
    let outcomes = block_on(executor.run(async {
        let mut outcomes = Vec::new();
        for task in tasks {
            outcomes.push(task.await);
        }
        outcomes
    }));
    let count = |outcome| outcomes.iter().filter(|it| **it == outcome).count();
    assert_eq!((count(Outcome::Logged), count(Outcome::Duplicate)), (25, 375), "{}", kept.kind);
    let all = kept.all(1000);
    assert_eq!(all.len(), 25);
    assert_eq!(all, kept.logged(), "{}: the witness hears in the order of the log", kept.kind);
}

#[test]
fn who_waits_hears_of_what_arrives() {
    each(MUCH).iter().for_each(tells_of_what_arrives);
}

fn tells_of_what_arrives(kept: &Kept) {
    let store = &kept.store;
    for round in 0..20 {
        let waits = async {
            store.arrival(round).await.unwrap();
            block_on(store.read(round, 1)).unwrap()
        };
        let works = async {
            store.append(&round.to_string(), "x").await.unwrap();
            smol::future::pending().await
        };
        let late = async {
            smol::Timer::after(PATIENCE).await;
            panic!("{}: nothing arrives", kept.kind)
        };
        let page = block_on(smol::future::or(smol::future::or(waits, works), late));
        assert_eq!(page[0].position, round + 1);
    }
    let soon = block_on(smol::future::poll_once(store.arrival(20)));
    assert_eq!(soon, None, "{}: nothing has arrived", kept.kind);
}

#[test]
fn an_append_that_nobody_waits_for_is_done_or_not_done() {
    for kept in each(MUCH) {
        for number in 0..50 {
            let id = number.to_string();
            let begun = async {
                let _ = kept.store.append(&id, "x").await;
            };
            // Poll it once.
            block_on(smol::future::or(begun, async {}));
        }
        assert_eq!(kept.append("last", "x"), Ok(Outcome::Logged), "{}", kept.kind);
        assert_eq!(kept.all(1000), kept.logged(), "{}", kept.kind);
        for number in 0..50 {
            kept.append(&number.to_string(), "x").unwrap();
        }
        assert_eq!(kept.last(), 51, "{}", kept.kind);
    }
}

#[test]
fn a_cluster_is_as_good_as_one_server() {
    needs!("redis-server");
    let cases: [fn(&mut Kept); 3] =
        [keeps_an_id_once, |kept| takes_many_at_once(kept), |kept| tells_of_what_arrives(kept)];
    for case in cases {
        let cluster = RedisCluster::start();
        let url = cluster.url();
        let open = move |hear| Box::new(Redis::new(&url, MUCH, hear).unwrap()) as _;
        case(&mut durable("cluster", open, cluster));
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(u8, u8),
    Read(u64, usize),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..12u8, 0..3u8).prop_map(|(id, msg)| Step::Append(id, msg)),
        2 => (0..15u64, 0..1000usize).prop_map(|(after, bytes)| Step::Read(after, bytes)),
        1 => Just(Step::Reopen),
    ];
    vec(step, 0..40)
}

/// The simplest possible log.
#[derive(Default)]
struct Model(Vec<(String, String)>);

impl Model {
    fn append(&mut self, id: &str, msg: &str, bytes_max: u64) -> Result<Outcome, StoreError> {
        let cost =
            |(id, msg): &(String, String)| (id.len() + msg.len()) as u64 + ENTRY_OVERHEAD_BYTES;
        match self.0.iter().find(|(known, _)| known == id) {
            Some((_, known)) if known == msg => return Ok(Outcome::Duplicate),
            Some(_) => return Ok(Outcome::Conflict),
            None => {}
        }
        self.0.push((id.into(), msg.into()));
        if self.0.iter().map(cost).sum::<u64>() > bytes_max {
            self.0.pop();
            return Err(StoreError::Full);
        }
        Ok(Outcome::Logged)
    }
}

#[test]
fn a_store_does_as_the_model_does() {
    needs!("redis-server");
    // Room for some ids of twelve.
    let bytes_max = 9 * (ENTRY_OVERHEAD_BYTES + 30);
    let server = RedisServer::start();
    let mut runner = TestRunner::new(ProptestConfig::with_cases(24));
    let run = |kept: &mut Kept, steps: &[Step]| {
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(id, msg) => {
                    let (id, msg) = (format!("id-{id}"), "m".repeat(usize::from(*msg) * 20));
                    let expected = model.append(&id, &msg, bytes_max);
                    prop_assert_eq!(kept.append(&id, &msg), expected, "{}: {}", kept.kind, id);
                }
                Step::Read(after, bytes) => {
                    let page = kept.page(*after, *bytes);
                    let expected = model.0.iter().skip(*after as usize).take(page.len());
                    prop_assert!(
                        page.iter().map(|it| (&it.1, &it.2)).eq(expected.map(|it| (&it.0, &it.1)))
                    );
                    prop_assert_eq!(page.is_empty(), *after >= model.0.len() as u64);
                }
                Step::Reopen => kept.reopen(),
            }
        }
        prop_assert_eq!(kept.last(), model.0.len() as u64);
        prop_assert_eq!(kept.all(500), model.0);
        Ok(())
    };
    let url = server.url();
    let result = runner.run(&steps(), |steps| {
        server.empty();
        let url = url.clone();
        let open = move |hear| Box::new(Redis::new(&url, bytes_max, hear).unwrap()) as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.redb");
        let disk = move |hear| Box::new(Disk::open(&path, bytes_max, hear).unwrap()) as _;
        for mut kept in
            [in_memory(bytes_max), durable("disk", disk, folder), durable("redis", open, ())]
        {
            run(&mut kept, &steps)?;
        }
        Ok(())
    });
    result.unwrap();
}
