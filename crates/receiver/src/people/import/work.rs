//! Looks at the pictures of a run, and makes people known by those that are fit.
//!
//! One receiver does it at a time. face-recog looks at up to four pictures ahead, at once. What becomes of a picture is decided and
//! stored in their order. So face-recog may have seen a picture before those right before it were stored, and not have compared it with
//! them.

use std::{collections::VecDeque, io, sync::Arc, time::Duration, vec};

use axum::http::StatusCode;
use common::{
    db::{
        lock::Lock,
        people::{
            self, Named, called,
            enrolment::{self, Candidate, Unfit},
            import::{self, Import, Outcome, Picture},
        },
        pool,
    },
    models::Person,
};
use futures_util::{StreamExt, stream::FuturesOrdered};
use tokio::{
    sync::RwLock,
    time::{sleep, timeout},
};

use super::labelled::{Labelled, LabelledPicture};
use crate::{
    face_client::BROKEN_OFF,
    http::{error::Problem, state::Receiver},
    people::{
        enrolment::{Seen, cut_out, give, only_face_on},
        name::checked,
    },
    uploads::write::Nameless,
};

/// Pause between two looks for a run, and before something is tried again.
const PAUSE: Duration = Duration::from_secs(2);

/// How often the right to work on runs is kept while nothing else happens.
const SIGN_OF_LIFE: Duration = Duration::from_secs(30);

/// Pictures that face-recog is asked about at once.
const AT_ONCE: usize = 4;

/// A picture is refused that broke face-recog off so often, looked at alone: it may be what kills it.
const TRIES: u32 = 3;

/// Stands for somebody who is not known yet: nobody has this id.
const NEW: i32 = 0;

/// Works on runs. Never returns.
pub async fn run(receiver: &Arc<Receiver>) {
    loop {
        let taken = pool::until_ok("the database", || import::take(&receiver.pool)).await;
        if let Some((run, lock)) = taken
            && let Err(problem) = work(receiver, &run, lock).await
        {
            tracing::warn!(run = run.id, problem = problem.detail, "people cannot be imported now");
            if let Err(error) = import::wait(&receiver.pool, run.id, &problem.detail).await {
                tracing::warn!(%error, "cannot note why people cannot be imported now");
            }
        }
        sleep(PAUSE).await;
    }
}

/// Works on a run to its end.
async fn work(receiver: &Arc<Receiver>, run: &Import, lock: Lock) -> Result<(), Problem> {
    let labelled = receiver.unknown_people.labelled(&run.folder).ok_or_else(Problem::internal)?;
    let away = |error: io::Error| super::away(&labelled, &error);
    if labelled.is_gone().await.map_err(away)? {
        let why = "the folder is not there any more";
        tracing::warn!(run = run.id, why, "people are not imported");
        import::give_up(&receiver.pool, run.id, why).await?;
        return Ok(());
    }
    let names = labelled.names().await.map_err(away)?;
    if run.total.is_none() {
        let mut total = 0;
        for name in &names {
            total += labelled.pictures(name).await.map_err(away)?.len();
        }
        import::count(&receiver.pool, run.id, u32::try_from(total).unwrap_or(u32::MAX)).await?;
    }
    let mut left = Left {
        labelled: &labelled,
        names: names.into(),
        pictures: vec::IntoIter::default(),
        after: run.last.clone(),
    };
    let (mut looking, mut number) = (FuturesOrdered::new(), run.looked_at);
    let turns = Arc::new(RwLock::new(()));
    loop {
        while looking.len() < AT_ONCE
            && let Some(picture) = left.next().await.map_err(away)?
        {
            let path = labelled.paths(&picture)[0].clone();
            let seen = look(receiver.clone(), run.id, path, turns.clone());
            looking.push_back(async move { (picture, seen.await) });
        }
        let looked = loop {
            match timeout(SIGN_OF_LIFE, looking.next()).await {
                Ok(looked) => break looked,
                // face-recog may be away for hours.
                Err(_) => lock.held()?,
            }
        };
        let Some((picture, seen)) = looked else { break };
        let decided = decide(receiver, run, &labelled, &picture, seen).await?;
        number += 1;
        let Decided { outcome, person, reason } = decided;
        let LabelledPicture { name, file } = picture;
        let line = Picture { number, name, file, outcome, person, reason };
        if !import::note(&receiver.pool, run.id, &line).await? {
            return Ok(());
        }
        lock.held()?;
    }
    import::end(&receiver.pool, run.id).await?;
    tracing::info!(run = run.id, pictures = number, "people were imported");
    Ok(())
}

