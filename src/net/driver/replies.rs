//! Answers on their way from the node to what has asked: the content of a file may have to be read first.

use super::{Turn, asks::ASKED_HERE};
use crate::{
    net::{answers::Ready, disk, limits::STREAMED_BYTES_MIN},
    ring::{
        Input, RequestId,
        message::{Answer, Item},
    },
    store::disk::ReadError,
};

impl Turn<'_> {
    /// Answers a client, if it is still there. The content of a file may have to be read first.
    pub(super) fn reply(&mut self, id: RequestId, mut answer: Answer) {
        let Some(disk) = &self.driver.disk else {
            answer.read(|ticket| self.state.memory.read(ticket));
            return self.answer(id, answer);
        };
        let Answer::Found(item) = &mut answer else { return self.answer(id, answer) };
        if item.len() > STREAMED_BYTES_MIN
            && let Some(streamed) = self.streamed(item)
        {
            return self.deliver(id, Ready::Streamed(streamed));
        }
        match disk.read_now(item) {
            Ok(true) => self.answer(id, answer),
            Ok(false) => self.reply_later(id, item.clone()),
            Err(why) => {
                let item = item.clone();
                self.unreadable(id, &item, &why);
            }
        }
    }

    /// A content that is damaged is asked for in the ring.
    fn unreadable(&mut self, id: RequestId, item: &Item, why: &ReadError) {
        match disk::ticket_of(item).filter(|_| !matches!(why, ReadError::Failed(_))) {
            Some(ticket) => self.input_later(Input::Damaged { ticket, asked_by: Some(id) }),
            None => self.answer(id, disk::unreadable(why)),
        }
    }

    fn answer(&mut self, id: RequestId, answer: Answer) {
        self.deliver(id, Ready::Whole(answer));
    }

    /// Gives an answer to what has asked, if that is still there.
    fn deliver(&mut self, id: RequestId, answer: Ready) {
        self.ended(id, &answer);
        let (connection, number) = ((id.0 >> 32) as u32, id.0 as u32);
        if connection == ASKED_HERE {
            self.state.asks.answer(number, answer);
        } else if let Some(connection) = self.state.connections.get(&connection) {
            connection.answer(number, answer);
        }
    }

    fn reply_later(&self, id: RequestId, mut item: Item) {
        let driver = self.driver.clone();
        let task = async move {
            let disk = driver.disk.as_ref().expect("it is being read");
            let result = disk.read(&mut item).await;
            let mut turn = driver.turn();
            match result {
                Ok(()) => turn.answer(id, Answer::Found(item)),
                Err(why) => {
                    turn.unreadable(id, &item, &why);
                    turn.go_on();
                }
            }
        };
        self.driver.executor.spawn(task).detach();
    }
}
