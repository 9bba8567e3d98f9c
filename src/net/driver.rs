//! The one owner of a [`Node`]: gives it its inputs, carries out its outputs, wakes it in time.
//!
//! Everything here runs on one thread, so the node is in a `RefCell` and not behind a lock. A
//! borrow never lasts over an await. A connection calls the node directly; what the node wants sent
//! goes into the outbox of the connection concerned, whose task is woken and writes it after all
//! tasks that are ready now have had their turn. So messages leave in batches.

mod asks;
pub(super) mod gauges;
mod large;
mod operations;
mod replies;

use std::{
    cell::{Cell, OnceCell, RefCell, RefMut},
    collections::{VecDeque, hash_map::Entry},
    rc::Rc,
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use smol::{LocalExecutor, Task, future};

use self::{
    asks::{ASKED_HERE, Asks},
    large::FileBytesMax,
    operations::Operations,
};
use super::{
    answers::Ready,
    clock::{self, Alarm},
    connection::{NetConnection, Role},
    counts::{Counts, Traffic},
    disk::{self, Disk},
    face::Face,
    feed::Feed,
    flight::Flight,
    limits::{FAREWELL, FAREWELL_LOOK, LATE, LINGER, READ_BYTES_MAX, SAVE_EVERY, SWEEP},
    link::OpenLink,
    pull::{self, Pull},
};
use crate::by_number::ByNumber;
use crate::ring::{
    Event, Input, LinkId, Node, Output, StoreFault,
    item::{ArrivalId, Ticket},
    message::{Envelope, Request},
    name::Name,
    version::Time,
};
use crate::store::MemoryStore;

/// The tasks of one node share it.
pub(super) struct Driver {
    pub(super) executor: Rc<LocalExecutor<'static>>,
    /// Where files are kept, if not in memory.
    disk: Option<Disk>,
    state: RefCell<DriverState>,
    /// One buffer for all reads: nothing stays in it from one poll of a task to the next.
    pub(super) read_buffer: RefCell<Vec<u8>>,
    /// The largest files that clients may send.
    pub(super) bytes_max: FileBytesMax,
    /// With more connections than this, the longest idle one is closed.
    clients_max: usize,
    pub(super) flight: Rc<Flight>,
    pub(super) traffic: Traffic,
    pub(super) feed: Feed,
    open_link: OpenLink,
    /// Nothing is accepted any more, and clients are answered for the last time.
    is_closing: Cell<bool>,
    waiting_for_end: Cell<Option<Waker>>,
    /// What takes over connections that speak another protocol.
    face: OnceCell<Rc<dyn Face>>,
}

struct DriverState {
    node: Node,
    memory: MemoryStore,
    /// What the store has reported and the node has not been given yet.
    stored: VecDeque<(Ticket, Result<(), StoreFault>)>,
    /// What has come up while outputs were carried out.
    inputs: VecDeque<Input>,
    /// Messages that wait for the disk, in order, by link. The first is being read.
    reading: ByNumber<LinkId, VecDeque<Envelope>>,
    began: Instant,
    outputs: Vec<Output>,
    connections: ByNumber<u32, Rc<NetConnection>>,
    connections_made: u32,
    links: ByNumber<LinkId, Rc<NetConnection>>,
    /// Contents that are pulled. A task that is dropped ends.
    pulls: ByNumber<ArrivalId, Task<()>>,
    operations: Operations,
    counts: Counts,
    /// What was asked on this thread, and not over a connection.
    asks: Asks,
    on_event: Box<dyn FnMut(&Event)>,
    /// What the timer is set to, and the task to wake when that changes.
    alarm: Time,
    alarm_owner: Option<Waker>,
    has_left: bool,
}

impl DriverState {
    fn now(&self) -> Time {
        Time(clock::now().saturating_duration_since(self.began).as_micros() as u64)
    }

    /// A number for a connection or the like: another one as long as there are fewer than 2^32.
    fn number(&mut self) -> u32 {
        self.connections_made = match self.connections_made.wrapping_add(1) {
            ASKED_HERE => ASKED_HERE + 1,
            number => number,
        };
        self.connections_made
    }

    /// Closes the client that has been idle for the longest. `None`: none is idle.
    fn close_idle(&self) -> Option<()> {
        let idle = self.connections.values().filter_map(|it| Some((it.idle_since()?, it)));
        idle.min_by_key(|(since, _)| *since).map(|(_, it)| it.abort())
    }

    /// A new connection, with a number that no other has.
    fn connection(&mut self, role: Role, flight: &Rc<Flight>) -> Rc<NetConnection> {
        loop {
            self.number();
            if let Entry::Vacant(free) = self.connections.entry(self.connections_made) {
                let connection = NetConnection::new(self.connections_made, role, flight.clone());
                return free.insert(Rc::new(connection)).clone();
            }
        }
    }
}

impl Driver {
    pub(super) fn new(
        node: Node,
        file_bytes_max: usize,
        flight_bytes_max: usize,
        clients_max: usize,
        open_link: OpenLink,
        disk: Option<Disk>,
        on_event: Box<dyn FnMut(&Event)>,
    ) -> Rc<Self> {
        Rc::new(Self {
            executor: Rc::new(LocalExecutor::new()),
            disk,
            state: RefCell::new(DriverState {
                node,
                memory: MemoryStore::default(),
                stored: VecDeque::new(),
                inputs: VecDeque::new(),
                reading: ByNumber::default(),
                began: clock::now(),
                outputs: Vec::new(),
                connections: ByNumber::default(),
                connections_made: 0,
                links: ByNumber::default(),
                pulls: ByNumber::default(),
                operations: Operations::default(),
                counts: Counts::default(),
                asks: Asks::default(),
                on_event,
                alarm: Time(u64::MAX),
                alarm_owner: None,
                has_left: false,
            }),
            read_buffer: RefCell::new(vec![0; READ_BYTES_MAX]),
            bytes_max: FileBytesMax::new(file_bytes_max, flight_bytes_max),
            clients_max,
            flight: Flight::new(flight_bytes_max),
            traffic: Traffic::default(),
            feed: Feed::default(),
            open_link,
            is_closing: Cell::new(false),
            waiting_for_end: Cell::new(None),
            face: OnceCell::new(),
        })
    }

    /// Gives the node one input and does what it wants done.
    pub(super) fn drive(self: &Rc<Self>, input: Input) {
        self.turn().input(input);
    }

    /// Several inputs in a row at one reading of the clock.
    pub(super) fn turn(self: &Rc<Self>) -> Turn<'_> {
        let state = self.state.borrow_mut();
        let now = state.now();
        Turn { driver: self, state, now }
    }

    /// Wakes the node at its deadlines, for ever.
    pub(super) async fn keep_time(self: Rc<Self>) {
        let mut timer = Alarm::never();
        let mut alarm = Time(u64::MAX);
        let mut is_late = false;
        future::poll_fn(|cx| {
            loop {
                let mut state = self.state.borrow_mut();
                let now = state.now();
                let deadline = state.node.deadline();
                if now >= deadline {
                    drop(state);
                    // A process that was stopped must not take its own pause for the silence of
                    // others.
                    if now.since(deadline) > LATE && !is_late {
                        is_late = true;
                        alarm = Time(u64::MAX);
                        timer.set_at(clock::now() + LATE / 10);
                    } else {
                        is_late = false;
                        let mut turn = self.turn();
                        turn.set_clock();
                        turn.input(Input::Wake);
                        continue;
                    }
                } else {
                    if deadline != alarm {
                        alarm = deadline;
                        timer.set_at(state.began + Duration::from_micros(deadline.0));
                    }
                    state.alarm = deadline;
                    state.alarm_owner = Some(cx.waker().clone());
                }
                match std::pin::Pin::new(&mut timer).poll(cx) {
                    Poll::Ready(()) => alarm = Time(u64::MAX),
                    Poll::Pending => return Poll::<()>::Pending,
                }
            }
        })
        .await;
    }

    /// Looks for connections that have stalled, for ever.
    pub(super) async fn sweep(self: Rc<Self>) {
        loop {
            Alarm::after(SWEEP).await;
            let connections: Vec<_> = self.state.borrow().connections.values().cloned().collect();
            let now = clock::now();
            for connection in connections {
                connection.check_stall(now);
            }
            self.flight.wake_all();
        }
    }

    /// Ends once the node has left its ring.
    pub(super) async fn left(&self) {
        future::poll_fn(|cx| {
            if self.state.borrow().has_left {
                return Poll::Ready(());
            }
            self.waiting_for_end.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// Says goodbye: clients have what they have sent so far answered, and their connections are
    /// then closed gracefully. Ends once that is done and everything that was sent to other nodes
    /// is out, or after [`FAREWELL`]. Waits a little for clients that do not close their end.
    pub(super) async fn farewell(&self) {
        self.is_closing.set(true);
        self.face.get().into_iter().for_each(|face| face.drain());
        self.state.borrow().connections.values().for_each(|it| it.wake());
        let end = clock::now() + FAREWELL;
        let mut lingers_until = end;
        while clock::now() < end.min(lingers_until) {
            let (mut is_open, mut is_lingering) = (false, false);
            for connection in self.state.borrow().connections.values() {
                let is_client = connection.role.get() == Role::Client;
                is_lingering |= is_client;
                is_open |= !connection.is_silent() || (is_client && !connection.is_done());
            }
            if !is_open && !is_lingering {
                return;
            }
            if !is_open {
                lingers_until = lingers_until.min(clock::now() + LINGER);
            }
            Alarm::after(FAREWELL_LOOK).await;
        }
    }

    /// Whether clients are answered for the last time.
    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.get()
    }

    // ---- connections

    /// Registers a new connection. `None`: there are too many, and none of them is idle.
    pub(super) fn register(&self, role: Role) -> Option<Rc<NetConnection>> {
        let mut state = self.state.borrow_mut();
        if state.connections.len() >= self.clients_max && role == Role::Client {
            state.close_idle()?;
        }
        Some(state.connection(role, &self.flight))
    }

    /// Closes the client that has been idle for the longest, for the descriptor of its connection.
    /// Where none is idle, this does not end.
    pub(super) async fn close_one(&self) {
        let has_closed = self.state.borrow().close_idle().is_some();
        match has_closed {
            // Its task has its turn before this one.
            true => future::yield_now().await,
            false => future::pending().await,
        }
    }

    /// A connection has ended, for whatever reason.
    pub(super) fn forget(self: &Rc<Self>, connection: &NetConnection, why: String) {
        let mut turn = self.turn();
        turn.state.connections.remove(&connection.id);
        if let Role::Link(link) = connection.role.get()
            && turn.state.links.remove(&link).is_some()
        {
            turn.input(Input::LinkDown { link, why });
        }
    }

    /// A connection has begun to speak as a node. `None`: there are too many.
    pub(super) fn adopt(&self, connection: &Rc<NetConnection>) -> Option<LinkId> {
        let mut state = self.state.borrow_mut();
        let link = state.node.accept()?;
        connection.role.set(Role::Link(link));
        state.links.insert(link, connection.clone());
        Some(link)
    }

    /// What takes over connections that speak another protocol, if there is anything.
    pub(super) fn face(&self) -> Option<&Rc<dyn Face>> {
        self.face.get()
    }

    /// Sets it. The first one stays.
    pub(super) fn set_face(&self, face: Rc<dyn Face>) {
        let _ = self.face.set(face);
    }

    // ---- the disk

    /// Gives the node what the disk reports, for ever; and notes now and then that this node is alive.
    pub(super) async fn watch_disk(self: Rc<Self>) {
        let Some(disk) = &self.disk else { return future::pending().await };
        loop {
            let reports = async { Some(disk.reports().await) };
            let pause = async {
                Alarm::after(SAVE_EVERY).await;
                None
            };
            match future::or(reports, pause).await {
                None => disk.save(&self.state.borrow().node),
                Some(reports) => {
                    let mut turn = self.turn();
                    for (ticket, result) in reports {
                        turn.input(Input::Stored { ticket, result });
                    }
                }
            }
        }
    }

    /// Everything that was handed to the disk is on it, and the folder is given up. Blocks.
    pub(super) fn close_disk(&self) {
        if let Some(disk) = &self.disk {
            disk.save(&self.state.borrow().node);
            disk.close();
        }
    }

    /// Looks at the node.
    pub(super) fn see<T>(&self, at: impl FnOnce(&Node) -> T) -> T {
        at(&self.state.borrow().node)
    }

    // ---- what tests look at

    /// The content of a file that this node holds.
    #[cfg(test)]
    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        let held = state.node.index().get(&Name::new(name).ok()?)?;
        Some(state.memory.read(held.ticket).to_vec())
    }

    #[cfg(test)]
    pub(super) fn connections(&self) -> usize {
        self.state.borrow().connections.len()
    }

    // ---- bounds

    /// Whether there is room for another operation. A node that is about to end refuses all.
    pub(super) fn has_room(&self) -> bool {
        self.is_closing() || (self.flight.has_room() && !self.state.borrow().node.is_busy())
    }

    /// Whether the node has this file, and need not ask others whether theirs is newer.
    pub(super) fn has(&self, name: &Name) -> bool {
        let state = self.state.borrow();
        state.node.is_ready() && state.node.index().get(name).is_some()
    }
}

/// The node, borrowed by one task for one turn.
pub(super) struct Turn<'a> {
    driver: &'a Rc<Driver>,
    state: RefMut<'a, DriverState>,
    now: Time,
}

