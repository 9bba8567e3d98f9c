//! What is asked on the node's own thread, and not over a connection.

use std::{
    cell::RefCell,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use super::{Driver, Turn};
use crate::{
    by_number::ByNumber,
    net::answers::Ready,
    ring::{ArrivedPut, RequestId, message::Request},
};

/// In place of the number of a connection, in the names of these requests.
pub(super) const ASKED_HERE: u32 = 0;

/// Those that are not answered yet.
#[derive(Default)]
pub(super) struct Asks {
    waiting: ByNumber<u32, Rc<Slot>>,
    made: u32,
}

/// Where an answer goes.
#[derive(Default)]
struct Slot {
    answer: RefCell<Option<Ready>>,
    waker: RefCell<Option<Waker>>,
}

/// A request whose answer is awaited. If it is dropped before, the answer is thrown away.
pub(in crate::net) struct Asked {
    driver: Rc<Driver>,
    number: u32,
    slot: Rc<Slot>,
}

impl Asks {
    /// Names the next request.
    fn expect(&mut self) -> (u32, Rc<Slot>) {
        let slot = Rc::<Slot>::default();
        loop {
            self.made = self.made.wrapping_add(1);
            if !self.waiting.contains_key(&self.made) {
                self.waiting.insert(self.made, slot.clone());
                return (self.made, slot);
            }
        }
    }

    /// Takes the answer to one of them.
    pub(super) fn answer(&self, number: u32, answer: Ready) {
        let Some(slot) = self.waiting.get(&number) else { return };
        *slot.answer.borrow_mut() = Some(answer);
        slot.waker.take().into_iter().for_each(Waker::wake);
    }
}

impl Asked {
    /// Waits for the answer.
    pub(in crate::net) fn poll(&self, cx: &Context<'_>) -> Poll<Ready> {
        match self.slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                *self.slot.waker.borrow_mut() = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.driver.state.borrow_mut().asks.waiting.remove(&self.number);
    }
}

impl Driver {
    /// Asks the node.
    pub(in crate::net) fn ask(self: &Rc<Self>, request: Request) -> Asked {
        self.begin_ask(|turn, id| turn.request_as(id, request))
    }

    /// Has the node put a file that has arrived in the store.
    pub(in crate::net) fn ask_put(self: &Rc<Self>, put: ArrivedPut) -> Asked {
        self.begin_ask(|turn, id| turn.put_as(id, put))
    }

    fn begin_ask(self: &Rc<Self>, ask: impl FnOnce(&mut Turn<'_>, RequestId)) -> Asked {
        let mut turn = self.turn();
        let (number, slot) = turn.state.asks.expect();
        ask(&mut turn, RequestId(u64::from(ASKED_HERE) << 32 | u64::from(number)));
        Asked { driver: self.clone(), number, slot }
    }

    /// A number for a file that arrives from elsewhere than a connection of this protocol.
    pub(in crate::net) fn number(&self) -> u32 {
        self.state.borrow_mut().number()
    }
}
