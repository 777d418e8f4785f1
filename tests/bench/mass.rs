//! Many masters that die at once, of three sentinels on one host: until every one is replaced, until DNS says so, and what
//! Consul pays for it, at rest and then.
//!
//! The servers answer sentinels and hold no data: a thousand real ones would take the machine for themselves.

use consentinel_lab::{
    Consul, ConsulOptions, Extra, Fleet, Folder, Kind, Program, Sentinel, Value, eventually, sentinels_of,
};
use std::fmt;
use std::ops::Range;
use std::time::{Duration, Instant};

const SENTINELS: usize = 3;
const DOWN_AFTER: Duration = Duration::from_secs(1);
/// For more masters than `MANY`: three sentinels that ping two thousand servers nine times a second would be all that two cores do.
const LONGER_DOWN_AFTER: Duration = Duration::from_secs(10);
const MANY: usize = 300;
/// For a thousand masters on a machine that runs everything else, too.
const LONG: Duration = Duration::from_secs(600);
/// Until nothing is written any more that only the start brings.
const SETTLE: Duration = Duration::from_secs(30);
/// How long the rest is watched.
const WATCH: Duration = Duration::from_secs(20);
/// So many fail over together while all others are well.
const FEW: usize = 5;
/// So many die at last: all but one, where there are no more. The servers are on this machine, too, and what two thousand of
/// them do then would be all that is measured.
const CROWD: usize = 200;

/// What one program did.
#[derive(Default)]
pub(crate) struct MassReport {
    rows: Vec<Row>,
    down_after: Duration,
}

struct Row {
    program: &'static str,
    masters: usize,
    published: Option<Duration>,
    rest: Option<Rest>,
    deaths: Vec<Death>,
}

/// Some masters have died at once.
struct Death {
    masters: usize,
    /// Until the last was replaced for all sentinels.
    replaced: Duration,
    /// Until DNS named the last new one, and Consul's processor time until then.
    published: Option<(Duration, Duration)>,
}

/// A second in which nothing happens.
struct Rest {
    consul: f64,
    sentinels: f64,
    requests: f64,
}

struct Scene {
    fleets: Vec<Fleet>,
    sentinels: Vec<Sentinel>,
    consul: Option<Consul>,
    _folder: Folder,
}

/// Lets so many masters live and die under each of the programs.
pub(crate) fn play(programs: &[Program], masters: usize, down_after: Option<Duration>) -> MassReport {
    let default = if masters > MANY { LONGER_DOWN_AFTER } else { DOWN_AFTER };
    let down_after = down_after.unwrap_or(default);
    // The original writes its file anew for each replica that it meets: with a thousand it does not answer for minutes.
    let takes_part = |program: &&Program| masters <= MANY || matches!(program, Program::Ours(_));
    let rows =
        programs.iter().filter(takes_part).map(|program| round(program, masters, down_after)).collect();
    MassReport { rows, down_after }
}

fn round(program: &Program, masters: usize, down_after: Duration) -> Row {
    let is_ours = matches!(program, Program::Ours(_));
    let begin = Instant::now();
    let scene = Scene::start(program, masters, down_after);
    eprintln!("{masters} masters are watched");
    scene.is_known();
    let published = is_ours.then(|| {
        scene.is_in_dns();
        begin.elapsed()
    });
    eprintln!(
        "{masters} masters are known to all, and published where there is a Consul, after {:?}",
        begin.elapsed()
    );
    std::thread::sleep(SETTLE); // what follows is measured at rest
    let rest = scene.rest();
    let few = 1 + FEW.min(masters / 3);
    let crowd = masters.min(few + CROWD);
    let die = |numbers: Range<usize>| {
        let death = scene.kill(numbers);
        eprintln!("{} of them died: replaced after {:?}", death.masters, death.replaced);
        death
    };
    let deaths = vec![die(0..1), die(1..few), die(few..crowd)];
    Row { program: if is_ours { "ours" } else { "original" }, masters, published, rest, deaths }
}

impl Scene {
    fn start(program: &Program, masters: usize, down_after: Duration) -> Scene {
        let folder = Folder::new();
        let options = ConsulOptions { on_disk: true, ..ConsulOptions::default() };
        let is_ours = matches!(program, Program::Ours(_));
        let consul = is_ours.then(|| Consul::start_new(&folder, &options));
        let fleets: Vec<Fleet> = (0..masters).map(|_| Fleet::start(1)).collect();
        let extra = match &consul {
            Some(consul) => {
                Extra::consul(&consul.address()).line("sentinel consul service-template redis-{master}")
            }
            None => Extra::default(),
        };
        let sentinels = sentinels_of(&fleets, SENTINELS, down_after, (&folder, program, &extra));
        Scene { sentinels, fleets, consul, _folder: folder }
    }

    /// Waits until every sentinel knows the replica of every master.
    fn is_known(&self) {
        for sentinel in &self.sentinels {
            let mut left: Vec<usize> = (0..self.fleets.len()).collect();
            eventually("the replicas are known", LONG, || {
                let mut client = sentinel.client()?;
                left.retain(|number| {
                    let answer = client.call(&["SENTINEL", "REPLICAS", &format!("m{number}")]);
                    answer.is_ok_and(|answer| answer.items().is_empty())
                });
                left.is_empty().then_some(())
            });
        }
    }

