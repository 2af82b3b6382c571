//! What the endpoint's own socket tells of the end of a probe: a server sees the client's end, and no error.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use ::http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::servers::{Endpoint, http2, raw, serve_http1, tls};
use super::*;

/// A server with the kernel's plain sockets. `serve` gets the first connection; what it returns is what the server saw.
struct Server {
    destination: Destination,
    seen: JoinHandle<io::Result<Vec<u8>>>,
}

fn server(serve: impl FnOnce(TcpStream) -> io::Result<Vec<u8>> + Send + 'static) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let destination = listener.local_addr().unwrap().into();
    let seen = std::thread::spawn(move || {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(LONG))?;
        // ENOTCONN after a reset: servers that log their clients fail here.
        stream.peer_addr()?;
        serve(stream)
    });
    Server { destination, seen }
}

impl Server {
    async fn saw(self) -> io::Result<Vec<u8>> {
        tokio::task::spawn_blocking(move || self.seen.join().unwrap())
            .await
            .unwrap()
    }
}

/// Until the client's end; an error that nobody asked for is one, too.
fn read_to_end(mut stream: TcpStream) -> io::Result<Vec<u8>> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    stream.take_error()?.map_or(Ok(received), Err)
}

/// Takes one request in HTTP/1.1.
fn hear(stream: &mut TcpStream) -> io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    Ok(())
}

/// One request, and what is answered.
fn answer(mut stream: TcpStream, head: &str, body: usize) -> io::Result<Vec<u8>> {
    hear(&mut stream)?;
    stream.write_all(head.as_bytes())?;
    stream.write_all(&vec![b'.'; body])?;
    stream.shutdown(Shutdown::Write)?;
    read_to_end(stream)
}

#[tokio::test]
async fn a_tcp_probe_ends_in_order() {
    let server = server(read_to_end);
    let result = probe_for(&server.destination, &stream(false, "", ""), LONG).await;
    assert_eq!(result, SUCCESS);
    assert_eq!(server.saw().await.unwrap(), b"");
}

/// It is accepted when the probe has long ended, as a busy server does.
#[tokio::test]
async fn a_server_that_accepts_late_sees_a_client_that_has_left() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let destination = listener.local_addr().unwrap().into();
    let result = probe_for(&destination, &stream(false, "hello", ""), SHORT).await;
    assert_eq!(result, SUCCESS);
    let (stream, _) = listener.accept().unwrap();
    stream.peer_addr().unwrap();
    assert_eq!(read_to_end(stream).unwrap(), b"hello");
}

/// As SSH and SMTP do: whoever says something has to be heard, or the kernel answers by RST.
#[tokio::test]
async fn a_server_that_greets_is_heard() {
    for late in [false, true] {
        let server = server(move |mut stream| {
            if late {
                // It greets a client that has ended its side already.
                let mut nothing = [0];
                assert_eq!(stream.read(&mut nothing)?, 0);
            }
            stream.write_all(b"220 ready\r\n")?;
            // Its end is the client's acknowledgement of the greeting.
            stream.shutdown(Shutdown::Write)?;
            read_to_end(stream)
        });
        let result = probe_for(&server.destination, &stream(false, "", ""), LONG).await;
        assert_eq!(result, SUCCESS);
        assert_eq!(server.saw().await.unwrap(), b"");
    }
}

#[tokio::test]
async fn a_wrong_answer_ends_in_order_too() {
    let server = server(|mut stream| {
        stream.write_all(&[b'x'; 100_000])?;
        read_to_end(stream)
    });
    let text = why(probe_for(&server.destination, &stream(false, "ping", "pong"), LONG).await);
    assert!(text.starts_with("received 'xxxx"), "{text}");
    assert_eq!(server.saw().await.unwrap(), b"ping");
}

#[tokio::test]
async fn a_reply_in_http_is_read_to_its_end() {
    for (status, length) in [
        ("200 OK", 300_000),
        ("200 OK", 60_000),
        ("503 Busy", 60_000),
        ("200 OK", 0),
    ] {
        for expected in ["", "...."] {
            let server = server(move |stream| {
                let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n");
                answer(stream, &head, length)
            });
            let asked = http(HttpVersion::Http, expected);
            let result = probe_for(&server.destination, &asked, LONG).await;
            let is_well = status == "200 OK" && length >= expected.len();
            assert_eq!(
                result == SUCCESS_WITHOUT_WEIGHT,
                is_well,
                "{status} {length} {result:?}"
            );
            assert_eq!(server.saw().await.unwrap(), b"", "{status} {length}");
        }
    }
}

