//! Decides whether a command may be sent again, by what came of it.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerError, ServerErrorKind, Value};

/// The commands that change nothing, wherever and however often they are executed: these are repeated after a lost
/// connection. Sorted.
///
/// Not among them, though they only read: `SCAN` and its kin, whose cursors mean nothing to another server; `WAIT`,
/// which is about what was written before; `PFCOUNT`, which keeps its result; and whatever has several faces.
const READING: &[&str] = &[
    "BITCOUNT",
    "BITFIELD_RO",
    "BITPOS",
    "DBSIZE",
    "DUMP",
    "ECHO",
    "EVALSHA_RO",
    "EVAL_RO",
    "EXISTS",
    "EXPIRETIME",
    "FCALL_RO",
    "GEODIST",
    "GEOHASH",
    "GEOPOS",
    "GEORADIUSBYMEMBER_RO",
    "GEORADIUS_RO",
    "GEOSEARCH",
    "GET",
    "GETBIT",
    "GETRANGE",
    "HEXISTS",
    "HEXPIRETIME",
    "HGET",
    "HGETALL",
    "HKEYS",
    "HLEN",
    "HMGET",
    "HPEXPIRETIME",
    "HPTTL",
    "HRANDFIELD",
    "HSTRLEN",
    "HTTL",
    "HVALS",
    "KEYS",
    "LCS",
    "LINDEX",
    "LLEN",
    "LPOS",
    "LRANGE",
    "MGET",
    "OBJECT",
    "PEXPIRETIME",
    "PING",
    "PTTL",
    "RANDOMKEY",
    "SCARD",
    "SDIFF",
    "SINTER",
    "SINTERCARD",
    "SISMEMBER",
    "SMEMBERS",
    "SMISMEMBER",
    "SORT_RO",
    "SRANDMEMBER",
    "STRLEN",
    "SUBSTR",
    "SUNION",
    "TIME",
    "TTL",
    "TYPE",
    "XINFO",
    "XLEN",
    "XPENDING",
    "XRANGE",
    "XREAD",
    "XREVRANGE",
    "ZCARD",
    "ZCOUNT",
    "ZDIFF",
    "ZINTER",
    "ZINTERCARD",
    "ZLEXCOUNT",
    "ZMSCORE",
    "ZRANDMEMBER",
    "ZRANGE",
    "ZRANGEBYLEX",
    "ZRANGEBYSCORE",
    "ZRANK",
    "ZREVRANGE",
    "ZREVRANGEBYLEX",
    "ZREVRANGEBYSCORE",
    "ZREVRANK",
    "ZSCORE",
    "ZUNION",
];

/// The errors by which a server says that it has not even begun, and that another, or the same one later, would.
const REFUSALS: [&str; 7] =
    ["READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS", "UNBLOCKED"];

/// In the sentence of EXECABORT the reason comes behind this.
const BECAUSE: &str = "because of: ";

/// What is asked of a server in one go.
#[derive(Clone, Copy)]
pub(super) enum Request<'a> {
    One(&'a Cmd),
    Many { pipeline: &'a Pipeline, offset: usize, count: usize },
}

/// What it says.
pub(super) enum Replies {
    One(Value),
    Many(Vec<Value>),
}

/// What that means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was executed, or is wrong: the caller gets the answer.
    Done,
    /// A part of it was refused; the rest was executed and may not be again. The caller gets the answer.
    Partly,
    /// Nothing of it was executed, or nothing that matters.
    Refused,
    /// The connection is lost; whether it was executed is unknown.
    Lost,
}

impl Request<'_> {
    pub(super) async fn send(self, connection: &mut MultiplexedConnection) -> RedisResult<Replies> {
        match self {
            Request::One(command) => connection.req_packed_command(command).await.map(Replies::One),
            Request::Many { pipeline, offset, count } => {
                connection.req_packed_commands(pipeline, offset, count).await.map(Replies::Many)
            }
        }
    }

    /// Whether it does no harm if it is executed twice.
    pub(super) fn only_reads(self) -> bool {
        match self {
            Request::One(command) => only_reads(command),
            Request::Many { pipeline, .. } => pipeline.cmd_iter().all(only_reads),
        }
    }

    /// For errors: the names of the commands, never what they carry.
    pub(super) fn name(self) -> String {
        match self {
            Request::One(command) => name(command),
            Request::Many { pipeline, .. } => {
                let names: Vec<_> = pipeline.cmd_iter().take(3).map(name).collect();
                let more = if pipeline.len() > names.len() { ", …" } else { "" };
                let kind = if pipeline.is_transaction() { "transaction" } else { "pipeline" };
                format!("the {kind} of {} ({}{more})", pipeline.len(), names.join(", "))
            }
        }
    }

    pub(super) fn judge(self, result: &RedisResult<Replies>) -> Verdict {
        match result {
            Ok(Replies::One(Value::ServerError(error))) if is_refusal(error) => Verdict::Refused,
            Ok(Replies::One(_)) => Verdict::Done,
            Ok(Replies::Many(values)) => self.judge_many(values),
            Err(error) => judge_error(error),
        }
    }

    fn judge_many(self, values: &[Value]) -> Verdict {
        let refused = |value: &Value| matches!(value, Value::ServerError(error) if is_refusal(error));
        if !values.iter().any(refused) {
            return Verdict::Done;
        }
        let Request::Many { pipeline, .. } = self else { return Verdict::Partly };
        // Of a transaction only EXEC's answer is here: all or nothing.
        let harmless = pipeline.is_transaction()
            || values.len() == pipeline.len()
                && values
                    .iter()
                    .zip(pipeline.cmd_iter())
                    .all(|(value, command)| refused(value) || only_reads(command));
        if harmless { Verdict::Refused } else { Verdict::Partly }
    }
}

