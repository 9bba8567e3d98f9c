//! `grpc.reflection`: tells clients that do not know a server which services it has.
//!
//! tonic's own service needs tokio's runtime; its messages do not. Versions 1 and 1alpha differ only in
//! their names, so one service answers both. What is found by its name is whatever has one: files,
//! services, methods, messages, fields, oneofs, enums, their values and extensions.

use std::{
    collections::{BTreeMap, BTreeSet},
    pin::Pin,
    sync::Arc,
};

use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    FileDescriptorSet,
};
use smol::stream::{Stream, StreamExt};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_reflection::pb::{v1, v1alpha};
use v1::{
    ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
    ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
    server_reflection_request::MessageRequest,
    server_reflection_response::MessageResponse,
    server_reflection_server::{ServerReflection, ServerReflectionServer},
};

use super::{Server, limits::IMPORTS_MAX};

/// Adds reflection to a server, in both versions. It describes these encoded `FileDescriptorSet`s, the
/// aliases that the server has so far, and itself.
pub fn add(server: Server, sets: &[&[u8]]) -> Result<Server, prost::DecodeError> {
    let mut described = Vec::new();
    let own = [v1::FILE_DESCRIPTOR_SET, v1alpha::FILE_DESCRIPTOR_SET];
    for set in sets.iter().chain(&own) {
        described.extend(FileDescriptorSet::decode(*set)?.file);
    }
    for (alias, name) in server.aliases() {
        if let Some(file) = described.iter().find_map(|file| renamed(file, name, alias)) {
            described.push(file);
        }
    }
    let mut files = Files::default();
    described.into_iter().for_each(|file| files.add(file));
    let service = ServerReflectionServer::new(Reflection(Arc::new(files)));
    Ok(server
        .with(service)
        .also_as("grpc.reflection.v1alpha.ServerReflection", "grpc.reflection.v1.ServerReflection"))
}

/// A file that describes a service of this one under another name. `None`: the service is not here.
fn renamed(file: &FileDescriptorProto, name: &str, alias: &str) -> Option<FileDescriptorProto> {
    let mut service =
        file.service.iter().find(|it| within(file.package(), it.name()) == name)?.clone();
    let (package, short) = alias.rsplit_once('.').unwrap_or(("", alias));
    service.name = Some(short.into());
    Some(FileDescriptorProto {
        name: Some(format!("{alias}.proto")),
        package: Some(package.into()).filter(|package: &String| !package.is_empty()),
        dependency: vec![file.name().into()],
        service: vec![service],
        syntax: file.syntax.clone(),
        ..FileDescriptorProto::default()
    })
}

/// The full name of what is declared in a package, a message or a service.
fn within(outer: &str, inner: &str) -> String {
    if outer.is_empty() { inner.to_owned() } else { format!("{outer}.{inner}") }
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
    messages: BTreeSet<String>,
    /// Of each message that has any: their numbers, and the file that each is in.
    extensions: BTreeMap<String, BTreeMap<i32, String>>,
}

/// Adds the names of enums and their values. A value belongs to what its enum belongs to, as in C++;
/// some clients ask for it as a part of its enum.
fn add_enums(symbols: &mut Vec<String>, outer: &str, enums: &[EnumDescriptorProto]) {
    for it in enums {
        let name = within(outer, it.name());
        symbols.extend(it.value.iter().map(|value| within(outer, value.name())));
        symbols.extend(it.value.iter().map(|value| within(&name, value.name())));
        symbols.push(name);
    }
}

struct File {
    encoded: Vec<u8>,
    imports: Vec<String>,
}

impl Files {
    fn add(&mut self, file: FileDescriptorProto) {
        let encoded = file.encode_to_vec();
        let name = file.name().to_owned();
        let package = file.package();
        let mut symbols = Vec::new();
        for service in &file.service {
            let service_name = within(package, service.name());
            symbols.extend(service.method.iter().map(|it| within(&service_name, it.name())));
            self.services.insert(service_name.clone());
            symbols.push(service_name);
        }
        add_enums(&mut symbols, package, &file.enum_type);
        let mut extensions: Vec<(&str, &FieldDescriptorProto)> =
            file.extension.iter().map(|it| (package, it)).collect();
        let mut messages: Vec<(String, &DescriptorProto)> =
            file.message_type.iter().map(|it| (within(package, it.name()), it)).collect();
        let mut at = 0;
        while let Some((message_name, message)) = messages.get(at).cloned() {
            let nested = message.nested_type.iter();
            messages.extend(nested.map(|it| (within(&message_name, it.name()), it)));
            add_enums(&mut symbols, &message_name, &message.enum_type);
            symbols.extend(message.field.iter().map(|it| within(&message_name, it.name())));
            symbols.extend(message.oneof_decl.iter().map(|it| within(&message_name, it.name())));
            at += 1;
        }
        for (message_name, message) in &messages {
            extensions.extend(message.extension.iter().map(|it| (message_name.as_str(), it)));
        }
        for (outer, extension) in extensions {
            symbols.push(within(outer, extension.name()));
            let of = extension.extendee().trim_start_matches('.').to_owned();
            self.extensions.entry(of).or_default().insert(extension.number(), name.clone());
        }
        self.messages.extend(messages.iter().map(|(message_name, _)| message_name.clone()));
        symbols.extend(messages.into_iter().map(|(message_name, _)| message_name));
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
            Some(MessageRequest::FileContainingExtension(it)) => {
                let of = it.containing_type.trim_start_matches('.');
                let extensions = self.extensions.get(of);
                let name = extensions.and_then(|them| them.get(&it.extension_number));
                name.map_or_else(|| nothing(of), |name| self.file(name))
            }
            Some(MessageRequest::AllExtensionNumbersOfType(name)) => {
                let base_type_name = name.trim_start_matches('.').to_owned();
                if self.messages.contains(&base_type_name) {
                    let extensions = self.extensions.get(&base_type_name).into_iter().flatten();
                    let extension_number = extensions.map(|(number, _)| *number).collect();
                    MessageResponse::AllExtensionNumbersResponse(ExtensionNumberResponse {
                        base_type_name,
                        extension_number,
                    })
                } else {
                    nothing(name)
                }
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
