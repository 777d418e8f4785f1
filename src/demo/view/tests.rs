use super::super::pen::Look;
use super::super::scene::tests::{answer, calm, failover, follow, ms, see};
use super::super::watch::Seen;
use super::*;

const PLAIN: Look = Look { colour: false, unicode: true };

fn paper(width: usize, height: usize) -> Paper {
    Paper { width, height, look: PLAIN }
}

fn text(scene: &Scene, now: Instant, paper: Paper) -> String {
    let lines = draw(scene, now, paper);
    assert_eq!(lines.len(), paper.height);
    for line in &lines {
        assert!(line.chars().count() <= paper.width, "too wide: {line}");
    }
    lines.join("\n")
}

#[test]
fn before_anything_happens_it_says_what_to_press() {
    let began = Instant::now();
    let expected = "\
Consentinel demo · everything on 127.0.0.1             down-after 500 ms · 00:05
Redis servers                            Daemons (quorum 2 of 3, epoch 0)
 ● 1 MASTER  offset 1,000                A 11  1 is well           hears B C
 ● 2 replica of 1, lag 100 B             B 12  1 is well           hears A C
 ● 3 replica of 1, lag 100 B             C 13  1 is well           hears A B

DNS of Consul; ask it yourself in another terminal:
   dig +short @127.0.0.1 -p 7 redis.service.consul SRV
   1 1 1 7f000001.addr.dc1.consul.                                       for 5 s
Writer goes where DNS says: 0 writes, 0 a second

Press k to kill the master, and look what happens to the answer.";
    let drawn = text(&calm(began), began + ms(5000), paper(80, 24));
    assert!(drawn.starts_with(expected), "{drawn}");
    assert!(drawn.contains("until it takes a silent master\n"), "nothing is cut: {drawn}");
    assert!(
        drawn.ends_with("k kill the master   s stop it   r bring back   p planned failover   q quit"),
        "{drawn}"
    );
}

#[test]
fn a_failover_fills_the_screen_and_no_more() {
    let began = Instant::now();
    let mut scene = calm(began);
    failover(&mut scene, began + ms(1000));
    scene.servers[0].hand = Hand::Up;
    scene.on_return(began + ms(3000), 1);
    follow(&mut scene, began + ms(3100), 2);
    see(&mut scene, began + ms(3190), Seen::Wrote { port: 2, number: 4, confirmed: true });
    let expected = "\
 ● 1 replica of 2, lag 100 B             A 11  2 is well           hears B C
 ● 2 MASTER  offset 1,000                B 12  2 is well           hears A C
 ● 3 replica of 2, lag 100 B             C 13  2 is well           hears A B

DNS of Consul; ask it yourself in another terminal:
   dig +short @127.0.0.1 -p 7 redis.service.consul SRV
   1 1 2 7f000001.addr.dc1.consul.                                       for 1 s
Writer goes where DNS says: 3 writes, 1 a second, paused 544 ms

Failover 1: 1 → 2                540 ms to the first write: 503 waiting, 37 ours
 killed           0 ms   █                         SIGKILL for 1
 +sdown         503 ms   ██████████████████████    B: silent for down-after
 +odown         506 ms                         █   B: two agree that it is down
 elected        520 ms                         █   A has two votes of three
 selected       521 ms                          █  A chooses 2
 promoted       525 ms                          █  2 says: I am master
 switched       530 ms                          █  A says so; all by 541 ms
 DNS            536 ms                          █  dig answers 2
 first write    540 ms                          █  the writer is on 2
 turned         560 ms                           █ the others follow 2
1 is back, is one after 100 ms
k kill the master   s stop it   r bring back   p planned failover   q quit";
    let drawn = text(&scene, began + ms(3200), paper(80, 24));
    assert!(drawn.ends_with(expected), "{drawn}");
}

#[test]
fn while_it_lasts_one_sees_what_is_still_to_come() {
    let began = Instant::now();
    let mut scene = calm(began);
    scene.servers[0].hand = Hand::Killed;
    scene.servers[0].said = None;
    scene.on_cause(began, super::super::timeline::Cause::Killed, 1);
    see(&mut scene, began + ms(505), Seen::Dns(Answer::Nothing("NXDOMAIN".into())));
    let drawn = text(&scene, began + ms(510), paper(80, 24));
    for expected in [
        " ✗ 1 killed",
        "(nothing: NXDOMAIN; no master is better than a dead one)",
        "Failover 1: 1 ...",
        "510 ms so far",
        " +sdown        ···",
        " turned        ···",
    ] {
        assert!(drawn.contains(expected), "no {expected} in\n{drawn}");
    }
}

#[test]
fn it_can_be_drawn_on_anything() {
    let began = Instant::now();
    let mut scene = calm(began);
    failover(&mut scene, began + ms(1000));
    for (width, height) in [(1, 1), (10, 3), (40, 12), (79, 24), (80, 25), (81, 28), (132, 50), (300, 100)] {
        text(&scene, began + ms(4000), paper(width, height));
    }
    let tall = text(&scene, began + ms(4000), paper(100, 40));
    assert!(
        tall.contains("What happened")
            && tall.contains("    1.520 s    520 ms  elected      A has two votes"),
        "{tall}"
    );
}

#[test]
fn ascii_is_enough_and_colours_change_nothing_else() {
    let began = Instant::now();
    let mut scene = calm(began);
    failover(&mut scene, began + ms(1000));
    let ascii = Paper { look: Look { colour: false, unicode: false }, ..paper(80, 24) };
    let drawn = text(&scene, began + ms(4000), ascii);
    assert!(drawn.is_ascii(), "{drawn}");
    let colour = Paper { look: Look { colour: true, unicode: true }, ..paper(80, 24) };
    let coloured = draw(&scene, began + ms(4000), colour).join("\n");
    let mut bare = String::new();
    for (number, part) in coloured.split("\x1b[").enumerate() {
        bare += if number == 0 { part } else { part.split_once('m').expect("every sequence is a colour").1 };
    }
    let trimmed: Vec<_> = bare.lines().map(str::trim_end).collect();
    assert_eq!(trimmed.join("\n"), text(&scene, began + ms(4000), paper(80, 24)));
}

#[test]
fn an_answer_that_names_another_than_the_daemons_is_not_green() {
    let began = Instant::now();
    let mut scene = calm(began);
    answer(&mut scene, began, 3);
    let look = Look { colour: true, unicode: true };
    let lines = draw(&scene, began + ms(10), Paper { width: 80, height: 24, look });
    assert!(lines.iter().any(|line| line.contains("\x1b[33m1 1 3 ")), "{lines:?}");
}

#[test]
fn numbers_are_grouped() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")] {
        assert_eq!(grouped(number), text);
    }
}
