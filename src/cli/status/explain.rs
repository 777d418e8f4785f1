//! `consentinel explain`: why there is no failover, or what would happen now.

use super::screen::Screen;
use super::sheet::{Piece, Sheet};
use crate::cli::ask::{Answer, Connection, Reach};
use crate::ink::Ink;
use crate::status::{Explanation, Obstacle};
use std::process::ExitCode;

/// Asks and tells.
pub(super) async fn run(reach: &Reach, master: &str, as_json: bool) -> Result<ExitCode, String> {
    let mut connection = Connection::open(reach).await?;
    let text = match connection.ask(&["SENTINEL", "EXPLAIN", master, "JSON"]).await? {
        Answer::Text(text) => text,
        Answer::Refused(text) if text.contains("No such master") => {
            return Err(format!("the sentinel at {} watches no master '{master}'", reach.at));
        }
        Answer::Refused(text) if text.to_lowercase().contains("unknown") => {
            return Err(cannot(&mut connection, reach, master).await);
        }
        Answer::Refused(text) => return Err(text),
        _ => return Err(format!("what answers at {} is no sentinel", reach.at)),
    };
    let explanation: Explanation =
        serde_json::from_str(&text).map_err(|error| format!("its explanation cannot be read: {error}"))?;
    let screen = Screen::look();
    let shown = match as_json {
        // As it was told, fields of a newer one included.
        true => match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => format!("{value:#}\n"),
            Err(error) => return Err(format!("its explanation cannot be read: {error}")),
        },
        false => page(&explanation, screen),
    };
    screen.add(&shown);
    let is_well = explanation.obstacles == [Obstacle::MasterAnswers] && explanation.suspect_ms.is_none();
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

/// An original cannot explain itself; what it says to CKQUORUM is better than nothing.
async fn cannot(connection: &mut Connection, reach: &Reach, master: &str) -> String {
    let check = match connection.ask(&["SENTINEL", "CKQUORUM", master]).await {
        Ok(Answer::Text(text) | Answer::Refused(text)) => format!(" SENTINEL CKQUORUM {master} says: {text}"),
        _ => String::new(),
    };
    format!("what answers at {} is a redis-sentinel, which cannot explain itself.{check}", reach.at)
}

fn page(explanation: &Explanation, screen: Screen) -> String {
    let mut sheet = Sheet::new(screen.width, screen.colour);
    for (index, line) in explanation.lines.iter().enumerate() {
        let text = line.trim_start();
        let indent = line.len() - text.len();
        let ink = if index == 0 { Ink::Strong } else { Ink::Plain };
        sheet.line(indent, &[Piece::new(text, ink)]);
    }
    sheet.finish()
}
