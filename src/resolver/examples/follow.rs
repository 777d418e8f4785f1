//! Prints who is master, and every change.
//!
//! `cargo run -p consentinel-resolver --example follow -- redis.service.consul 127.0.0.1:8600`

use consentinel_resolver::{Change, Resolver};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut builder = Resolver::builder(args.next().unwrap_or_else(|| "redis.service.consul".into()));
    for server in args {
        builder = builder.name_server(server.parse()?);
    }
    let resolver = builder.build()?;
    let mut watch = resolver.watch();
    loop {
        match watch.next().await {
            Change::Master(master) if master.freshness.is_stale() => {
                println!("{} as far as is known", master.addr)
            }
            Change::Master(master) => println!("{} ({})", master.addr, master.host),
            Change::Unknown(why) => println!("nobody: {why}"),
            _ => {}
        }
    }
}
