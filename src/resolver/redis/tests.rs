//! What is repeated, what is not, and where it goes.

use super::stand_in::{Act, Server, eventually, say};
use super::*;
use crate::testing::{PATIENCE, builder, named};
use redis::{AsyncCommands, ServerErrorKind, pipe};
use tokio::time::timeout;

/// Until then an answer has arrived.
const HEARD: Duration = Duration::from_millis(100);

const READONLY: &str = "-READONLY You can't write against a read only replica.\r\n";

/// A server that is master first and does so, and one that is named as its successor when it has done it.
///
/// A refusal must be heard before the successor is named: whoever is cut before knows nothing.
struct Pair {
    resolver: Resolver,
    old: Server,
    new: Server,
}

impl Pair {
    async fn start(old: impl Fn(&str) -> Act + Send + Sync + 'static) -> Pair {
        let resolver = builder().await.build().expect("the settings are good");
        let new =
            Server::start(|command| say(if command.starts_with("GET") { "$1\r\nx\r\n" } else { "+OK\r\n" }))
                .await;
        let (then, successor) = (resolver.clone(), new.addr);
        let old = Server::start(move |command| {
            let act = old(command);
            let then = then.clone();
            tokio::spawn(async move {
                tokio::time::sleep(HEARD).await;
                named(&then, successor, 2);
            });
            act
        })
        .await;
        named(&resolver, old.addr, 1);
        Pair { resolver, old, new }
    }

    async fn connect(&self, options: &FollowOptions) -> FollowingConnection {
        FollowingConnection::connect(&self.resolver, options).await.expect("the old one is master")
    }
}

async fn set(connection: &mut FollowingConnection) -> RedisResult<()> {
    timeout(PATIENCE, connection.set("k", "v")).await.expect("in a bounded time")
}

async fn get(connection: &mut FollowingConnection) -> RedisResult<String> {
    timeout(PATIENCE, connection.get("k")).await.expect("in a bounded time")
}

#[tokio::test]
async fn what_was_refused_is_sent_to_the_new_master() {
    for refusal in [READONLY, "-LOADING soon\r\n", "-MASTERDOWN link\r\n", "-CLUSTERDOWN no\r\n"] {
        let pair = Pair::start(move |_| say(refusal)).await;
        let mut connection = pair.connect(&FollowOptions::new()).await;
        set(&mut connection).await.expect("the new one takes it");
        assert_eq!(pair.new.asked(), ["SET k v"]);
        assert!(!pair.old.asked().is_empty());
        assert_eq!(connection.master().map(|master| master.addr), Some(pair.new.addr));
    }
}

#[tokio::test]
async fn a_lost_write_is_not_repeated_and_a_lost_read_is() {
    let pair = Pair::start(|_| Act::Close).await;
    let mut connection = pair.connect(&FollowOptions::new()).await;
    let error = set(&mut connection).await.expect_err("nobody knows");
    assert!(outcome_is_unknown(&error), "{error}");
    assert!(error.to_string().contains(&format!("whether {} has executed SET", pair.old.addr)), "{error}");
    assert_eq!(pair.new.asked(), Vec::<String>::new());
    eventually("the new one is named", || pair.resolver.current().is_some_and(|it| it.addr == pair.new.addr))
        .await;
    set(&mut connection).await.expect("the next one goes to the new master");

    let pair = Pair::start(|_| Act::Close).await;
    let mut connection = pair.connect(&FollowOptions::new()).await;
    assert_eq!(get(&mut connection).await.expect("it is repeated"), "x");
    assert_eq!(pair.new.asked().len(), 1);
}

#[tokio::test]
async fn the_watch_cuts_those_who_wait_for_a_server_that_fell_silent() {
    let patient = FollowOptions::new().response_timeout(None);
    let pair = Pair::start(|_| Act::Silence).await;
    let error = set(&mut pair.connect(&patient).await).await.expect_err("nobody knows");
    assert!(outcome_is_unknown(&error), "{error}");
    let pair = Pair::start(|_| Act::Silence).await;
    assert_eq!(get(&mut pair.connect(&patient).await).await.expect("it is repeated"), "x");
}

