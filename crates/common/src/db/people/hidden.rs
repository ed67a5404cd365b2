//! Hiding somebody: pages neither list nor suggest them, and they are recognised as before.

use sqlx::{MySqlConnection, MySqlPool};

use crate::db::{
    audit::{self, Action, Change, Hiding, Subject},
    people::{Changed, locked},
    pool::until_done,
};

/// Hides somebody, or shows them again: the entry of the audit that can undo it.
pub async fn hide(pool: &MySqlPool, id: u64, hidden: bool, who: &str) -> sqlx::Result<Changed<u64>> {
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        if locked(&mut transaction, id).await?.is_none() {
            return Ok(Changed::NoSuchPerson(id));
        }
        let before = is_hidden(&mut transaction, id).await?;
        write(&mut transaction, id, hidden).await?;
        let action = if hidden { Action::Hide } else { Action::Show };
        let change = Change::Hiding(Hiding { person: id, before, after: hidden });
        let entry = audit::note(&mut transaction, who, action, Subject::Person(id), &change).await?;
        transaction.commit().await?;
        Ok(Changed::Done(entry))
    })
    .await
}

/// Undoes that, which `entry` of the audit tells of: the person; `None` when they were hidden or shown since, are gone, or it
/// was undone before.
pub async fn undo(pool: &MySqlPool, entry: u64, hiding: &Hiding, who: &str) -> sqlx::Result<Option<u64>> {
    let &Hiding { person, before, after } = hiding;
    until_done(|| async {
        let mut transaction = pool.begin().await?;
        let subject = Subject::Person(person);
        if locked(&mut transaction, person).await?.is_none()
            || is_hidden(&mut transaction, person).await? != after
            || !audit::is_newest(&mut transaction, entry, subject, &[Action::Hide, Action::Show]).await?
        {
            return Ok(None);
        }
        write(&mut transaction, person, before).await?;
        let change = Change::Hiding(Hiding { person, before: after, after: before });
        audit::note_undo(&mut transaction, who, subject, &change, entry).await?;
        transaction.commit().await?;
        Ok(Some(person))
    })
    .await
}

async fn is_hidden(transaction: &mut MySqlConnection, person: u64) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT hidden FROM person WHERE id = ?").bind(person).fetch_one(transaction).await
}

async fn write(transaction: &mut MySqlConnection, person: u64, hidden: bool) -> sqlx::Result<()> {
    let update = sqlx::query("UPDATE person SET hidden = ? WHERE id = ?").bind(hidden).bind(person);
    update.execute(transaction).await?;
    Ok(())
}
