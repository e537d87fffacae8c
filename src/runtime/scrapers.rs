//! Who reads the metrics: so many at a time, and each for a while. One that says nothing, or does not read what it asked
//! for, would keep memory and a descriptor of the node's.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::serve::Listener;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Sleep, sleep},
};

/// How many are listened to at a time; others wait in the system's queue.
const SCRAPERS: usize = 16;
/// How long each may take, from its connection to the end of its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lets in so many at a time.
pub(super) struct Door {
    listener: TcpListener,
    places: Arc<Semaphore>,
    patience: Duration,
}

impl Door {
    pub(super) fn new(listener: TcpListener) -> Door {
        Door { listener, places: Arc::new(Semaphore::new(SCRAPERS)), patience: PATIENCE }
    }
}

impl Listener for Door {
    type Io = Scraper;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Scraper, SocketAddr) {
        // Nobody closes the semaphore.
        let place = Arc::clone(&self.places).acquire_owned().await.ok();
        let (stream, from) = Listener::accept(&mut self.listener).await;
        (Scraper { stream, over: Box::pin(sleep(self.patience)), _place: place }, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A scraper's connection, which fails when its time is over. Its place is free when it is dropped.
pub(super) struct Scraper {
    stream: TcpStream,
    over: Pin<Box<Sleep>>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Scraper {
    /// The stream, while there is time; who is to go on then is woken.
    fn in_time(&mut self, context: &mut Context<'_>) -> io::Result<Pin<&mut TcpStream>> {
        match self.over.as_mut().poll(context) {
            Poll::Pending => Ok(Pin::new(&mut self.stream)),
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
        }
    }
}

impl AsyncRead for Scraper {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_read(context, into)
    }
}

impl AsyncWrite for Scraper {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context)?.poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.in_time(context)?.poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use axum::{Router, routing::get};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn door(places: usize, patience: Duration) -> (Door, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it has one");
        (Door { listener, places: Arc::new(Semaphore::new(places)), patience }, address)
    }

    #[tokio::test]
    async fn so_many_are_let_in_and_the_next_when_one_has_left() {
        let (mut door, address) = door(2, Duration::from_secs(600)).await;
        let mut waiting = Vec::new();
        for _ in 0..3 {
            waiting.push(TcpStream::connect(address).await.expect("the system lets it wait"));
        }
        let (first, _) = door.accept().await;
        let (_second, _) = door.accept().await;
        {
            let mut next = std::pin::pin!(door.accept());
            let context = &mut Context::from_waker(Waker::noop());
            assert!(next.as_mut().poll(context).is_pending(), "two are there");
        }
        drop(first);
        door.accept().await;
    }

    #[tokio::test]
    async fn who_says_nothing_is_let_go() {
        let (door, address) = door(1, Duration::from_millis(50)).await;
        let router = Router::new().route("/metrics", get(|| async { "well" }));
        let served = tokio::spawn(async move { axum::serve(door, router).await });
        let mut silent = TcpStream::connect(address).await.expect("it listens");
        // Of the first half of a request no answer comes, nor of none.
        silent.write_all(b"GET /metrics HTTP/1.1\r\nHost:").await.expect("it reads");
        let mut said = Vec::new();
        // It ends: in whatever way, what was written and is not read makes a difference.
        let _ = silent.read_to_end(&mut said).await;
        assert!(!said.ends_with(b"well"), "{}", String::from_utf8_lossy(&said));
        served.abort();
    }
}
