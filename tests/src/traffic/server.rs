//! What a backend serves. `lb-lab-backend` is this, in a process that can be killed.
//!
//! TCP: the backend's name on a line; then, for each line `echo TEXT`, the name and TEXT; for `sink N`, the checksum of the
//! N bytes that follow the line; for `source N`, N bytes and their checksum.
//! UDP: the name, a space and the request. HTTP (health): the status and weight that were last set.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;

use super::bulk::Bytes;

/// What the health endpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// None: nobody listens.
    pub status: Option<u16>,
    pub weight: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            status: Some(200),
            weight: None,
        }
    }
}

pub async fn serve_tcp(name: Arc<str>, address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // A connection that breaks is the client's to notice.
            tokio::spawn(converse(name.clone(), stream));
        }
    });
    Ok(())
}

async fn converse(name: Arc<str>, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    stream.write_all(format!("{name}\n").as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        match line.trim_end().split_once(' ') {
            Some(("echo", text)) => stream.write_all(format!("{name} {text}\n").as_bytes()).await?,
            Some(("sink", count)) => sink(&mut stream, parsed(count)?).await?,
            Some(("source", count)) => source(&mut stream, parsed(count)?).await?,
            _ => return Err(io::Error::other(format!("unknown request {line:?}"))),
        }
        line.clear();
    }
    Ok(())
}

fn parsed(count: &str) -> io::Result<u64> {
    count.parse().map_err(io::Error::other)
}

async fn sink(stream: &mut BufReader<TcpStream>, mut left: u64) -> io::Result<()> {
    let mut checksum = crc32fast::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let limit = left.min(buffer.len() as u64) as usize;
        match stream.read(&mut buffer[..limit]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                checksum.update(&buffer[..count]);
                left -= count as u64;
            }
        }
    }
    stream
        .write_all(format!("{:08x}\n", checksum.finalize()).as_bytes())
        .await
}

async fn source(stream: &mut BufReader<TcpStream>, mut left: u64) -> io::Result<()> {
    let mut bytes = Bytes::default();
    while left > 0 {
        let block = bytes.next(left);
        stream.write_all(block).await?;
        left -= block.len() as u64;
    }
    stream
        .write_all(format!("{:08x}\n", bytes.checksum.finalize()).as_bytes())
        .await
}

pub async fn serve_udp(name: Arc<str>, address: SocketAddr) -> io::Result<()> {
    let socket = UdpSocket::bind(address).await?;
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_536];
        loop {
            // An error here is an ICMP message about an earlier answer.
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                continue;
            };
            let answer = [name.as_bytes(), b" ", &buffer[..length]].concat();
            let _ = socket.send_to(&answer, client).await;
        }
    });
    Ok(())
}

/// Listens from when it returns; follows `health` from then on.
pub async fn serve_health(address: SocketAddr, mut health: watch::Receiver<Health>) -> io::Result<()> {
    let mut listener = Some(TcpListener::bind(address).await?);
    tokio::spawn(async move {
        loop {
            let listening = health.borrow_and_update().status.is_some();
            match (&listener, listening) {
                (Some(_), false) => listener = None,
                (None, true) => listener = TcpListener::bind(address).await.ok(),
                _ => {}
            }
            tokio::select! {
                changed = health.changed() => if changed.is_err() { return },
                accepted = accept(&listener) => if let Ok((stream, _)) = accepted {
                    tokio::spawn(answer_health(stream, health.borrow().clone()));
                },
            }
        }
    });
    Ok(())
}

async fn accept(listener: &Option<TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

async fn answer_health(stream: TcpStream, health: Health) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 && line.trim_end() != "" {
        line.clear();
    }
    let status = health.status.unwrap_or(503);
    let weight = health
        .weight
        .map(|weight| format!("X-Load-Balancing-Endpoint-Weight: {weight}\r\n"));
    let weight = weight.unwrap_or_default();
    let answer =
        format!("HTTP/1.1 {status} Lab\r\nContent-Length: 3\r\nConnection: close\r\n{weight}\r\nlab");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
