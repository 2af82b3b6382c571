//! Bearer tokens over TCP.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::harness::{Answer, TestServer, read_answer};
use crate::control::fake::sample;
use crate::server::{ListenAddress, Server, ServerConfig, TokenFile};

const VIEWER: &str = "viewer-token-0123456789";
const EDITOR: &str = "editor-token-0123456789";
const ADMIN: &str = "admin-token-0123456789";
const SERVICES: &str = "/compute/v1/projects/acme/regions/r1/backendServices";

struct Guarded {
    server: TestServer,
    file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Guarded {
    fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("tokens");
        write(
            &file,
            &format!("{VIEWER} viewer\n{EDITOR} editor\n{ADMIN} admin\n"),
        );
        let tokens = TokenFile::open(&file).expect("a token file");
        Self {
            server: TestServer::with_tokens(sample(), ServerConfig::default(), Some(tokens)),
            file,
            _directory: directory,
        }
    }

    fn ask(&self, method: &str, path: &str, authorization: &str) -> Answer {
        let (answer, _) = self.ask_for_head(method, path, authorization);
        answer
    }

    fn ask_for_head(&self, method: &str, path: &str, authorization: &str) -> (Answer, String) {
        let mut stream = self.server.tcp();
        // A name that is not an address: with tokens, pages of others can do nothing.
        let head =
            format!("{method} {path} HTTP/1.1\r\nhost: lb.example\r\nconnection: close\r\n{authorization}");
        let body = match method {
            "POST" => "content-type: application/json\r\ncontent-length: 2\r\n\r\n{}",
            _ => "\r\n",
        };
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .expect("to write");
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut bytes).expect("an answer");
        let head = String::from_utf8_lossy(&bytes).to_lowercase();
        (read_answer(bytes.as_slice()), head)
    }
}

fn write(path: &Path, text: &str) {
    // As careful administrators do it: whole, under another name first.
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, text).expect("to write");
    std::fs::set_permissions(&fresh, std::fs::Permissions::from_mode(0o600)).expect("to set the mode");
    std::fs::rename(&fresh, path).expect("to rename");
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

#[test]
fn nobody_gets_in_without_a_token_that_counts() {
    let guarded = Guarded::start();
    let (answer, head) = guarded.ask_for_head("GET", SERVICES, "");
    answer.error(401, "required");
    assert_eq!(answer.body["error"]["errors"][0]["location"], "Authorization");
    assert!(
        head.contains("www-authenticate: bearer realm=\"lb\"\r\n"),
        "{head}"
    );
    let wrong = [
        bearer("viewer-token-012345678"),
        bearer("viewer-token-01234567890"),
        "authorization: bearer x\r\n".to_owned(),
    ];
    for authorization in wrong {
        let (answer, head) = guarded.ask_for_head("GET", SERVICES, &authorization);
        answer.error(401, "authError");
        assert!(head.contains("error=\"invalid_token\""), "{head}");
    }
    for authorization in [
        "authorization: Basic dXNlcjpwYXNz\r\n".to_owned(),
        format!("{}{}", bearer(VIEWER), bearer(ADMIN)),
        format!("authorization: {ADMIN}\r\n"),
        bearer(""),
    ] {
        guarded
            .ask("GET", SERVICES, &authorization)
            .error(401, "required");
    }
    for path in [
        "/",
        "/lb/v1/status",
        "/compute/v1/projects/%ff",
        "/batch/compute/v1",
    ] {
        guarded.ask("GET", path, "").error(401, "required");
    }
    guarded.ask("GET", SERVICES, &bearer(VIEWER)).ok();
    // Who may open the socket needs none.
    guarded.server.get(SERVICES).ok();
}