/// Go cancels a request, and nginx logs 499, when the client's end comes before the reply is out.
#[tokio::test]
async fn the_client_does_not_end_before_a_reply_is_whole() {
    let server = server(|mut stream| {
        hear(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nfine")?;
        stream.set_read_timeout(Some(SHORT))?;
        // There is nothing more to read, and no end.
        let read = stream.read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        stream.set_read_timeout(Some(LONG))?;
        stream.write_all(b"ly")?;
        stream.shutdown(Shutdown::Write)?;
        read_to_end(stream)
    });
    let result = probe_for(&server.destination, &http(HttpVersion::Http, "fine"), LONG).await;
    assert_eq!(result, SUCCESS_WITHOUT_WEIGHT);
    server.saw().await.unwrap();
}

/// The verdict is told at once, whenever the connection ends.
#[tokio::test]
async fn nobody_waits_for_an_end_to_hear_the_verdict() {
    let (endpoint, _heard) = raw("\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true).await;
    let endings = Arc::new(Endings::new(1));
    let asked = http(HttpVersion::Http, "");
    let probing = probe(&endpoint.destination, &asked, LONG, &endings);
    let probed = tokio::time::timeout(LONG / 2, probing).await.expect("a verdict");
    assert_eq!(probed.result, SUCCESS_WITHOUT_WEIGHT);
    // Its body never comes, and the rest of the timeout is for that.
    let ended = tokio::time::timeout(SHORT, probed.farewell.say()).await;
    assert!(ended.is_err());
}

/// With TLS below, the end is announced (close_notify), so that it can't be taken for a cut.
#[tokio::test]
async fn probes_inside_tls_take_leave() {
    let (told, mut hearing) = mpsc::unbounded_channel();
    let endpoint = Endpoint::start_tls(tls(&[]), move |mut stream| {
        let told = told.clone();
        async move {
            let mut received = Vec::new();
            let end = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut received).await;
            let _ = told.send(end.map(|_| received));
        }
    })
    .await;
    assert_eq!(ask(&endpoint, &stream(true, "hello", "")).await, SUCCESS);
    let end = tokio::time::timeout(LONG, hearing.recv()).await.expect("an end");
    assert_eq!(end.unwrap().unwrap(), b"hello");
}

#[tokio::test]
async fn servers_of_http_over_tls_meet_no_error() {
    let fine = |_: Request<Incoming>| {
        Response::new(http_body_util::Full::new(bytes::Bytes::from(vec![b'.'; 60_000])))
    };
    let (told, mut hearing) = mpsc::unbounded_channel();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls(&["h2", "http/1.1"])));
    let endpoint = Endpoint::start(move |stream| {
        let (told, acceptor) = (told.clone(), acceptor.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            let io = hyper_util::rt::TokioIo::new(stream);
            let service = hyper::service::service_fn(move |request| {
                let response = fine(request);
                async move { Ok::<_, std::convert::Infallible>(response) }
            });
            let builder = hyper_util::rt::TokioExecutor::new();
            let http1 = hyper::server::conn::http1::Builder::new();
            let http2 = hyper::server::conn::http2::Builder::new(builder);
            let end = match io.inner().get_ref().1.alpn_protocol() {
                Some(b"h2") => http2.serve_connection(io, service).await,
                _ => http1.serve_connection(io, service).await,
            };
            let _ = told.send(end);
        }
    })
    .await;
    for version in [HttpVersion::Https, HttpVersion::Http2] {
        assert_eq!(ask(&endpoint, &http(version, "..")).await, SUCCESS_WITHOUT_WEIGHT);
        let end = tokio::time::timeout(LONG, hearing.recv()).await.expect("an end");
        end.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_server_of_http2_may_finish_its_reply() {
    let served = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&served);
    let endpoint = http2(Some(tls(&["h2"])), move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Response::builder()
            .status(503)
            .body(".".repeat(60_000).into())
            .unwrap()
    })
    .await;
    let text = reason(&endpoint, &http(HttpVersion::Http2, "")).await;
    assert_eq!(text, "HTTP status 503, expected 200");
    assert_eq!(served.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// An endpoint that never ends its side holds its probe for the timeout, and what it still says is no error of this host.
#[tokio::test]
async fn an_endpoint_that_stays_is_waited_for_no_longer_than_the_timeout() {
    let (endpoint, _heard) = raw("never", "", true).await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent: SocketAddr = listener.local_addr().unwrap();
    for destination in [silent.into(), endpoint.destination] {
        let asked = stream(false, "", "");
        let probing = probe_for(&destination, &asked, SHORT);
        assert_eq!(
            tokio::time::timeout(LONG, probing).await.expect("an end"),
            SUCCESS
        );
    }
}

/// While too many others wait, the kernel ends the connection alone: still in order.
#[tokio::test]
async fn without_a_place_to_wait_in_it_ends_in_order_nevertheless() {
    let server = server(read_to_end);
    let endings = Arc::new(Endings::new(0));
    let probed = probe(&server.destination, &stream(false, "", ""), LONG, &endings).await;
    assert_eq!(probed.result, SUCCESS);
    probed.farewell.say().await;
    assert_eq!(server.saw().await.unwrap(), b"");
}

#[tokio::test]
async fn a_probe_that_is_given_up_ends_in_order() {
    let server = server(read_to_end);
    let endings = Arc::new(Endings::new(1));
    let asked = stream(false, "ping", "pong");
    let probing = probe(&server.destination, &asked, LONG, &endings);
    assert!(tokio::time::timeout(SHORT, probing).await.is_err());
    assert_eq!(server.saw().await.unwrap(), b"ping");
}

/// Ports of this host are worth more than an endpoint's log.
#[tokio::test]
async fn it_ends_by_rst_while_local_ports_are_short() {
    let endings = Arc::new(Endings::with_ports(9, 1));
    for is_short in [false, true] {
        let server = server(read_to_end);
        // The limits are for each destination, so this one is used up before.
        if is_short {
            assert!(endings.may_keep_port(server.destination.address));
        }
        let probed = probe(&server.destination, &stream(false, "", ""), LONG, &endings).await;
        probed.farewell.say().await;
        assert_eq!(server.saw().await.is_err(), is_short);
        assert_eq!(endings.warning().is_some(), is_short);
    }
}

/// Whoever ends first keeps a port for a minute: an endpoint that ends first spares this host's.
#[tokio::test]
async fn an_endpoint_that_ends_first_takes_no_port() {
    let endpoint = Endpoint::start(|stream| serve_http1(stream, |_| Response::new("fine".into()))).await;
    let endings = Arc::new(Endings::with_ports(9, 0));
    let probed = probe(
        &endpoint.destination,
        &http(HttpVersion::Http, "fine"),
        LONG,
        &endings,
    )
    .await;
    assert_eq!(probed.result, SUCCESS_WITHOUT_WEIGHT);
    probed.farewell.say().await;
    assert_eq!(endings.warning(), None);
}
