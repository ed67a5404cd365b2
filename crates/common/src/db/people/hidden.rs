//! Hiding somebody: pages neither list nor suggest them, and they are recognised as before.

use sqlx::MySqlPool;

use crate::db::{
    audit::{Action, Change, Edited},
    people::{Changed, attribute::Attribute},
};

const HIDDEN: Attribute<bool> =
    Attribute { column: "hidden", actions: &[Action::Hide, Action::Show], told: Change::Hiding };

/// Hides somebody, or shows them again: the entry of the audit that can undo it.
pub async fn hide(pool: &MySqlPool, id: u64, hidden: bool, who: &str) -> sqlx::Result<Changed<u64>> {
    let action = if hidden { Action::Hide } else { Action::Show };
    HIDDEN.change(pool, id, hidden, action, who).await
}

/// Undoes that, which `entry` of the audit tells of: the person; `None` when they were hidden or shown since, are gone, or it
/// was undone before.
pub async fn undo(
    pool: &MySqlPool,
    entry: u64,
    hiding: &Edited<bool>,
    who: &str,
) -> sqlx::Result<Option<u64>> {
    HIDDEN.undo(pool, entry, hiding, who).await
}
