//! How many connections there may be, and which has to go when another wants in: of those for which no request is being
//! worked on, the one that has done nothing for the longest time.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub(super) struct Room {
    permits: Arc<Semaphore>,
    seats: Mutex<Seats>,
    /// A connection has nothing to do any more.
    idle: Notify,
}

#[derive(Default)]
struct Seats {
    next: u64,
    taken: BTreeMap<u64, Taken>,
}

struct Taken {
    /// Grows with all that happens on any connection.
    last_used: u64,
    working: bool,
    leaving: bool,
    leave: Arc<Notify>,
}

/// One connection's place; free again when dropped.
pub(super) struct Seat {
    room: Arc<Room>,
    number: u64,
    leave: Arc<Notify>,
    _permit: OwnedSemaphorePermit,
}

impl Room {
    pub(super) fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            permits: Arc::new(Semaphore::new(size)),
            seats: Mutex::default(),
            idle: Notify::new(),
        })
    }

    /// Waits while all connections have work.
    pub(super) async fn seat(self: &Arc<Self>) -> Option<Seat> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.make_room().await?,
        };
        let leave = Arc::new(Notify::new());
        let mut seats = self.seats();
        let number = seats.tick();
        let taken = Taken {
            last_used: number,
            working: false,
            leaving: false,
            leave: leave.clone(),
        };
        seats.taken.insert(number, taken);
        drop(seats);
        Some(Seat {
            room: self.clone(),
            number,
            leave,
            _permit: permit,
        })
    }

    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            let idle = self.idle.notified();
            self.seats().send_longest_idle_away();
            tokio::select! {
                permit = self.permits.clone().acquire_owned() => return permit.ok(),
                () = idle => {}
            }
        }
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    fn tick(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Nobody when somebody is leaving already.
    fn send_longest_idle_away(&mut self) {
        if self.taken.values().any(|taken| taken.leaving) {
            return;
        }
        let idle = self.taken.values_mut().filter(|taken| !taken.working);
        if let Some(taken) = idle.min_by_key(|taken| taken.last_used) {
            taken.leaving = true;
            taken.leave.notify_one();
        }
    }
}

impl Seat {
    /// Returns when somebody else needs the room.
    pub(super) async fn wanted(&self) {
        self.leave.notified().await;
    }

    pub(super) fn is_working(&self) -> bool {
        let seats = self.room.seats();
        seats.taken.get(&self.number).is_some_and(|taken| taken.working)
    }

    /// What says of the connection that it is in use.
    pub(super) fn usage(&self) -> Usage {
        Usage {
            room: self.room.clone(),
            number: self.number,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.seats().taken.remove(&self.number);
    }
}

#[derive(Clone)]
pub(super) struct Usage {
    room: Arc<Room>,
    number: u64,
}

impl Usage {
    fn note(&self, change: impl FnOnce(&mut Taken)) {
        let mut seats = self.room.seats();
        let now = seats.tick();
        if let Some(taken) = seats.taken.get_mut(&self.number) {
            taken.last_used = now;
            change(taken);
        }
    }

    /// A request is being worked on until the value is dropped.
    pub(super) fn work(&self) -> Work {
        self.note(|taken| taken.working = true);
        Work(self.clone())
    }
}

pub(super) struct Work(Usage);

impl Drop for Work {
    fn drop(&mut self) {
        self.0.note(|taken| taken.working = false);
        self.0.room.idle.notify_one();
    }
}

/// A stream whose progress in writing is use of its connection. Reading is not: a client could send a byte now and then
/// for ever.
pub(super) struct Watched<S> {
    pub(super) stream: S,
    pub(super) usage: Usage,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl<S> Watched<S> {
    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.usage.note(|_| {});
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seats(room: &Arc<Room>, count: usize) -> Vec<Seat> {
        let mut seats = Vec::new();
        for _ in 0..count {
            seats.push(room.seat().await.expect("a seat"));
        }
        seats
    }

    fn is_wanted(seat: &Seat) -> bool {
        futures_util::FutureExt::now_or_never(seat.wanted()).is_some()
    }

    #[tokio::test]
    async fn the_longest_idle_goes_and_those_at_work_stay() {
        let room = Room::new(3);
        let mut taken = seats(&room, 3).await;
        let _work = taken[0].usage().work();
        taken[1].usage().note(|_| {});
        let mut waiting = std::pin::pin!(room.seat());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(is_wanted(&taken[2]));
        assert!(!is_wanted(&taken[0]) && !is_wanted(&taken[1]));
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(!is_wanted(&taken[1]), "one goes for one that comes");
        drop(taken.pop());
        assert!(waiting.await.is_some());
    }

    #[tokio::test]
    async fn when_all_work_the_first_to_be_done_goes() {
        let room = Room::new(2);
        let taken = seats(&room, 2).await;
        let work: Vec<Work> = taken.iter().map(|seat| seat.usage().work()).collect();
        let mut waiting = std::pin::pin!(room.seat());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let mut work = work.into_iter();
        drop(work.next_back());
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        assert!(is_wanted(&taken[1]) && !is_wanted(&taken[0]));
        let [_first, second] = <[Seat; 2]>::try_from(taken).unwrap_or_else(|_| panic!("two"));
        drop(second);
        assert!(waiting.await.is_some());
    }
}