fn judge_error(error: &RedisError) -> Verdict {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse => Verdict::Lost,
        ErrorKind::Server(_) | ErrorKind::Extension => {
            let refused = error.clone().into_server_errors().is_some_and(|errors| {
                // Of a transaction that was aborted nothing was executed, whatever else was wrong with it.
                errors.iter().any(|(_, error)| is_refusal(error))
            });
            if refused { Verdict::Refused } else { Verdict::Done }
        }
        _ => Verdict::Done,
    }
}

fn is_refusal(error: &ServerError) -> bool {
    if error.kind() == Some(ServerErrorKind::ExecAbort) {
        let reason = error.details().and_then(|details| details.split_once(BECAUSE));
        return reason.is_some_and(|(_, reason)| {
            reason.split_whitespace().next().is_some_and(|code| REFUSALS.contains(&code))
        });
    }
    REFUSALS.contains(&error.code())
}

fn name(command: &Cmd) -> String {
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).to_ascii_uppercase(),
        _ => "a command without a name".into(),
    }
}

fn only_reads(command: &Cmd) -> bool {
    READING.binary_search(&name(command).as_str()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::{cmd, pipe};

    fn error(line: &str) -> Value {
        redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("it is RESP")
    }

    fn one(value: Value) -> Verdict {
        Request::One(&cmd("SET")).judge(&Ok(Replies::One(value)))
    }

    fn many(pipeline: &Pipeline, values: Vec<Value>) -> Verdict {
        Request::Many { pipeline, offset: 0, count: values.len() }.judge(&Ok(Replies::Many(values)))
    }

    #[test]
    fn the_list_is_sorted_and_nothing_in_it_writes() {
        assert!(READING.is_sorted());
        for writes in [
            "SET",
            "GETEX",
            "GETDEL",
            "INCR",
            "PUBLISH",
            "EVAL",
            "SORT",
            "SCAN",
            "WAIT",
            "XREADGROUP",
            "SPOP",
        ] {
            assert!(!only_reads(&cmd(writes)), "{writes}");
        }
        assert!(only_reads(&cmd("get")) && !only_reads(&Cmd::new()));
    }

    #[test]
    fn who_says_that_he_may_not_write_has_not_written() {
        for refusal in [
            "READONLY You can't write against a read only replica.",
            "LOADING Redis is loading the dataset in memory",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
            "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
        ] {
            assert_eq!(one(error(refusal)), Verdict::Refused, "{refusal}");
        }
        for answer in
            ["ERR wrong number of arguments", "WRONGTYPE", "EXECABORT Transaction discarded", "OOM no"]
        {
            assert_eq!(one(error(answer)), Verdict::Done, "{answer}");
        }
        assert_eq!(one(Value::Okay), Verdict::Done);
    }

    #[test]
    fn of_a_pipeline_all_that_writes_must_have_been_refused() {
        let mixed = pipe().get("a").set("b", 1).clone();
        let readonly = || error("READONLY no");
        assert_eq!(many(&mixed, vec![Value::Nil, readonly()]), Verdict::Refused);
        assert_eq!(many(&mixed, vec![readonly(), Value::Okay]), Verdict::Partly);
        assert_eq!(many(&mixed, vec![Value::Nil, Value::Okay]), Verdict::Done);
        let transaction = pipe().atomic().set("a", 1).set("b", 1).clone();
        assert_eq!(many(&transaction, vec![error("EXECABORT because of: READONLY no")]), Verdict::Refused);
    }

    #[test]
    fn a_lost_connection_tells_nothing() {
        let lost = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        assert_eq!(Request::One(&cmd("SET")).judge(&Err(lost.into())), Verdict::Lost);
    }

    #[test]
    fn names_carry_no_values() {
        let (secret, mut pipeline) = (cmd("SET").arg("k").arg("secret").clone(), pipe());
        pipeline.atomic().add_command(secret.clone()).get("k").get("k").get("k");
        assert_eq!(Request::One(&secret).name(), "SET");
        let request = Request::Many { pipeline: &pipeline, offset: 5, count: 1 };
        assert_eq!(request.name(), "the transaction of 4 (SET, GET, GET, …)");
    }
}