/// The pictures that are not looked at yet, in their order. Of one person's pictures at a time the names are in memory.
struct Left<'a> {
    labelled: &'a Labelled,
    names: VecDeque<String>,
    pictures: vec::IntoIter<LabelledPicture>,
    after: Option<(String, String)>,
}

impl Left<'_> {
    async fn next(&mut self) -> io::Result<Option<LabelledPicture>> {
        loop {
            if let Some(picture) = self.pictures.next() {
                let is_left = self
                    .after
                    .as_ref()
                    .is_none_or(|(name, file)| (&picture.name, &picture.file) > (name, file));
                if is_left {
                    return Ok(Some(picture));
                }
                continue;
            }
            let Some(name) = self.names.pop_front() else { return Ok(None) };
            if self.after.as_ref().is_none_or(|(after, _)| name >= *after) {
                self.pictures = self.labelled.pictures(&name).await?.into_iter();
            }
        }
    }
}

/// A face that may make somebody known, what was cut out, and what face-recog sees on that; or why it makes nobody known.
type Look = Result<(Candidate, Nameless, Seen), String>;

/// Has face-recog look at a picture, however long it is away, or a folder cannot be written to.
///
/// A picture that breaks face-recog off takes those with it that are looked at beside it. So after that each of them is looked at
/// alone, and only such a try counts, if face-recog was there before and is there again.
async fn look(receiver: Arc<Receiver>, run: u32, path: String, turns: Arc<RwLock<()>>) -> Look {
    let (mut tries, mut is_suspect) = (0, false);
    loop {
        let (looked, was_there) = if is_suspect {
            let _alone = turns.write().await;
            let was_there = receiver.face_client.answers().await;
            (look_now(&receiver, &path).await, was_there)
        } else {
            let _beside = turns.read().await;
            (look_now(&receiver, &path).await, false)
        };
        let problem = match looked {
            Ok(seen) => return Ok(seen),
            Err(problem) if problem.status.is_client_error() => return Err(problem.detail),
            Err(problem) => problem,
        };
        loop {
            match import::wait(&receiver.pool, run, &problem.detail).await {
                Ok(true) => {}
                // Nobody reads this.
                Ok(false) => return Err("the run was stopped".to_owned()),
                Err(error) => tracing::warn!(%error, "cannot note why people cannot be imported now"),
            }
            sleep(PAUSE).await;
            if receiver.face_client.answers().await {
                break;
            }
        }
        if problem.code == BROKEN_OFF {
            is_suspect = true;
            tries += u32::from(was_there);
        }
        if tries >= TRIES {
            return Err(format!("face-recog does not answer about it: {}", problem.detail));
        }
    }
}

async fn look_now(receiver: &Receiver, path: &str) -> Result<(Candidate, Nameless, Seen), Problem> {
    let face = only_face_on(receiver.face_client.find(path).await?, path.to_owned())?;
    let unfit =
        |why: Unfit| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "no_good_example", why.to_string());
    face.check_quality().map_err(unfit)?;
    let (nameless, seen) = cut_out(receiver, &face, false).await?;
    Ok((face, nameless, seen))
}

/// What becomes of a picture.
struct Decided {
    outcome: Outcome,
    person: Option<i32>,
    reason: Option<String>,
}

impl Decided {
    fn refused(person: Option<i32>, reason: impl Into<String>) -> Self {
        Self { outcome: Outcome::Refused, person, reason: Some(reason.into()) }
    }
}

