//! The hot restart, at SIGUSR2: the program is started again and takes the listening sockets over, so that no client is
//! refused; then this process
//! only stays for the clients that it has.
//!
//! The sockets travel over a pair of Unix sockets, of which the new process has one end as its standard input. It says that
//! it is ready on the same way.

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// Says to the new process that it is one, and whose.
const MARK: &str = "CONSENTINEL_PROXY_HANDOVER";

/// Says to the old one that the new one is ready.
const READY: u8 = b'R';

/// How long the new one may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// More than ever travel: the kernel lets 253 through at once.
const MOST: usize = 253;

/// All names together.
const LONGEST: usize = 32 << 10;

/// How we were started, before anything has changed that.
pub(super) struct Origin {
    program: Option<PathBuf>,
    words: Vec<OsString>,
}

impl Origin {
    /// Now.
    pub(super) fn new() -> Origin {
        Origin { program: std::env::current_exe().ok(), words: std::env::args_os().collect() }
    }

    /// Starts the program that now stands where ours stood, and hands the sockets over.
    pub(super) fn start(&self, sockets: &[(String, BorrowedFd<'_>)]) -> Result<Successor, String> {
        let program = self.program.as_ref().ok_or("it is not known where the program is")?;
        let (ours, theirs) = UnixStream::pair().map_err(|error| format!("no pair of sockets: {error}"))?;
        let mut command = Command::new(program);
        if let Some((name, words)) = self.words.split_first() {
            command.arg0(name).args(words);
        }
        command.env(MARK, std::process::id().to_string()).stdin(Stdio::from(OwnedFd::from(theirs)));
        // It names us; systemd's watchdog is the new one's affair from now on.
        command.env_remove("WATCHDOG_PID");
        let mut child =
            command.spawn().map_err(|error| format!("{} cannot be started: {error}", program.display()))?;
        // What it was started with holds its end of the pair, too.
        drop(command);
        match send(&ours, sockets) {
            Ok(()) => Ok(Successor { child, ours }),
            Err(error) => Err(end(&mut child, format!("the sockets cannot be handed over: {error}"))),
        }
    }
}

/// The process that is about to take over.
pub(super) struct Successor {
    child: Child,
    ours: UnixStream,
}

impl Successor {
    /// Waits until it has, and says which one it is. When anything goes wrong all stays as it was.
    pub(super) async fn ready(mut self) -> Result<u32, String> {
        match is_ready(self.ours).await {
            Ok(()) => Ok(self.child.id()),
            Err(why) => Err(end(&mut self.child, why)),
        }
    }
}

async fn is_ready(ours: UnixStream) -> Result<(), String> {
    let read = async {
        ours.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(ours)?.read_u8().await
    };
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(READY)) => Ok(()),
        Ok(_) => Err("the new process has ended before it was ready".into()),
        Err(_) => Err(format!("the new process was not ready within {} s", PATIENCE.as_secs())),
    }
}

/// It must not go on beside us.
fn end(child: &mut Child, why: String) -> String {
    let _ = child.kill();
    match child.wait() {
        Ok(status) => format!("{why} ({status})"),
        Err(_) => why,
    }
}

fn send(to: &UnixStream, sockets: &[(String, BorrowedFd<'_>)]) -> io::Result<()> {
    let fds: Vec<BorrowedFd<'_>> = sockets.iter().map(|(_, fd)| *fd).collect();
    let names: String = sockets.iter().map(|(name, _)| format!("{name}\n")).collect();
    if fds.len() > MOST || names.len() + 1 > LONGEST {
        return Err(io::Error::other("they are too many"));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("they do not fit into a message"));
    }
    // An empty line is the end.
    let text = names + "\n";
    let sent = sendmsg(to, &[IoSlice::new(text.as_bytes())], &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == text.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

fn receive(from: BorrowedFd<'_>) -> io::Result<HashMap<String, OwnedFd>> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut text = vec![0; LONGEST];
    let message = recvmsg(from, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut fds = Vec::new();
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = part {
            fds.extend(received);
        }
    }
    let names = String::from_utf8_lossy(&text[..message.bytes]).into_owned();
    let Some(names) = names.strip_suffix("\n\n").or((names == "\n").then_some("")) else {
        return Err(io::Error::other("the names of the sockets did not come as a whole"));
    };
    let names: Vec<_> = names.lines().map(str::to_owned).collect();
    match names.len() == fds.len() {
        true => Ok(names.into_iter().zip(fds).collect()),
        false => Err(io::Error::other("the sockets did not all come")),
    }
}

/// What the process before us has left to us.
#[derive(Default)]
pub(super) struct Inheritance {
    /// Listening sockets, by what they are called.
    pub(super) sockets: HashMap<String, OwnedFd>,
    is_successor: bool,
}

impl Inheritance {
    /// Takes it, if there is any.
    pub(super) fn take() -> io::Result<Inheritance> {
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_pid().to_string());
        // The mark is inherited; a child of another process inherits nothing.
        if parent.is_none() || std::env::var(MARK).ok() != parent {
            return Ok(Inheritance::default());
        }
        Ok(Inheritance { sockets: receive(io::stdin().as_fd())?, is_successor: true })
    }

    /// Says that we have taken over.
    pub(super) fn ready(&self) -> io::Result<()> {
        if self.is_successor {
            // Whoever waited may have been killed meanwhile.
            let _ = rustix::io::write(io::stdin(), &[READY]);
            let nothing = OpenOptions::new().read(true).open("/dev/null")?;
            rustix::stdio::dup2_stdin(&nothing)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn sockets_travel_with_their_names() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let listeners = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
        let named: Vec<_> =
            listeners.iter().enumerate().map(|(at, it)| (format!("master {at}"), it.as_fd())).collect();
        send(&one, &named).expect("they are sent");
        let mut received = receive(other.as_fd()).expect("they come");
        assert_eq!(received.len(), 3);
        for (at, listener) in listeners.iter().enumerate() {
            let fd = received.remove(&format!("master {at}")).expect("it is there");
            let again = TcpListener::from(fd);
            let (theirs, ours) = (again.local_addr().expect("bound"), listener.local_addr().expect("bound"));
            assert_eq!(theirs, ours);
        }
        send(&one, &[]).expect("nothing is sent, too");
        assert!(receive(other.as_fd()).expect("nothing comes").is_empty());
    }
}
