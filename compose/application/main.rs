//! An application that writes without end and follows the master by the resolver crate. It says in one line what became of each
//! write, so that whoever breaks things around it can count what was acknowledged, and look for it afterwards.
//!
//! ```text
//! master 10.213.77.11:6379 epoch 0
//! ack writer:1795296015000:17 1795296016021 3 1    acknowledged at that time, after 3 ms, and 1 replica has it
//! unknown writer:1795296015000:18 1795296017021 …  on the way when the connection was lost: it may be there or not
//! refused writer:1795296015000:19 1795296018021 …  it was not executed
//! ```
//!
//! The second word is the key that was written.

use consentinel_resolver::{FollowOptions, FollowingConnection, Resolver, outcome_is_unknown};
use std::error::Error;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::time::MissedTickBehavior;

/// Between two writes.
const PERIOD: Duration = Duration::from_millis(10);

/// Seconds after which Redis forgets a write: an application that runs for days must not fill the memory.
const KEPT: u64 = 900;

/// How many milliseconds a write waits for a replica.
const WAIT: u64 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    if let Err(error) = run().await {
        eprintln!("consentinel-application: {error}");
        std::process::exit(1);
    }
}

async fn run() -> Result<(), Box<dyn Error>> {
    let mut terminated = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        result = write() => result,
        _ = terminated.recv() => Ok(()),
    }
}

async fn write() -> Result<(), Box<dyn Error>> {
    let resolver = resolver()?;
    let options = FollowOptions::new();
    let mut connection = loop {
        match FollowingConnection::connect(&resolver, &options).await {
            Ok(connection) => break connection,
            Err(error) => eprintln!("not connected yet: {error}"),
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    };
    let run = unix_ms();
    let mut master = None;
    let mut ticks = tokio::time::interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 1u64.. {
        ticks.tick().await;
        let key = format!("writer:{run}:{n}");
        let begin = Instant::now();
        let outcome: Result<(String, u64), _> = redis::pipe()
            .cmd("SETEX")
            .arg(&key)
            .arg(KEPT)
            .arg(n)
            .cmd("WAIT")
            .arg(1)
            .arg(WAIT)
            .query_async(&mut connection)
            .await;
        let now = unix_ms();
        match outcome {
            Ok((_, replicas)) => {
                println!("ack {key} {now} {} {replicas}", begin.elapsed().as_millis());
                std::fs::write("/tmp/acknowledged", n.to_string())?;
            }
            Err(error) if outcome_is_unknown(&error) => println!("unknown {key} {now} {error}"),
            Err(error) => println!("refused {key} {now} {error}"),
        }
        if let Some(current) = connection.master()
            && master.as_ref() != Some(&current.addr)
        {
            match current.epoch {
                Some(epoch) => println!("master {} epoch {epoch}", current.addr),
                None => println!("master {}", current.addr),
            }
            master = Some(current.addr);
        }
    }
    Ok(())
}

/// By the environment: `NAME`, `DNS` (name servers, with spaces between) and `PASSWORD_FILE`.
fn resolver() -> Result<Resolver, Box<dyn Error>> {
    let mut builder = Resolver::builder(setting("NAME")?);
    for server in setting("DNS")?.split_whitespace() {
        let server = server.parse().map_err(|_| format!("DNS: {server} is not an address with a port"))?;
        builder = builder.name_server(server);
    }
    let path = setting("PASSWORD_FILE")?;
    let password =
        std::fs::read_to_string(&path).map_err(|error| format!("PASSWORD_FILE: {path}: {error}"))?;
    Ok(builder.password(password.trim_end()).build()?)
}

fn setting(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|_| format!("{name} is not set in the environment"))
}

fn unix_ms() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()
}
