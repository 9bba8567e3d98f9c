//! One thread: accepts connections, and serves each in a task of its own.

use std::{io, rc::Rc};

use super::{
    connection::{self, RawConnection},
    routes::Routes,
    shared::RawShared,
};
use crate::http::{
    Post,
    accept::{self, Guest},
};

/// Serves until the shutdown is complete. Returns how many connections were cut off.
pub(super) fn run(post: Post, routes: Routes) -> io::Result<usize> {
    let (options, log) = (post.options.clone(), post.log.clone());
    accept::run(post, |guests, _| {
        let shared = Rc::new(RawShared::new(options, routes, log, guests));
        move |_, stream, peer| {
            let connection = Rc::new(RawConnection::new(shared.clone(), peer));
            let guest: Rc<dyn Guest> = connection.clone();
            (guest, move || connection::run(connection, stream.into()))
        }
    })
}