impl Turn<'_> {
    /// A client's request; the answer goes into the connection's outbox, now or later.
    pub(super) fn request(&mut self, connection: &NetConnection, request: Request) {
        let id = connection.expect();
        if let Request::Pull { name, of, from } = &request
            && let Some(rest) = self.pulled(name, *of, *from)
        {
            return connection.answer(id.0 as u32, Ready::Streamed(rest));
        }
        self.request_as(id, request);
    }

    /// An input that comes while outputs are carried out.
    fn input_later(&mut self, input: Input) {
        self.state.inputs.push_back(input);
    }

    /// Tells the node what the time of day is.
    fn set_clock(&mut self) {
        self.state.node.set_clock(self.now, clock::wall_ms());
    }

    pub(super) fn received(&mut self, link: LinkId, message: Envelope) {
        self.input(Input::Received { link, message });
    }

    pub(super) fn input(&mut self, input: Input) {
        let state = &mut *self.state;
        let was_busy = state.node.is_busy();
        state.node.handle(self.now, input, &mut state.outputs);
        self.carry_out_all();
        self.go_on();
        let state = &mut *self.state;
        if was_busy && !state.node.is_busy() {
            self.driver.flight.wake_for_room();
        }
        if state.node.deadline() < state.alarm
            && let Some(owner) = state.alarm_owner.take()
        {
            owner.wake();
        }
    }

    /// Gives the node what has come up meanwhile.
    fn go_on(&mut self) {
        loop {
            let state = &mut *self.state;
            let stored = state.stored.pop_front();
            let stored = stored.map(|(ticket, result)| Input::Stored { ticket, result });
            let Some(input) = stored.or_else(|| state.inputs.pop_front()) else { return };
            state.node.handle(self.now, input, &mut state.outputs);
            self.carry_out_all();
        }
    }

    fn carry_out_all(&mut self) {
        let mut outputs = std::mem::take(&mut self.state.outputs);
        for output in outputs.drain(..) {
            self.carry_out(output);
        }
        self.state.outputs = outputs;
    }

    fn carry_out(&mut self, output: Output) {
        let state = &mut *self.state;
        match output {
            Output::Reply { id, answer } => self.reply(id, answer),
            Output::Connect { link, to } => self.connect(link, to),
            Output::Send { link, message } => self.send(link, message),
            Output::Disconnect { link } => {
                if let Some(connection) = state.links.remove(&link) {
                    connection.end();
                }
            }
            Output::Store { ticket, name, version, value } => match &self.driver.disk {
                Some(disk) => disk.write(ticket, name, version, value),
                None => {
                    let result = state.memory.keep(ticket, value);
                    state.stored.push_back((ticket, result));
                }
            },
            Output::Pull { arrival, from, name, of, bytes } => {
                let pull = Pull { from, name, of, bytes: bytes as u64 };
                self.driver.disk.iter().for_each(|disk| disk.begin(arrival, bytes));
                let run = pull::run(self.driver.clone(), arrival, pull);
                state.pulls.insert(arrival, self.driver.executor.spawn(run));
            }
            Output::GiveUp { arrival } => {
                state.pulls.remove(&arrival);
                self.driver.disk.iter().for_each(|disk| disk.abort(arrival));
            }
            Output::Discard { ticket } => match &self.driver.disk {
                Some(disk) => disk.discard(ticket),
                None => state.memory.discard(ticket),
            },
            Output::Notify(event) => {
                if let Event::List(view) = &event {
                    self.driver.flight.set_members(view.circle().len());
                    if let Some(disk) = &self.driver.disk {
                        disk.save(&state.node);
                    }
                }
                state.counts.note(&event);
                self.driver.feed.note(&event, clock::wall_ms());
                (state.on_event)(&event);
            }
            Output::Left => {
                state.has_left = true;
                self.driver.waiting_for_end.take().into_iter().for_each(Waker::wake);
            }
        }
    }

    /// Sends a message on a link. Those that bring a file stay in order; others may pass one that is still
    /// being read.
    fn send(&mut self, link: LinkId, mut message: Envelope) {
        self.driver.feed.sends(&message.message, self.now);
        let state = &mut *self.state;
        let Some(disk) = &self.driver.disk else {
            message.read(|ticket| state.memory.read(ticket));
            return self.send_whole(link, &message);
        };
        let Some(item) = message.message.item_mut() else { return self.send_whole(link, &message) };
        if let Some(waiting) = state.reading.get_mut(&link) {
            return waiting.push_back(message);
        }
        match disk.read_now(item) {
            Ok(true) => self.send_whole(link, &message),
            Ok(false) => {
                state.reading.insert(link, [message].into());
                self.driver.executor.spawn(large::send_later(self.driver.clone(), link)).detach();
            }
            Err(_) => {
                let damaged = disk::ticket_of(item);
                message.message.leave_out();
                self.send_whole(link, &message);
                if let Some(ticket) = damaged {
                    self.input_later(Input::Damaged { ticket, asked_by: None });
                }
            }
        }
    }

    fn send_whole(&self, link: LinkId, message: &Envelope) {
        if let Some(connection) = self.state.links.get(&link) {
            connection.send(message);
        }
    }

    fn connect(&mut self, link: LinkId, to: crate::ring::LinkTarget) {
        let state = &mut *self.state;
        let to = state.node.place(to);
        let connection = state.connection(Role::Link(link), &self.driver.flight);
        state.links.insert(link, connection.clone());
        (self.driver.open_link)(self.driver, connection, to);
    }
}
