//! Peers that do not speak HTTP: they greet before they are spoken to, never read, or hang up at once.
//! They must not look at what they are sent. Their test is at the foot.

use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// A TCP peer on a loopback port, on the runtime that started it. Dropping it closes everything.
#[derive(Debug)]
pub struct Peer {
    address: SocketAddr,
    connections: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

/// What a peer does with each connection.
#[derive(Debug, Clone)]
enum Manner {
    /// Sends these bytes, then reads until the other side leaves.
    Greets(Bytes),
    /// Never reads a byte.
    Deaf,
    /// Closes (FIN), or resets if something is unread.
    HangsUp,
    /// Resets (RST).
    Resets,
}

impl Peer {
    /// Sends these bytes as soon as somebody connects, and nothing more.
    pub async fn greeting(bytes: impl Into<Bytes>) -> Self {
        Self::start(Manner::Greets(bytes.into())).await
    }

    /// Accepts and never reads a byte.
    pub async fn deaf() -> Self {
        Self::start(Manner::Deaf).await
    }

    /// Accepts and closes.
    pub async fn hanging_up() -> Self {
        Self::start(Manner::HangsUp).await
    }

    /// Accepts and resets.
    pub async fn resetting() -> Self {
        Self::start(Manner::Resets).await
    }

    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let (count, connections) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            let mut treated = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.send_modify(|count| *count += 1);
                treated.spawn(treat(manner.clone(), stream));
            }
        });
        Self { address, connections, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:<port>`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections it accepted.
    pub fn connections(&self) -> usize {
        *self.connections.borrow()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn treat(manner: Manner, mut stream: TcpStream) {
    match manner {
        Manner::Greets(bytes) => {
            // Whether it was heard is for the test to say.
            let _ = stream.write_all(&bytes).await;
            let mut sink = [0; 1024];
            while stream.read(&mut sink).await.is_ok_and(|read| read > 0) {}
        }
        Manner::Deaf => std::future::pending().await,
        Manner::HangsUp => {}
        Manner::Resets => stream.set_zero_linger().expect("a TCP socket takes SO_LINGER"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes from a peer until it closes, or the kind of its end.
    async fn heard(peer: &Peer) -> Result<Vec<u8>, std::io::ErrorKind> {
        let mut stream = TcpStream::connect(peer.address()).await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map_err(|error| error.kind())?;
        Ok(all)
    }

    #[tokio::test]
    async fn each_peer_has_its_manner_and_counts() {
        let greeting = Peer::greeting("SSH-2.0\r\n").await;
        let mut stream = TcpStream::connect(greeting.address()).await.unwrap();
        let mut all = [0; 9];
        stream.read_exact(&mut all).await.unwrap();
        assert_eq!((&all, greeting.connections()), (b"SSH-2.0\r\n", 1));

        let closing = Peer::hanging_up().await;
        assert_eq!(heard(&closing).await, Ok(vec![]));
        let resetting = Peer::resetting().await;
        assert_eq!(heard(&resetting).await, Err(std::io::ErrorKind::ConnectionReset));

        let deaf = Peer::deaf().await;
        let mut stream = TcpStream::connect(deaf.address()).await.unwrap();
        let endless = async { while stream.write_all(&[0; 65_536]).await.is_ok() {} };
        let patience = std::time::Duration::from_millis(200);
        assert!(tokio::time::timeout(patience, endless).await.is_err(), "somebody reads");
    }
}
