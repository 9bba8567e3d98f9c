//! tide as it comes: async-h1 on async-std, and its middlewares. It has no way to set TCP_NODELAY.
//! `ASYNC_STD_THREAD_COUNT` says how many threads it has.

use peers::{GREETING, TEXT};
use tide::{Response, StatusCode, http::headers::CONTENT_TYPE};

fn main() -> std::io::Result<()> {
    async_std::task::block_on(async {
        let mut app = tide::new();
        app.at("/").get(|_| async {
            Ok(Response::builder(StatusCode::Ok).header(CONTENT_TYPE, TEXT).body(GREETING).build())
        });
        app.listen(peers::listen()?).await
    })
}