    fn named(&self, number: usize) -> Vec<u16> {
        let Some(consul) = &self.consul else { return Vec::new() };
        let answer = consul.ask(&format!("redis-m{number}.service.consul"), Kind::Srv);
        answer.map(|answer| answer.servers().iter().map(|(_, port)| *port).collect()).unwrap_or_default()
    }

    fn is_in_dns(&self) {
        let mut left: Vec<usize> = (0..self.fleets.len()).collect();
        eventually("all masters are published", LONG, || {
            left.retain(|number| self.named(*number) != [self.fleets[*number].ports[0]]);
            left.is_empty().then_some(())
        });
    }

    fn rest(&self) -> Option<Rest> {
        let sentinels = || self.sentinels.iter().map(|sentinel| cpu(sentinel.pid())).sum::<Duration>();
        let consul = || self.consul.as_ref().map_or(Duration::ZERO, |consul| cpu(consul.pid()));
        let before = (sentinels(), consul(), self.requests());
        std::thread::sleep(WATCH); // the time that is measured
        let seconds = WATCH.as_secs_f64();
        Some(Rest {
            sentinels: (sentinels() - before.0).as_secs_f64() / seconds / SENTINELS as f64,
            consul: (consul() - before.1).as_secs_f64() / seconds,
            requests: (self.requests() - before.2) as f64 / seconds / SENTINELS as f64,
        })
    }

    /// What the daemons have asked Consul.
    fn requests(&self) -> u64 {
        let of = |sentinel: &Sentinel| {
            let text = sentinel.call(&["INFO", "consul"])?;
            let line = text.text()?.lines().find_map(|line| line.strip_prefix("consul_requests:"))?;
            line.parse::<u64>().ok()
        };
        self.sentinels.iter().filter_map(of).sum()
    }

    fn kill(&self, numbers: Range<usize>) -> Death {
        let cpu_before = self.consul.as_ref().map(|consul| cpu(consul.pid()));
        let begin = Instant::now();
        numbers.clone().for_each(|number| self.fleets[number].kill(0));
        let mut clients: Vec<_> = self.sentinels.iter().filter_map(Sentinel::client).collect();
        let mut unnamed: Vec<usize> = numbers.clone().collect();
        let mut unswitched: Vec<(usize, usize)> =
            numbers.clone().flat_map(|number| (0..SENTINELS).map(move |at| (number, at))).collect();
        let (mut switched, mut named) = (None, None);
        eventually("all of them are replaced", LONG, || {
            unswitched.retain(|(number, at)| {
                let old = self.fleets[*number].ports[0].to_string();
                let words = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", &format!("m{number}")];
                let answer = clients[*at].call(&words).ok();
                let port = answer.as_ref().and_then(|answer| answer.items().get(1)).and_then(Value::text);
                port.is_none_or(|port| port == old)
            });
            if self.consul.is_some() {
                unnamed.retain(|number| self.named(*number) != [self.fleets[*number].ports[1]]);
            }
            if unswitched.is_empty() {
                switched.get_or_insert_with(|| begin.elapsed());
            }
            if self.consul.is_none() || unnamed.is_empty() {
                named.get_or_insert_with(|| begin.elapsed());
            }
            (switched.is_some() && named.is_some()).then_some(())
        });
        let paid = self.consul.as_ref().zip(cpu_before).map(|(consul, before)| cpu(consul.pid()) - before);
        Death { masters: numbers.len(), replaced: switched.unwrap_or_default(), published: named.zip(paid) }
    }
}

/// The processor time of a process, by its clock ticks of a hundredth of a second.
fn cpu(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

impl fmt::Display for MassReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MassReport { rows, down_after } = self;
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nMany masters of three sentinels on one host, down-after {down_after:?}; seconds.\n")?;
        writeln!(
            f,
            "| program | masters | all in DNS | at rest: Consul, a sentinel (s/s), requests/s | died | last one replaced | last one in DNS | Consul's processor time |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- | --- | --- |")?;
        for row in rows {
            let published = row.published.map_or("–".into(), |it| format!("{:.1}", it.as_secs_f64()));
            let rest = row.rest.as_ref().map_or("–".into(), |rest| {
                format!("{:.3}, {:.4}, {:.1}", rest.consul, rest.sentinels, rest.requests)
            });
            for Death { masters: died, replaced, published: dns } in &row.deaths {
                let (named, paid) = dns.map_or(("–".into(), "–".into()), |(named, paid)| {
                    (format!("{:.2}", named.as_secs_f64()), format!("{:.2}", paid.as_secs_f64()))
                });
                let replaced = replaced.as_secs_f64();
                writeln!(
                    f,
                    "| {} | {} | {published} | {rest} | {died} | {replaced:.2} | {named} | {paid} |",
                    row.program, row.masters
                )?;
            }
        }
        Ok(())
    }
}
