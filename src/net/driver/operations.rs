//! What clients have asked for and is not answered yet.

use super::Turn;
use crate::{
    by_number::ByNumber,
    net::{
        answers::Ready,
        counts::OperationKind,
        flight::{Held, WaitingPlace},
    },
    ring::{ArrivedPut, Input, RequestId, item::ArrivalId, message::Request, version::Time},
};

/// Operations that are under way.
#[derive(Default)]
pub(super) struct Operations {
    /// The one that the node is just given. Most GETs are answered at once, and are never in the map.
    given: Option<(RequestId, Operation)>,
    others: ByNumber<u64, Operation>,
}

struct Operation {
    kind: OperationKind,
    began: Time,
    /// The content of a PUT, in the account of what is in flight.
    _held: Option<Held>,
    /// The same, if it has arrived in the store in pieces.
    arrival: Option<ArrivalId>,
}

impl Operations {
    pub(super) fn len(&self) -> usize {
        self.others.len()
    }

    fn end(&mut self, id: RequestId) -> Option<Operation> {
        match self.given.take_if(|(given, _)| *given == id) {
            Some((_, operation)) => Some(operation),
            None => self.others.remove(&id.0),
        }
    }
}

impl Turn<'_> {
    /// A request; its answer goes to what `id` names.
    pub(super) fn request_as(&mut self, id: RequestId, request: Request) {
        let held = match &request {
            Request::Put { content, .. } => {
                Some(self.driver.flight.hold(content.bytes(), WaitingPlace::Operation))
            }
            _ => None,
        };
        let (kind, began) = (OperationKind::of(&request), self.now);
        let operation = Operation { kind, began, _held: held, arrival: None };
        self.operate(id, operation, Input::Request { id, request });
    }

    /// A file that a client has sent is in the store, and is put. The answer goes to what `id` names.
    pub(super) fn put_as(&mut self, id: RequestId, put: ArrivedPut) {
        let (kind, arrival) = (OperationKind::Put, Some(put.arrival));
        let operation = Operation { kind, began: self.now, _held: None, arrival };
        self.operate(id, operation, Input::Put { id, put });
    }

    fn operate(&mut self, id: RequestId, operation: Operation, input: Input) {
        self.state.operations.given = Some((id, operation));
        self.input(input);
        if let Some((id, operation)) = self.state.operations.given.take() {
            self.state.operations.others.insert(id.0, operation);
        }
    }

    /// An operation has an answer.
    pub(super) fn ended(&mut self, id: RequestId, answer: &Ready) {
        let Some(operation) = self.state.operations.end(id) else { return };
        if let Some(arrival) = operation.arrival {
            // If no version has it by now, none will.
            self.driver.disk.iter().for_each(|disk| disk.abort(arrival));
        }
        let micros = self.now.since(operation.began).as_micros() as u64;
        self.state.counts.answered(operation.kind, answer, micros);
    }
}