/// Decides what becomes of a picture, and does it unless this is a dry run. What people said here stays.
async fn decide(
    receiver: &Receiver,
    run: &Import,
    labelled: &Labelled,
    picture: &LabelledPicture,
    seen: Look,
) -> Result<Decided, Problem> {
    let pool = &receiver.pool;
    let name = match checked(&picture.name) {
        Ok(name) => name,
        Err(problem) => return Ok(Decided::refused(None, problem.detail)),
    };
    let person = match called::named(pool, name).await?[..] {
        [] => None,
        [person] => Some(person),
        _ => return Ok(Decided::refused(None, "several people have this name: merge or rename them first")),
    };
    if person.is_none()
        && (import::person_of(pool, run.id, &picture.name).await?.is_some()
            || import::is_erased(pool, run.id, name).await?)
    {
        let reason = "the person was renamed, merged or deleted here since this began";
        return Ok(Decided::refused(None, reason));
    }
    let refused = |reason: String| Ok(Decided::refused(person, reason));
    let (face, nameless, seen) = match seen {
        Ok(seen) => seen,
        Err(reason) => return refused(reason),
    };
    if let Some(reason) = said_otherwise(receiver, labelled, picture, person.unwrap_or(NEW)).await? {
        return refused(reason);
    }
    if let Err(why) = face.check_example(pool, person.unwrap_or(NEW), seen).await? {
        return refused(why.to_string());
    }
    if let Some(person) = person
        && import::was_removed(pool, person, &nameless.name).await?
    {
        return refused("this photo was removed from the person here".to_owned());
    }
    let owner = {
        let mut connection = pool.acquire().await?;
        people::by_image_names(&mut connection, &[&nameless.name]).await?.remove(&nameless.name)
    };
    // Before somebody is added, who would have no picture.
    if let Some(owner) = &owner
        && Some(owner.id) != person
    {
        return Ok(anothers(person, owner));
    }
    let outcome = |outcome, person| Ok(Decided { outcome, person, reason: None });
    if run.dry_run {
        return outcome(if owner.is_some() { Outcome::Already } else { Outcome::Enrolled }, person);
    }
    let person = match person {
        Some(person) => person,
        None => match people::add(pool, name, &run.who, None).await? {
            Some(person) => person.id,
            // Only a key keeps somebody from being added.
            None => return Err(Problem::internal()),
        },
    };
    match give(receiver, u64::from(person.unsigned_abs()), nameless, None, &run.who).await {
        Ok(Named::Done) => outcome(Outcome::Enrolled, Some(person)),
        Ok(Named::Already) => outcome(Outcome::Already, Some(person)),
        Ok(Named::Anothers(other)) => Ok(anothers(Some(person), &other)),
        Ok(Named::Undone) => Err(Problem::internal()),
        // Somebody deleted the person, or took the picture away, meanwhile.
        Err(problem) if problem.status.is_client_error() => Ok(Decided::refused(None, problem.detail)),
        Err(problem) => Err(problem),
    }
}

fn anothers(person: Option<i32>, other: &Person) -> Decided {
    Decided::refused(person, format!("the picture is that of {} (person {})", other.name, other.id))
}

/// What a person said of the face on this picture, if it was posted, and that forbids it.
async fn said_otherwise(
    receiver: &Receiver,
    labelled: &Labelled,
    picture: &LabelledPicture,
    person: i32,
) -> Result<Option<String>, Problem> {
    let [path, short] = labelled.paths(picture);
    for image in enrolment::images_at(&receiver.pool, &[&path, &short]).await? {
        for face in enrolment::faces_of(&receiver.pool, image).await?.unwrap_or_default() {
            let face = enrolment::candidate(&receiver.pool, face).await?;
            if let Some(Err(why @ (Unfit::Chosen(_) | Unfit::Rejected))) =
                face.map(|face| face.check_said(person))
            {
                return Ok(Some(why.to_string()));
            }
        }
    }
    Ok(None)
}
