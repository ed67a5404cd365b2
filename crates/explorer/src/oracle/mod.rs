//! What must hold once every process of a schedule has ended, in whatever order its statements ran.

mod claims;
mod corrections;
mod rows;

use std::time::Duration;

use common::db::{faces, images, people};
use sqlx::MySqlPool;
use tokio::time::sleep;

use crate::{
    history::Event,
    roles::Role,
    world::{LEASE, World, recognised},
};

/// Sweeps after which every image must have ended.
const SWEEPS: usize = 100;

/// Between two of them.
const BETWEEN_SWEEPS: Duration = Duration::from_millis(50);

/// Everything that does not hold, in words.
pub async fn judge(
    pool: &MySqlPool,
    world: &World,
    roles: &[Role],
    events: &[Event],
) -> sqlx::Result<Vec<String>> {
    let mut broken = claims::exclusive(events);
    broken.extend(events.iter().filter_map(|event| match event {
        Event::Failed(error) => Some(format!("a statement failed because of the others: {error}")),
        _ => None,
    }));

    // Names are settled by whoever changes them; only a match may have been stored by names that have changed meanwhile, which
    // the look at all faces finds.
    let wrong = settle(pool, world).await?;
    if wrong > 0 && !roles.iter().any(|role| role.stores_matches()) {
        broken.push(format!("{wrong} images show somebody else than they should"));
    }
    broken.extend(claims::attempts(pool, world, events).await?);
    end_all(pool, world).await?;
    people::clear_gone(pool, 64).await?;
    settle(pool, world).await?;
    if settle(pool, world).await? > 0 {
        broken.push("what was settled is not settled".to_owned());
    }
    broken.extend(rows::ended(pool, world, events).await?);
    broken.extend(rows::connected(pool, world).await?);
    broken.extend(rows::counted(pool, world).await?);
    if !roles.iter().any(|role| role.moves_corrections()) {
        broken.extend(corrections::in_a_row(pool, world, events).await?);
    }
    // The redeemer of the next schedule has its own.
    sqlx::query("UPDATE images SET redeemable = FALSE WHERE status = 2").execute(pool).await?;
    Ok(broken)
}

/// A processor that lives brings every image to its end. The server may still be about to roll back what the dead left open.
async fn end_all(pool: &MySqlPool, world: &World) -> sqlx::Result<()> {
    for _ in 0..SWEEPS {
        end_leases(pool).await?;
        let claims = images::claim_overdue(pool, Duration::ZERO, LEASE, 64).await?;
        let mut connection = pool.acquire().await?;
        let names = world.names(&mut connection).await?;
        let found = recognised(&[Some((&world.pictures[0], 0.3)), None]);
        let outcomes: Vec<_> = claims.iter().map(|claim| (claim, &found)).collect();
        let _ = images::finish(&mut connection, &outcomes, &names, &[]).await?;
        let left = "SELECT EXISTS (SELECT * FROM images WHERE status IN (0, 3))";
        if !sqlx::query_scalar(left).fetch_one(&mut *connection).await? {
            break;
        }
        sleep(BETWEEN_SWEEPS).await;
    }
    Ok(())
}

/// Ends the lease of every image that nobody is writing at this moment.
pub async fn end_leases(pool: &MySqlPool) -> sqlx::Result<()> {
    let mut transaction = pool.begin().await?;
    let free =
        sqlx::query_scalar("SELECT CAST(id AS UNSIGNED) FROM images WHERE status = 3 FOR UPDATE SKIP LOCKED");
    let free: Vec<u64> = free.fetch_all(&mut *transaction).await?;
    for image in free {
        let end = sqlx::query("UPDATE images SET claimed_until = NOW(6) - INTERVAL 1 SECOND WHERE id = ?");
        end.bind(image).execute(&mut *transaction).await?;
    }
    transaction.commit().await
}

async fn settle(pool: &MySqlPool, world: &World) -> sqlx::Result<usize> {
    let first = world.faces.first().copied().unwrap_or(1);
    Ok(faces::settle_after(pool, first - 1, 1024).await?.map_or(0, |(_, images)| images))
}