#[test]
fn a_role_may_do_what_it_may() {
    let guarded = Guarded::start();
    let rows = [
        (
            "GET",
            SERVICES.to_owned(),
            "compute.regionBackendServices.list",
            VIEWER,
        ),
        (
            "POST",
            format!("{SERVICES}/web/getHealth"),
            "compute.regionBackendServices.get",
            VIEWER,
        ),
        (
            "GET",
            format!("{SERVICES}/web/getIamPolicy"),
            "compute.regionBackendServices.getIamPolicy",
            VIEWER,
        ),
        ("GET", "/lb/v1/status".to_owned(), "lb.status.get", VIEWER),
        (
            "POST",
            SERVICES.to_owned(),
            "compute.regionBackendServices.create",
            EDITOR,
        ),
        (
            "PATCH",
            format!("{SERVICES}/web"),
            "compute.regionBackendServices.update",
            EDITOR,
        ),
        (
            "DELETE",
            format!("{SERVICES}/none"),
            "compute.regionBackendServices.delete",
            EDITOR,
        ),
        ("POST", "/lb/v1/apply".to_owned(), "lb.apply.update", EDITOR),
        (
            "POST",
            format!("{SERVICES}/web/setIamPolicy"),
            "compute.regionBackendServices.setIamPolicy",
            ADMIN,
        ),
        ("POST", "/lb/v1/detach".to_owned(), "lb.detach.detach", ADMIN),
    ];
    let all = [VIEWER, EDITOR, ADMIN];
    for (method, path, permission, least) in rows {
        let least = all.iter().position(|token| *token == least).expect("a role");
        for (index, token) in all.iter().enumerate() {
            let answer = guarded.ask(method, &path, &bearer(token));
            if index < least {
                let message = answer.error(403, "forbidden");
                assert!(
                    message.starts_with(&format!("Required '{permission}' permission for '")),
                    "{message}"
                );
            } else {
                assert!(!matches!(answer.status, 401 | 403), "{method} {path}: {answer:?}");
            }
        }
    }
}

#[test]
fn permissions_are_told_as_they_are() {
    let guarded = Guarded::start();
    let path = format!("{SERVICES}/web/testIamPermissions");
    let body =
        json!({"permissions": ["compute.regionBackendServices.get", "compute.regionBackendServices.update",
        "compute.regionBackendServices.setIamPolicy", "iam.roles.get"]})
        .to_string();
    for (token, held) in [(VIEWER, 1), (EDITOR, 2), (ADMIN, 3)] {
        let mut stream = guarded.server.tcp();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{}content-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            bearer(token),
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("to write");
        let answer = read_answer(stream).ok();
        assert_eq!(
            answer["permissions"].as_array().map(Vec::len),
            Some(held),
            "{answer}"
        );
    }
}

#[test]
fn the_file_is_followed() {
    let guarded = Guarded::start();
    let status = |token: &str| guarded.ask("GET", SERVICES, &bearer(token)).status;
    let fresh = "fresh-token-0123456789";
    assert_eq!((status(VIEWER), status(fresh)), (200, 401));
    write(&guarded.file, &format!("{fresh} viewer\n"));
    assert_eq!((status(VIEWER), status(fresh)), (401, 200));
    // At fault: nobody, until it is right again.
    write(&guarded.file, &format!("{fresh} viewer\n{ADMIN} root\n"));
    let message = guarded
        .ask("GET", SERVICES, &bearer(fresh))
        .error(401, "authError");
    assert!(message.contains("token file can't be used"), "{message}");
    write(&guarded.file, &format!("{fresh} viewer\n"));
    assert_eq!(status(fresh), 200);
    std::fs::set_permissions(&guarded.file, std::fs::Permissions::from_mode(0o644)).expect("to set the mode");
    assert_eq!(status(fresh), 401);
    std::fs::remove_file(&guarded.file).expect("to remove");
    assert_eq!(status(fresh), 401);
    write(&guarded.file, &format!("{fresh} viewer\n"));
    assert_eq!(status(fresh), 200);
}

#[test]
fn a_file_that_others_may_read_or_write_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tokens");
    write(&file, &format!("{ADMIN} admin\n"));
    for mode in [0o604, 0o602, 0o620, 0o644, 0o666, 0o601] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("to set the mode");
        let message = TokenFile::open(&file).expect_err("a refusal").to_string();
        assert!(message.contains(&format!("its mode is {mode:03o}")), "{message}");
    }
    for mode in [0o600, 0o640, 0o400] {
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).expect("to set the mode");
        TokenFile::open(&file).expect("to be accepted");
    }
    assert!(TokenFile::open(&directory.path().join("none")).is_err());
    assert!(TokenFile::open(directory.path()).is_err());
}

#[test]
fn with_tokens_any_address_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tokens");
    write(&file, &format!("{ADMIN} admin\n"));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let everywhere: [ListenAddress; 1] = ["0.0.0.0:0".parse().expect("an address")];
        let tokens = TokenFile::open(&file).expect("a token file");
        assert!(Server::bind(&everywhere, None).is_err());
        Server::bind(&everywhere, Some(tokens)).expect("to bind");
    });
}
