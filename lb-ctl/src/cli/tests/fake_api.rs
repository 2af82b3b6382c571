//! The Compute API as a list of resources and of what it was asked to change.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, mpsc};
use std::thread::JoinHandle;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Ran, lb_ctl};
use crate::control::Control;
use crate::control::fake::sample;
use crate::server::tests::harness::PATIENCE;

/// A request that is not a GET: method, path without `/compute/v1/`, body.
pub(super) type Request = (String, String, Value);

#[derive(Default)]
pub(super) struct Asked {
    pub(super) requests: Vec<Request>,
    resources: BTreeMap<String, Value>,
    /// The answer to the next change.
    pub(super) next: Option<(StatusCode, Value)>,
    pub(super) operations: BTreeMap<String, Vec<Value>>,
}

pub(super) struct FakeApi {
    asked: Arc<Mutex<Asked>>,
    endpoint: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
    directory: tempfile::TempDir,
}

impl FakeApi {
    /// With the fake controller's sample.
    pub(super) fn start() -> Self {
        let resources = sample().resources();
        let resources = resources
            .iter()
            .map(|(path, value)| (path.to_string(), value.clone()));
        let asked = Arc::new(Mutex::new(Asked {
            resources: resources.collect(),
            ..Asked::default()
        }));
        let directory = tempfile::tempdir().expect("a directory");
        let socket = directory.path().join("s");
        let endpoint = format!("unix:{}", socket.display());
        let (stop, stopped) = oneshot::channel();
        let (send, ready) = mpsc::channel();
        let app = Router::new().fallback(answer).with_state(asked.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                let listener = tokio::net::UnixListener::bind(socket).expect("to bind");
                send.send(()).expect("the test to wait");
                let serve = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
                serve.await.expect("to serve");
            });
        });
        ready.recv_timeout(PATIENCE).expect("the server to start");
        Self {
            asked,
            endpoint,
            stop: Some(stop),
            thread: Some(thread),
            directory,
        }
    }

    pub(super) fn asked(&self) -> MutexGuard<'_, Asked> {
        self.asked.lock().expect("no panic while it is held")
    }

    /// Changes a stored resource.
    pub(super) fn edit(&self, path: &str, change: impl FnOnce(&mut Value)) {
        change(
            self.asked()
                .resources
                .get_mut(path)
                .expect("a resource of the sample"),
        );
    }

    pub(super) fn run(&self, args: &[&str]) -> Ran {
        lb_ctl(&[args, &["--endpoint", &self.endpoint]].concat())
    }

    /// The only change that the command line asks for.
    #[track_caller]
    pub(super) fn change(&self, args: &[&str]) -> Request {
        self.asked().requests.clear();
        self.run(args).is(super::ExitCode::Ok);
        let requests = std::mem::take(&mut self.asked().requests);
        let [request] = requests.as_slice() else {
            panic!("{args:?}: {requests:#?}")
        };
        request.clone()
    }

    /// A file with this text.
    pub(super) fn file(&self, text: &str) -> String {
        let path = self.directory.path().join("file");
        std::fs::write(&path, text).expect("to write");
        path.display().to_string()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().expect("the server not to panic");
        }
    }
}

async fn answer(State(asked): State<Arc<Mutex<Asked>>>, method: Method, uri: Uri, body: Bytes) -> Response {
    let mut asked = asked.lock().expect("no panic while it is held");
    let path = uri.path().trim_start_matches("/compute/v1/").to_owned();
    match (&method, path.as_str()) {
        (&Method::GET, "/lb/v1/resources") => Json(json!(asked.resources)).into_response(),
        (&Method::GET, "/lb/v1/status") => Json(status()).into_response(),
        (&Method::GET, path) if path.ends_with("/operations") => {
            Json(json!({ "items": asked.operations.get(path).cloned().unwrap_or_default() })).into_response()
        }
        (&Method::GET, path) => match asked.resources.get(path) {
            Some(resource) => Json(resource.clone()).into_response(),
            None => (
                StatusCode::NOT_FOUND,
                Json(json!({"error": {"message": "not found"}})),
            )
                .into_response(),
        },
        _ => {
            let body: Value = serde_json::from_slice(&body).unwrap_or_default();
            if method == Method::POST {
                let new = format!("{path}/{}", body["name"].as_str().unwrap_or_default());
                asked.resources.insert(new, body.clone());
            }
            asked.requests.push((method.to_string(), path.clone(), body));
            let done = match path.as_str() {
                "/lb/v1/apply" => json!({"changes": [], "warnings": ["as a warning"]}),
                _ => json!({"kind": "compute#operation", "status": "DONE"}),
            };
            let (status, body) = asked.next.take().unwrap_or((StatusCode::OK, done));
            (status, Json(body)).into_response()
        }
    }
}

fn status() -> Value {
    json!({
        "version": "1", "layoutVersion": 1, "pid": 1, "uptimeSec": 1, "stateDir": "", "interfaces": [],
        "resources": {}, "endpoints": 0, "healthyEndpoints": 0, "flowSlots": 1, "config": {"files": {}},
        "connectionLog": {"destination": "stderr", "services": 0, "connections": 0, "lines": 0, "dropped": 0},
        "warnings": [],
        "defaultPlace": {"project": "acme", "region": "r1", "zone": "r1-a"},
    })
}
