//! A value of somebody's row that people change: each change is an entry of the audit, which can undo it.

use sqlx::{AssertSqlSafe, Decode, Encode, MySql, MySqlConnection, MySqlPool, Type};

use crate::db::{
    audit::{self, Action, Change, Edited, Subject},
    people::{Changed, locked},
    pool::until_done,
};

/// A column of `person`, and how the audit tells of its changes.
pub(super) struct Attribute<T> {
    pub(super) column: &'static str,
    /// What changes it.
    pub(super) actions: &'static [Action],
    /// How its entry tells of it.
    pub(super) told: fn(Edited<T>) -> Change,
}

impl<T> Attribute<T>
where
    T: Clone
        + PartialEq
        + Send
        + Sync
        + Unpin
        + Type<MySql>
        + for<'q> Encode<'q, MySql>
        + for<'r> Decode<'r, MySql>
        + 'static,
{
    /// Changes it: the entry of the audit that can undo it.
    pub(super) async fn change(
        &self,
        pool: &MySqlPool,
        person: u64,
        after: T,
        action: Action,
        who: &str,
    ) -> sqlx::Result<Changed<u64>> {
        until_done(|| async {
            let mut transaction = pool.begin().await?;
            if locked(&mut transaction, person).await?.is_none() {
                return Ok(Changed::NoSuchPerson(person));
            }
            let entry = self.set(&mut transaction, person, after.clone(), action, who).await?;
            transaction.commit().await?;
            Ok(Changed::Done(entry))
        })
        .await
    }

    /// The same for somebody who is [`locked`].
    pub(super) async fn set(
        &self,
        transaction: &mut MySqlConnection,
        person: u64,
        after: T,
        action: Action,
        who: &str,
    ) -> sqlx::Result<u64> {
        let before = self.read(transaction, person).await?;
        self.write(transaction, person, &after).await?;
        let change = (self.told)(Edited { person, before, after });
        audit::note(transaction, who, action, Subject::Person(person), &change).await
    }

    /// Undoes a change, which `entry` of the audit tells of. Who is as before; `None` when it was changed since, they are gone,
    /// or it was undone before.
    pub(super) async fn undo(
        &self,
        pool: &MySqlPool,
        entry: u64,
        edited: &Edited<T>,
        who: &str,
    ) -> sqlx::Result<Option<u64>> {
        let Edited { person, before, after } = edited;
        let subject = Subject::Person(*person);
        until_done(|| async {
            let mut transaction = pool.begin().await?;
            if locked(&mut transaction, *person).await?.is_none()
                // Somebody may have changed it by hand.
                || self.read(&mut transaction, *person).await? != *after
                || !audit::is_newest(&mut transaction, entry, subject, self.actions).await?
            {
                return Ok(None);
            }
            self.write(&mut transaction, *person, before).await?;
            let back = Edited { person: *person, before: after.clone(), after: before.clone() };
            audit::note_undo(&mut transaction, who, subject, &(self.told)(back), entry).await?;
            transaction.commit().await?;
            Ok(Some(*person))
        })
        .await
    }

    async fn read(&self, transaction: &mut MySqlConnection, person: u64) -> sqlx::Result<T> {
        let select = format!("SELECT {} FROM person WHERE id = ?", self.column);
        sqlx::query_scalar(AssertSqlSafe(select)).bind(person).fetch_one(transaction).await
    }

    async fn write(&self, transaction: &mut MySqlConnection, person: u64, value: &T) -> sqlx::Result<()> {
        let update = format!("UPDATE person SET {} = ? WHERE id = ?", self.column);
        sqlx::query(AssertSqlSafe(update)).bind(value.clone()).bind(person).execute(transaction).await?;
        Ok(())
    }
}
