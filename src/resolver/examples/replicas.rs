//! Prints the replicas that may be read from, in the order in which they are to be tried.
//!
//! `cargo run -p consentinel-resolver --example replicas -- redis.service.consul 127.0.0.1:8600`

use consentinel_resolver::Resolver;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let mut builder = Resolver::builder(args.next().unwrap_or_else(|| "redis.service.consul".into()));
    for server in args {
        builder = builder.name_server(server.parse()?);
    }
    for replica in builder.build()?.replicas().await? {
        println!("{} priority {} weight {}", replica.addr, replica.priority, replica.weight);
    }
    Ok(())
}
