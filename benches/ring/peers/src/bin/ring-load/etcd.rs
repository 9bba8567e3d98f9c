//! Puts of etcd's API, version 3, over gRPC. Its pipelines are not used.

use std::time::{Duration, Instant};

use tonic::{
    client::Grpc,
    codegen::http::uri::PathAndQuery,
    transport::{Channel, Endpoint},
};
use tonic_prost::ProstCodec;

use crate::{CONTENT, Job, Outcome, fill, name};

#[derive(Clone, PartialEq, prost::Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct PutResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseHeader {
    #[prost(int64, tag = "3")]
    revision: i64,
}

pub async fn client(job: &Job, number: usize) -> Outcome<(usize, Vec<Duration>)> {
    if !job.is_put || job.pipeline != 1 {
        return Err("etcd is only asked to put, one at a time".into());
    }
    let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{}", job.port))?;
    let mut store = Grpc::new(endpoint.tcp_nodelay(true).connect().await?);
    let mut turn = job.start(number).await;
    let (mut content, mut revision) = (CONTENT, 0);
    while turn.goes_on() {
        let number = turn.next_name();
        fill(&mut content, number, turn.count);
        let key = name(number).into_bytes();
        let asked = Instant::now();
        let answer = put(&mut store, PutRequest { key, value: content.to_vec() }).await?;
        turn.answered(asked);
        let newer = answer.header.map_or(0, |it| it.revision);
        if newer <= revision {
            return Err(format!("etcd answers revision {newer} after {revision}").into());
        }
        revision = newer;
    }
    Ok(turn.end())
}

async fn put(store: &mut Grpc<Channel>, request: PutRequest) -> Outcome<PutResponse> {
    let path = PathAndQuery::from_static("/etcdserverpb.KV/Put");
    store.ready().await?;
    Ok(store.unary(tonic::Request::new(request), path, ProstCodec::default()).await?.into_inner())
}
