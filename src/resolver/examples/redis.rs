//! Counts up in Redis, and prints every pause: `cargo run --example redis --features redis -- redis.service.consul`.

use consentinel_resolver::{FollowOptions, FollowingConnection, Resolver, outcome_is_unknown};
use redis::AsyncCommands;
use std::time::{Duration, Instant};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = std::env::args().nth(1).unwrap_or_else(|| "redis.service.consul".into());
    let resolver = Resolver::builder(name).build()?;
    let mut connection = FollowingConnection::connect(&resolver, &FollowOptions::new()).await?;
    loop {
        let begin = Instant::now();
        match connection.incr::<_, _, i64>("visits", 1).await {
            Ok(visits) if begin.elapsed() > Duration::from_millis(50) => {
                println!(
                    "{visits} visits, after a pause of {:?}: {:?}",
                    begin.elapsed(),
                    connection.master()
                );
            }
            Ok(_) => {}
            Err(error) if outcome_is_unknown(&error) => println!("perhaps one visit more: {error}"),
            Err(error) => println!("not counted: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
