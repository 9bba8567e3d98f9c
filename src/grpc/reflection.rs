//! `grpc.reflection`: tells clients that do not know a server which services it has.
//!
//! tonic's own service needs tokio's runtime; its messages do not. Versions 1 and 1alpha differ only in
//! their names, so one service answers both.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};

use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};
use smol::stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};

use super::{Server, limits::IMPORTS_MAX};

/// Adds reflection to a server, in both versions. It describes these encoded `FileDescriptorSet`s and
/// itself.
pub fn add(server: Server, sets: &[&[u8]]) -> Result<Server, prost::DecodeError> {
    let mut files = Files::default();
    for set in sets.iter().chain([&tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET]) {
        FileDescriptorSet::decode(*set)?.file.into_iter().for_each(|file| files.add(file));
    }
    let service = ServerReflectionServer::new(Reflection(Arc::new(files)));
    Ok(server
        .with(service)
        .also_as("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"))
}

struct Reflection(Arc<Files>);

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        requests: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let files = self.0.clone();
        let answers = requests.into_inner().map(move |request| Ok(files.answer(request?)));
        Ok(Response::new(Box::pin(answers)))
    }
}

/// The files that are described.
#[derive(Default)]
struct Files {
    /// By name.
    files: BTreeMap<String, File>,
    /// The file that each symbol is in.
    symbols: BTreeMap<String, String>,
    services: BTreeSet<String>,
}

struct File {
    encoded: Vec<u8>,
    imports: Vec<String>,
}

impl Files {
    fn add(&mut self, file: FileDescriptorProto) {
        let encoded = file.encode_to_vec();
        let name = file.name().to_owned();
        let package = file.package().to_owned();
        let within = |outer: &str, inner: &str| match outer {
            "" => inner.to_owned(),
            _ => format!("{outer}.{inner}"),
        };
        let mut symbols = Vec::new();
        for service in &file.service {
            let service_name = within(&package, service.name());
            symbols.extend(service.method.iter().map(|it| within(&service_name, it.name())));
            self.services.insert(service_name.clone());
            symbols.push(service_name);
        }
        let mut messages: Vec<(String, &DescriptorProto)> =
            file.message_type.iter().map(|it| (package.clone(), it)).collect();
        while let Some((outer, message)) = messages.pop() {
            let message_name = within(&outer, message.name());
            messages.extend(message.nested_type.iter().map(|it| (message_name.clone(), it)));
            symbols.extend(message.enum_type.iter().map(|it| within(&message_name, it.name())));
            symbols.extend(message.field.iter().map(|it| within(&message_name, it.name())));
            symbols.push(message_name);
        }
        symbols.extend(file.enum_type.iter().map(|it| within(&package, it.name())));
        self.symbols.extend(symbols.into_iter().map(|symbol| (symbol, name.clone())));
        self.files.insert(name, File { encoded, imports: file.dependency });
    }

    fn answer(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(MessageRequest::FileByFilename(name)) => self.file(name),
            Some(MessageRequest::FileContainingSymbol(symbol)) => {
                let name = self.symbols.get(symbol.trim_start_matches('.'));
                name.map_or_else(|| nothing(symbol), |name| self.file(name))
            }
            Some(MessageRequest::FileContainingExtension(it)) => nothing(&it.containing_type),
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                let base_type_name = name.clone();
                let none = ExtensionNumberResponse { base_type_name, extension_number: Vec::new() };
                MessageResponse::AllExtensionNumbersResponse(none)
            }
            Some(MessageRequest::ListServices(_)) => {
                let service = self.services.iter();
                let service = service.map(|name| ServiceResponse { name: name.clone() }).collect();
                MessageResponse::ListServicesResponse(ListServiceResponse { service })
            }
            None => error(Code::InvalidArgument, "the request asks nothing".into()),
        };
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        }
    }

    /// A file and all that it imports.
    fn file(&self, name: &str) -> MessageResponse {
        let mut names = vec![name];
        let mut at = 0;
        while let Some(file) = names.get(at).and_then(|name| self.files.get(*name)) {
            let new: Vec<&str> = file.imports.iter().map(String::as_str).collect();
            for name in new {
                if !names.contains(&name)
                    && self.files.contains_key(name)
                    && names.len() < IMPORTS_MAX
                {
                    names.push(name);
                }
            }
            at += 1;
        }
        if at == 0 {
            return nothing(name);
        }
        let files = names.iter().filter_map(|name| self.files.get(*name));
        let file_descriptor_proto = files.map(|file| file.encoded.clone()).collect();
        MessageResponse::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto })
    }
}

fn nothing(name: &str) -> MessageResponse {
    error(Code::NotFound, format!("there is no {name}"))
}

fn error(code: Code, error_message: String) -> MessageResponse {
    MessageResponse::ErrorResponse(ErrorResponse { error_code: code as i32, error_message })
}
