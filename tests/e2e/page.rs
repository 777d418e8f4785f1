//! The status page, in a real browser.
//!
//! The pictures that are taken stay in `target/tmp/page`, to be looked at.

use super::http::with_http;
use crate::{PATIENCE, ours, three_daemons};
use consentinel_lab::{Browser, Cluster, Folder, Look, Setup, Web, eventually};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const DESKTOP: Look = Look { width: 1400, height: 900, dark: false };
const DARK: Look = Look { width: 1400, height: 900, dark: true };
const PHONE: Look = Look { width: 360, height: 740, dark: false };

fn pictures() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).expect("cargo gives us that folder");
    folder
}

fn open(folder: &Folder, web: Web) -> Browser {
    let browser = Browser::start(folder);
    browser.look(DESKTOP);
    browser.open(&format!("http://{}/", web.address()));
    eventually("the page is live", PATIENCE, || (browser.text("#freshness") == "live").then_some(()));
    browser
}

/// What holds for the page whatever it shows. Gives what is wrong.
const CHECKS: &str = r#"
const wrong = [];
const say = (text) => wrong.push(text);
for (const landmark of ["header", "main", "aside", "footer"])
  if (document.querySelectorAll(landmark).length !== 1) say(`no ${landmark}, or several`);
if (document.querySelectorAll("h1").length !== 1) say("not one h1");
for (const table of document.querySelectorAll("table")) {
  if (!table.caption?.textContent) say("a table without a caption");
  for (const th of table.querySelectorAll("th")) if (!th.scope) say(`a header without scope: ${th.textContent}`);
}
for (const section of document.querySelectorAll("section, aside, nav"))
  if (!section.hasAttribute("aria-label") && !document.getElementById(section.getAttribute("aria-labelledby"))?.textContent)
    say(`${section.tagName} without a name`);
for (const picture of document.querySelectorAll("svg[role=img]")) {
  const names = (picture.getAttribute("aria-labelledby") ?? "").split(" ").filter(Boolean);
  const text = picture.getAttribute("aria-label") ?? names.map((id) => document.getElementById(id)?.textContent).join(" ");
  if (text.length < 20) say(`a picture without words: ${text}`);
}
for (const input of document.querySelectorAll("input")) if (!input.labels.length) say(`an input without a label: ${input.id}`);
const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
if (new Set(ids).size !== ids.length) say("an id stands twice");
if (document.getElementById("announcement").getAttribute("aria-live") !== "polite") say("nothing is announced");
if (document.documentElement.scrollWidth > innerWidth) say(`${document.documentElement.scrollWidth} wide, shown in ${innerWidth}`);

// Contrast: AA wants 4.5.
const parse = (colour) => (colour.match(/[\d.]+/g) ?? [0, 0, 0, 0]).map(Number);
const light = ([r, g, b]) => {
  const part = (value) => { const v = value / 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
};
const ratio = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05) / (y + 0.05); };
const ground = (node) => {
  for (let at = node; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length < 4 || colour[3] > 0) return colour;
  }
  return [255, 255, 255];
};
for (const node of document.querySelectorAll("body *")) {
  const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim());
  if (!own || node.closest("svg, noscript, script") || !node.getClientRects().length) continue;
  const found = ratio(parse(getComputedStyle(node).color), ground(node));
  if (found < 4.5) say(`contrast ${found.toFixed(2)}: ${node.className} ${node.textContent.slice(0, 30)}`);
}
for (const text of document.querySelectorAll(".node text")) {
  const box = text.parentElement.querySelector("rect");
  const found = ratio(parse(getComputedStyle(text).fill), parse(getComputedStyle(box).fill));
  if (found < 4.5) say(`contrast in the picture ${found.toFixed(2)}: ${text.textContent}`);
  if (text.getBBox().width > box.getBBox().width) say(`it does not fit its box: ${text.textContent}`);
}
for (const target of document.querySelectorAll("a[href], input, summary, [tabindex='0']")) {
  if (!target.getClientRects().length) continue;
  target.focus({ focusVisible: true });
  if (getComputedStyle(target).outlineStyle === "none") say(`the focus cannot be seen: ${target.textContent.slice(0, 30)}`);
}
document.activeElement.blur();
return wrong;
"#;

