use super::super::ledger::Audit;
use super::super::scene::tests::{answer, calm, failover, follow, ms, see};
use super::super::watch::Seen;
use super::*;

fn written(scene: &mut Scene, at: Instant) {
    (100..100 + WRITES).for_each(|number| see(scene, at, Seen::Wrote { port: 1, number, confirmed: true }));
}

/// All goes well until the old master is to be brought back.
fn until_return(began: Instant) -> (Auto, Scene) {
    let mut scene = calm(began);
    written(&mut scene, began);
    let mut auto = Auto::new(began, began + ms(60_000));
    assert_eq!(auto.poll(&scene, began + ms(1000)), None, "it waits a little");
    assert_eq!(auto.poll(&scene, began + ms(2000)), Some(Order::Kill));
    failover(&mut scene, began + ms(2000));
    assert_eq!(auto.poll(&scene, began + ms(3000)), None);
    assert_eq!(auto.poll(&scene, began + ms(5000)), Some(Order::BringBack));
    scene.servers[0].hand = Hand::Up;
    scene.on_return(began + ms(5000), 1);
    (auto, scene)
}

#[test]
fn what_goes_well_is_judged_well() {
    let began = Instant::now();
    let (mut auto, mut scene) = until_return(began);
    assert_eq!(auto.poll(&scene, began + ms(5050)), None);
    follow(&mut scene, began + ms(5100), 2);
    assert_eq!(auto.poll(&scene, began + ms(5150)), Some(Order::Audit));
    scene.audit = Some(Audit { looked_for: 50, ..Audit::default() });
    assert_eq!(auto.poll(&scene, began + ms(5200)), Some(Order::Finish(vec![])));
    assert_eq!(auto.poll(&scene, began + ms(5250)), None);
}

#[test]
fn a_lost_write_and_an_answer_that_turned_back_are_named() {
    let began = Instant::now();
    let (mut auto, mut scene) = until_return(began);
    follow(&mut scene, began + ms(5100), 2);
    auto.poll(&scene, began + ms(5150));
    scene.audit = Some(Audit { looked_for: 50, lost: 2, unconfirmed_lost: 0 });
    answer(&mut scene, began + ms(5160), 1);
    let Some(Order::Finish(wrong)) = auto.poll(&scene, began + ms(5200)) else { panic!("it is over") };
    let expected =
        ["DNS does not name the new master any more", "2 of 50 writes that a replica had confirmed are lost"];
    assert_eq!(wrong, expected);
}

#[test]
fn at_the_deadline_it_says_what_did_not_happen() {
    let began = Instant::now();
    let mut scene = calm(began);
    written(&mut scene, began);
    let mut auto = Auto::new(began, began + ms(9000));
    assert_eq!(auto.poll(&scene, began + ms(2000)), Some(Order::Kill));
    scene.on_cause(began + ms(2000), super::super::timeline::Cause::Killed, 1);
    assert_eq!(auto.poll(&scene, began + ms(8999)), None);
    let Some(Order::Finish(wrong)) = auto.poll(&scene, began + ms(9000)) else { panic!("its time is over") };
    assert!(wrong.contains(&"DNS does not name the new master".to_owned()), "{wrong:?}");
    assert!(wrong.contains(&"no replica was promoted".to_owned()), "{wrong:?}");
}

#[test]
fn an_old_master_that_stays_a_master_is_no_success() {
    let began = Instant::now();
    let (mut auto, scene) = until_return(began);
    let Some(Order::Finish(wrong)) = auto.poll(&scene, began + ms(60_000)) else {
        panic!("its time is over")
    };
    assert!(
        wrong.contains(&"the old master did not become a replica of the new one".to_owned()),
        "{wrong:?}"
    );
}
