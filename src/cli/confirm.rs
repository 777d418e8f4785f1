//! Asks the user before something is done.

use std::io::{BufRead, IsTerminal, Write};

/// Asks at the terminal; true for yes.
pub(super) fn confirmed() -> Result<bool, String> {
    let mut input = std::io::stdin().lock();
    if !std::io::stdin().is_terminal() {
        return Err("nobody is there to be asked: say --yes\n".into());
    }
    let line = |error: std::io::Error| format!("{error}\n");
    print!("Go on? [y/N] ");
    std::io::stdout().flush().map_err(line)?;
    let mut answer = String::new();
    input.read_line(&mut answer).map_err(line)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
