//! What is typed.

use argh::{ArgsInfo, FromArgs};

use crate::cli::Period;

/// Asks a web server once, and prints the body of its answer. http-get sends the fields in the query
/// of the URL, http-post as a form in the body.
#[derive(FromArgs, ArgsInfo)]
#[argh(
    help_triggers("-h", "--help"),
    usage = "[<options>] [<url> [<key=value>...]]",
    example = "{command_name}\n\
               {command_name} http://localhost:5000/api name=Ann 'motto=1 + 1 = 2'\n\
               {command_name} -v -i --time :5000/api name=Ann\n\
               http-post :8000/message --json msg=hello\n\
               http-post :8001/log -H 'Content-Type: application/json' -d @message.json",
    note = "Without a URL it asks http://localhost:5000/api with name=Ann age=30: start\n\
            api-server or raw-api-server to have it answered.\n\
            After the URL: name=Ann is a field, age:=30 one of JSON, page==2 belongs to the\n\
            query, Accept:text/plain is a header; text=@file and data:=@file read a file.\n\
            Fields are encoded here: write them as they are. There is no TLS.\n\
            A flag beats its environment variable, and that beats the default.",
    error_code(0, "the answer's status is 2xx"),
    error_code(1, "another status, or no whole answer; stderr says which"),
    error_code(2, "the command line or the environment is wrong"),
    error_code(4, "the answer's status is 4xx"),
    error_code(5, "the answer's status is 5xx"),
    error_code(69, "nobody can be reached there; stderr says why")
)]
pub(super) struct Arguments {
    /// show on stderr every byte of the request
    #[argh(switch, short = 'v')]
    pub(super) verbose: bool,
    /// show the head of the answer before its body
    #[argh(switch, short = 'i')]
    pub(super) include: bool,
    /// send the fields as JSON in the body
    #[argh(switch, short = 'j')]
    pub(super) json: bool,
    /// set a header, or take one away with 'Name:'; may be given several times
    #[argh(option, short = 'H', arg_name = "header")]
    pub(super) header: Vec<String>,
    /// the method; default GET for http-get, POST for http-post
    #[argh(option, short = 'X', arg_name = "method")]
    pub(super) method: Option<String>,
    /// the body as it is, or @file, or @- for standard input; several are joined with &
    #[argh(option, short = 'd', arg_name = "data")]
    pub(super) data: Vec<String>,
    /// write the answer to this file and not to stdout
    #[argh(option, short = 'o', arg_name = "file")]
    pub(super) output: Option<String>,
    /// follow redirects, up to 10
    #[argh(switch, short = 'F')]
    pub(super) follow: bool,
    /// say on stderr after how many milliseconds the name was resolved, the connection was there, the
    /// first byte came, and all was done
    #[argh(switch)]
    pub(super) time: bool,
    /// how long all of it may take; default 30s (SMOLRING_TIMEOUT)
    #[argh(option, arg_name = "time")]
    pub(super) timeout: Option<Period>,
    /// where to ask, as http://localhost:5000/api; http:// may be left out, and localhost before a
    /// port, as :5000/api. Then the fields, each as name=Ann
    #[argh(positional, arg_name = "url, fields")]
    pub(super) url_and_items: Vec<String>,
}

/// How the fields are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// In the query of a GET.
    Get,
    /// In the body of a POST.
    Post,
}
