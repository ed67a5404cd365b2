//! What an error of the database means for the one who asked: whether to ask again, and where.

use sqlx::{Error, mysql::MySqlDatabaseError};

/// What an error means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This server takes no changes, or does not work: the database has moved, or is about to. Ask again on a new
    /// connection; nothing was changed.
    OtherServer,
    /// The database does not answer, or has no room or no time now. Ask again later.
    Away,
    /// The database refuses a value. The same value is refused again.
    Data,
    /// A table has given out its last id.
    UsedUp,
    /// The statement, the schema or this program is wrong. Asking again brings the same answer.
    Fault,
}

impl Kind {
    /// What `error` means.
    pub fn of(error: &Error) -> Self {
        match error {
            Error::Database(error) => error.try_downcast_ref().map_or(Self::Fault, of_server),
            Error::Io(_)
            | Error::Tls(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed
            | Error::BeginFailed => Self::Away,
            _ => Self::Fault,
        }
    }

    /// Whether asking again may bring another answer.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::OtherServer | Self::Away)
    }
}

/// The number of an error of the server.
pub(crate) fn number(error: &Error) -> Option<u16> {
    of_database(error).map(MySqlDatabaseError::number)
}

fn of_database(error: &Error) -> Option<&MySqlDatabaseError> {
    error.as_database_error()?.try_downcast_ref()
}

/// What a server says when it stands aside, and what that means in words.
pub(crate) fn why_other_server(error: &Error) -> Option<&'static str> {
    of_database(error).and_then(standing_aside)
}

fn standing_aside(error: &MySqlDatabaseError) -> Option<&'static str> {
    let says = |words: &str| error.message().to_ascii_lowercase().contains(words);
    match error.number() {
        // The number stands for many options; of these only the one for reading, also called super-read-only.
        1290 if says("read-only") || says("read_only") => Some("is read-only"),
        // A transaction, a server, that may only read.
        1792 | 1836 => Some("is read-only"),
        // A node of Galera outside of the majority; otherwise an unknown command.
        1047 if says("wsrep") => Some("is not ready to work in its cluster"),
        // A member of Group Replication that may not commit, or is thrown out while it commits.
        3100 | 3101 => Some("may not commit in its group"),
        1053 => Some("is shutting down"),
        3032 => Some("is in offline mode"),
        _ => None,
    }
}

/// Whether the table's last id is given out. Each server says it in its own way.
fn is_used_up(error: &MySqlDatabaseError) -> bool {
    match error.number() {
        // MySQL gives out the last one again.
        1062 => {
            error.message().starts_with("Duplicate entry '2147483647' for key")
                && error.message().contains("PRIMARY")
        }
        // MariaDB.
        167 => error.message().contains("'id'"),
        1467 => true,
        _ => false,
    }
}

fn of_server(error: &MySqlDatabaseError) -> Kind {
    // Too many connections of one user, and other bounds on what a user may do in an hour, stand among the wrong
    // statements.
    const BOUNDS: [u16; 2] = [1203, 1226];
    // Wrong statements that have no class of their own: collations that do not go together, a column without a value,
    // a view that cannot be read, whose maker is gone, a table without a key in a group, what TiDB does not do.
    const FAULTS: [u16; 8] = [1267, 1270, 1271, 1356, 1364, 1449, 3098, 8200];
    // A value that does not fit, where a server gives it no class of its own.
    const REFUSED: [u16; 2] = [1265, 1366];
    if standing_aside(error).is_some() {
        return Kind::OtherServer;
    }
    if is_used_up(error) {
        return Kind::UsedUp;
    }
    match (error.number(), error.code().and_then(|state| state.get(..2))) {
        (number, _) if BOUNDS.contains(&number) => Kind::Away,
        (number, _) if FAULTS.contains(&number) => Kind::Fault,
        (number, _) if REFUSED.contains(&number) => Kind::Data,
        (_, Some("22")) => Kind::Data,
        (_, Some("07" | "0A" | "21" | "23" | "24" | "25" | "3D" | "42" | "44")) => Kind::Fault,
        _ => Kind::Away,
    }
}