#[tokio::test]
async fn the_old_master_loses_its_connections_as_soon_as_another_is_named() {
    let pair = Pair::start(|_| say("+OK\r\n")).await;
    let mut connection = pair.connect(&FollowOptions::new()).await;
    assert_eq!(pair.old.open(), 1);
    named(&pair.resolver, pair.new.addr, 2);
    eventually("the connection is closed", || pair.old.open() == 0).await;
    set(&mut connection).await.expect("it goes to the new one");
    assert_eq!((pair.old.asked().len(), pair.new.asked().len()), (0, 1));
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_is_no_answer() {
    let server = Server::start(|_| Act::Silence).await;
    let resolver = builder().await.build().expect("the settings are good");
    named(&resolver, server.addr, 1);
    let options = FollowOptions::new().response_timeout(Some(Duration::from_millis(50)));
    let mut connection = FollowingConnection::connect(&resolver, &options).await.expect("it is master");
    let error = set(&mut connection).await.expect_err("it is silent");
    assert!(outcome_is_unknown(&error) && error.is_timeout(), "{error}");
    assert!(error.to_string().ends_with("no answer within 50ms"), "{error}");
    assert_eq!(server.asked().len(), 1, "it is not repeated");
}

#[tokio::test]
async fn who_always_refuses_is_quoted_when_time_is_up() {
    let server = Server::start(|_| say("-LOADING Redis is loading the dataset in memory\r\n")).await;
    let resolver = builder().await.build().expect("the settings are good");
    named(&resolver, server.addr, 1);
    let options = FollowOptions::new().repeat_within(Duration::from_millis(300));
    let mut connection = FollowingConnection::connect(&resolver, &options).await.expect("it is master");
    let error = set(&mut connection).await.expect_err("it never stops loading");
    assert_eq!(error.kind(), ErrorKind::Server(ServerErrorKind::BusyLoading), "{error}");
    assert!(server.asked().len() > 2, "{:?}", server.asked());
}

#[tokio::test]
async fn who_does_not_take_the_first_words_is_given_up() {
    let resolver = builder().await.build().expect("the settings are good");
    for act in [Act::Close, say("-NOPROTO unsupported protocol version\r\n")] {
        let server = Server::start(move |_| act.clone()).await;
        resolver.forget();
        named(&resolver, server.addr, 1);
        let options = FollowOptions::new().resp3(true);
        let connecting = timeout(PATIENCE, FollowingConnection::connect(&resolver, &options)).await;
        let error = connecting.expect("in a bounded time").expect_err("HELLO is not taken");
        let text = error.to_string();
        assert!(text.starts_with(&format!("{}, the master, says to our first words", server.addr)), "{text}");
    }
}

#[tokio::test]
async fn a_pipeline_is_repeated_as_a_whole_or_not_at_all() {
    let refused = Pair::start(|_| say(READONLY)).await;
    let mut connection = refused.connect(&FollowOptions::new()).await;
    let () = pipe()
        .set("a", 1)
        .ignore()
        .set("b", 1)
        .ignore()
        .query_async(&mut connection)
        .await
        .expect("repeated");
    assert_eq!(refused.new.asked(), ["SET a 1", "SET b 1"]);

    let partly = Pair::start(|command| say(if command.contains('a') { "+OK\r\n" } else { READONLY })).await;
    let mut connection = partly.connect(&FollowOptions::new().response_timeout(None)).await;
    let result: RedisResult<()> =
        pipe().set("a", 1).ignore().set("b", 1).ignore().query_async(&mut connection).await;
    result.expect_err("a part was not executed");
    assert_eq!(partly.new.asked(), Vec::<String>::new());

    let reading = Pair::start(|_| Act::Close).await;
    let mut connection = reading.connect(&FollowOptions::new()).await;
    let values: Vec<String> =
        pipe().get("a").get("b").query_async(&mut connection).await.expect("it only reads");
    assert_eq!((values.len(), reading.new.asked().len()), (2, 2));

    let lost = Pair::start(|_| Act::Close).await;
    let mut connection = lost.connect(&FollowOptions::new()).await;
    let result: RedisResult<()> = pipe().atomic().get("a").set("b", 1).query_async(&mut connection).await;
    let error = result.expect_err("nobody knows");
    assert!(
        outcome_is_unknown(&error) && error.to_string().contains("the transaction of 2 (GET, SET)"),
        "{error}"
    );
}

#[tokio::test]
async fn nothing_is_left_behind() {
    let server = Server::start(|_| Act::Silence).await;
    let resolver = builder().await.build().expect("the settings are good");
    named(&resolver, server.addr, 1);
    let metrics = tokio::runtime::Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let connection =
        FollowingConnection::connect(&resolver, &FollowOptions::new()).await.expect("it is master");
    let mut clone = connection.clone();
    timeout(Duration::from_millis(50), set(&mut clone)).await.expect_err("it is silent");
    let news = FollowingPubSub::connect(&resolver).await.expect("it is master");
    assert!(metrics.num_alive_tasks() > before);
    drop((connection, clone, news));
    eventually("all tasks have ended", || metrics.num_alive_tasks() == before && server.open() == 0).await;
}

#[tokio::test]
async fn subscriptions_are_made_again_and_say_that_there_was_a_gap() {
    let confirmation = "*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n";
    let message = "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$5\r\nhello\r\n";
    let new = Server::start(move |_| say(&[confirmation, message].concat())).await;
    let old = Server::start(move |_| say(confirmation)).await;
    let resolver = builder().await.build().expect("the settings are good");
    named(&resolver, old.addr, 1);
    let mut news = FollowingPubSub::connect(&resolver).await.expect("it is master");
    news.subscribe("news").await.expect("it is confirmed");
    named(&resolver, new.addr, 2);
    let mut next = async || timeout(PATIENCE, news.next()).await.expect("in time");
    match next().await {
        PubSubItem::Gap(gap) => assert_eq!((gap.before.addr, gap.now.addr), (old.addr, new.addr)),
        other => panic!("{other:?}"),
    }
    match next().await {
        PubSubItem::Message(message) => assert_eq!(message.get_payload::<String>().expect("text"), "hello"),
        other => panic!("{other:?}"),
    }
    assert_eq!((old.asked(), new.asked()), (vec!["SUBSCRIBE news".into()], vec!["SUBSCRIBE news".into()]));
}

#[cfg(feature = "bb8")]
#[tokio::test]
async fn a_pool_throws_away_what_leads_to_the_old_master() {
    let pair = Pair::start(|_| say("+OK\r\n")).await;
    let manager = Manager::new(&pair.resolver, &FollowOptions::new());
    let pool = bb8::Pool::builder().max_size(2).build(manager).await.expect("there is a master");
    let held = pool.get().await.expect("there is a master");
    assert_eq!(held.master().map(|master| master.addr), Some(pair.old.addr));
    named(&pair.resolver, pair.new.addr, 2);
    eventually("the connection is cut", || held.master().is_none()).await;
    drop(held);
    assert_eq!(pool.state().statistics.connections_closed_broken, 1);
    let mut other = pool.get().await.expect("there is a master");
    assert_eq!(other.master().map(|master| master.addr), Some(pair.new.addr));
    let () = other.set("k", "v").await.expect("it takes it");
}

#[test]
fn an_unknown_outcome_is_told_from_other_errors() {
    let unknown = |kind| -> RedisError {
        let (command, why) = ("SET".into(), "no answer".into());
        Unknown { command, addr: ([127, 0, 0, 1], 1).into(), why, kind, mark: Mark }.into()
    };
    let late = unknown(io::ErrorKind::TimedOut);
    assert!(outcome_is_unknown(&late) && late.is_timeout());
    assert!(outcome_is_unknown(&unknown(io::ErrorKind::ConnectionAborted).clone()));
    assert!(late.to_string().starts_with("it is unknown whether 127.0.0.1:1 has executed SET"), "{late}");
    assert!(!outcome_is_unknown(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
    assert!(!outcome_is_unknown(&(ErrorKind::Io, "the command was not executed").into()));
}
