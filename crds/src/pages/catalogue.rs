//! The pages of conditions and events.

use super::{HEADER, head, row};
use crate::conditions::{CATALOGUE, Entry, EventReason, Kind};

pub(crate) fn conditions() -> String {
    let mut text = format!(
        "{HEADER}# Conditions\n\nWhat `kubectl describe` says about an object, and what to do about \
         it. Messages name the object and end with the remedy; they hold no counts and no times, so \
         that they change only when the matter does.\n"
    );
    for entry in CATALOGUE {
        text += &condition(entry);
    }
    text
}

fn condition(entry: &Entry) -> String {
    let kinds: Vec<_> = entry.kinds.iter().copied().map(Kind::as_str).collect();
    let mut text = format!(
        "\n## {}\n\n{} Of {}; {}.\n\n",
        entry.condition.as_str(),
        entry.doc,
        kinds.join(", "),
        entry.polarity.as_str(),
    );
    text += &head(&["status", "reason", "meaning", "what to do"]);
    for (status, reasons) in entry.reasons {
        for reason in *reasons {
            let name = format!("`{}`", reason.as_str());
            text += &row(&[status.as_str(), &name, reason.doc(), reason.remedy()]);
        }
    }
    text
}

pub(crate) fn events() -> String {
    let mut text = format!(
        "{HEADER}# Events\n\nWhat is told once, when it happens (`kubectl events`). The same event of \
         the same object is not repeated within 10 minutes.\n\n"
    );
    text += &head(&["type", "reason", "meaning", "what to do"]);
    for event in EventReason::ALL {
        let name = format!("`{}`", event.as_str());
        text += &row(&[event.event_type().as_str(), &name, event.doc(), event.remedy()]);
    }
    text
}
