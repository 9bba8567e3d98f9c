//! Answers leave a connection in the order of its requests, whenever each is ready.

use std::collections::VecDeque;

use super::{flight::WaitingPlace, outbox::Outbox, streamed::Streamed};
use crate::ring::message::Answer;

/// The requests of one connection that are not yet answered.
#[derive(Default)]
pub(super) struct Answers {
    /// One per request, oldest first; `Some` when the answer waits for an older one.
    waiting: VecDeque<Option<Ready>>,
    /// Number of the oldest.
    first: u32,
    /// The answer that is just leaving, piece by piece. Those behind it wait.
    pub(super) streamed: Option<Streamed>,
}

/// An answer that is ready.
pub(super) enum Ready {
    Whole(Answer),
    Streamed(Streamed),
}

impl Answers {
    /// Requests that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.streamed.is_some())
    }

    /// Registers the next request and numbers it.
    pub(super) fn expect(&mut self) -> u32 {
        self.waiting.push_back(None);
        self.first.wrapping_add(self.waiting.len() as u32 - 1)
    }

    /// Takes the answer to a request, and moves what is now in order to the outbox.
    pub(super) fn answer(&mut self, number: u32, answer: Ready, outbox: &mut Outbox) {
        let index = number.wrapping_sub(self.first) as usize;
        if index > 0 || self.streamed.is_some() {
            if let Some(slot) = self.waiting.get_mut(index) {
                *slot = Some(answer);
            }
            return;
        }
        if self.waiting.pop_front().is_some() {
            self.leave(answer, outbox);
        }
        self.advance(outbox);
    }

    /// The answer that was leaving is out, but for what is in the outbox.
    pub(super) fn end_streamed(&mut self, outbox: &mut Outbox) {
        self.streamed = None;
        self.advance(outbox);
    }

    fn advance(&mut self, outbox: &mut Outbox) {
        while self.streamed.is_none()
            && let Some(answer) = self.waiting.front_mut().and_then(Option::take)
        {
            self.waiting.pop_front();
            self.leave(answer, outbox);
        }
    }

    fn leave(&mut self, answer: Ready, outbox: &mut Outbox) {
        self.first = self.first.wrapping_add(1);
        match answer {
            Ready::Whole(answer) => outbox.push(&answer, WaitingPlace::Client),
            Ready::Streamed(streamed) => {
                streamed.push_head(outbox);
                self.streamed = Some(streamed).filter(|it| !it.is_done());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::flight::Flight,
        ring::message::{Refusal, Status},
    };

    #[test]
    fn answers_wait_for_their_turn() {
        let (mut answers, mut outbox) = (Answers::default(), Outbox::new(Flight::new(1 << 20)));
        let numbers: Vec<_> = (0..5).map(|_| answers.expect()).collect();
        for i in [3, 1, 0, 4, 2] {
            let refusal = Refusal::new(Status::NotFound, i.to_string());
            let answer = Ready::Whole(Answer::Refused(refusal));
            answers.answer(numbers[i], answer, &mut outbox);
        }
        let mut written = Vec::new();
        outbox.write_to(&mut written).unwrap();
        let text = String::from_utf8(written).unwrap();
        let order: Vec<_> = text.lines().map(|line| &line[line.len() - 1..]).collect();
        assert_eq!(order, ["0", "1", "2", "3", "4"]);
        assert_eq!(answers.len(), 0);
    }
}
