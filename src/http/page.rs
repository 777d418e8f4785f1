//! The files of the status page. They are part of the program, and load nothing from elsewhere.

/// A file.
pub(super) struct File {
    /// What it is.
    pub kind: &'static str,
    /// What is in it.
    pub text: &'static str,
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, kind and what is in it.
const FILES: &[(&str, &str, &str)] = &[
    ("/", HTML, include_str!("page/index.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/icon.svg", "image/svg+xml", include_str!("page/icon.svg")),
    ("/page/main.js", SCRIPT, include_str!("page/main.js")),
    ("/page/dom.js", SCRIPT, include_str!("page/dom.js")),
    ("/page/events.js", SCRIPT, include_str!("page/events.js")),
    ("/page/master.js", SCRIPT, include_str!("page/master.js")),
    ("/page/masters.js", SCRIPT, include_str!("page/masters.js")),
    ("/page/timeline.js", SCRIPT, include_str!("page/timeline.js")),
    ("/page/topology.js", SCRIPT, include_str!("page/topology.js")),
];

/// The file at a path.
pub(super) fn file(path: &str) -> Option<File> {
    FILES.iter().find(|(name, ..)| *name == path).map(|(_, kind, text)| File { kind, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_names_is_there_and_nothing_is_elsewhere() {
        for (name, _, text) in FILES {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            let text = text.replace("url(#", "");
            for elsewhere in ["http://", "https://", "\"//", "url("] {
                assert!(!text.contains(elsewhere), "{name}: {elsewhere}");
            }
            for attribute in ["src=\"", "href=\"/", "from \"./"] {
                for rest in text.split(attribute).skip(1) {
                    let target = rest.split('"').next().unwrap_or_default();
                    let folder = if attribute.starts_with("from") {
                        "/page/"
                    } else if attribute.ends_with('/') {
                        "/"
                    } else {
                        ""
                    };
                    let target = format!("{folder}{target}");
                    let answered =
                        target.starts_with("/v1/") || ["/metrics", "/ready", "/health"].contains(&&*target);
                    assert!(answered || file(&target).is_some(), "{name} leads to {target}");
                }
            }
        }
    }

    #[test]
    fn nothing_in_the_page_needs_what_the_policy_forbids() {
        for (name, kind, text) in FILES {
            let forbidden: &[&str] = match *kind {
                HTML => &["<style", " style=", "<script>", " onclick", " onload", "javascript:"],
                SCRIPT => {
                    &["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("]
                }
                _ => &["@import", "<script"],
            };
            for word in forbidden {
                assert!(!text.contains(word), "{name}: {word}");
            }
        }
    }
}
