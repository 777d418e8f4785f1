//! Tells the HTTP port what happens, from the loop's side.

use super::handle::Handle;
use crate::status::Happening;
use tokio::sync::mpsc;

/// Happenings that are told at a go.
const HANDFUL: usize = 64;

/// Tells what happens until nobody listens. Should the port not keep up, this task waits and the history goes on: what
/// it has forgotten by then is missing, and the numbers show it.
pub(crate) async fn feed(driver: Handle, listener: mpsc::Sender<Vec<Happening>>) {
    let mut numbers = driver.driver().server.history.numbers();
    let mut last = 0;
    loop {
        let news: Vec<Happening> =
            driver.driver().server.history.happenings_after(last).take(HANDFUL).cloned().collect();
        let told = match news.last() {
            Some(newest) => {
                last = newest.number;
                listener.send(news).await.is_ok()
            }
            None => numbers.changed().await.is_ok(),
        };
        if !told {
            return;
        }
    }
}
