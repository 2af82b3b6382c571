use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use super::harness::TestServer;
use crate::control::fake::sample;
use crate::server::{ListenAddress, ListenError, Server};

fn bind(address: &str) -> Result<Server, ListenError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async { Server::bind(&[address.parse().expect("an address")], None) })
}

fn message(result: Result<Server, ListenError>) -> String {
    result.err().expect("to be refused").to_string()
}

#[test]
fn addresses_are_read_as_they_are_written() {
    for text in ["unix:/run/lb/lb.sock", "127.0.0.1:80", "[::1]:8080"] {
        let address: ListenAddress = text.parse().expect("an address");
        assert_eq!(address.to_string(), text);
    }
    for text in [
        "unix:",
        "",
        "localhost:80",
        "127.0.0.1",
        ":80",
        "/run/lb.sock",
        "127.0.0.1:70000",
    ] {
        assert!(text.parse::<ListenAddress>().is_err(), "{text}");
    }
}

#[test]
fn tcp_is_for_loopback_only() {
    for address in ["0.0.0.0:0", "192.0.2.1:80", "[::]:0"] {
        let message = message(bind(address));
        assert!(message.contains("is not a loopback address"), "{message}");
    }
}

#[test]
fn the_socket_is_for_its_owner_and_group() {
    let server = TestServer::start(sample());
    let mode = std::fs::metadata(&server.socket)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("deep/lb.sock");
    let address = format!("unix:{}", path.display());
    std::fs::create_dir(directory.path().join("deep")).expect("a directory");
    drop(UnixListener::bind(&path).expect("to bind"));
    assert!(path.exists());
    drop(bind(&address).expect("to replace the stale socket"));
    assert!(!path.exists());

    let living = UnixListener::bind(&path).expect("to bind");
    let message = message(bind(&address));
    assert!(message.contains("is the daemon running already?"), "{message}");
    assert!(path.exists());
    drop(living);
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("precious");
    std::fs::write(&path, "text").expect("to write");
    let message = message(bind(&format!("unix:{}", path.display())));
    assert!(message.ends_with("exists and is not a socket"), "{message}");
    assert_eq!(std::fs::read_to_string(&path).expect("to read"), "text");
}

#[test]
fn the_directory_of_the_socket_is_made_and_another_daemons_socket_survives_us() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a/b/lb.sock");
    let server = bind(&format!("unix:{}", path.display())).expect("to bind");
    std::fs::remove_file(&path).expect("to remove");
    let _other = UnixListener::bind(&path).expect("to bind");
    drop(server);
    assert!(path.exists());
}
