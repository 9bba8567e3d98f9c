//! actix-web with one worker. Its accepting is done on one more thread.

use actix_web::{App, HttpResponse, HttpServer, rt::System, web};
use peers::{GREETING, TEXT};

fn main() -> std::io::Result<()> {
    System::new().block_on(async {
        HttpServer::new(|| App::new().route("/", web::get().to(hello)))
            .workers(1)
            .tcp_nodelay(true)
            .listen(peers::listen()?)?
            .run()
            .await
    })
}

async fn hello() -> HttpResponse {
    HttpResponse::Ok().content_type(TEXT).body(GREETING)
}
