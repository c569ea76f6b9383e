//! A WebSocket over a connection: whole messages in, ready-made frames out.
//!
//! Invariants. While nothing is coming in and nothing is waiting to go out, a socket holds no buffer. What comes in is
//! bounded by the message limit, whatever length a frame claims; what goes out is queued by its owner, who looks at
//! [`Socket::waiting`] first. Everything that waits goes out in one write.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::frame::{self, CloseCode, Head, Opcode};

/// How much is read from a connection at once, into the stack.
const READ: usize = 8 << 10;
/// How many frames go into one write at most; the kernel's own bound is 1,024.
const GATHER: usize = 64;
/// How long a goodbye may take: the frame that closes, and the other side's answer to it.
const GOODBYE: Duration = Duration::from_secs(2);
/// How much is read and thrown away after a goodbye, so that the connection need not be reset.
const AFTERWARDS: usize = 8 << 20;

/// What a connection must be able to do.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// How long what was written may stay unanswered by the other machine; `None` leaves it to the system.
    fn set_patience(&self, patience: Option<Duration>);
}

/// What has come in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message.
    Text(String),
    /// A whole message of the other kind.
    Binary(Vec<u8>),
    /// A ping, already answered; or a pong.
    Sign,
}

/// Whether more is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listens {
    Yes,
    No,
}

/// What a socket has done.
#[derive(Debug)]
pub(crate) enum Transfer {
    /// Everything that waited is written, or nothing can be.
    Written(io::Result<()>),
    /// Something has come in.
    Received(Result<Incoming, Ended>),
}

/// Why nothing more comes in.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The other side has closed, and was answered; or it hung up.
    ByClient,
    /// The other side broke a rule.
    Broken(CloseCode),
    /// The connection failed.
    Failed(io::Error),
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A WebSocket, from after its handshake.
#[derive(Debug)]
pub(crate) struct Socket<C> {
    connection: C,
    limit: usize,
    /// Bytes that are not a whole frame yet.
    incoming: BytesMut,
    /// The pieces so far of a message that comes in several frames.
    pieces: Option<Pieces>,
    outgoing: VecDeque<Bytes>,
    waiting: usize,
}

/// The pieces of a message.
#[derive(Debug)]
struct Pieces {
    kind: Opcode,
    bytes: Vec<u8>,
}

impl<C: Connection> Socket<C> {
    /// A socket that takes messages of at most `limit` bytes. `read` is what has come in after the handshake.
    pub(crate) fn new(connection: C, read: &[u8], limit: usize) -> Self {
        let incoming = BytesMut::from(read);
        Self { connection, limit, incoming, pieces: None, outgoing: VecDeque::new(), waiting: 0 }
    }

    pub(crate) fn connection(&self) -> &C {
        &self.connection
    }

    /// From now on, messages of at most `limit` bytes are taken.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// How many bytes wait to be written.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Puts a frame behind those that wait.
    pub(crate) fn queue(&mut self, frame: Bytes) {
        self.waiting += frame.len();
        self.outgoing.push_back(frame);
    }

    /// Writes what waits, and reads meanwhile if `listens`; says what came first. Safe to cancel.
    pub(crate) async fn transfer(&mut self, listens: Listens) -> Transfer {
        poll_fn(|context| {
            if self.waiting > 0
                && let Poll::Ready(written) = self.poll_flush(context)
            {
                return Poll::Ready(Transfer::Written(written));
            }
            match listens {
                Listens::Yes => self.poll_receive(context).map(Transfer::Received),
                Listens::No => Poll::Pending,
            }
        })
        .await
    }

    /// Writes of what waits as much as the connection takes at once. Whatever stops it is told by the next flush.
    pub(crate) async fn write_at_once(&mut self) {
        poll_fn(|context| {
            let _ = self.poll_flush(context);
            Poll::Ready(())
        })
        .await;
    }

