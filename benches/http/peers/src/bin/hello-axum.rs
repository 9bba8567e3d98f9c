//! axum with its default features, on a tokio runtime of one thread.

use axum::{Router, http::header::CONTENT_TYPE, routing::get, serve::ListenerExt};
use peers::{GREETING, TEXT};
use tokio::{net::TcpListener, runtime::Builder};

fn main() -> std::io::Result<()> {
    Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::from_std(peers::listen()?)?.tap_io(|stream| {
            let _ = stream.set_nodelay(true);
        });
        let app = Router::new().route("/", get(|| async { ([(CONTENT_TYPE, TEXT)], GREETING) }));
        axum::serve(listener, app).await
    })
}
