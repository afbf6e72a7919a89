//! Finds out whose data the members hold, from their rows.

use std::collections::BTreeMap;

use super::records::WriterRecord;
use super::row::Row;
use super::view::{Condition, View};

/// The origin of the data that most members hold, once half of the members have shown their rows. Of two members one is
/// enough, because otherwise a host could not be started while the other is down.
///
/// # Errors
/// Too few members have shown their rows, or no origin has the most members. The text names the members.
pub(super) fn origin_of_most(views: &[View]) -> Result<String, String> {
    let mut sides = BTreeMap::<&str, Vec<String>>::new();
    for view in views {
        if let Some(row) = &view.row {
            let side = sides.entry(row.origin.as_str()).or_default();
            side.push(view.at.to_string());
        }
    }
    let shown: usize = sides.values().map(Vec::len).sum();
    let may_show_more = views.iter().any(|view| view.fitness == Condition::Unheard);
    let (twice, all) = (shown * 2, views.len());
    if twice < all || twice == all && may_show_more {
        return Err(too_few(views, shown));
    }
    let most = sides.values().map(Vec::len).max().unwrap_or_default();
    sides.retain(|_, members| members.len() == most);
    if sides.len() > 1 {
        let sides: Vec<String> = sides
            .values()
            .map(|members| members.join(" and "))
            .collect();
        return Err(format!(
            "the origin of the data is unknown: as many members hold one store's data as another's, {}; name only the \
             members of one store",
            sides.join(" against ")
        ));
    }
    let origin = sides.keys().next().copied();
    origin
        .map(str::to_owned)
        .ok_or_else(|| too_few(views, shown))
}

fn too_few(views: &[View], shown: usize) -> String {
    let silent = views.iter().filter(|view| view.row.is_none());
    let silent = silent.map(|view| format!("{}: {}", view.at, view.reason("")));
    format!(
        "the origin of the data is unknown until half of the members have shown it; {shown} of {} have: {}",
        views.len(),
        silent.collect::<Vec<_>>().join("; ")
    )
}

/// The origin and the latest term, if each member shows a row and all rows have the same origin.
pub(super) fn shown_by_all(views: &[View]) -> Option<WriterRecord> {
    let rows: Option<Vec<&Row>> = views.iter().map(|view| view.row.as_ref()).collect();
    let rows = rows?;
    let latest = rows.iter().max_by_key(|row| row.term)?;
    let is_one = rows.iter().all(|row| row.origin == latest.origin);
    is_one.then(|| WriterRecord {
        origin: latest.origin.clone(),
        term: latest.term,
    })
}
