//! A server in a thread of its own, and the plainest of HTTP clients.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

use crate::control::Control;
use crate::control::fake::FakeControl;
use crate::server::{ListenAddress, Server, ServerConfig};

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct TestServer<C = FakeControl> {
    pub(crate) control: Arc<C>,
    pub(crate) socket: PathBuf,
    pub(crate) tcp: SocketAddr,
    stop: Option<watch::Sender<bool>>,
    thread: Option<JoinHandle<()>>,
    _directory: tempfile::TempDir,
}

impl<C: Control> TestServer<C> {
    pub(crate) fn start(control: C) -> Self {
        Self::with_config(control, ServerConfig::default())
    }

    pub(crate) fn with_config(control: C, config: ServerConfig) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("lb.sock");
        let listen = [
            ListenAddress::Unix(socket.clone()),
            "127.0.0.1:0".parse().expect("a loopback address"),
        ];
        let control = Arc::new(control);
        let (stop, stopped) = watch::channel(false);
        let (send, ready) = mpsc::channel();
        let served = control.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let server = Server::bind(&listen).expect("to bind");
                let addresses = server.addresses().expect("addresses");
                let [ListenAddress::Unix(_), ListenAddress::Tcp(tcp)] = addresses.as_slice() else {
                    panic!("unexpected addresses {addresses:?}");
                };
                send.send(*tcp).expect("the test to wait");
                server.serve(served, config, stopped).await;
            });
        });
        let tcp = ready.recv_timeout(PATIENCE).expect("the server to start");
        Self {
            control,
            socket,
            tcp,
            stop: Some(stop),
            thread: Some(thread),
            _directory: directory,
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("unix:{}", self.socket.display())
    }

    pub(crate) fn unix(&self) -> UnixStream {
        let stream = UnixStream::connect(&self.socket).expect("to connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub(crate) fn tcp(&self) -> TcpStream {
        let stream = TcpStream::connect(self.tcp).expect("to connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None)
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "PATCH",
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    pub(crate) fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "PUT",
            path,
            Some(("application/json", body.to_string().as_bytes())),
        )
    }

    pub(crate) fn send(&self, method: &str, path: &str, body: Option<(&str, &[u8])>) -> Answer {
        exchange(self.unix(), method, path, body)
    }

    /// Waits for the end of the server.
    pub(crate) fn stop(&mut self) {
        join(&mut self.stop, &mut self.thread);
    }
}

fn join(stop: &mut Option<watch::Sender<bool>>, thread: &mut Option<JoinHandle<()>>) {
    drop(stop.take());
    if let Some(thread) = thread.take() {
        thread.join().expect("the server not to panic");
    }
}

impl<C> Drop for TestServer<C> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            join(&mut self.stop, &mut self.thread);
        }
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The body; null when it is empty.
    pub(crate) body: Value,
}

impl Answer {
    /// The body of a success.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body
    }

    /// The messages of all errors.
    #[track_caller]
    pub(crate) fn errors(&self, status: u16) -> Vec<String> {
        assert_eq!(self.status, status, "{}", self.body);
        let errors = self.body["error"]["errors"].as_array().expect("errors");
        let message = |error: &Value| error["message"].as_str().expect("a message").to_owned();
        errors.iter().map(message).collect()
    }

    /// The message of an error, whose shape is checked.
    #[track_caller]
    pub(crate) fn error(&self, status: u16, reason: &str) -> String {
        let error = &self.body["error"];
        assert_eq!(
            (self.status, &error["code"]),
            (status, &status.into()),
            "{}",
            self.body
        );
        let first = &error["errors"][0];
        assert_eq!(first["domain"], "global", "{}", self.body);
        assert_eq!(first["reason"], reason, "{}", self.body);
        assert_eq!(first["message"], error["message"], "{}", self.body);
        error["message"].as_str().expect("a message").to_owned()
    }
}

pub(crate) fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    body: Option<(&str, &[u8])>,
) -> Answer {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    if let Some((kind, bytes)) = body {
        head.push_str(&format!(
            "content-type: {kind}\r\ncontent-length: {}\r\n",
            bytes.len()
        ));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).expect("to write the head");
    // The server may refuse a body before it has read it.
    let _ = stream.write_all(body.map(|(_, bytes)| bytes).unwrap_or_default());
    read_answer(stream)
}

/// Reads to the end of the connection.
pub(crate) fn read_answer(mut stream: impl Read) -> Answer {
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let gave_up = ended
        .as_ref()
        .is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    assert!(!gave_up, "the connection stays open");
    let text = String::from_utf8(bytes).expect("text");
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {ended:?} {text:?}"));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .expect("a status");
    let body = if body.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(body).expect("JSON")
    };
    Answer { status, body }
}
