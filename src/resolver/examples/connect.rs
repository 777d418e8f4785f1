//! Connects to the master, which must say itself that it is one, and sends it a PING.
//!
//! `cargo run -p consentinel-resolver --example connect -- redis.service.consul 127.0.0.1:8600`

use consentinel_resolver::Resolver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut builder = Resolver::builder(args.next().unwrap_or_else(|| "redis.service.consul".into()));
    for server in args {
        builder = builder.name_server(server.parse()?);
    }
    let mut connection = builder.build()?.connect().await?;
    connection.write_all(b"PING\r\n").await?;
    let mut answer = [0; 64];
    let length = connection.read(&mut answer).await?;
    print!("{}: {}", connection.master().addr, String::from_utf8_lossy(&answer[..length]));
    Ok(())
}