    /// Writes all that waits. Safe to cancel.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(context)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(self.poll_write(context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.forget_written(written);
        }
        // A burst leaves room behind.
        if self.outgoing.capacity() > GATHER {
            self.outgoing = VecDeque::new();
        }
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let connection = Pin::new(&mut self.connection);
        // Nearly always it is one frame, and gathering one costs more than writing it.
        if let (Some(frame), 1) = (self.outgoing.front(), self.outgoing.len()) {
            return connection.poll_write(context, frame);
        }
        let mut slices = [IoSlice::new(&[]); GATHER];
        let mut count = 0;
        for (slice, frame) in slices.iter_mut().zip(&self.outgoing) {
            *slice = IoSlice::new(frame);
            count += 1;
        }
        connection.poll_write_vectored(context, slices.get(..count).unwrap_or_default())
    }

    fn forget_written(&mut self, mut written: usize) {
        self.waiting -= written;
        while let Some(frame) = self.outgoing.front_mut() {
            if frame.len() > written {
                frame.advance(written);
                return;
            }
            written -= frame.len();
            self.outgoing.pop_front();
        }
    }

    /// What comes in next. Safe to cancel.
    ///
    /// # Errors
    /// [`Ended`] when nothing more can come.
    pub(crate) async fn receive(&mut self) -> Result<Incoming, Ended> {
        poll_fn(|context| self.poll_receive(context)).await
    }

    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<Result<Incoming, Ended>> {
        loop {
            if let Some(incoming) = self.take()? {
                return Poll::Ready(Ok(incoming));
            }
            ready!(self.poll_read(context))?;
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Ended>> {
        let mut space = [std::mem::MaybeUninit::uninit(); READ];
        let mut read = ReadBuf::uninit(&mut space);
        ready!(Pin::new(&mut self.connection).poll_read(context, &mut read))?;
        if read.filled().is_empty() {
            return Poll::Ready(Err(Ended::ByClient));
        }
        self.incoming.extend_from_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    /// Takes the next thing out of what has come in; `None` when more is needed.
    fn take(&mut self) -> Result<Option<Incoming>, Ended> {
        while let Some((head, payload)) = self.take_frame().map_err(Ended::Broken)? {
            match head.opcode {
                Opcode::Ping => {
                    self.queue(frame::control(Opcode::Pong, &payload));
                    return Ok(Some(Incoming::Sign));
                }
                Opcode::Pong => return Ok(Some(Incoming::Sign)),
                Opcode::Close => {
                    self.queue(frame::close_answer(&payload));
                    return Err(Ended::ByClient);
                }
                Opcode::Text | Opcode::Binary | Opcode::Continuation => {
                    if let Some(message) = self.piece(&head, &payload).map_err(Ended::Broken)? {
                        return Ok(Some(message));
                    }
                }
            }
        }
        Ok(None)
    }

    fn take_frame(&mut self) -> Result<Option<(Head, BytesMut)>, CloseCode> {
        let Some(head) = frame::head(&self.incoming, self.limit)? else { return Ok(None) };
        let end = head.length + head.payload;
        if self.incoming.len() < end {
            return Ok(None);
        }
        let mut payload = self.incoming.split_to(end);
        if self.incoming.is_empty() {
            // What is empty still holds on to the whole buffer.
            self.incoming = BytesMut::new();
        }
        payload.advance(head.length);
        head.unmask(&mut payload);
        Ok(Some((head, payload)))
    }

    /// A piece of a message; the message, when it is whole.
    fn piece(&mut self, head: &Head, payload: &[u8]) -> Result<Option<Incoming>, CloseCode> {
        let mut message = match (head.opcode, self.pieces.take()) {
            (Opcode::Text | Opcode::Binary, None) => Pieces { kind: head.opcode, bytes: Vec::new() },
            (Opcode::Continuation, Some(pieces)) => pieces,
            // A message that begins within another, or goes on without a beginning.
            _ => return Err(CloseCode::Protocol),
        };
        if message.bytes.len() + payload.len() > self.limit {
            return Err(CloseCode::TooLarge);
        }
        message.bytes.extend_from_slice(payload);
        if !head.is_last {
            self.pieces = Some(message);
            return Ok(None);
        }
        match message.kind {
            Opcode::Binary => Ok(Some(Incoming::Binary(message.bytes))),
            _ => {
                String::from_utf8(message.bytes).map(Incoming::Text).map(Some).map_err(|_| CloseCode::NotText)
            }
        }
    }

    /// Says goodbye: writes what waits and then the closing frame, and lets the other side hear it.
    pub(crate) async fn close(mut self, code: CloseCode, reason: &str) {
        self.queue(frame::close(code, reason));
        self.hang_up().await;
    }

    /// Writes what waits, and ends the connection so that the other side can read it.
    pub(crate) async fn hang_up(mut self) {
        let goodbye = async {
            self.flush().await?;
            self.connection.shutdown().await?;
            let mut thrown = 0;
            while thrown < AFTERWARDS {
                self.incoming.clear();
                if poll_fn(|context| self.poll_read(context)).await.is_err() {
                    break;
                }
                thrown += self.incoming.len();
            }
            Ok::<_, io::Error>(())
        };
        // Whoever does not listen to a goodbye goes without one.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, DuplexStream, duplex};

    impl Connection for DuplexStream {
        fn set_patience(&self, _: Option<Duration>) {}
    }

    const LIMIT: usize = 64;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first, 0x80 | u8::try_from(payload.len()).unwrap(), 1, 2, 3, 4];
        bytes.extend(payload.iter().zip([1, 2, 3, 4].iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    /// What a server hears when a client sends these bytes, in pieces of some size, and what it answers.
    async fn heard(bytes: &[u8], piece: usize) -> (Vec<Incoming>, Ended, Vec<u8>) {
        let (mut client, server) = duplex(1 << 16);
        let mut socket = Socket::new(server, &[], LIMIT);
        let (mut incoming, pieces) = (Vec::new(), bytes.chunks(piece.max(1)).map(<[u8]>::to_vec));
        let pieces: Vec<_> = pieces.collect();
        let sending = tokio::spawn(async move {
            for piece in pieces {
                client.write_all(&piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let ended = loop {
            match socket.receive().await {
                Ok(next) => incoming.push(next),
                Err(ended) => break ended,
            }
        };
        socket.hang_up().await;
        (incoming, ended, sending.await.unwrap())
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_were_cut() {
        let bytes = [
            client_frame(0x01, b"he"),
            client_frame(0x89, b"!"),
            client_frame(0x00, b"l"),
            client_frame(0x80, b"lo"),
            client_frame(0x81, b""),
            client_frame(0x88, &[3, 232]),
        ]
        .concat();
        for piece in [1, 2, 3, 7, 1000] {
            let (incoming, ended, answer) = heard(&bytes, piece).await;
            let expected = [Incoming::Sign, Incoming::Text("hello".into()), Incoming::Text(String::new())];
            assert_eq!(incoming, expected);
            assert!(matches!(ended, Ended::ByClient));
            assert_eq!(answer, [0x8A, 1, b'!', 0x88, 2, 3, 232]);
        }
    }

    #[tokio::test]
    async fn what_breaks_the_rules_has_its_code() {
        let long = [client_frame(0x01, &[b'a'; 40]), client_frame(0x80, &[b'a'; 40])].concat();
        for (bytes, code) in [
            (client_frame(0x80, b"x"), CloseCode::Protocol),
            ([client_frame(0x01, b"x"), client_frame(0x81, b"x")].concat(), CloseCode::Protocol),
            (client_frame(0x81, &[0xff]), CloseCode::NotText),
            (client_frame(0x81, &[b'a'; 65]), CloseCode::TooLarge),
            (long, CloseCode::TooLarge),
        ] {
            let (_, ended, _) = heard(&bytes, 1000).await;
            assert!(matches!(ended, Ended::Broken(own) if own == code), "{code:?}: {ended:?}");
        }
    }

    #[tokio::test]
    async fn frames_go_out_in_order_through_a_narrow_pipe() {
        let (mut client, server) = duplex(7);
        let mut socket = Socket::new(server, &[], LIMIT);
        let texts: Vec<_> = (0..200).map(|n| format!("message {n}")).collect();
        texts.iter().for_each(|text| socket.queue(frame::text(text)));
        let expected: Vec<u8> = texts.iter().flat_map(|text| frame::text(text).to_vec()).collect();
        assert_eq!(socket.waiting(), expected.len());
        let reading = tokio::spawn(async move {
            let mut all = Vec::new();
            client.read_to_end(&mut all).await.unwrap();
            all
        });
        socket.flush().await.unwrap();
        assert_eq!(socket.waiting(), 0);
        drop(socket);
        assert_eq!(reading.await.unwrap(), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_heard_or_refused_within_bounds(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
            let (incoming, _, _) = runtime.unwrap().block_on(heard(&bytes, piece));
            for text in incoming {
                let length = match text {
                    Incoming::Text(text) => text.len(),
                    Incoming::Binary(bytes) => bytes.len(),
                    Incoming::Sign => 0,
                };
                prop_assert!(length <= LIMIT);
            }
        }
    }
}
