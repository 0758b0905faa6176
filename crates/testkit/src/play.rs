//! Plays one script on one connection, and notices when the peer leaves meanwhile.
//! It must not know the log, nor what the bytes mean. It never sleeps but where a script says so. Watched in `tests/steps.rs`.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::WriteHalf;

use crate::framing::Inbox;
use crate::script::{How, Point, Script};

/// What becomes of the connection once a script was played.
pub(crate) enum After {
    NextRequest,
    Close,
    Reset,
}

/// Plays the script, unless the peer leaves first, which is an error.
pub(crate) async fn attend(script: &Script, inbox: &mut Inbox, stream: &mut TcpStream) -> io::Result<After> {
    let (mut reader, writer) = stream.split();
    tokio::select! {
        // The order decides what counts as abandoned: a script that was played to its end was not.
        biased;
        after = play(script, writer) => after,
        gone = departure(inbox, &mut reader) => Err(gone),
    }
}

/// Resolves when the peer leaves. What it sends meanwhile is kept for its next request.
async fn departure(inbox: &mut Inbox, reader: &mut (impl AsyncRead + Unpin)) -> io::Error {
    loop {
        match inbox.fill(reader).await {
            Ok(0) => return io::ErrorKind::ConnectionAborted.into(),
            Ok(_) => {}
            Err(error) => return error,
        }
    }
}

async fn play(script: &Script, writer: WriteHalf<'_>) -> io::Result<After> {
    let mut pen = Pen { writer, pause: script.trickle };
    let breaks_at = |point| script.breaks.filter(|found| found.at == point).map(|found| found.how);
    pause(script.delay).await;
    if let Some(how) = breaks_at(Point::BeforeHead) {
        return Ok(break_off(how).await);
    }
    let head = script.head();
    if let Some(how) = breaks_at(Point::InHead) {
        pen.write(&head.as_bytes()[..head.len() / 2]).await?;
        return Ok(break_off(how).await);
    }
    pen.write(head.as_bytes()).await?;
    for (before, piece) in script.pieces.iter().enumerate() {
        if let Some(how) = breaks_at(Point::AfterPieces(before)) {
            return Ok(break_off(how).await);
        }
        if before > 0 {
            pause(script.gap).await;
        }
        if let Some(gate) = script.gate.as_ref().filter(|_| before >= script.ungated) {
            gate.wait().await;
        }
        pen.write(&script.framed(piece)).await?;
    }
    if let Some(how) = breaks_at(Point::AfterPieces(script.pieces.len())) {
        return Ok(break_off(how).await);
    }
    if let (true, Some(last)) = (script.endless, script.pieces.last()) {
        let last = script.framed(last);
        loop {
            pause(script.gap).await;
            if let Some(gate) = &script.gate {
                gate.wait().await;
            }
            pen.write(&last).await?;
        }
    }
    pen.write(&script.end()).await?;
    Ok(if script.closes { After::Close } else { After::NextRequest })
}

async fn break_off(how: How) -> After {
    match how {
        How::Close => After::Close,
        How::Reset => After::Reset,
        How::Silence => std::future::pending().await,
    }
}

/// Waits only if there is something to wait for: even an empty sleep rounds up to a timer tick.
async fn pause(length: Duration) {
    if !length.is_zero() {
        tokio::time::sleep(length).await;
    }
}

/// Writes in one go, or byte by byte when the script trickles.
struct Pen<'a> {
    writer: WriteHalf<'a>,
    pause: Option<Duration>,
}

impl Pen<'_> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(length) = self.pause else {
            return self.writer.write_all(bytes).await;
        };
        for byte in bytes {
            self.writer.write_all(std::slice::from_ref(byte)).await?;
            pause(length).await;
        }
        Ok(())
    }
}