/// Keeps all that is said aloud: a later sentence takes the place of the one before.
const LISTEN: &str = r##"
window.said = [];
const spoken = document.querySelector("#announcement");
new MutationObserver(() => window.said.push(spoken.textContent)).observe(spoken, { childList: true });
"##;

/// Looks at the page in every way, keeps pictures, and looks for what must not be.
fn inspect(browser: &Browser, name: &str) {
    for (look, suffix) in [(PHONE, "phone"), (DARK, "dark"), (DESKTOP, "desktop")] {
        browser.look(look);
        let fits = format!("return document.documentElement.clientWidth === {}", look.width);
        eventually("the page has its size", PATIENCE, || (browser.run(&fits) == true).then_some(()));
        browser.run("scrollTo(0, 0)");
        // What moves with the size is drawn by then.
        browser.run("return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))");
        browser.picture(&pictures().join(format!("{name}-{suffix}.png")));
        assert_eq!(browser.run(CHECKS), json!([]), "{name}, {suffix}");
    }
}

/// Nothing was complained of, and nobody else was asked for anything.
fn is_clean(browser: &Browser, web: Web) {
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let ours = format!("http://{}/", web.address());
    let requests = browser.requests();
    assert!(requests.iter().any(|url| *url == format!("{ours}v1/state")), "{requests:?}");
    let pages = ["data:", "about:", "chrome:"];
    let foreign = |url: &&String| !url.starts_with(&ours) && !pages.iter().any(|page| url.starts_with(page));
    assert_eq!(requests.iter().filter(foreign).collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_failover_is_seen_while_it_happens() {
    let (setup, web) = with_http(three_daemons());
    let mut cluster = Cluster::start(&setup);
    let browser = open(&cluster.folder, web);
    let old = format!("127.0.0.1:{}", cluster.redis[0].port);
    eventually("the master is shown", PATIENCE, || {
        browser.text(".node.master .address").contains(&old).then_some(())
    });
    eventually("no failover yet", PATIENCE, || {
        browser.text("#timeline").contains("None since").then_some(())
    });
    eventually("all is well", PATIENCE, || (browser.text("#master-state") == "well").then_some(()));
    inspect(&browser, "before");
    browser.run("window.sameDocument = true");
    browser.run(LISTEN);

    cluster.redis[0].kill();
    let new = cluster.wait_for_new_master(0, PATIENCE);
    let new = format!("127.0.0.1:{}", cluster.redis[new].port);
    eventually("the picture shows the new master", PATIENCE, || {
        (browser.text(".node.master .address") == new).then_some(())
    });
    eventually("it is said aloud", PATIENCE, || {
        browser.run("return window.said.join()").to_string().contains("the new master is").then_some(())
    });
    eventually("the timeline has it", PATIENCE, || {
        let entry = browser.text("#timeline article");
        (entry.contains(&format!("{old} → {new}")) && entry.contains("done") && entry.contains(" ms"))
            .then_some(())
    });
    eventually("its phases are shown", PATIENCE, || {
        browser.text("#timeline table").contains("switched").then_some(())
    });
    for event in ["+sdown", "+odown", "+switch-master"] {
        eventually("the events are listed", PATIENCE, || {
            browser.text("#events").contains(event).then_some(())
        });
    }
    eventually("DNS would answer the new master", PATIENCE, || {
        browser.text("#answers").contains(&new).then_some(())
    });
    eventually("the picture is described", PATIENCE, || {
        browser.text("#topology desc").contains(&format!("Master {new}")).then_some(())
    });
    eventually("the old one is shown as down", PATIENCE, || {
        browser.text(".node.replica.bad .address").contains(&old).then_some(())
    });
    browser.run("document.getElementById('explain').open = true");
    eventually("it is explained", PATIENCE, || browser.text("#explanation").contains(&new).then_some(()));
    assert_eq!(browser.run("return window.sameDocument"), true, "it was not loaded anew");
    inspect(&browser, "after");
    is_clean(&browser, web);
}

#[test]
fn the_page_says_that_the_daemon_is_gone_and_goes_on_when_it_is_back() {
    let (mut setup, web) = with_http(Setup::new(vec![ours()]));
    (setup.quorum, setup.replicas) = (1, 1);
    let mut cluster = Cluster::start(&setup);
    let browser = open(&cluster.folder, web);
    browser.run("window.sameDocument = true");
    cluster.sentinels[0].kill();
    eventually("it says so", PATIENCE, || {
        let gone = browser.text("#gone");
        (gone.contains("has not answered since") && gone.contains("old")).then_some(())
    });
    assert_eq!(browser.text("#freshness"), "daemon gone");
    inspect(&browser, "gone");
    cluster.sentinels[0].start();
    eventually("it goes on", PATIENCE, || (browser.text("#freshness") == "live").then_some(()));
    assert_eq!(browser.run("return document.getElementById('gone').hidden"), true);
    eventually("events come again", PATIENCE, || {
        browser.text("#events").contains("the daemon was started again").then_some(())
    });
    assert_eq!(browser.run("return window.sameDocument"), true, "it was not loaded anew");
}

#[test]
fn a_thousand_masters_have_a_list_and_hostile_names_are_text() {
    const HOSTILE: &str = "<img/src=/x/onerror=document.title=1>";
    let (mut setup, web) = with_http(Setup::new(vec![ours()]));
    (setup.quorum, setup.replicas) = (1, 1);
    // They are nowhere: a thousand that live are another test's affair.
    for number in 0..998 {
        let line = format!("sentinel monitor shop-{number:03} 127.0.1.1 {} 1", 20_000 + number);
        setup.extra[0] = std::mem::take(&mut setup.extra[0]).line(&line);
    }
    let cluster = Cluster::start(&setup);
    let added = cluster.sentinels[0].call(&["SENTINEL", "MONITOR", HOSTILE, "127.0.1.1", "19999", "1"]);
    assert_eq!(added.as_ref().and_then(consentinel_lab::Value::text), Some("OK"));
    let browser = open(&cluster.folder, web);
    eventually("all are counted", PATIENCE, || {
        browser.text("#fleet-counts").starts_with("1000 masters").then_some(())
    });
    let listed = browser.run("return document.querySelectorAll('#masters li').length");
    assert_eq!(listed, 100, "no more than can be read");
    assert!(browser.text("#masters-more").contains("900 more"));
    let filter = |text: &str| {
        let script = "const input = document.getElementById('filter'); input.value = TEXT; \
                      input.dispatchEvent(new Event('input'));";
        browser.run(&script.replace("TEXT", &Value::from(text).to_string()));
    };
    filter("shop-77");
    assert_eq!(browser.run("return document.querySelectorAll('#masters li').length"), 10);
    filter("onerror");
    assert_eq!(browser.text("#masters .name"), HOSTILE);
    browser.run("document.querySelector('#masters a').click()");
    eventually("it is chosen", PATIENCE, || (browser.text("#master-title") == HOSTILE).then_some(()));
    assert_eq!(browser.run("return document.activeElement.id"), "master", "the focus follows");
    eventually("its events are text", PATIENCE, || browser.text("#events").contains(HOSTILE).then_some(()));
    assert_eq!(browser.run("return document.querySelector('img')"), Value::Null);
    let escaped = consentinel_lab::escaped(HOSTILE).replace('/', "%2F");
    let one = web.get(&format!("/v1/state/{escaped}")).expect("an answer");
    assert_eq!(one.json()["name"], HOSTILE);
    filter("");
    browser.run("location.hash = '#m=shop-500'");
    eventually("another is chosen", PATIENCE, || (browser.text("#master-title") == "shop-500").then_some(()));
    inspect(&browser, "thousand");
    is_clean(&browser, web);
}
